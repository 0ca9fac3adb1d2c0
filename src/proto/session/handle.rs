//! What the world did: octets that came in or went out, TLS, failures, time.

use super::{Outcome, Session, State};
use crate::error::{Class, Code, Error, Phase};
use crate::proto::capabilities::Capabilities;
use crate::proto::ledger::Pending;
use crate::proto::moment::Moment;
use crate::proto::session::Security;

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
                        if !input.is_empty() {
                            input = &input[self.take_repeated(input)..];
                        }
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
        // What rides behind the end may be stuck when the end itself has left.
        let has_ride = self.batch.on && !self.batch.behind.is_empty();
        if has_ride && self.state == State::End && !self.mail.end_sent && self.end_has_left() {
            self.mail.end_sent = true;
            self.mail.outcome = Outcome::Unknown;
        }
        self.pump();
    }

    /// Takes note that everything written has left this machine's program.
    pub fn handle_flushed(&mut self) {
        if !self.out.waiting().is_empty() {
            return;
        }
        match self.state {
            State::End if !self.mail.end_sent => {
                self.mail.end_sent = true;
                if !self.is_in_vain() {
                    self.mail.outcome = Outcome::Unknown;
                }
            }
            State::Pausing => self.succeed(State::Paused),
            _ => {}
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
            return self.finish_quit();
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
        if self.state == State::Leaving {
            return self.finish_quit();
        }
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

    /// The server has said all that it will: the session is over, or gives way to
    /// the next one.
    pub(super) fn finish_quit(&mut self) {
        self.ledger.clear();
        if self.state == State::Leaving {
            self.state = State::Left;
        } else {
            self.succeed(State::Closed);
        }
    }

    /// Ends the session (rule 5).
    pub(super) fn fail(&mut self, mut error: Box<Error>) {
        // How a session ends that is given up anyway is of no interest.
        let is_over = self.state == State::Leaving && error.class() != Class::Caller && error.code != Code::TIMEOUT;
        if is_over {
            self.out.clear();
            return self.finish_quit();
        }
        if error.phase == Phase::Idle {
            error.phase = self.phase();
        }
        self.exchange = None;
        // The first cause is the one to tell; and a message that was taken stays taken.
        if self.done && (self.failure.is_some() || self.mail.running) {
            self.state = State::Closed;
            self.ledger.clear();
            self.out.clear();
            return;
        }
        if self.batch.on {
            self.settle_lost(&error);
        } else if matches!(self.state, State::End) && self.mail.outcome == Outcome::Unknown {
            add_that_it_may_be_there(&mut error);
        }
        self.ledger.clear();
        self.out.clear();
        self.mail.envelope.settle_all(self.mail.outcome, None);
        self.conclude(Err(error), State::Closed);
    }
}

/// Adds to a failure that the end of the message had left.
pub(super) fn add_that_it_may_be_there(error: &mut Error) {
    error.what.push_str("; the end of the message had been sent, so it may have been delivered");
    error.remedy = Some("Find out whether it arrived before you send it again.".into());
}
