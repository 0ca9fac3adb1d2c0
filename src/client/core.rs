//! The client: one connection at most, any number of threads.
//!
//! Three locks, never held across a callback except the first two, which only
//! the thread whose turn it is takes: `turn` (who may operate), `inner` (what
//! an operation works on), `shared` (what everybody may read, held for moments).

use super::call::{Call, Learn, Patience};
use super::event::{Event, EventKind, Sink};
use super::left_out::LeftOut;
use super::live::Live;
use super::login::{Login, TokenProvider};
use super::options::Options;
use super::pending::Pending;
use super::reactor::Link;
use super::settings::Settings;
use super::status::Status;
use super::tracer::{TraceSink, Tracer};
use super::turn::Turn;
use crate::drive::Connection;
use crate::error::{Code, Error, Phase, Result};
use crate::net::canceller::Canceller;
use crate::net::sys::process_epoch;
use crate::proto::{CommandText, Envelope, LineEndCheck, Moment, Outcome, Record, Secret, Session};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A client; see the module.
pub struct Client {
    turn: Turn,
    inner: Mutex<Inner>,
    pub(super) shared: Mutex<Shared>,
    pub(super) live: Live,
    pub(super) tracer: Tracer,
    pub(super) canceller: Arc<Canceller>,
    /// The event thread that goes on with what has to wait, if there is one.
    pub(super) link: Mutex<Option<Arc<Link>>>,
    released: AtomicBool,
    poisoned: AtomicBool,
    epoch: u64,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) connection: Option<Connection>,
    /// The connection broke, and the caller has not disconnected since.
    pub(super) lost: bool,
    /// The end of the connection is to be told, behind whatever else is.
    pub(super) end_untold: bool,
    pub(super) envelope: Envelope,
    /// What servers have been found not to understand.
    pub(super) left_out: LeftOut,
    pub(super) sink: Option<Arc<Sink>>,
    pub(super) token_provider: Option<Arc<TokenProvider>>,
    /// The operation that is under way, in non-blocking mode.
    pub(super) pending: Pending,
    /// How far the content that is given in pieces keeps to CRLF.
    pub(super) line_ends: LineEndCheck,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) status: Status,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("shared", &self.shared).finish_non_exhaustive()
    }
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
            link: Mutex::default(),
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
    pub fn connect(&self, host: Option<&str>, port: u16, timeout: u32, options: Options) -> Result<Progress> {
        self.operate(|inner| self.begin_connect(inner, host, port, timeout, options).map(Call::new))
    }

    /// Logs in. What is not given comes from the properties.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, `NO_CREDENTIALS`, or whatever the attempt met.
    pub fn authenticate(&self, user: Option<&str>, password: Option<Secret>) -> Result<Progress> {
        self.operate(|inner| {
            let mut login = Login::new(user, password);
            let stage = self.begin_login(inner, &mut login, None)?;
            Ok(Call { login: Some(Box::new(login)), ..Call::new(stage) })
        })
    }

    /// Sends any other command, and gives the text of its reply.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, `UNSUITABLE_COMMAND`, `COMMAND_REJECTED`, or whatever the attempt met.
    pub fn command(&self, verb: &str, parameters: &str) -> Result<Progress<String>> {
        let begin = |inner: &mut Inner| {
            let text = CommandText::parse(verb, parameters)?;
            let verb = Some(text.verb().to_owned());
            match self.begin_simple(inner, |session, now| session.command(&text, now), Status::take_session) {
                Ok(call) => Ok(Call { verb, ..call }),
                Err(mut error) => {
                    error.verb = verb;
                    Err(error)
                }
            }
        };
        self.operate_with(begin, || self.shared.lock().status.reply_text())
    }

    /// Asks about an address, with VRFY or EXPN, and gives the text of the reply.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, `INVALID_ADDRESS`, `SMTPUTF8_REQUIRED`, `COMMAND_REJECTED`,
    /// or whatever the attempt met.
    pub fn ask(&self, verb: &str, address: &str) -> Result<Progress<String>> {
        let begin = |inner: &mut Inner| {
            self.begin_simple(inner, |session, now| session.ask(verb, address, now), Status::take_session)
        };
        self.operate_with(begin, || self.shared.lock().status.reply_text())
    }

    /// Has the server send the mail that it holds for a node, with ETRN (RFC 1985).
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, `INVALID_PARAMETER`, `COMMAND_REJECTED`, or whatever the attempt met.
    pub fn extended_turn(&self, node: &str) -> Result<Progress> {
        self.operate(|inner| {
            let text = CommandText::extended_turn(node)?;
            self.begin_simple(inner, |session, now| session.command(&text, now), Status::take_session)
        })
    }

    /// Sends RSET, which makes the server forget a transaction.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, or whatever the attempt met.
    pub fn reset(&self) -> Result<Progress> {
        self.operate(|inner| self.begin_simple(inner, |session, now| session.reset(now), Status::take_reset))
    }

    /// Says QUIT and closes the connection. Once there is a connection this
    /// cannot fail: what the server answers changes nothing any more.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`.
    pub fn disconnect(&self) -> Result<Progress> {
        self.operate(|inner| self.begin_quit(inner).map(Call::new))
    }

    fn begin_simple(
        &self,
        inner: &mut Inner,
        begin: impl FnOnce(&mut Session, Moment) -> Result<()>,
        learn: Learn,
    ) -> Result<Call<'static>> {
        self.begin_command(inner, None, false, |session, now, _| begin(session, now), learn).map(Call::new)
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
        self.unlink();
    }

    pub(super) fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
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

    /// Runs an operation that can be cancelled when it is this call's turn: to its
    /// end, or in non-blocking mode as far as it goes without waiting.
    pub(super) fn operate<'a>(&self, begin: impl FnOnce(&mut Inner) -> Result<Call<'a>>) -> Result<Progress> {
        self.operate_with(begin, || ())
    }

    /// The same, with something to be read at the end.
    pub(super) fn operate_with<'a, T>(
        &self,
        begin: impl FnOnce(&mut Inner) -> Result<Call<'a>>,
        read: impl FnOnce() -> T,
    ) -> Result<Progress<T>> {
        self.when_free(|inner| {
            inner.pending.expect_none()?;
            let running = Running::begin(&self.canceller, &self.live);
            // A release between the check before and here found nothing to cancel.
            if self.released.load(Ordering::Acquire) {
                return Err(released());
            }
            let mut call = begin(inner)?;
            let waits = !self.shared.lock().settings.nonblocking;
            let patience = if waits { Patience::Endless } else { Patience::None };
            if let Some(result) = self.advance(inner, &mut call, patience) {
                return result.map(|()| Progress::Done(read()));
            }
            if !self.hand_over() {
                // Nobody would go on with it.
                self.canceller.cancel();
                let result = self.advance(inner, &mut call, Patience::None).unwrap_or_else(|| Err(released()));
                return result.map(|()| Progress::Done(read()));
            }
            inner.pending.keep(call);
            running.go_on();
            Ok(Progress::Pending)
        })
    }

    /// Runs an operation that sends a message: if it fails, the record tells what
    /// became of the message.
    pub(super) fn operate_message<'a>(&self, begin: impl FnOnce(&mut Inner) -> Result<Call<'a>>) -> Result<Progress> {
        let mut begun = false;
        let result = self.operate(|inner| {
            inner.expect_no_message()?;
            // From here on the outcome is that of this message, whatever happens.
            self.shared.lock().status.begin_message();
            self.live.begin_message();
            begun = true;
            let call = begin(inner).map_err(|error| self.with_outcome(true, error))?;
            Ok(call.of_message())
        });
        // It did not come to its turn.
        if begun { result } else { result.map_err(|error| error.with_outcome(Outcome::NotSent)) }
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

    pub(super) fn note(&self, text: impl FnOnce() -> String) {
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

/// How an operation ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<T = ()> {
    /// It is over.
    Done(T),
    /// It has to wait: [`Client::process`] goes on with it.
    Pending,
}

/// Marks an operation as running, so that it can be cancelled; a panic ends it too.
pub(super) struct Running<'a>(&'a Canceller, &'a Live);

impl<'a> Running<'a> {
    fn begin(canceller: &'a Canceller, live: &'a Live) -> Self {
        canceller.begin();
        live.begin_call();
        Self(canceller, live)
    }

    /// Of an operation that was begun earlier.
    pub(super) fn resume(client: &'a Client) -> Self {
        Self(&client.canceller, &client.live)
    }

    /// The operation goes on after the call.
    pub(super) fn go_on(self) {
        std::mem::forget(self);
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

pub(super) fn released() -> Box<Error> {
    Error::caller(Code::RELEASED, "the client was released")
}

pub(super) fn cancelled_late() -> Box<Error> {
    Error::caller(Code::CANCELLED, "the operation was cancelled when it was about to end, and the connection with it")
}

pub(super) fn not_connected() -> Box<Error> {
    Error::caller(Code::NOT_CONNECTED, "the client is not connected")
}
