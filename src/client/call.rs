//! An operation on its way: what runs now, what follows, and how each part of it
//! ends. A blocking call runs to its end at once; in non-blocking mode it is kept
//! in between (`pending.rs`).

use super::arguments::plan;
use super::batch::Batch;
use super::core::{Client, Inner, cancelled_late, not_connected};
use super::event::{Event, EventKind};
use super::feed::Feed;
use super::left_out::LeftOut;
use super::login::Login;
use super::options::Options;
use super::status::Status;
use super::submit::Submission;
use super::teller::{Teller, wishes};
use crate::drive::{Checked, Connection, Plan, Source, advance, look, run};
use crate::error::{Error, Result};
use crate::net::canceller::Canceller;
use crate::net::sys::{self, RawSocket};
use crate::proto::{Envelope, LineEndCheck, Moment, Session};
use std::sync::Arc;

/// What a session learns from a command.
pub(super) type Learn = fn(&mut Status, &mut Session);

/// What is being run.
pub(super) enum Stage {
    /// Nothing: the operation had nothing to do.
    Nothing,
    Opening,
    Command {
        learn: Learn,
        gives_content: bool,
    },
    Quitting,
}

/// A look at line ends while the content passes, or one that was had before.
pub(super) struct Check {
    pub(super) state: LineEndCheck,
    /// The content is looked at as it passes.
    pub(super) passing: bool,
    /// The end of the content is the end of the message.
    pub(super) ends: bool,
}

/// An operation on its way.
pub(super) struct Call<'a> {
    pub(super) stage: Stage,
    pub(super) feed: Feed<'a>,
    pub(super) check: Option<Box<Check>>,
    /// What was told of the message's progress last.
    pub(super) told: u64,
    /// When the whole has had its time, where it is of several stages.
    pub(super) end: Option<Moment>,
    /// A failure tells what became of the message.
    pub(super) is_message: bool,
    /// The command, where it is the caller's own.
    pub(super) verb: Option<String>,
    pub(super) login: Option<Box<Login>>,
    pub(super) submission: Option<Box<Submission>>,
    /// What is sent, if it is many messages.
    pub(super) batch: Option<Arc<Batch>>,
    /// The number of a socket that is taken over on success.
    pub(super) attached: Option<RawSocket>,
}

impl Call<'_> {
    pub(super) fn new(stage: Stage) -> Self {
        Self {
            stage,
            feed: Feed::nothing(),
            check: None,
            told: 0,
            end: None,
            is_message: false,
            verb: None,
            login: None,
            submission: None,
            batch: None,
            attached: None,
        }
    }

    /// The same for a message: a failure tells what became of it.
    pub(super) fn of_message(mut self) -> Self {
        self.is_message = true;
        self
    }

    /// The same without anything that is the caller's.
    pub(super) fn keep(self, spare: Vec<u8>) -> Call<'static> {
        Call { feed: self.feed.keep(spare), ..Call { feed: Feed::nothing(), ..self } }
    }
}

/// How a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until it is over.
    Endless,
    /// Not at all.
    None,
    /// Not at all, but it looks what has come in since.
    Look,
}

impl Client {
    /// Goes on with a call; `None` if it has to wait. The result is that of the whole.
    pub(super) fn advance(&self, inner: &mut Inner, call: &mut Call<'_>, mut patience: Patience) -> Option<Result<()>> {
        loop {
            let result = self.run_stage(inner, call, patience)?;
            if patience == Patience::Look {
                patience = Patience::None;
            }
            let result = self.end_stage(inner, call, result);
            if let Some(result) = self.follow(inner, call, result) {
                return Some(self.end_call(inner, call, result));
            }
        }
    }

    fn run_stage(&self, inner: &mut Inner, call: &mut Call<'_>, patience: Patience) -> Option<Result<()>> {
        let Some(connection) = &mut inner.connection else { return Some(Ok(())) };
        if matches!(call.stage, Stage::Nothing) {
            return Some(Ok(()));
        }
        let total = connection.session().and_then(|session| session.envelope().size()).unwrap_or(0);
        let mut observer = Teller::new(self, inner.sink.as_ref(), total, &mut call.told);
        let source = call.feed.source();
        let mut checked;
        let source: &mut dyn Source = match &mut call.check {
            Some(check) if check.passing => {
                checked = Checked::new(source, &mut check.state, check.ends);
                &mut checked
            }
            _ => source,
        };
        match patience {
            Patience::Endless => Some(run(connection, source, &mut observer)),
            Patience::None => advance(connection, source, &mut observer),
            Patience::Look => look(connection).or_else(|| advance(connection, source, &mut observer)),
        }
    }

    fn end_stage(&self, inner: &mut Inner, call: &mut Call<'_>, result: Result<()>) -> Result<()> {
        let more_follows = call.submission.is_some();
        match std::mem::replace(&mut call.stage, Stage::Nothing) {
            Stage::Nothing => result,
            Stage::Opening => {
                let result = self.end_opening(inner, more_follows, result);
                if let (Ok(()), Some(number)) = (&result, call.attached.take()) {
                    sys::close(number);
                }
                result
            }
            Stage::Command { learn, gives_content } => {
                if let Some(batch) = &call.batch {
                    self.take_settled(inner, batch);
                }
                self.end_command(inner, more_follows, learn, gives_content, result)
            }
            Stage::Quitting => {
                self.end_quitting(inner);
                // Neither a refusal nor a time-out is of interest.
                Ok(())
            }
        }
    }

    /// Begins what follows on a stage; `Some` if nothing does.
    fn follow(&self, inner: &mut Inner, call: &mut Call<'_>, result: Result<()>) -> Option<Result<()>> {
        if call.login.is_none() && call.submission.is_none() {
            return Some(result);
        }
        self.follow_part(inner, call, result)
    }

    #[inline(never)]
    fn follow_part(&self, inner: &mut Inner, call: &mut Call<'_>, result: Result<()>) -> Option<Result<()>> {
        let result = self.follow_login(inner, call, result)?;
        if call.submission.is_none() { Some(result) } else { self.follow_submission(inner, call, result) }
    }

    fn end_call(&self, inner: &mut Inner, call: &mut Call<'_>, result: Result<()>) -> Result<()> {
        if let Some(check) = call.check.take()
            && (check.passing || result.is_ok())
        {
            inner.line_ends = check.state;
        }
        let result = match call.batch.take() {
            Some(batch) => batch.conclude(result),
            None => result,
        };
        result.map_err(|mut error| {
            if call.verb.is_some() {
                error.verb = call.verb.take();
            }
            self.with_outcome(call.is_message, error)
        })
    }

    /// A failure with what became of the message, if it is about one.
    pub(super) fn with_outcome(&self, is_message: bool, error: Box<Error>) -> Box<Error> {
        if is_message { error.with_outcome(self.shared.lock().status.outcome()) } else { error }
    }
}

// Connecting
impl Client {
    pub(super) fn begin_connect(
        &self,
        inner: &mut Inner,
        host: Option<&str>,
        port: u16,
        timeout: u32,
        options: Options,
    ) -> Result<Stage> {
        inner.expect_no_connection()?;
        let settings = self.shared.lock().settings.clone();
        let plan = plan(&settings, host, port, options)?;
        let timeout = if timeout == 0 { settings.timeout } else { timeout };
        self.begin_session(inner, timeout, plan, Connection::open)
    }

    /// Opens a connection, to greet the server.
    pub(super) fn begin_session(
        &self,
        inner: &mut Inner,
        timeout: u32,
        mut plan: Plan,
        open: impl FnOnce(Plan, Arc<Canceller>) -> Result<Connection>,
    ) -> Result<Stage> {
        plan.withheld.extend(inner.left_out.of(&plan.host, plan.port));
        inner.lost = false;
        let connection = inner.connection.insert(open(plan, Arc::clone(&self.canceller))?);
        connection.set_limit(timeout);
        Ok(Stage::Opening)
    }

    #[inline(never)]
    fn end_opening(&self, inner: &mut Inner, more_follows: bool, mut result: Result<()>) -> Result<()> {
        // Also of a session that failed, the last reply stays readable.
        self.shared.lock().status.take_connection(inner.connection.as_ref());
        if let Some(connection) = &inner.connection {
            self.shared.lock().status.take_costs(connection);
        }
        if result.is_ok() {
            self.tell(inner.sink.as_ref(), &Event::plain(EventKind::Connect));
        }
        if self.was_cancelled(more_follows) && result.is_ok() {
            result = Err(cancelled_late());
            inner.end_untold = true;
        }
        if result.is_err() {
            inner.connection = None;
            self.shared.lock().status.take_disconnect();
        }
        result
    }
}

// Commands
impl Client {
    /// Gives the session a command, to be run, of which `learn` takes what came of it.
    /// `end` is when the whole has had its time, if that is known already.
    pub(super) fn begin_command(
        &self,
        inner: &mut Inner,
        end: Option<Moment>,
        gives_content: bool,
        begin: impl FnOnce(&mut Session, Moment, &mut Envelope) -> Result<()>,
        learn: Learn,
    ) -> Result<Stage> {
        inner.expect_connection()?;
        let connection = inner.connection.as_mut().ok_or_else(not_connected)?;
        let now = connection.read_clock();
        let idle = connection.check_idle();
        let session = connection.session_mut().ok_or_else(not_connected)?;
        let limit = {
            let shared = self.shared.lock();
            session.timeouts_mut().clone_from(&shared.settings.timeouts);
            match end {
                Some(end) => u32::try_from(end - now).unwrap_or(u32::MAX).max(1),
                None => shared.settings.timeout,
            }
        };
        session.set_trace(wishes(&self.tracer, inner.sink.as_deref()));
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
        connection.set_limit(limit);
        Ok(Stage::Command { learn, gives_content })
    }

    fn end_command(
        &self,
        inner: &mut Inner,
        more_follows: bool,
        learn: Learn,
        gives_content: bool,
        result: Result<()>,
    ) -> Result<()> {
        let Some(connection) = &mut inner.connection else { return result };
        self.learn_left_out(connection, &mut inner.left_out);
        self.learn_blame(connection, &mut inner.left_out);
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
        let cancelled = self.was_cancelled(more_follows) && is_open;
        if cancelled || !is_open {
            self.lose_connection(inner);
        }
        if cancelled && result.is_ok() && !is_decided { Err(cancelled_late()) } else { result }
    }

    /// The connection is of no more use: closed at once, as the server must not wait
    /// for a client that is done.
    #[inline(never)]
    fn lose_connection(&self, inner: &mut Inner) {
        inner.connection = None;
        inner.lost = true;
        inner.end_untold = true;
        self.shared.lock().status.take_disconnect();
    }

    /// Looks whether an idle connection is still good; if not, it is given up.
    pub(super) fn listen_in(&self, inner: &mut Inner) -> bool {
        let Some(connection) = &mut inner.connection else { return false };
        connection.read_clock();
        let is_over = connection.listen().is_err() || !connection.session().is_some_and(Session::is_open);
        if is_over {
            self.lose_connection(inner);
        }
        !is_over
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

    /// Whether the present call was cancelled. Where it ends here, nobody can cancel
    /// it any more.
    fn was_cancelled(&self, more_follows: bool) -> bool {
        if more_follows { self.canceller.is_cancelled() } else { self.canceller.end() }
    }
}

// Saying goodbye
impl Client {
    /// Says QUIT; where there is nobody to say it to, the connection is closed at once.
    pub(super) fn begin_quit(&self, inner: &mut Inner) -> Result<Stage> {
        let lost = std::mem::take(&mut inner.lost);
        let Some(connection) = &mut inner.connection else {
            return if lost { Ok(Stage::Nothing) } else { Err(not_connected()) };
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
                connection.set_limit(timeout);
                return Ok(Stage::Quitting);
            }
        }
        self.end_quitting(inner);
        Ok(Stage::Nothing)
    }

    #[inline(never)]
    fn end_quitting(&self, inner: &mut Inner) {
        let connection = inner.connection.take();
        let mut shared = self.shared.lock();
        if let Some(mut connection) = connection {
            shared.status.take_costs(&connection);
            if let Some(session) = connection.session_mut() {
                shared.status.take_session(session);
            }
        }
        shared.status.take_connection(None);
        shared.status.drop_message();
        drop(shared);
        inner.end_untold = true;
    }
}
