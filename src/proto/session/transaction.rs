//! The envelope: which command goes out when, and how a transaction that came
//! to nothing ends.

use super::{Next, Outcome, Session, State};
use crate::error::{Code, Error, Phase, Result};
use crate::proto::command::{Command, smtputf8_required};
use crate::proto::envelope::RecipientState;
use crate::proto::ledger::Pending;
use crate::proto::limits::OUTPUT_CHUNK;

impl Session {
    /// Queues the commands of a transaction as far as the rules allow, and ends
    /// a transaction that came to nothing once all its replies are in.
    pub(super) fn pump(&mut self) {
        while self.state == State::Envelope && self.out.waiting().len() < OUTPUT_CHUNK / 4 {
            if !self.ledger.is_empty() && !self.capabilities.pipelining {
                return;
            }
            match self.mail.next {
                Next::Reset => {
                    self.mail.next = Next::Mail;
                    self.queue(&Command::Reset, Pending::Reset);
                }
                Next::Mail => self.queue_mail(),
                Next::Rcpt(index) => self.queue_rcpt(index),
                // DATA cannot be taken back: it waits until every recipient is in.
                Next::Data if self.mail.envelope.is_all_or_nothing() && !self.ledger.is_empty() => return,
                Next::Data => {
                    self.mail.next = Next::Nothing;
                    if self.mail.envelope.is_all_or_nothing() && self.mail.accepted < self.mail.envelope.len() {
                        continue;
                    }
                    if self.mail.accepted > 0 || !self.ledger.is_empty() {
                        self.queue(&Command::Data, Pending::Data);
                    }
                }
                Next::Nothing if self.ledger.is_empty() => {
                    if !self.repeat_without_doubted() {
                        return self.abandon_transaction();
                    }
                }
                Next::Nothing => return,
            }
        }
    }

    /// What an envelope needs and the server lacks is an error before anything is sent.
    pub(super) fn expect_offered(&self) -> Result<()> {
        let (envelope, offered) = (&self.mail.envelope, &self.capabilities);
        if envelope.needs_smtputf8() && !offered.smtputf8 {
            let addresses =
                std::iter::once(envelope.sender()).chain((0..).map_while(|index| envelope.recipient(index)));
            let address = addresses.into_iter().find(|address| !address.is_ascii()).unwrap_or_default();
            return Err(smtputf8_required(address, offered));
        }
        if envelope.wants_notifications() && !offered.dsn && !envelope.leaves_out() {
            return Err(self.unavailable("notifications were asked for", "DSN", "RFC 3461"));
        }
        self.expect_demands()
    }

    fn queue_mail(&mut self) {
        self.mail.next = Next::Rcpt(0);
        let from = self.out.end();
        Command::Mail(&self.mail.envelope, &self.capabilities).write_to(self.out.buffer());
        self.trace.command(self.out.since(from), None);
        self.ledger.enter(Pending::Mail, self.out.queued());
    }

    fn queue_rcpt(&mut self, index: u32) {
        if index as usize >= self.mail.envelope.len() {
            self.mail.next = Next::Data;
            return;
        }
        let from = self.out.end();
        Command::Rcpt(&self.mail.envelope, index as usize, &self.capabilities).write_to(self.out.buffer());
        self.mail.next = Next::Rcpt(index + 1);
        self.trace.command(self.out.since(from), None);
        self.ledger.enter(Pending::Rcpt(index), self.out.queued());
    }

    fn abandon_transaction(&mut self) {
        let error = match self.mail.refusal.take() {
            Some(error) => error,
            None => self.recipients_refused(),
        };
        self.conclude(Err(error), State::Ready);
    }

    /// The error when all recipients, or one too many, were refused.
    fn recipients_refused(&mut self) -> Box<Error> {
        let envelope = &self.mail.envelope;
        let temporary = envelope.count(RecipientState::RefusedTemporary) > 0;
        self.mail.outcome = if temporary { Outcome::RejectedTemporary } else { Outcome::RejectedPermanent };
        let index = (0..envelope.len()).find(|index| envelope.refusal(*index).is_some()).unwrap_or_default();
        let first = envelope.recipient(index).unwrap_or_default();
        let refused = envelope.len() - self.mail.accepted;
        let (code, what) = match envelope.len() {
            1 => (Code::RECIPIENTS_REJECTED, format!("the server refused the recipient <{first}>")),
            count if refused == count => (
                Code::RECIPIENTS_REJECTED,
                format!("the server refused all {count} recipients, the first being <{first}>"),
            ),
            count => {
                let what = format!(
                    "the server refused {refused} of {count} recipients, the first being <{first}>, so nothing was sent"
                );
                (Code::RECIPIENT_REJECTED, what)
            }
        };
        let error = Error::new(code, Phase::Rcpt, what).with_address(first);
        match envelope.refusal(index) {
            Some(reply) => error.with_reply(reply.clone()),
            None => error,
        }
    }
}
