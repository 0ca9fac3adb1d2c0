//! The client: one connection at most, any number of threads.
//!
//! Three locks, never held across a callback except the first two, which only
//! the thread whose turn it is takes: `turn` (who may operate), `inner` (what
//! an operation works on), `shared` (what everybody may read, held for moments).

use super::arguments::plan;
use super::event::{Event, EventKind, Sink};
use super::left_out::LeftOut;
use super::live::Live;
use super::login::TokenProvider;
use super::options::Options;
use super::settings::Settings;
use super::status::Status;
use super::teller::{Teller, wishes};
use super::tracer::{TraceSink, Tracer};
use super::turn::Turn;
use crate::drive::{Connection, NoContent, Plan, Source, run};
use crate::error::{Code, Error, Phase, Result};
use crate::net::canceller::Canceller;
use crate::net::sys::process_epoch;
use crate::proto::{CommandText, Envelope, LineEndCheck, Moment, Outcome, Record, Secret, Session};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A client; see the module.
#[derive(Debug)]
pub struct Client {
    turn: Turn,
    inner: Mutex<Inner>,
    pub(super) shared: Mutex<Shared>,
    pub(super) live: Live,
    pub(super) tracer: Tracer,
    canceller: Arc<Canceller>,
    released: AtomicBool,
    poisoned: AtomicBool,
    epoch: u64,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) connection: Option<Connection>,
    /// The connection broke, and the caller has not disconnected since.
    lost: bool,
    /// The end of the connection is to be told, behind whatever else is.
    end_untold: bool,
    pub(super) envelope: Envelope,
    /// What servers have been found not to understand.
    left_out: LeftOut,
    sink: Option<Arc<Sink>>,
    pub(super) token_provider: Option<Arc<TokenProvider>>,
    /// The present call has more to do: it can still be cancelled.
    pub(super) more_follows: bool,
    /// When the present call of several steps has had its time.
    pub(super) call_end: Option<Moment>,
    /// How far the content that is given in pieces keeps to CRLF.
    pub(super) line_ends: LineEndCheck,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) status: Status,
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
            live: Live::default(),
            tracer: Tracer::default(),
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
        self.operate(|inner| self.connect_in(inner, host, port, timeout, options))
    }

    /// Logs in. What is not given comes from the properties.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, `NO_CREDENTIALS`, or whatever the attempt met.
    pub fn authenticate(&self, user: Option<&str>, password: Option<Secret>) -> Result<()> {
        self.operate(|inner| self.authenticate_in(inner, user, password))
    }

    /// Sends any other command, and gives the text of its reply.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, `UNSUITABLE_COMMAND`, `COMMAND_REJECTED`, or whatever the attempt met.
    pub fn command(&self, verb: &str, parameters: &str) -> Result<String> {
        self.operate(|inner| {
            let text = CommandText::parse(verb, parameters)?;
            let begin = |session: &mut Session, now, _: &mut Envelope| session.command(&text, now);
            self.run_command(inner, None, begin, Status::take_session).map_err(|mut error| {
                error.verb = Some(text.verb().to_owned());
                error
            })?;
            Ok(self.shared.lock().status.reply_text())
        })
    }

    /// Asks about an address, with VRFY or EXPN, and gives the text of the reply.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, `INVALID_ADDRESS`, `SMTPUTF8_REQUIRED`, `COMMAND_REJECTED`,
    /// or whatever the attempt met.
    pub fn ask(&self, verb: &str, address: &str) -> Result<String> {
        self.operate(|inner| {
            let begin = |session: &mut Session, now, _: &mut Envelope| session.ask(verb, address, now);
            self.run_command(inner, None, begin, Status::take_session)?;
            Ok(self.shared.lock().status.reply_text())
        })
    }

    /// Has the server send the mail that it holds for a node, with ETRN (RFC 1985).
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, `INVALID_PARAMETER`, `COMMAND_REJECTED`, or whatever the attempt met.
    pub fn extended_turn(&self, node: &str) -> Result<()> {
        self.operate(|inner| {
            let text = CommandText::extended_turn(node)?;
            self.run_command(inner, None, |session, now, _| session.command(&text, now), Status::take_session)
        })
    }

    /// Sends RSET, which makes the server forget a transaction.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, or whatever the attempt met.
    pub fn reset(&self) -> Result<()> {
        self.operate(|inner| self.run_command(inner, None, |session, now, _| session.reset(now), Status::take_reset))
    }

    /// Says QUIT and closes the connection. Once there is a connection this
    /// cannot fail: what the server answers changes nothing any more.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`.
    pub fn disconnect(&self) -> Result<()> {
        self.operate(|inner| self.disconnect_in(inner))
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
        let before = self.when_free(|inner| Ok(std::mem::replace(&mut inner.sink, sink.map(Arc::new))))?;
        // Its destructor is the caller's: run when it is nobody's turn.
        drop(before);
        Ok(())
    }

    /// Sets who is asked for OAuth tokens; the one before is let go.
    ///
    /// # Errors
    ///
    /// `REENTRANT` and the like.
    pub fn set_token_provider(&self, provider: Option<TokenProvider>) -> Result<()> {
        let provider = provider.map(Arc::new);
        let before = self.when_free(|inner| Ok(std::mem::replace(&mut inner.token_provider, provider)))?;
        drop(before);
        Ok(())
    }

    /// Sets who is told of records; the one before is let go.
    ///
    /// # Errors
    ///
    /// `REENTRANT` and the like.
    pub fn set_trace(&self, sink: Option<TraceSink>) -> Result<()> {
        let before = self.when_free(|_| Ok(self.tracer.set_callback(sink)))?;
        drop(before);
        Ok(())
    }

    /// Whether the calling thread is inside a call on this client: in its callback.
    ///
    /// # Errors
    ///
    /// `REENTRANT` if it is.
    pub fn check_reentry(&self) -> Result<()> {
        self.turn.check()
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

// Helpers
impl Client {
    /// The last failure.
    #[must_use]
    pub fn last_error(&self) -> Option<Arc<Error>> {
        self.shared.lock().status.error.clone()
    }

    /// Keeps a failure as the last one.
    pub fn remember(&self, error: &Arc<Error>) {
        self.shared.lock().status.error = Some(Arc::clone(error));
    }

    /// Does something when it is this call's turn; a failure is told as an event.
    pub(super) fn when_free<T>(&self, action: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
        let _held = self.turn.wait()?;
        if self.released.load(Ordering::Acquire) {
            return Err(released());
        }
        if self.poisoned.load(Ordering::Acquire) {
            let what = "an earlier internal error made this client unusable";
            return Err(Error::caller(Code::HANDLE_POISONED, what));
        }
        let mut inner = self.inner.lock();
        let result = action(&mut inner);
        if let Err(error) = &result
            && error.phase != Phase::Argument
        {
            self.note(|| format!("failed: {error}"));
        }
        if let (Err(error), Some(sink)) = (&result, &inner.sink) {
            self.tell_failure(sink, error);
        }
        if std::mem::take(&mut inner.end_untold) {
            self.note(|| "disconnected".to_owned());
            self.tell(inner.sink.as_ref(), &Event::plain(EventKind::Disconnect));
        }
        result
    }

    /// Runs an operation that can be cancelled when it is this call's turn.
    pub(super) fn operate<T>(&self, operation: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
        self.when_free(|inner| {
            let _running = Running::begin(&self.canceller, &self.live);
            // A release between the check before and here found nothing to cancel.
            if self.released.load(Ordering::Acquire) {
                return Err(released());
            }
            operation(inner)
        })
    }

    /// Runs an operation that sends a message: if it fails, the record tells what
    /// became of the message.
    pub(super) fn operate_message<T>(&self, operation: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
        let result = self.operate(|inner| {
            inner.expect_no_message()?;
            // From here on the outcome is that of this message, whatever happens.
            self.shared.lock().status.begin_message();
            self.live.begin_message();
            operation(inner).map_err(|error| error.with_outcome(self.shared.lock().status.outcome()))
        });
        // It did not come to its turn.
        result.map_err(|error| error.with_outcome(Outcome::NotSent))
    }

    pub(super) fn connect_in(
        &self,
        inner: &mut Inner,
        host: Option<&str>,
        port: u16,
        timeout: u32,
        options: Options,
    ) -> Result<()> {
        inner.expect_no_connection()?;
        let settings = self.shared.lock().settings.clone();
        let plan = plan(&settings, host, port, options)?;
        let timeout = if timeout == 0 { settings.timeout } else { timeout };
        self.begin_session(inner, timeout, plan, Connection::open)
    }

    /// Opens a connection and greets the server.
    pub(super) fn begin_session(
        &self,
        inner: &mut Inner,
        timeout: u32,
        mut plan: Plan,
        open: impl FnOnce(Plan, Arc<Canceller>) -> Result<Connection>,
    ) -> Result<()> {
        plan.withheld.extend(inner.left_out.of(&plan.host, plan.port));
        inner.lost = false;
        let connection = inner.connection.insert(open(plan, Arc::clone(&self.canceller))?);
        let mut result = self.run(connection, inner.sink.as_ref(), &mut NoContent, timeout);
        // Also of a session that failed, the last reply stays readable.
        self.shared.lock().status.take_connection(inner.connection.as_ref());
        if let Some(connection) = &inner.connection {
            self.shared.lock().status.take_costs(connection);
        }
        if result.is_ok() {
            self.tell(inner.sink.as_ref(), &Event::plain(EventKind::Connect));
        }
        if self.was_cancelled(inner) && result.is_ok() {
            result = Err(cancelled_late());
            inner.end_untold = true;
        }
        if result.is_err() {
            inner.connection = None;
            self.shared.lock().status.take_disconnect();
        }
        result
    }

    pub(super) fn disconnect_in(&self, inner: &mut Inner) -> Result<()> {
        let lost = std::mem::take(&mut inner.lost);
        let Some(mut connection) = inner.connection.take() else {
            return if lost { Ok(()) } else { Err(not_connected()) };
        };
        let now = connection.read_clock();
        let (timeouts, timeout) = {
            let shared = self.shared.lock();
            (shared.settings.timeouts.clone(), shared.settings.timeout)
        };
        if let Some(session) = connection.session_mut() {
            *session.timeouts_mut() = timeouts;
            session.set_trace(wishes(&self.tracer, inner.sink.as_deref()));
            // In the middle of a message QUIT would be a part of it: it is dropped.
            if session.quit(now).is_ok() {
                // Neither a refusal nor a time-out is of interest.
                let _ = self.run(&mut connection, inner.sink.as_ref(), &mut NoContent, timeout);
            }
            self.shared.lock().status.take_costs(&connection);
            if let Some(session) = connection.session_mut() {
                self.shared.lock().status.take_session(session);
            }
        }
        drop(connection);
        let mut shared = self.shared.lock();
        shared.status.take_connection(None);
        shared.status.drop_message();
        drop(shared);
        inner.end_untold = true;
        Ok(())
    }

    /// Whether the present call was cancelled. Where it ends here, nobody can cancel
    /// it any more.
    fn was_cancelled(&self, inner: &Inner) -> bool {
        if inner.more_follows { self.canceller.is_cancelled() } else { self.canceller.end() }
    }

    /// Gives the session a command, runs it, and learns what came of it.
    pub(super) fn run_command(
        &self,
        inner: &mut Inner,
        source: Option<&mut dyn Source>,
        begin: impl FnOnce(&mut Session, Moment, &mut Envelope) -> Result<()>,
        learn: fn(&mut Status, &mut Session),
    ) -> Result<()> {
        inner.expect_connection()?;
        let connection = inner.connection.as_mut().ok_or_else(not_connected)?;
        let now = connection.read_clock();
        let idle = connection.check_idle();
        let session = connection.session_mut().ok_or_else(not_connected)?;
        let limit = {
            let shared = self.shared.lock();
            session.timeouts_mut().clone_from(&shared.settings.timeouts);
            match inner.call_end {
                Some(end) => u32::try_from(end - now).unwrap_or(u32::MAX).max(1),
                None => shared.settings.timeout,
            }
        };
        session.set_trace(wishes(&self.tracer, inner.sink.as_deref()));
        let gives_content = source.is_some();
        let begun = begin(session, now, &mut inner.envelope);
        if gives_content && (idle.is_err() || begun.is_err()) {
            // The recipients were not tried, which is something to be told.
            learn(&mut self.shared.lock().status, session);
        }
        if let Err(error) = idle {
            self.lose_connection(inner);
            return Err(error);
        }
        begun?;
        let result = self.run(connection, inner.sink.as_ref(), source.unwrap_or(&mut NoContent), limit);
        self.learn_left_out(connection, &mut inner.left_out);
        let mut shared = self.shared.lock();
        if connection.take_renewed() {
            shared.status.take_connection(Some(connection));
        }
        shared.status.take_costs(connection);
        let Some(session) = connection.session_mut() else { return result };
        learn(&mut shared.status, session);
        drop(shared);
        let is_open = session.is_open();
        let is_decided = gives_content && session.has_final_reply();
        // A cancel that came when the result was in has cost the connection, but
        // the message, if it was one, is safe.
        let cancelled = self.was_cancelled(inner) && is_open;
        if cancelled || !is_open {
            self.lose_connection(inner);
        }
        if cancelled && result.is_ok() && !is_decided { Err(cancelled_late()) } else { result }
    }

    /// The connection is of no more use: closed at once, as the server must not wait
    /// for a client that is done.
    fn lose_connection(&self, inner: &mut Inner) {
        inner.connection = None;
        inner.lost = true;
        inner.end_untold = true;
        self.shared.lock().status.take_disconnect();
    }

    /// Remembers for the connections to come what this message's MAIL had to be repeated without.
    fn learn_left_out(&self, connection: &Connection, left_out: &mut LeftOut) {
        let Some(session) = connection.session() else { return };
        let capabilities = session.capabilities();
        if capabilities.withheld.is_empty() {
            return;
        }
        let mut shared = self.shared.lock();
        let known = shared.status.capabilities.withheld.len();
        if capabilities.withheld.len() > known {
            let plan = connection.plan();
            for extension in &capabilities.withheld[known..] {
                left_out.add(&plan.host, plan.port, extension.clone());
            }
            shared.status.capabilities.clone_from(capabilities);
        }
    }

    fn run(
        &self,
        connection: &mut Connection,
        sink: Option<&Arc<Sink>>,
        source: &mut dyn Source,
        timeout: u32,
    ) -> Result<()> {
        connection.set_limit(timeout);
        let total = connection.session().and_then(|session| session.envelope().size()).unwrap_or(0);
        let mut observer = Teller::new(self, sink, total);
        run(connection, source, &mut observer)
    }

    fn tell_failure(&self, sink: &Arc<Sink>, error: &Error) {
        let special = match error.code {
            Code::TIMEOUT => Some(EventKind::Timeout),
            Code::CANCELLED => Some(EventKind::Cancel),
            _ => None,
        };
        let sentence = error.to_string();
        for kind in special.into_iter().chain([EventKind::Error]) {
            self.tell(Some(sink), &Event::of_error(kind, error, &sentence));
        }
    }

    /// Puts a record into the trace, wherever that goes.
    pub(super) fn trace(&self, record: &Record) {
        if self.tracer.is_on() && self.tracer.record(record) {
            self.cancel();
        }
    }

    fn note(&self, text: impl FnOnce() -> String) {
        if self.tracer.is_on() {
            self.trace(&Record::note(text()));
        }
    }

    pub(super) fn tell(&self, sink: Option<&Arc<Sink>>, event: &Event<'_>) {
        if sink.is_some_and(|sink| sink.tell(event)) {
            self.cancel();
        }
    }
}

/// Marks an operation as running, so that it can be cancelled; a panic ends it too.
struct Running<'a>(&'a Canceller, &'a Live);

impl<'a> Running<'a> {
    fn begin(canceller: &'a Canceller, live: &'a Live) -> Self {
        canceller.begin();
        live.begin_call();
        Self(canceller, live)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.end();
        self.1.end_call();
    }
}

impl Inner {
    pub(super) fn is_open(&self) -> bool {
        self.connection.as_ref().and_then(Connection::session).is_some_and(Session::is_open)
    }

    pub(super) fn expect_no_connection(&self) -> Result<()> {
        if self.is_open() {
            return Err(Error::caller(Code::ALREADY_CONNECTED, "the client is connected already"));
        }
        Ok(())
    }

    pub(super) fn expect_connection(&self) -> Result<()> {
        if self.is_open() {
            Ok(())
        } else if self.lost {
            Err(Error::caller(Code::NOT_CONNECTED, "the connection was lost earlier"))
        } else {
            Err(not_connected())
        }
    }
}

fn released() -> Box<Error> {
    Error::caller(Code::RELEASED, "the client was released")
}

fn cancelled_late() -> Box<Error> {
    Error::caller(Code::CANCELLED, "the operation was cancelled when it was about to end, and the connection with it")
}

fn not_connected() -> Box<Error> {
    Error::caller(Code::NOT_CONNECTED, "the client is not connected")
}
