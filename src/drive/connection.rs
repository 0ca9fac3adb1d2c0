//! One connection from the look-up of its name to its end, and the step
//! function that all drivers share.

mod batching;
mod facts;
mod opening;
mod passing;
mod waiting;

pub use waiting::Held;

use self::opening::Tunnelling;
use super::local_name::default_local_name;
use super::observer::{Activity, Observer};
use super::plan::Plan;
use super::source::Source;
use super::timer::Timer;
use crate::error::{Code, Error, Phase, Result};
use crate::net::canceller::{Canceller, Target};
use crate::net::gathering::Gathering;
use crate::net::peer::Peer;
use crate::net::race::Race;
use crate::net::random::nonce;
use crate::net::resolve::Lookup;
use crate::net::stream::Stream;
use crate::net::sys::{self, Watch};
use crate::net::tls::TlsInfo;
use crate::net::trust::{Policy, Trust};
use crate::net::waker::Waker;
use crate::net::wire_error;
use crate::proto::{Config, Moment, OUTPUT_CHUNK, Record, Secret, Security, Session, Want};
use std::sync::Arc;

/// How far the connection is.
#[derive(Debug)]
enum Stage {
    Resolving(Lookup),
    Racing(Race),
    /// A proxy is asked for the connection.
    Tunnelling(Box<Tunnelling>),
    /// A Unix socket is connected at once, and what the caller hands over is already.
    Joined(Peer, Stream),
    Talking(Box<Talk>),
    /// It could not be made.
    Failed,
}

/// An established connection and the conversation over it.
#[derive(Debug)]
struct Talk {
    stream: Stream,
    session: Session,
    peer: Peer,
    tls_info: Option<TlsInfo>,
    /// Octets written since something was last looked for to read.
    unread: usize,
    /// Octets received, without what TLS adds.
    received: u64,
}

/// A connection; see the module.
#[derive(Debug)]
pub struct Connection {
    plan: Plan,
    stage: Stage,
    stage_since: Moment,
    waker: Option<Arc<Waker>>,
    /// What stands for several things that are waited for, once an event loop asked.
    gathering: Option<Arc<Gathering>>,
    canceller: Arc<Canceller>,
    timer: Timer,
    /// The session that another one is to take over from.
    left: Option<Box<Session>>,
    was_renewed: bool,
}

impl Connection {
    /// Starts making a connection.
    ///
    /// # Errors
    ///
    /// If the system is out of descriptors or threads.
    pub fn open(plan: Plan, canceller: Arc<Canceller>) -> Result<Self> {
        let mut new = Self::unopened(plan, canceller);
        new.start()?;
        Ok(new)
    }

    fn unopened(plan: Plan, canceller: Arc<Canceller>) -> Self {
        let timer = Timer::start();
        Self {
            plan,
            stage: Stage::Failed,
            stage_since: timer.now,
            waker: None,
            gathering: None,
            canceller,
            timer,
            left: None,
            was_renewed: false,
        }
    }

    /// Does everything that can be done without waiting. `None` means that it
    /// has to wait, for [`Self::watches`] or [`Self::deadline`]; else it is the
    /// result of the operation.
    pub fn step(&mut self, source: &mut dyn Source, observer: &mut dyn Observer) -> Option<Result<()>> {
        loop {
            if let Stage::Talking(talk) = &mut self.stage {
                let result = talk.step(&self.plan, source, observer, &mut self.timer, &self.canceller);
                if result.is_some() || talk.session.want() != Want::Renew {
                    return result;
                }
            }
            if let Err(error) = self.step_to_talk(observer)? {
                return Some(Err(self.fail(error)));
            }
        }
    }

    /// The same for whatever leads to a conversation. Apart, as it takes much of the stack.
    #[inline(never)]
    fn step_to_talk(&mut self, observer: &mut dyn Observer) -> Option<Result<()>> {
        loop {
            let cancelled = self.is_cancelled();
            let advanced = match &mut self.stage {
                Stage::Resolving(_) | Stage::Racing(_) | Stage::Tunnelling(_) | Stage::Joined(..) if cancelled => {
                    Err(cancel_error(self.phase()))
                }
                Stage::Resolving(lookup) => match lookup.take()? {
                    Ok(addresses) => self.race(addresses),
                    Err(error) => Err(error),
                },
                Stage::Racing(race) => match race.step(self.timer.now) {
                    Ok(None) => {
                        self.wait_on_only_socket();
                        return None;
                    }
                    Ok(Some((peer, socket))) => self.reached(peer, socket, observer),
                    Err(error) => Err(error),
                },
                Stage::Tunnelling(tunnelling) => match tunnelling.step() {
                    Ok(false) => return None,
                    Ok(true) => self.through(observer),
                    Err(error) => Err(error),
                },
                Stage::Joined(..) => match std::mem::replace(&mut self.stage, Stage::Failed) {
                    Stage::Joined(peer, stream) => self.talk(peer, stream, observer),
                    _ => Ok(()),
                },
                Stage::Talking(talk) if talk.session.want() == Want::Renew => self.renew(),
                Stage::Talking(_) => return Some(Ok(())),
                Stage::Failed => Err(Error::caller(Code::NOT_CONNECTED, "the connection was not made")),
            };
            if advanced.is_err() {
                return Some(advanced);
            }
        }
    }

    /// When there is something to do even if nothing happens: time is up then,
    /// or the next address is to be tried.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        self.deadline_of(self.phase())
    }

    /// The same where the phase is known.
    pub(super) fn deadline_of(&self, phase: Phase) -> Option<Moment> {
        let own = match &self.stage {
            Stage::Racing(race) => Moment::earlier(race.deadline(), self.stage_deadline(phase)),
            _ => self.stage_deadline(phase),
        };
        Moment::earlier(own, self.timer.end())
    }

    /// Bounds the operation that begins now as a whole, whatever the limits of
    /// its phases; 0 is no limit.
    pub fn set_limit(&mut self, millis: u32) {
        self.timer.set_limit(millis);
    }

    /// Waits, but not beyond a deadline; then [`Self::step`] is due.
    ///
    /// # Errors
    ///
    /// When the connection is broken; [`Self::fail`] is due then. After a cancel
    /// it is no error: the step finds out.
    pub fn wait(&mut self, deadline: Option<Moment>) -> Result<()> {
        let left = self.timer.left(deadline);
        let waited = match &mut self.stage {
            Stage::Talking(talk) => talk.wait(left),
            _ => sys::wait(&self.watches(), left).map_err(|error| wire_error(&error, self.phase())),
        };
        self.timer.read();
        if self.is_cancelled() { Ok(()) } else { waited }
    }

    /// Takes in what is there, without waiting; then [`Self::step`] is due.
    ///
    /// # Errors
    ///
    /// As [`Self::wait`].
    pub fn look(&mut self) -> Result<()> {
        let received = match &mut self.stage {
            Stage::Talking(talk) => talk.stream.receive().map(|_| ()),
            _ => Ok(()),
        };
        self.timer.read();
        if self.is_cancelled() { Ok(()) } else { received }
    }

    /// Ends the operation with an error, if the present phase, or the call, has had its time.
    pub fn check_time(&mut self) -> Option<Box<Error>> {
        if self.stage_deadline(self.phase()).is_none_or(|deadline| self.timer.now < deadline) {
            let error = self.timer.over_limit(self.phase())?;
            return Some(self.fail(error));
        }
        if let Stage::Talking(talk) = &mut self.stage {
            talk.session.handle_timeout();
            return talk.take_error();
        }
        let phase = self.phase();
        let limit = self.plan.timeouts.of(phase);
        let (what, attempts) = match &self.stage {
            Stage::Racing(race) => {
                (format!("no connection within {limit} ms; tried {}", race.tried()), race.attempts())
            }
            _ => (format!("no answer within {limit} ms while {}", phase.doing()), Vec::new()),
        };
        let mut error = Error::new(Code::TIMEOUT, phase, what).with_address(self.plan.host.clone());
        error.attempts = attempts;
        Some(self.fail(error))
    }

    /// Ends the operation, and with it the connection, with an error; gives it
    /// back with what is known of the circumstances.
    pub fn fail(&mut self, mut error: Box<Error>) -> Box<Error> {
        if let Stage::Talking(talk) = &mut self.stage {
            talk.session.handle_failure(error.clone());
            return talk.take_error().unwrap_or(error);
        }
        if error.phase == Phase::Idle {
            error.phase = self.phase();
        }
        error = self.name_proxy(error);
        self.stage = Stage::Failed;
        if let Some(left) = &mut self.left {
            left.handle_failure(error.clone());
            return left.take_result().and_then(Result::err).unwrap_or(error);
        }
        error
    }

    /// What the connection is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match &self.stage {
            Stage::Resolving(_) => Phase::Resolve,
            Stage::Racing(_) | Stage::Joined(..) => Phase::Connect,
            Stage::Tunnelling(_) => Phase::Proxy,
            Stage::Talking(talk) => talk.session.phase(),
            Stage::Failed => Phase::Idle,
        }
    }

    /// Says what is being done, and gives the phase; the time until the clock is read next is spent on it.
    pub(super) fn tell(&mut self, observer: &mut dyn Observer) -> Phase {
        let activity = match &self.stage {
            Stage::Talking(talk) if !talk.session.output().is_empty() => Activity::Write,
            Stage::Talking(_) => Activity::Read,
            _ => Activity::Connect,
        };
        self.timer.phase = self.phase();
        observer.doing(self.timer.phase, activity);
        self.timer.phase
    }

    /// Reads the clock: to be called before an operation is begun.
    pub fn read_clock(&mut self) -> Moment {
        self.timer.begin();
        self.timer.now
    }

    fn is_cancelled(&self) -> bool {
        self.canceller.is_cancelled()
    }

    /// The conversation, to give it a command.
    pub fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.stage {
            Stage::Talking(talk) => Some(&mut talk.session),
            _ => self.left.as_deref_mut(),
        }
    }

    fn stage_deadline(&self, phase: Phase) -> Option<Moment> {
        match &self.stage {
            Stage::Talking(talk) => talk.session.deadline_of(phase),
            _ => self.stage_since.limit(self.plan.timeouts.of(phase)),
        }
    }

    /// Whether another session took over since this was last asked.
    pub fn take_renewed(&mut self) -> bool {
        std::mem::take(&mut self.was_renewed)
    }

    /// Looks whether the server has ended a connection that was idle for a while, or
    /// said that it will.
    ///
    /// # Errors
    ///
    /// What it said, or that it hung up; the connection is over then.
    pub fn check_idle(&mut self) -> Result<()> {
        /// Between messages that follow on each other this would be a call for nothing.
        const IDLE: u64 = 20;
        let Stage::Talking(talk) = &mut self.stage else { return Ok(()) };
        if self.timer.now - talk.session.since() < IDLE {
            return Ok(());
        }
        self.listen()
    }

    /// The same, however long it was idle.
    ///
    /// # Errors
    ///
    /// As [`Self::check_idle`].
    pub fn listen(&mut self) -> Result<()> {
        let Stage::Talking(talk) = &mut self.stage else { return Ok(()) };
        if let Err(error) = talk.stream.receive() {
            talk.session.handle_failure(error);
        }
        talk.received += talk.stream.input().len() as u64;
        talk.session.handle_input(talk.stream.input(), self.timer.now);
        talk.stream.take_input();
        if talk.stream.has_ended() && talk.session.is_open() {
            talk.session.handle_end_of_stream();
        }
        talk.session.take_result().unwrap_or(Ok(()))
    }

    /// Makes a new connection, for the session to go on over it.
    fn renew(&mut self) -> Result<()> {
        if let Stage::Talking(talk) = std::mem::replace(&mut self.stage, Stage::Failed) {
            self.left = Some(Box::new(talk.session));
        }
        self.was_renewed = true;
        self.start()
    }

    #[inline(never)]
    fn talk(&mut self, peer: Peer, stream: Stream, observer: &mut dyn Observer) -> Result<()> {
        stream.establish().map_err(|error| wire_error(&error, Phase::Connect))?;
        self.canceller.set_target(Some(Target::Socket(stream.shared_socket())));
        self.waker = None;
        self.gathering = None;
        let local_name = match &self.plan.local_name {
            Some(name) => name.clone(),
            None => default_local_name(&stream),
        };
        let config = Config {
            local_name,
            extended: self.plan.extended,
            security: self.plan.security,
            timeouts: self.plan.timeouts.clone(),
            private_path: self.is_private(&peer),
            insecure_auth: self.plan.insecure_auth,
            lmtp: self.plan.lmtp,
            skips_verify: self.plan.insecure_skip_verify,
            withheld: self.plan.withheld.clone(),
        };
        let mut session = match self.left.take() {
            Some(mut left) => left.renewed(config, nonce()?),
            None => Session::new(config),
        };
        session.set_trace(observer.wishes());
        note(observer, || format!("connected to {peer} ({})", self.plan.host));
        session.open(self.timer.now);
        self.stage = Stage::Talking(Box::new(Talk { stream, session, peer, tls_info: None, unread: 0, received: 0 }));
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.canceller.set_target(None);
    }
}

impl Talk {
    #[inline(never)]
    fn step(
        &mut self,
        plan: &Plan,
        source: &mut dyn Source,
        observer: &mut dyn Observer,
        timer: &mut Timer,
        canceller: &Canceller,
    ) -> Option<Result<()>> {
        loop {
            // What comes along with the end of a handshake waits until it is reported.
            if !self.stream.input().is_empty() && !self.is_handshake_due() {
                self.received += self.stream.input().len() as u64;
                self.session.handle_input(self.stream.input(), timer.now);
                self.stream.take_input();
            }
            if self.session.has_trace() {
                self.session.take_trace().iter().for_each(|record| observer.record(record));
            }
            if !self.session.settled().is_empty() {
                self.tell_settled(source, observer);
            }
            if canceller.is_cancelled() && !self.session.is_done() {
                self.session.handle_failure(cancel_error(self.session.phase()));
            }
            let moved = match self.session.want() {
                Want::Done => {
                    self.stream.shrink();
                    return self.session.take_result();
                }
                Want::Content => self.take_content(source, observer, timer),
                Want::Write => self.write(timer),
                Want::Tls => self.handshake(plan, observer, timer.now),
                Want::Rewind => self.select(source, observer),
                Want::Next => Ok(self.take_message(source, timer)),
                Want::Gather => Ok(self.gather(source, timer)),
                // For the connection to do.
                Want::Renew => return None,
                Want::Read => self.finish_writing(),
            };
            match moved {
                Ok(true) => {}
                // Shutting the socket down, as a cancel does, looks like a broken connection.
                _ if canceller.is_cancelled() => {}
                Ok(false) if self.stream.has_ended() => self.session.handle_end_of_stream(),
                Ok(false) => return None,
                Err(error) => self.session.handle_failure(error),
            }
        }
    }

    fn is_handshake_due(&self) -> bool {
        self.session.is_in_handshake() && self.session.want() == Want::Tls
    }

    /// Content is waited for only when the stream takes no more of it.
    fn watch(&self) -> Watch {
        let want = self.session.want();
        self.stream.watch(matches!(want, Want::Write | Want::Content))
    }

    fn wait(&mut self, millis: Option<u32>) -> Result<()> {
        let watch = self.watch();
        if !watch.write {
            // The socket itself waits: one call instead of two.
            return self.stream.receive_patiently(millis).map(|_| ());
        }
        sys::wait(&[watch], millis).map_err(|error| wire_error(&error, Phase::Idle))?;
        self.stream.receive().map(|_| ())
    }

    #[inline(never)]
    fn take_content(
        &mut self,
        source: &mut dyn Source,
        observer: &mut dyn Observer,
        timer: &mut Timer,
    ) -> Result<bool> {
        if self.session.content_octets() == 0 {
            observer.progress(0, false, timer.now);
        }
        timer.phase = Phase::Content;
        if self.session.passable() > OUTPUT_CHUNK as u64
            && let Some(moved) = self.pass(source, observer, timer)?
        {
            return Ok(moved);
        }
        let slow = source.may_wait();
        let piece = source.next()?;
        if slow {
            // The source's own time is not the server's, but it is the call's: a
            // message must not be completed when the caller has been told it was not.
            timer.read();
            if let Some(error) = timer.over_limit(Phase::Content) {
                return Err(error);
            }
        }
        let mut last = piece.is_empty();
        if !last {
            self.session.content(piece, timer.now);
            last = source.is_at_end();
        }
        if last {
            self.session.finish_content(timer.now);
        }
        observer.progress(self.session.content_octets(), last, timer.now);
        Ok(true)
    }

    /// True if something went out, or came in.
    fn write(&mut self, timer: &mut Timer) -> Result<bool> {
        match self.stream.write(self.session.output()) {
            Ok(0) => Ok(false),
            Ok(count) => {
                // A long message may go out without a single wait.
                if count >= OUTPUT_CHUNK / 2 {
                    timer.phase = self.session.phase();
                    timer.read();
                }
                self.session.handle_written(count, timer.now);
                // Before anything is received: whether a reply may be the answer to
                // the end of the message depends on whether that had left.
                self.finish_writing()?;
                self.look_for_a_refusal(count)?;
                Ok(true)
            }
            Err(error) => self.hear(error, timer),
        }
    }

    /// The stream is broken, but the server may have said why before it hung up.
    fn hear<T>(&mut self, error: Box<Error>, timer: &Timer) -> Result<T> {
        if self.stream.receive().is_ok() && !self.stream.input().is_empty() {
            self.received += self.stream.input().len() as u64;
            self.session.handle_input(self.stream.input(), timer.now);
            self.stream.take_input();
        }
        Err(error)
    }

    /// While writes never wait nothing would be read; but a server that has
    /// refused a message may go on taking it.
    fn look_for_a_refusal(&mut self, written: usize) -> Result<()> {
        /// Often enough to save most of a large message, too seldom to cost
        /// anything. Debug builds look all the time, so that tests meet it.
        const EVERY: usize = if cfg!(debug_assertions) { 1 } else { 1024 * 1024 };
        self.unread += written;
        if self.unread >= EVERY {
            self.unread = 0;
            self.stream.receive()?;
        }
        Ok(())
    }

    /// Nothing more to write: sees the last of it off. True if that was all; mostly
    /// the rest is up to the server.
    fn finish_writing(&mut self) -> Result<bool> {
        if self.session.output().is_empty() && self.stream.flush()? {
            self.session.handle_flushed();
        }
        Ok(self.session.is_done())
    }

    /// True once TLS is up.
    #[inline(never)]
    fn handshake(&mut self, plan: &Plan, observer: &mut dyn Observer, now: Moment) -> Result<bool> {
        if !self.stream.is_tls() {
            let policy = match plan.security {
                _ if plan.insecure_skip_verify => Policy::Ignore,
                Security::Required | Security::Implicit => Policy::Enforce,
                Security::Opportunistic | Security::None => Policy::Observe,
            };
            let trust = Trust::of(&plan.tls, policy, &plan.host, plan.port)?;
            self.stream.start_tls(trust, plan.tls.name(&plan.host), policy)?;
        }
        let Some(info) = self.stream.handshake()? else { return Ok(false) };
        // Who switched the check off has said that this server may be trusted.
        let trusted = info.verified || plan.insecure_skip_verify;
        note(observer, || {
            let checked = if info.verified { "verified" } else { "not verified" };
            format!("{} is up with {}, certificate {checked}", info.protocol, info.cipher)
        });
        self.session.bind_channel(info.exporter.map(Secret::new));
        self.tls_info = Some(info);
        self.session.handle_tls(trusted, now);
        Ok(true)
    }

    fn take_error(&mut self) -> Option<Box<Error>> {
        self.session.take_result().and_then(Result::err)
    }
}

/// A remark among the records, if anybody wants them.
fn note(observer: &mut dyn Observer, text: impl FnOnce() -> String) {
    if observer.wishes().records {
        observer.record(&Record::note(text()));
    }
}

fn cancel_error(phase: Phase) -> Box<Error> {
    Error::new(Code::CANCELLED, phase, format!("the operation was cancelled while {}", phase.doing()))
}
