//! One session that takes over from another: a server may say how many messages
//! it takes in a session (MAILMAX, RFC 9422), and then the next one is sent over a
//! new connection.

use super::{Session, State};
use crate::error::Phase;
use crate::proto::command::Command;
use crate::proto::ledger::Pending;
use crate::proto::sasl::Credentials;
use crate::proto::session::Config;

impl Session {
    /// The session that goes on, over a new connection, with what this one has
    /// begun; only when [`super::Want::Renew`] was said. It logs in as this one did,
    /// with a new nonce.
    #[must_use]
    pub fn renewed(&mut self, config: Config, nonce: String) -> Self {
        let timeouts = self.config.timeouts.clone();
        let mut next = Self::new(Config { timeouts, insecure_auth: self.config.insecure_auth, ..config });
        next.mail = std::mem::take(&mut self.mail);
        next.batch = std::mem::take(&mut self.batch);
        next.credentials = self.credentials.take().map(|credentials| Box::new(Credentials { nonce, ..*credentials }));
        next.resumes = true;
        self.state = State::Closed;
        next
    }

    /// Whether the server takes no further message in this session.
    pub(super) fn is_used_up(&self) -> bool {
        self.capabilities.limits.mail.is_some_and(|most| self.transactions >= most)
    }

    /// Says goodbye to make way for another session.
    pub(super) fn leave(&mut self) {
        self.state = State::Leaving;
        self.queue(&Command::Quit, Pending::Quit);
    }

    /// The server is greeted, and TLS up as configured.
    pub(super) fn opened(&mut self) {
        if !self.resumes {
            return self.succeed(State::Ready);
        }
        match self.credentials.take() {
            None => self.go_on(),
            Some(credentials) => {
                self.state = State::Ready;
                if let Err(mut error) = self.authenticate(*credentials, self.since) {
                    error.phase = Phase::Auth;
                    self.fail(error);
                }
            }
        }
    }

    /// Goes on with the message for which this session was made.
    pub(super) fn go_on(&mut self) {
        self.resumes = false;
        // The server behind the new connection may be another one.
        match self.expect_offered(&self.mail.envelope) {
            Ok(()) => self.begin_transaction(),
            Err(mut error) => {
                error.phase = Phase::Mail;
                self.conclude(Err(error), State::Ready);
            }
        }
    }
}
