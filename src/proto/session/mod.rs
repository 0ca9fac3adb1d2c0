//! The session: the one place where the state of an SMTP conversation changes.
//! This file has the caller's commands and what is to be done next, [`handle`]
//! what the world did, [`replies`] what each reply changes, [`transaction`] the
//! order in which an envelope goes out, [`content`] how the message follows,
//! [`stepwise`] the same by the caller's own commands, [`login`] logging in,
//! [`renewal`] how one session takes over from another, [`batch`] and [`flight`] many
//! messages behind each other, and [`facts`] what can be asked.
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
//!    left until a reply comes in. Of several under way, replies belong to the oldest.
//! 5. A session that has failed on the wire or against the protocol is `Closed`
//!    for good: what the other side believes can no longer be known.
//!
//! How to drive it: call one command ([`Session::open`], [`Session::authenticate`],
//! [`Session::send`], [`Session::send_batch`], [`Session::reset`], [`Session::quit`] and their like), then do what
//! [`Session::want`] says and report it with the `handle_` methods, until it says
//! [`Want::Done`]; then take the result with [`Session::take_result`].

mod batch;
mod content;
mod demands;
mod doubt;
mod facts;
mod flight;
mod handle;
mod login;
mod renewal;
mod replies;
mod stepwise;
mod transaction;

use crate::error::{Code, Error, Phase, Result};
use crate::proto::address::HostName;
use crate::proto::capabilities::{Capabilities, Withheld};
use crate::proto::command::{Command, CommandText};
use crate::proto::envelope::Envelope;
use crate::proto::ledger::{Ledger, Pending};
use crate::proto::limits::OUTPUT_KEPT;
use crate::proto::moment::Moment;
use crate::proto::outbox::Outbox;
use crate::proto::outcome::Outcome;
use crate::proto::reply::ReplyParser;
use crate::proto::sasl::{Credentials, Exchange, Mechanism, Objection};
use crate::proto::secret::Secret;
use crate::proto::timeouts::Timeouts;
use crate::proto::trace::{Record, Trace, Wishes};
use batch::Batch;
pub use batch::{BatchMode, Settled, Window};
use transaction::Transaction;

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
    /// Speak LMTP instead of SMTP (RFC 2033).
    pub lmtp: bool,
    /// The caller does not insist on a good certificate, so that none counts as verified.
    pub skips_verify: bool,
    /// What is to be treated as not offered, whatever the server says.
    pub withheld: Vec<Withheld>,
}

/// What the driver has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Send [`Session::output`]; take input as well if there is some.
    Write,
    /// Give content with [`Session::content`] or [`Session::finish_content`].
    Content,
    /// Have the source begin anew, in a batch with [`Session::message_number`], and report
    /// it with [`Session::handle_rewound`].
    Rewind,
    /// Fill [`Session::next_envelope`] and call [`Session::add_message`], or
    /// [`Session::end_messages`] if there are no more.
    Next,
    /// Give content with [`Session::gather`] or [`Session::finish_gathered`].
    Gather,
    /// Go on over a new connection, with the session that [`Session::renewed`] gives.
    Renew,
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
    /// Between the commands of a message that the caller gives one by one.
    Building,
    /// The server waits for content.
    Content,
    /// What the present call gave of the content is to be sent.
    Pausing,
    /// Between two calls that give content.
    Paused,
    /// The end of the content is queued or sent.
    End,
    /// Whole messages are queued or sent.
    Flight,
    /// RSET or QUIT is under way.
    Simple,
    /// QUIT is under way, with another session to follow.
    Leaving,
    /// That session is due.
    Left,
    /// See rule 5.
    Closed,
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
    /// What binds a login to that TLS connection.
    binding: Option<Secret>,
    exchange: Option<Exchange>,
    /// Why the exchange was given up, if it was.
    objection: Objection,
    authenticated: Option<Mechanism>,
    /// See [`Session::wants_token`].
    wants_token: bool,
    /// In a box, as those of a batch change places.
    mail: Box<Transaction>,
    batch: Batch,
    /// How many transactions were begun.
    transactions: u32,
    /// What logged in, where another session may have to.
    credentials: Option<Box<Credentials>>,
    /// The session goes on with what another has begun.
    resumes: bool,
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
            binding: None,
            exchange: None,
            objection: Objection::default(),
            authenticated: None,
            wants_token: false,
            mail: Box::default(),
            batch: Batch::default(),
            transactions: 0,
            credentials: None,
            resumes: false,
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

    /// Sends a message. The envelope is taken over; in its place is left the one of
    /// the message before, to be filled anew.
    ///
    /// # Errors
    ///
    /// Before anything is sent: `NOT_CONNECTED`, `NO_RECIPIENTS`, `MESSAGE_TOO_LARGE`,
    /// or what the message needs and the server lacks.
    pub fn send(&mut self, envelope: &mut Envelope, now: Moment) -> Result<()> {
        self.take_envelope(envelope)?;
        self.check_recipients(&self.mail.envelope)?;
        self.mail.stepwise = false;
        self.mail.keeps_open = false;
        self.since = now;
        self.begin_transaction();
        Ok(())
    }

    /// Sends RSET (RFC 5321 section 4.1.1.5).
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, before anything is sent.
    pub fn reset(&mut self, now: Moment) -> Result<()> {
        if self.state == State::Paused && !self.mail.chunked {
            let what = "a message that was begun cannot be taken back on this connection";
            let remedy = "Complete it with SmtpCloseMessage, or drop it with SmtpDisconnect.";
            return Err(Error::caller(Code::MESSAGE_OPEN, what).with_remedy(remedy));
        }
        if self.state != State::Paused {
            self.expect_between()?;
        }
        self.mail.open = false;
        self.simple(&Command::Reset, Pending::Reset, now);
        Ok(())
    }

    /// Sends any other command; [`Self::last_reply`] is its reply.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, before anything is sent.
    pub fn command(&mut self, command: &CommandText, now: Moment) -> Result<()> {
        self.expect_between()?;
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
        self.expect_between()?;
        self.mail.open = false;
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

// What to do next, and what is known
impl Session {
    /// What the driver has to do next.
    #[inline]
    #[must_use]
    pub fn want(&self) -> Want {
        if self.done {
            return Want::Done;
        }
        if self.batch.on
            && let Some(want) = self.batch_want()
        {
            return want;
        }
        match self.state {
            State::Left => Want::Renew,
            State::Content if self.mail.rewind => Want::Rewind,
            State::Content if self.takes_content() => Want::Content,
            _ if !self.out.is_empty() => Want::Write,
            State::Handshake => Want::Tls,
            _ => Want::Read,
        }
    }

    /// Whether the command is over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The octets to send.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.out.waiting()
    }

    /// When the present phase has taken too long.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        self.deadline_of(self.phase())
    }

    /// The same where [`Self::phase`] is known.
    #[must_use]
    pub fn deadline_of(&self, phase: Phase) -> Option<Moment> {
        self.since.limit(self.config.timeouts.of(phase))
    }

    /// What the session is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match (self.state, self.ledger.oldest()) {
            (State::Handshake, _) => Phase::Tls,
            (State::Content | State::Pausing, _) => Phase::Content,
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
        if self.mail.chunk.is_empty() {
            self.mail.chunk.shrink_to(OUTPUT_KEPT);
        }
        self.batch.gathered.shrink_to(OUTPUT_KEPT);
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
        match self.state {
            State::Ready => Ok(()),
            State::Building | State::Paused => {
                Err(Error::caller(Code::MESSAGE_OPEN, "a message was begun with SmtpCreateMessage and is not complete"))
            }
            _ => Err(Error::caller(Code::NOT_CONNECTED, "the connection is closed")),
        }
    }

    /// A command may also stand between the commands of a message.
    fn expect_between(&self) -> Result<()> {
        if self.state == State::Building { Ok(()) } else { self.expect_ready() }
    }

    /// Where the session rests when no command is under way.
    fn rest(&self) -> State {
        if self.mail.open { State::Building } else { State::Ready }
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

    fn conclude(&mut self, mut result: Result<()>, state: State) {
        if let Err(error) = &mut result
            && self.mail.running
            && self.mail.delivered
        {
            add_that_others_have_it(error);
        }
        if self.batch.on && state == State::Ready {
            return self.settle_message(result);
        }
        self.state = state;
        self.done = true;
        self.failure = result.err();
    }
}

/// Adds to the failure of a transaction that an earlier one of the message was accepted.
fn add_that_others_have_it(error: &mut Error) {
    error.what.push_str("; for other recipients the message was accepted before");
    error.remedy = Some("Look at each recipient's state, and send again only to those it was not taken for.".into());
}
