//! The session: the one place where the state of an SMTP conversation changes.
//! This file has what the caller and the driver do, [`replies`] what each reply
//! changes, [`transaction`] the order in which an envelope goes out, and [`facts`]
//! what can be asked.
//!
//! Rules they keep:
//!
//! 1. Every octet to be sent is in `out`, every reply still owed is in `ledger`,
//!    in the same order. A reply that is not owed ends the session.
//! 2. Nothing is queued behind EHLO, STARTTLS, AUTH or DATA until their replies
//!    are in (RFC 2920 section 3.1, RFC 3207 section 4.2).
//! 3. What was learnt before TLS is forgotten when TLS is up, and octets that
//!    came in behind the STARTTLS reply end the session.
//! 4. A transaction is `Accepted` only by a 2xx reply that came in after the
//!    whole of its end had left. It is `Unknown` from the moment the end has
//!    left until a reply comes in.
//! 5. A session that has failed on the wire or against the protocol is `Closed`
//!    for good: what the other side believes can no longer be known.
//!
//! How to drive it: call one command ([`Session::open`], [`Session::authenticate`],
//! [`Session::send`], [`Session::reset`], [`Session::quit`]), then do what
//! [`Session::want`] says and report it with the `handle_` methods, until it says
//! [`Want::Done`]; then take the result with [`Session::take_result`].

mod facts;
mod replies;
mod transaction;

use crate::error::{Code, Error, Phase, Result};
use crate::proto::address::HostName;
use crate::proto::capabilities::Capabilities;
use crate::proto::command::{Command, CommandText};
use crate::proto::dot::DotStuffer;
use crate::proto::envelope::Envelope;
use crate::proto::ledger::{Ledger, Pending};
use crate::proto::limits::{MAX_AUTH_LINE, MAX_COMMAND_LINE, OUTPUT_CHUNK};
use crate::proto::moment::Moment;
use crate::proto::outbox::Outbox;
use crate::proto::outcome::Outcome;
use crate::proto::reply::ReplyParser;
use crate::proto::sasl::{Credentials, Exchange, Mechanism};
use crate::proto::secret::Secret;
use crate::proto::timeouts::Timeouts;
use crate::proto::trace::{Record, Trace, Wishes};
use base64::prelude::{BASE64_STANDARD, Engine as _};

/// How TLS is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// STARTTLS if the server offers it.
    #[default]
    Opportunistic = 0,
    /// Never.
    None = 1,
    /// STARTTLS, or nothing at all.
    Required = 2,
    /// TLS before the first octet of SMTP (RFC 8314).
    Implicit = 3,
}

/// What a session needs to know before it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name to greet with.
    pub local_name: HostName,
    /// Whether to begin with EHLO; otherwise HELO only.
    pub extended: bool,
    /// How to use TLS.
    pub security: Security,
    /// The limit of each phase.
    pub timeouts: Timeouts,
    /// The path needs no TLS to be private: a loopback address or a Unix socket.
    pub private_path: bool,
    /// The caller allows a password in the clear.
    pub insecure_auth: bool,
}

/// What the driver has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Send [`Session::output`]; take input as well if there is some.
    Write,
    /// Give content with [`Session::content`] or [`Session::finish_content`].
    Content,
    /// Wait for input.
    Read,
    /// Make the TLS handshake and report it with [`Session::handle_tls`].
    Tls,
    /// The command is over: take the result.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No command was given yet.
    New,
    /// From the greeting to the last EHLO.
    Opening,
    /// A TLS handshake is due: before the greeting, or after STARTTLS.
    Handshake,
    /// Between commands.
    Ready,
    /// A login is under way.
    Auth,
    /// From MAIL to the reply to DATA.
    Envelope,
    /// The server waits for content.
    Content,
    /// The end of the content is queued or sent.
    End,
    /// RSET or QUIT is under way.
    Simple,
    /// See rule 5.
    Closed,
}

/// The command of a transaction that is queued next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    Reset,
    Mail,
    Rcpt(u32),
    Data,
    #[default]
    Nothing,
}

/// The message under way, or the last one.
#[derive(Debug, Default)]
struct Transaction {
    envelope: Envelope,
    /// The present command is this message, not another one.
    running: bool,
    next: Next,
    accepted: usize,
    refusal: Option<Box<Error>>,
    stuffer: DotStuffer,
    end_sent: bool,
    outcome: Outcome,
    content_octets: u64,
}

/// One SMTP conversation over one connection.
#[derive(Debug)]
pub struct Session {
    config: Config,
    state: State,
    parser: ReplyParser,
    out: Outbox,
    ledger: Ledger,
    capabilities: Capabilities,
    extended: bool,
    /// `Some(verified)` once TLS is up.
    tls: Option<bool>,
    exchange: Option<Exchange>,
    authenticated: Option<Mechanism>,
    mail: Transaction,
    /// The verb of the last command of the caller's own.
    verb: String,
    /// The server still holds a transaction that came to nothing.
    stale_transaction: bool,
    /// When something last moved, from which deadlines count.
    since: Moment,
    /// The command is over; if it failed, `failure` is why.
    done: bool,
    failure: Option<Box<Error>>,
    trace: Trace,
}

// Commands
impl Session {
    /// A session over a connection that has just been made.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            state: State::New,
            parser: ReplyParser::default(),
            out: Outbox::default(),
            ledger: Ledger::default(),
            capabilities: Capabilities::default(),
            extended: false,
            tls: None,
            exchange: None,
            authenticated: None,
            mail: Transaction::default(),
            verb: String::new(),
            stale_transaction: false,
            since: Moment::default(),
            done: false,
            failure: None,
            trace: Trace::default(),
        }
    }

    /// Starts the conversation: greeting, EHLO, and TLS as configured.
    pub fn open(&mut self, now: Moment) {
        self.since = now;
        if self.config.security == Security::Implicit {
            self.state = State::Handshake;
        } else {
            self.state = State::Opening;
            self.ledger.enter(Pending::Greeting, self.out.queued());
        }
    }

    /// Logs in with the best mechanism that both sides have.
    ///
    /// # Errors
    ///
    /// Before anything is sent: `NOT_CONNECTED`, `INVALID_AUTHENTICATION_TYPE`,
    /// `INSECURE_CREDENTIALS`, `TOO_LONG`.
    pub fn authenticate(&mut self, credentials: Credentials, now: Moment) -> Result<()> {
        self.expect_ready()?;
        let mechanism = Mechanism::choose(&self.capabilities.mechanisms)?;
        self.expect_private_path()?;
        let mut exchange = Exchange::new(mechanism, credentials.clone());
        let mut line = format!("AUTH {}", mechanism.name()).into_bytes();
        let verb_end = line.len();
        let initial = encode(&exchange.initial())?;
        let length = verb_end + 1 + initial.expose().len();
        if length <= MAX_COMMAND_LINE {
            // Room for all, so that no copy of the secret is left by growing.
            line.reserve_exact(initial.expose().len() + 3);
            line.push(b' ');
            line.extend_from_slice(initial.expose());
        } else {
            // The response waits for the challenge.
            exchange = Exchange::new(mechanism, credentials);
        }
        line.extend_from_slice(b"\r\n");
        let line = Secret::new(line);
        self.since = now;
        self.mail.running = false;
        self.state = State::Auth;
        self.exchange = Some(exchange);
        self.queue_line(line.expose(), Some(verb_end + 1), Pending::Auth);
        Ok(())
    }

    /// Starts a transaction. The envelope is taken over; in its place is left
    /// the one of the transaction before, to be filled anew.
    ///
    /// # Errors
    ///
    /// Before anything is sent: `NOT_CONNECTED`, `NO_RECIPIENTS`, `MESSAGE_TOO_LARGE`.
    pub fn send(&mut self, envelope: &mut Envelope, now: Moment) -> Result<()> {
        std::mem::swap(&mut self.mail.envelope, envelope);
        let envelope = &self.mail.envelope;
        self.mail.outcome = Outcome::NotSent;
        self.mail.end_sent = false;
        self.expect_ready()?;
        if envelope.is_empty() {
            return Err(Error::caller(Code::NO_RECIPIENTS, "the list of recipients is empty"));
        }
        if let (Some(limit @ 1..), Some(size)) = (self.capabilities.size, envelope.size())
            && size > limit
        {
            let what = format!("the message has {size} octets and the server accepts at most {limit}");
            return Err(Error::caller(Code::MESSAGE_TOO_LARGE, what));
        }
        self.expect_offered()?;
        self.mail.running = true;
        self.mail.next = if self.stale_transaction { Next::Reset } else { Next::Mail };
        self.mail.accepted = 0;
        self.mail.refusal = None;
        self.mail.content_octets = 0;
        self.mail.stuffer = DotStuffer::default();
        self.state = State::Envelope;
        self.since = now;
        self.pump();
        Ok(())
    }

    /// Gives the next piece of the message; only when [`Want::Content`] was said.
    pub fn content(&mut self, piece: &[u8], now: Moment) {
        if self.state == State::Content {
            self.since = now;
            self.mail.content_octets += piece.len() as u64;
            let from = self.out.end();
            self.mail.stuffer.push(piece, self.out.buffer());
            self.trace.content(self.out.since(from), false);
        }
    }

    /// Ends the message; only when [`Want::Content`] was said.
    pub fn finish_content(&mut self, now: Moment) {
        if self.state == State::Content {
            self.since = now;
            let from = self.out.end();
            self.mail.stuffer.finish(self.out.buffer());
            self.trace.content(self.out.since(from), true);
            self.ledger.enter(Pending::End, self.out.queued());
            self.state = State::End;
        }
    }

    /// Sends RSET (RFC 5321 section 4.1.1.5).
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, before anything is sent.
    pub fn reset(&mut self, now: Moment) -> Result<()> {
        self.expect_ready()?;
        self.simple(&Command::Reset, Pending::Reset, now);
        Ok(())
    }

    /// Sends any other command; [`Self::last_reply`] is its reply.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, before anything is sent.
    pub fn command(&mut self, command: &CommandText, now: Moment) -> Result<()> {
        self.expect_ready()?;
        command.verb().clone_into(&mut self.verb);
        self.simple(&Command::Other(command), Pending::Other, now);
        Ok(())
    }

    /// Sends QUIT. Whatever happens then, the session is over.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, before anything is sent.
    pub fn quit(&mut self, now: Moment) -> Result<()> {
        self.expect_ready()?;
        self.simple(&Command::Quit, Pending::Quit, now);
        Ok(())
    }

    /// Takes the last message's envelope out, with what became of each recipient,
    /// and leaves another in its place.
    pub fn swap_envelope(&mut self, other: &mut Envelope) {
        std::mem::swap(&mut self.mail.envelope, other);
    }

    /// Which records to keep of what goes over the wire.
    pub fn set_trace(&mut self, wishes: Wishes) {
        self.trace.switch(wishes);
    }
}

// What the world did
impl Session {
    /// Takes octets from the server.
    pub fn handle_input(&mut self, mut input: &[u8], now: Moment) {
        while !input.is_empty() && self.state != State::Closed {
            match self.parser.feed(input) {
                Ok((used, complete)) => {
                    input = &input[used..];
                    if complete {
                        self.since = now;
                        self.handle_reply(!input.is_empty());
                    }
                }
                Err(error) => self.fail(error),
            }
        }
    }

    /// Takes note that the first `count` octets of [`Self::output`] were given
    /// to the stream; more may be queued by it.
    pub fn handle_written(&mut self, count: usize, now: Moment) {
        self.out.advance(count);
        self.since = now;
        self.pump();
    }

    /// Takes note that everything written has left this machine's program.
    pub fn handle_flushed(&mut self) {
        if self.state == State::End && self.out.waiting().is_empty() {
            self.mail.end_sent = true;
            self.mail.outcome = Outcome::Unknown;
        }
    }

    /// Takes note that TLS is up, with a verified certificate or without.
    pub fn handle_tls(&mut self, verified: bool, now: Moment) {
        let before_greeting = self.tls.is_none() && self.config.security == Security::Implicit;
        self.since = now;
        self.tls = Some(verified);
        self.capabilities = Capabilities::default();
        self.state = State::Opening;
        if before_greeting {
            self.ledger.enter(Pending::Greeting, self.out.queued());
        } else {
            self.greet();
        }
    }

    /// Takes note that the server closed the connection.
    pub fn handle_end_of_stream(&mut self) {
        if self.ledger.oldest() == Some(Pending::Quit) {
            return self.succeed(State::Closed);
        }
        let phase = self.phase();
        let partial = if self.parser.is_partial() { " in the middle of a reply" } else { "" };
        let what = format!("the server closed the connection{partial} while {}", phase.doing());
        self.fail(Error::new(Code::CONNECTION_CLOSED, phase, what));
    }

    /// Takes note that the wire failed, the caller cancelled, or the content
    /// could not be had.
    pub fn handle_failure(&mut self, error: Box<Error>) {
        self.fail(error);
    }

    /// Takes note that [`Self::deadline`] has passed.
    pub fn handle_timeout(&mut self) {
        let phase = self.phase();
        let limit = self.config.timeouts.of(phase);
        let what = format!("no progress within {limit} ms while {}", phase.doing());
        let error = Error::new(Code::TIMEOUT, phase, what);
        self.fail(match phase {
            Phase::Greeting if self.tls.is_none() => error.with_remedy(
                "The server may wait for TLS before it speaks (usual on port 465): try implicit TLS, or allow more time.",
            ),
            _ => error,
        });
    }
}

// What to do next, and what is known
impl Session {
    /// What the driver has to do next.
    #[must_use]
    pub fn want(&self) -> Want {
        let waiting = self.out.waiting().len();
        if self.done {
            Want::Done
        } else if self.state == State::Content && waiting < OUTPUT_CHUNK && self.out.is_whole() {
            Want::Content
        } else if waiting > 0 {
            Want::Write
        } else if self.state == State::Handshake {
            Want::Tls
        } else {
            Want::Read
        }
    }

    /// The octets to send.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.out.waiting()
    }

    /// When the present phase has taken too long.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        self.since.limit(self.config.timeouts.of(self.phase()))
    }

    /// What the session is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match (self.state, self.ledger.oldest()) {
            (State::Handshake, _) => Phase::Tls,
            (State::Content, _) => Phase::Content,
            // The end is not awaited before all of the content is on its way.
            (State::End, _) if !self.mail.end_sent => Phase::Content,
            (_, Some(pending)) => pending.phase(),
            (State::Envelope, None) => Phase::Mail,
            (_, None) => Phase::Idle,
        }
    }

    /// The result of the command, once [`Self::want`] says [`Want::Done`].
    #[must_use]
    pub fn take_result(&mut self) -> Option<Result<()>> {
        if !std::mem::take(&mut self.done) {
            return None;
        }
        self.out.shrink();
        Some(match self.failure.take() {
            Some(error) => Err(error),
            None => Ok(()),
        })
    }

    /// Whether there are records to take.
    #[must_use]
    pub fn has_trace(&self) -> bool {
        !self.trace.is_empty()
    }

    /// The records made since the last call.
    pub fn take_trace(&mut self) -> Vec<Record> {
        self.trace.take()
    }

    /// The limits of the phases, which may be changed between commands.
    pub fn timeouts_mut(&mut self) -> &mut Timeouts {
        &mut self.config.timeouts
    }

    /// Allows a password in the clear from the next login on.
    pub fn set_insecure_auth(&mut self, allowed: bool) {
        self.config.insecure_auth = allowed;
    }
}

// Helpers
impl Session {
    fn expect_ready(&self) -> Result<()> {
        if self.state == State::Ready {
            return Ok(());
        }
        Err(Error::caller(Code::NOT_CONNECTED, "the connection is closed"))
    }

    fn expect_private_path(&self) -> Result<()> {
        if self.tls == Some(true) || self.config.private_path || self.config.insecure_auth {
            return Ok(());
        }
        let what = match self.tls {
            None => "the password was not sent, since the connection is not encrypted",
            Some(_) => "the password was not sent, since the server's certificate was not verified",
        };
        Err(Error::new(Code::INSECURE_CREDENTIALS, Phase::Auth, what))
    }

    fn simple(&mut self, command: &Command<'_>, pending: Pending, now: Moment) {
        self.since = now;
        self.mail.running = false;
        self.state = State::Simple;
        self.queue(command, pending);
    }

    fn queue(&mut self, command: &Command<'_>, pending: Pending) {
        let from = self.out.end();
        command.write_to(self.out.buffer());
        self.trace.command(self.out.since(from), None);
        self.ledger.enter(pending, self.out.queued());
    }

    fn queue_line(&mut self, line: &[u8], secret_from: Option<usize>, pending: Pending) {
        self.out.buffer().extend_from_slice(line);
        self.trace.command(line, secret_from);
        self.ledger.enter(pending, self.out.queued());
    }

    /// An error about the reply that was just read.
    fn refusal(&self, code: Code, phase: Phase, what: String) -> Box<Error> {
        Error::new(code, phase, what).with_reply(self.parser.reply().to_record())
    }

    fn succeed(&mut self, state: State) {
        self.conclude(Ok(()), state);
    }

    fn conclude(&mut self, result: Result<()>, state: State) {
        self.state = state;
        self.done = true;
        self.failure = result.err();
    }

    /// Ends the session (rule 5).
    fn fail(&mut self, mut error: Box<Error>) {
        if error.phase == Phase::Idle {
            error.phase = self.phase();
        }
        self.ledger.clear();
        self.out.clear();
        self.exchange = None;
        // The first cause is the one to tell; and a message that was taken stays taken.
        if self.done && (self.failure.is_some() || self.mail.running) {
            self.state = State::Closed;
            return;
        }
        if matches!(self.state, State::End) && self.mail.outcome == Outcome::Unknown {
            error.what.push_str("; the end of the message had been sent, so it may have been delivered");
            error.remedy = Some("Find out whether it arrived before you send it again.".into());
        }
        self.conclude(Err(error), State::Closed);
    }
}

fn encode(octets: &Secret) -> Result<Secret> {
    // An empty response is written as "=" (RFC 4954 section 4).
    if octets.is_empty() {
        return Ok(Secret::new("="));
    }
    let encoded = Secret::new(BASE64_STANDARD.encode(octets.expose()));
    if encoded.expose().len() > MAX_AUTH_LINE {
        let what = format!("the user name and password are too long for one line of {MAX_AUTH_LINE} octets");
        return Err(Error::caller(Code::TOO_LONG, what));
    }
    Ok(encoded)
}
