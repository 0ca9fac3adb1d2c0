//! What is asked of the server, with a message or without, compared with what it offers.

use super::Session;
use crate::error::{Code, Error, Result};
use crate::proto::command::CommandText;
use crate::proto::envelope::Envelope;
use crate::proto::moment::Moment;

impl Session {
    /// Sends VRFY or EXPN; [`Self::last_reply`] is its reply.
    ///
    /// # Errors
    ///
    /// Before anything is sent: `NOT_CONNECTED`, `INVALID_ADDRESS`, `SMTPUTF8_REQUIRED`
    /// and the like.
    pub fn ask(&mut self, verb: &str, address: &str, now: Moment) -> Result<()> {
        self.expect_between()?;
        let command = CommandText::question(verb, address, &self.capabilities)?;
        self.command(&command, now)
    }

    /// Demands that cannot be met, and may not be left out, are an error before
    /// anything is sent.
    pub(super) fn expect_demands(&self, envelope: &Envelope) -> Result<()> {
        let Some(demands) = envelope.demands() else { return Ok(()) };
        let offered = &self.capabilities;
        let leaves_out = envelope.leaves_out();
        if let Some(by) = demands.deliver_by {
            match offered.deliver_by {
                // A message that is to come back when it is late must not go where
                // nobody knows that (RFC 2852 section 4.2).
                None if by.returns() || !leaves_out => {
                    let error = self.unavailable("a time to deliver by was asked for", "DELIVERBY", "RFC 2852");
                    return Err(if by.returns() { never_left_out(error, "The mode R") } else { error });
                }
                Some(least) if !by.is_enough(least) => {
                    let what = format!(
                        "the message is to be delivered within {} seconds, and the server asks for at least {least} (DELIVERBY, RFC 2852)",
                        by.seconds()
                    );
                    return Err(self.excess(what, "Allow more time, or use the mode N."));
                }
                _ => {}
            }
        }
        if let Some(hold) = demands.hold {
            match offered.future_release {
                // A message that went out too early cannot be called back.
                None => {
                    let error = self.unavailable("the message is to be held", "FUTURERELEASE", "RFC 4865");
                    return Err(never_left_out(error, "Holding"));
                }
                Some(limits) if !limits.allows(hold) => {
                    let limits = offered.parameters("FUTURERELEASE").unwrap_or_default();
                    let what = format!(
                        "the message is to be held longer than the server allows (FUTURERELEASE {limits}, RFC 4865)"
                    );
                    return Err(self.excess(what, "Hold it for a shorter time."));
                }
                Some(_) => {}
            }
        }
        if demands.priority != 0 && offered.mt_priority.is_none() && !leaves_out {
            return Err(self.unavailable("a priority was asked for", "MT-PRIORITY", "RFC 6710"));
        }
        if demands.require_tls {
            self.expect_required_tls()?;
        }
        if !demands.auth_sender.is_empty() && offered.mechanisms.is_empty() && !leaves_out {
            return Err(self.unavailable("an original sender (AUTH=) was given", "AUTH", "RFC 4954"));
        }
        Ok(())
    }

    /// RFC 8689 section 4.2.1: over verified TLS and where it is offered, or not at all.
    fn expect_required_tls(&self) -> Result<()> {
        if self.tls == Some(true) && !self.config.skips_verify {
            if self.capabilities.require_tls {
                return Ok(());
            }
            let error = self.unavailable("the message may only travel over TLS", "REQUIRETLS", "RFC 8689");
            return Err(never_left_out(error, "REQUIRETLS"));
        }
        let why = match self.tls {
            None => "the connection is not encrypted",
            Some(_) => "the server's certificate was not verified",
        };
        let what = format!("the message may only travel over verified TLS (REQUIRETLS, RFC 8689), and {why}");
        Err(self.excess(what, "Connect with the TLS mode required or implicit, and with the check of the certificate."))
    }

    /// The error about an extension that is asked for and not there.
    pub(super) fn unavailable(&self, wish: &str, keyword: &str, rfc: &str) -> Box<Error> {
        let what = match self.capabilities.denial(keyword) {
            denial if denial.starts_with("the server") => format!("{wish}, and {denial} {keyword} ({rfc})"),
            denial => format!("{wish}, and {keyword} ({rfc}) {denial}"),
        };
        self.with_offer(Error::caller(Code::EXTENSION_UNAVAILABLE, what))
    }

    /// The error about an extension that does not go as far as is asked.
    fn excess(&self, what: String, remedy: &str) -> Box<Error> {
        self.with_offer(Error::caller(Code::EXTENSION_UNAVAILABLE, what).with_remedy(remedy))
    }

    fn with_offer(&self, error: Box<Error>) -> Box<Error> {
        error.with_choice(&self.capabilities.lines, self.capabilities.skipped())
    }
}

fn never_left_out(error: Box<Error>, what: &str) -> Box<Error> {
    error.with_remedy(format!("{what} is never left out: do not ask for it, or use another server."))
}
