//! The client: one connection at most, any number of threads.
//!
//! Three locks, never held across a callback except the first two, which only
//! the thread whose turn it is takes: `turn` (who may operate), `inner` (what
//! an operation works on), `shared` (what everybody may read, held for moments).

use super::event::{Event, EventKind, Sink};
use super::options::Options;
use super::property::{Access, Kind, Row};
use super::settings::Settings;
use super::status::Status;
use super::turn::Turn;
use crate::drive::{Connection, Memory, NoContent, Observer, Plan, Source, run};
use crate::error::{Code, Error, Result};
use crate::net::canceller::Canceller;
use crate::net::sys::process_epoch;
use crate::proto::sasl::Credentials;
use crate::proto::{Envelope, HostName, Mailbox, Moment, Record, ReversePath, Secret, Security, Session, split_list};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A client; see the module.
#[derive(Debug)]
pub struct Client {
    turn: Turn,
    inner: Mutex<Inner>,
    shared: Mutex<Shared>,
    canceller: Arc<Canceller>,
    released: AtomicBool,
    poisoned: AtomicBool,
    epoch: u64,
}

#[derive(Debug, Default)]
struct Inner {
    connection: Option<Connection>,
    /// The connection broke, and the caller has not disconnected since.
    lost: bool,
    envelope: Envelope,
    sink: Option<Arc<Sink>>,
}

#[derive(Debug, Default)]
struct Shared {
    settings: Settings,
    status: Status,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

// Operations
impl Client {
    /// A client that is not connected.
    #[must_use]
    pub fn new() -> Self {
        Self {
            turn: Turn::default(),
            inner: Mutex::default(),
            shared: Mutex::default(),
            canceller: Arc::default(),
            released: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
            epoch: process_epoch(),
        }
    }

    /// Connects: look-up, TCP, greeting, EHLO, TLS. What is not given (`None`,
    /// 0) comes from the properties.
    ///
    /// # Errors
    ///
    /// `ALREADY_CONNECTED`, or whatever the attempt met.
    pub fn connect(&self, host: Option<&str>, port: u16, timeout: u32, options: Options) -> Result<()> {
        self.operate(|inner| {
            if inner.is_open() {
                return Err(Error::caller(Code::ALREADY_CONNECTED, "the client is connected already"));
            }
            let settings = self.shared.lock().settings.clone();
            let plan = plan(&settings, host, port, options)?;
            let timeout = if timeout == 0 { settings.timeout } else { timeout };
            inner.lost = false;
            let connection = inner.connection.insert(Connection::open(plan, Arc::clone(&self.canceller))?);
            let result = self.run(connection, inner.sink.as_ref(), &mut NoContent, timeout);
            if result.is_err() && connection.session().is_none_or(|session| !session.is_open()) {
                // The last reply stays readable; the connection is gone.
                self.shared.lock().status.take_connection(inner.connection.as_ref());
                inner.connection = None;
                return result;
            }
            self.shared.lock().status.take_connection(inner.connection.as_ref());
            if result.is_ok() {
                self.tell(inner.sink.as_ref(), &Event::plain(EventKind::Connect));
            }
            result
        })
    }

    /// Logs in. What is not given comes from the properties.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, `NO_CREDENTIALS`, or whatever the attempt met.
    pub fn authenticate(&self, user: Option<&str>, password: Option<Secret>) -> Result<()> {
        self.operate(|inner| {
            let settings = self.shared.lock().settings.clone();
            let credentials = Credentials {
                user: user.map_or(settings.user, str::to_owned),
                password: password.unwrap_or(settings.password),
            };
            if credentials.user.is_empty() || credentials.password.is_empty() {
                let what = "the user name or the password is missing";
                return Err(Error::caller(Code::NO_CREDENTIALS, what));
            }
            let begin = |session: &mut Session, now, _: &mut Envelope| {
                session.set_insecure_auth(settings.insecure_auth);
                session.authenticate(credentials, now)
            };
            self.command(inner, &mut NoContent, begin, Status::take_session)
        })
    }

    /// Sends a finished message. Its headers are not read: the envelope is made
    /// of the arguments alone.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, `INVALID_ADDRESS`, `NO_RECIPIENTS` and the like before
    /// anything is sent; `RECIPIENTS_REJECTED` if all were refused; else whatever
    /// the attempt met. [`super::Property::Outcome`] says what became of the message.
    pub fn send_message(&self, sender: &str, recipients: &str, message: &[u8]) -> Result<()> {
        self.operate(|inner| {
            self.shared.lock().status.begin_message();
            inner.expect_connection()?;
            fill_envelope(&mut inner.envelope, sender, recipients)?;
            inner.envelope.set_size(Some(message.len() as u64));
            let begin = |session: &mut Session, now, envelope: &mut Envelope| session.send(envelope, now);
            self.command(inner, &mut Memory(message), begin, Status::take_message)
        })
    }

    /// Sends RSET, which makes the server forget a transaction.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, or whatever the attempt met.
    pub fn reset(&self) -> Result<()> {
        self.operate(|inner| {
            self.command(inner, &mut NoContent, |session, now, _| session.reset(now), Status::take_session)
        })
    }

    /// Says QUIT and closes the connection. Once there is a connection this
    /// cannot fail: what the server answers changes nothing any more.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`.
    pub fn disconnect(&self) -> Result<()> {
        self.operate(|inner| {
            let lost = std::mem::take(&mut inner.lost);
            let Some(mut connection) = inner.connection.take() else {
                return if lost { Ok(()) } else { Err(not_connected()) };
            };
            let now = connection.read_clock();
            let timeouts = self.shared.lock().settings.timeouts.clone();
            if let Some(session) = connection.session_mut() {
                *session.timeouts_mut() = timeouts;
                if session.quit(now).is_ok() {
                    // Neither a refusal nor a time-out is of interest.
                    let _ = self.run(&mut connection, inner.sink.as_ref(), &mut NoContent, 0);
                }
                if let Some(session) = connection.session() {
                    self.shared.lock().status.take_session(session);
                }
            }
            drop(connection);
            self.shared.lock().status.take_connection(None);
            self.tell(inner.sink.as_ref(), &Event::plain(EventKind::Disconnect));
            Ok(())
        })
    }

    /// Ends whatever call is running, in any phase; does nothing if none is.
    /// Never waits.
    pub fn cancel(&self) {
        self.canceller.cancel();
    }

    /// Sets who is told of events; the one before is let go.
    ///
    /// # Errors
    ///
    /// `REENTRANT` and the like.
    pub fn set_sink(&self, sink: Option<Sink>) -> Result<()> {
        let before = self.operate(|inner| {
            let wants_records = sink.as_ref().is_some_and(wants_records);
            if let Some(session) = inner.connection.as_mut().and_then(Connection::session_mut) {
                session.set_trace(wants_records);
            }
            Ok(std::mem::replace(&mut inner.sink, sink.map(Arc::new)))
        })?;
        // Its destructor is the caller's: run when it is nobody's turn.
        drop(before);
        Ok(())
    }

    /// Ends the client: a running call is cancelled, those that wait get
    /// `RELEASED`. The connection is closed with the last call.
    pub fn release(&self) {
        self.released.store(true, Ordering::Release);
        self.cancel();
    }

    /// Makes the client unusable after a panic.
    pub fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    /// Whether the client belongs to this process.
    ///
    /// # Errors
    ///
    /// `FORKED` in a child of the process that made it.
    pub fn check_process(&self) -> Result<()> {
        if self.epoch == process_epoch() {
            return Ok(());
        }
        Err(Error::caller(Code::FORKED, "the handle was made before this process was forked"))
    }
}

// Properties
impl Client {
    /// Sets a text.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_PROPERTY`, `READ_ONLY_PROPERTY`, `INVALID_PARAMETER`, `REENTRANT`.
    pub fn set_text(&self, id: u32, value: &str) -> Result<()> {
        let row = writable(id, Kind::Text)?;
        self.operate(|_| self.shared.lock().settings.set_text(row.property, row.name, value))
    }

    /// Sets a number.
    ///
    /// # Errors
    ///
    /// As [`Self::set_text`].
    pub fn set_integer(&self, id: u32, value: i64) -> Result<()> {
        let row = writable(id, Kind::Integer)?;
        if row.property == super::Property::LastError {
            if value != 0 {
                let what = "LAST_ERROR can only be set to 0, which clears it";
                return Err(Error::caller(Code::INVALID_PARAMETER, what));
            }
            self.shared.lock().status.error = None;
            return Ok(());
        }
        self.operate(|_| self.shared.lock().settings.set_integer(row.property, row.name, value))
    }

    /// Reads a text, also while a call runs.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_PROPERTY`, `WRITE_ONLY_PROPERTY`.
    pub fn text(&self, id: u32) -> Result<String> {
        let row = readable(id, Kind::Text)?;
        let shared = self.shared.lock();
        let value = shared.settings.text(row.property).map(str::to_owned);
        value.or_else(|| shared.status.text(row.property)).ok_or_else(|| unknown(id, Kind::Text))
    }

    /// Reads a number, also while a call runs.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_PROPERTY`.
    pub fn integer(&self, id: u32) -> Result<i64> {
        let row = readable(id, Kind::Integer)?;
        let shared = self.shared.lock();
        let value = shared.settings.integer(row.property);
        value.or_else(|| shared.status.integer(row.property)).ok_or_else(|| unknown(id, Kind::Integer))
    }

    /// The last failure.
    #[must_use]
    pub fn last_error(&self) -> Option<Arc<Error>> {
        self.shared.lock().status.error.clone()
    }

    /// Keeps a failure as the last one.
    pub fn remember(&self, error: &Arc<Error>) {
        self.shared.lock().status.error = Some(Arc::clone(error));
    }
}

// Helpers
impl Client {
    /// Runs an operation when it is this call's turn.
    fn operate<T>(&self, operation: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
        let _held = self.turn.wait()?;
        if self.released.load(Ordering::Acquire) {
            return Err(Error::caller(Code::RELEASED, "the client was released"));
        }
        if self.poisoned.load(Ordering::Acquire) {
            let what = "an earlier internal error made this client unusable";
            return Err(Error::caller(Code::HANDLE_POISONED, what));
        }
        let _running = Running::begin(&self.canceller);
        // A release between the check and here found nothing to cancel.
        if self.released.load(Ordering::Acquire) {
            return Err(Error::caller(Code::RELEASED, "the client was released"));
        }
        operation(&mut self.inner.lock())
    }

    /// Gives the session a command, runs it, and learns what came of it.
    fn command(
        &self,
        inner: &mut Inner,
        source: &mut dyn Source,
        begin: impl FnOnce(&mut Session, Moment, &mut Envelope) -> Result<()>,
        learn: fn(&mut Status, &Session),
    ) -> Result<()> {
        inner.expect_connection()?;
        let Inner { connection: slot, lost, envelope, sink } = inner;
        let connection = slot.as_mut().ok_or_else(not_connected)?;
        let now = connection.read_clock();
        let session = connection.session_mut().ok_or_else(not_connected)?;
        let limit = {
            let shared = self.shared.lock();
            session.timeouts_mut().clone_from(&shared.settings.timeouts);
            shared.settings.timeout
        };
        begin(session, now, envelope)?;
        let result = self.run(connection, sink.as_ref(), source, limit);
        let Some(session) = connection.session() else { return result };
        learn(&mut self.shared.lock().status, session);
        if !session.is_open() {
            // Closed at once: the server must not wait for a client that is done.
            *slot = None;
            *lost = true;
            self.tell(sink.as_ref(), &Event::plain(EventKind::Disconnect));
        }
        result
    }

    fn run(
        &self,
        connection: &mut Connection,
        sink: Option<&Arc<Sink>>,
        source: &mut dyn Source,
        timeout: u32,
    ) -> Result<()> {
        let limit = connection.now().limit(timeout).map(|end| (end, timeout));
        let mut observer = Teller { client: self, sink };
        let result = run(connection, source, &mut observer, limit);
        if let (Err(error), Some(sink)) = (&result, sink) {
            let sentence = error.to_string();
            let special = match error.code {
                Code::TIMEOUT => Some(EventKind::Timeout),
                Code::CANCELLED => Some(EventKind::Cancel),
                _ => None,
            };
            for kind in special.into_iter().chain([EventKind::Error]) {
                self.tell(Some(sink), &Event::of_error(kind, error, &sentence));
            }
        }
        result
    }

    fn tell(&self, sink: Option<&Arc<Sink>>, event: &Event<'_>) {
        if sink.is_some_and(|sink| sink.tell(event)) {
            self.cancel();
        }
    }
}

/// Passes records on as events.
struct Teller<'a> {
    client: &'a Client,
    sink: Option<&'a Arc<Sink>>,
}

impl Observer for Teller<'_> {
    fn wants_records(&self) -> bool {
        self.sink.is_some_and(|sink| wants_records(sink))
    }

    fn record(&mut self, record: &Record) {
        self.client.tell(self.sink, &Event::of_record(record));
    }
}

/// Marks an operation as running, so that it can be cancelled; a panic ends it too.
struct Running<'a>(&'a Canceller);

impl<'a> Running<'a> {
    fn begin(canceller: &'a Canceller) -> Self {
        canceller.begin();
        Self(canceller)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Inner {
    fn is_open(&self) -> bool {
        self.connection.as_ref().and_then(Connection::session).is_some_and(Session::is_open)
    }

    fn expect_connection(&self) -> Result<()> {
        if self.is_open() {
            Ok(())
        } else if self.lost {
            Err(Error::caller(Code::NOT_CONNECTED, "the connection was lost earlier"))
        } else {
            Err(not_connected())
        }
    }
}

fn not_connected() -> Box<Error> {
    Error::caller(Code::NOT_CONNECTED, "the client is not connected")
}

fn wants_records(sink: &Sink) -> bool {
    sink.wants(EventKind::Command) || sink.wants(EventKind::Reply)
}

fn fill_envelope(envelope: &mut Envelope, sender: &str, recipients: &str) -> Result<()> {
    let sender = ReversePath::parse(sender)?;
    if let ReversePath::Mailbox(mailbox) = sender {
        expect_ascii(mailbox)?;
    }
    envelope.begin(sender);
    for recipient in split_list(recipients) {
        let mailbox = Mailbox::parse(recipient)?;
        expect_ascii(mailbox)?;
        envelope.push(mailbox);
    }
    if envelope.is_empty() {
        return Err(Error::caller(Code::NO_RECIPIENTS, "the list of recipients is empty"));
    }
    Ok(())
}

fn expect_ascii(mailbox: Mailbox<'_>) -> Result<()> {
    if !mailbox.needs_smtputf8() {
        return Ok(());
    }
    let what = format!("the address {} needs SMTPUTF8, which this version does not send", mailbox.as_str());
    Err(Error::caller(Code::SMTPUTF8_REQUIRED, what).with_address(mailbox.as_str()))
}

/// What a connection is to be like, from the arguments and the properties.
fn plan(settings: &Settings, host: Option<&str>, port: u16, options: Options) -> Result<Plan> {
    let options = if options == Options::NONE { settings.options } else { options };
    let host = host.filter(|host| !host.is_empty()).unwrap_or(&settings.host);
    if host.is_empty() {
        return Err(Error::caller(Code::INVALID_PARAMETER, "no host was given, neither here nor as a property"));
    }
    if host.chars().any(|c| c.is_control() || c == ' ') || !host.is_ascii() {
        let what = format!("\"{}\" is not a host name", host.escape_debug());
        return Err(Error::caller(Code::INVALID_PARAMETER, what));
    }
    let port = if port == 0 { settings.port } else { port };
    let security = options.security(settings.security, port);
    let port = match (port, security) {
        (0, Security::Implicit) => 465,
        (0, _) => 25,
        (port, _) => port,
    };
    let extended = !options.has(Options::BASIC);
    if !extended && security == Security::Required {
        let what = "SMTP_OPTION_BASIC excludes the TLS mode \"required\": STARTTLS needs EHLO";
        return Err(Error::caller(Code::INVALID_PARAMETER, what));
    }
    let local_name = match settings.local_name.as_str() {
        "" => None,
        name => Some(HostName::parse(name)?),
    };
    Ok(Plan {
        host: host.to_owned(),
        port,
        local_name,
        extended,
        security,
        ca_file: (!settings.ca_file.is_empty()).then(|| PathBuf::from(&settings.ca_file)),
        insecure_skip_verify: settings.insecure_skip_verify || options.has(Options::TRUSTEDSITE),
        insecure_auth: settings.insecure_auth,
        timeouts: settings.timeouts.clone(),
    })
}

fn row(id: u32, kind: Kind) -> Result<&'static Row> {
    Row::of(id).filter(|row| row.kind == kind).ok_or_else(|| unknown(id, kind))
}

fn writable(id: u32, kind: Kind) -> Result<&'static Row> {
    let row = row(id, kind)?;
    if row.access == Access::ReadOnly {
        return Err(Error::caller(Code::READ_ONLY_PROPERTY, format!("{} can only be read", row.name)));
    }
    Ok(row)
}

fn readable(id: u32, kind: Kind) -> Result<&'static Row> {
    let row = row(id, kind)?;
    if row.access == Access::WriteOnly {
        return Err(Error::caller(Code::WRITE_ONLY_PROPERTY, format!("{} can only be set", row.name)));
    }
    Ok(row)
}

fn unknown(id: u32, kind: Kind) -> Box<Error> {
    let kind = match kind {
        Kind::Text => "text",
        Kind::Integer => "integer",
    };
    Error::caller(Code::UNKNOWN_PROPERTY, format!("there is no {kind} property {id}"))
}
