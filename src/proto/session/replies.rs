//! What each reply changes: one function for each command that is answered.

use super::transaction::Next;
use super::{Outcome, Session, State};
use crate::error::{Code, Error, Phase};
use crate::proto::capabilities::Capabilities;
use crate::proto::command::Command;
use crate::proto::envelope::RecipientState;
use crate::proto::ledger::Pending;
use crate::proto::session::Security;

impl Session {
    pub(super) fn handle_reply(&mut self, more_input: bool) {
        let code = self.parser.reply().code();
        let is_challenge = code == 334 && self.state == State::Auth;
        if self.trace.wants_records() {
            self.trace.reply(code, self.parser.reply().text(), is_challenge);
        }
        if self.early_reply() {
            return;
        }
        if code != 421 && !self.ledger.may_be_answered(self.out.written()) {
            // A chunk behind one that was refused may be refused before it is there.
            let refused = self.mail.refusal.take().filter(|_| self.mail.chunked);
            let error = refused.unwrap_or_else(|| {
                let what = "the server answered a command that had not been sent yet".into();
                self.refusal(Code::PROTOCOL, self.phase(), what)
            });
            return self.fail(error);
        }
        let Some(pending) = self.ledger.strike() else {
            return self.handle_unexpected(self.phase());
        };
        if code == 421 && pending != Pending::Quit {
            return self.handle_closing(pending);
        }
        match pending {
            Pending::Greeting => self.on_greeting(),
            Pending::Ehlo => self.on_ehlo(),
            Pending::Helo => self.on_helo(),
            Pending::StartTls => self.on_starttls(more_input),
            Pending::Auth => self.on_auth(),
            Pending::AuthCancel => self.on_auth_cancelled(),
            Pending::Mail => self.on_mail(),
            Pending::Rcpt(index) => self.on_rcpt(index as usize),
            Pending::Data => self.on_data(),
            Pending::Chunk => self.on_chunk(),
            Pending::End => self.on_end(),
            Pending::EndFor(index) => self.on_end_for(index as usize),
            Pending::EmptyEnd => self.on_empty_end(),
            Pending::Reset => self.on_reset(),
            Pending::Quit => self.finish_quit(),
            Pending::Other => self.on_other(),
        }
        if self.mail.next != Next::Nothing || self.ledger.is_empty() {
            self.pump();
        }
    }

    /// Most recipients of a long list are accepted in the same words as the command
    /// before: takes such replies without looking into them again, and gives their length.
    pub(super) fn take_repeated(&mut self, input: &[u8]) -> usize {
        if !matches!(self.ledger.oldest(), Some(Pending::Rcpt(_)))
            || !self.parser.reply().is_positive()
            || self.mail.refusal.is_some()
            || self.trace.wants_records()
            || self.trace.wants_recipients()
        {
            return 0;
        }
        let Some(length) = self.parser.repeat_length() else { return 0 };
        let mut used = 0;
        let written = self.out.written();
        while self.parser.repeats(&input[used..])
            && let Some(index) = self.ledger.strike_recipient(written)
        {
            self.mail.envelope.accept(index as usize);
            self.mail.accepted += 1;
            used += length;
        }
        if used > 0 && (self.mail.next != Next::Nothing || self.ledger.is_empty()) {
            self.pump();
        }
        used
    }

    fn on_greeting(&mut self) {
        if self.parser.reply().code() == 220 {
            return self.greet();
        }
        let error = self.refusal(Code::SERVER_REFUSED, Phase::Greeting, "the server refuses the session".into());
        self.fail(error);
    }

    fn on_ehlo(&mut self) {
        if self.parser.reply().is_positive() {
            self.capabilities = Capabilities::parse(self.parser.reply()).without(&self.config.withheld);
            self.extended = true;
            return self.secure_or_finish();
        }
        // RFC 5321 section 3.2: a server that does not know EHLO is greeted with HELO.
        if self.parser.reply().code() >= 500 && !self.config.lmtp {
            return self.queue(&Command::Helo(&self.config.local_name.clone()), Pending::Helo);
        }
        let verb = if self.config.lmtp { "LHLO" } else { "EHLO" };
        let error = self.refusal(Code::COMMAND_REJECTED, Phase::Ehlo, format!("the server refused {verb}"));
        self.fail(error);
    }

    fn on_helo(&mut self) {
        if self.parser.reply().is_positive() {
            self.extended = false;
            return self.secure_or_finish();
        }
        let error = self.refusal(Code::COMMAND_REJECTED, Phase::Ehlo, "the server refused HELO".into());
        self.fail(error);
    }

    fn on_starttls(&mut self, more_input: bool) {
        if self.parser.reply().code() != 220 {
            if self.config.security == Security::Opportunistic && self.parser.reply().is_negative() {
                return self.opened();
            }
            let what = "the server offered STARTTLS and then refused it".into();
            let error = self.refusal(Code::STARTTLS_REJECTED, Phase::StartTls, what);
            return self.fail(error);
        }
        if more_input || self.parser.is_partial() {
            let what = "text arrived behind the STARTTLS reply, before TLS; it was not obeyed";
            return self.fail(Error::new(Code::STARTTLS_INJECTION, Phase::StartTls, what));
        }
        self.state = State::Handshake;
    }

    fn on_mail(&mut self) {
        self.prove_ride();
        let reply = self.parser.reply();
        if reply.is_positive() {
            self.stale_transaction = true;
            self.mail.open = self.mail.stepwise;
            self.settle_doubts();
            return;
        }
        if !reply.is_negative() {
            return self.handle_unexpected(Phase::Mail);
        }
        self.mail.outcome = Outcome::of_refusal(reply.code());
        let sender = self.mail.envelope.sender().to_owned();
        let what = format!("the server refused the sender <{sender}>");
        let error = self.refusal(Code::SENDER_REJECTED, Phase::Mail, what).with_address(sender);
        self.mail.refusal = Some(error);
        self.mail.next = Next::Nothing;
        self.doubt();
    }

    fn on_rcpt(&mut self, index: usize) {
        let reply = self.parser.reply();
        if !reply.is_positive() && !reply.is_negative() {
            return self.handle_unexpected(Phase::Rcpt);
        }
        if self.mail.refusal.is_some() {
            // MAIL was refused: this reply says nothing of the recipient.
            return;
        }
        if reply.is_positive() {
            self.mail.envelope.accept(index);
            self.mail.accepted += 1;
        } else if self.is_one_too_many() {
            return self.defer_recipient(index);
        } else {
            self.mail.envelope.answer(index, reply);
            self.note_in_vain();
        }
        let reply = self.parser.reply();
        if self.trace.wants_recipients() {
            let address = self.mail.envelope.recipient(index).unwrap_or_default();
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            self.trace.recipient(number, address, self.mail.envelope.state(index), reply);
        }
        if reply.is_negative() && self.mail.stepwise {
            let address = self.mail.envelope.recipient(index).unwrap_or_default().to_owned();
            let what = format!("the server refused the recipient <{address}>");
            let error = self.refusal(Code::RECIPIENT_REJECTED, Phase::Rcpt, what).with_address(address);
            self.mail.refusal = Some(error);
        }
    }

    fn on_data(&mut self) {
        let reply = self.parser.reply();
        let deliverable = self.mail.refusal.is_none() && self.mail.accepted > 0;
        match reply.code() {
            354 if deliverable => self.state = State::Content,
            354 if self.config.lmtp => {
                // Its end would have no reply at all (RFC 2033 section 4.2).
                let what = "the server waits for a message, and has accepted no recipient".into();
                let error = self.refusal(Code::PROTOCOL, Phase::Data, what);
                self.fail(error);
            }
            // RFC 2920 section 3.1: nobody would get it, so it is ended at once.
            354 => {
                self.out.buffer().extend_from_slice(b".\r\n");
                self.trace.content(b".\r\n", true);
                self.ledger.enter(Pending::EmptyEnd, self.out.queued());
            }
            400.. if deliverable => {
                self.mail.outcome = Outcome::of_refusal(reply.code());
                let what = "the server refused to take the message (DATA)".into();
                self.mail.refusal = Some(self.refusal(Code::DATA_REJECTED, Phase::Data, what));
                self.settle_refused();
            }
            400.. => {}
            _ => self.handle_unexpected(Phase::Data),
        }
    }

    /// A chunk that is refused is the end of the message: what is queued of it still
    /// goes out, as the server waits for it.
    fn on_chunk(&mut self) {
        let reply = self.parser.reply();
        if reply.is_positive() {
            return;
        }
        if !reply.is_negative() {
            return self.handle_unexpected(Phase::Content);
        }
        if self.state == State::Simple {
            // The message has been dropped since.
            return;
        }
        if self.mail.refusal.is_none() {
            let outcome = Outcome::of_refusal(reply.code());
            let what = "the server refused a part of the message (BDAT)".into();
            self.mail.refusal = Some(self.refusal(Code::MESSAGE_REJECTED, Phase::Content, what));
            if self.state != State::End {
                self.mail.outcome = outcome;
                self.settle_refused();
            }
        }
        if self.state != State::End {
            self.mail.chunk.clear();
            self.mail.next = Next::Nothing;
            self.state = State::Envelope;
        }
    }

    fn on_end(&mut self) {
        if self.state == State::Flight {
            return self.on_flown();
        }
        if self.mail.ahead && self.mail.accepted == 0 {
            return self.on_end_in_vain();
        }
        let reply = self.parser.reply();
        if self.batch.on {
            self.mail.end_reply.copy_from(reply);
        }
        if reply.is_positive() && self.mail.refusal.is_none() {
            self.stale_transaction = false;
            return self.end_accepted();
        }
        if !reply.is_negative() {
            return self.handle_unexpected(Phase::End);
        }
        self.mail.outcome = Outcome::of_refusal(reply.code());
        self.settle_refused();
        // Behind DATA the transaction is over; BDAT leaves it to RSET (RFC 3030 section 2).
        self.stale_transaction = self.mail.chunked;
        let error = self.mail.refusal.take().unwrap_or_else(|| {
            let what = "the server read the message and refused it".into();
            self.refusal(Code::MESSAGE_REJECTED, Phase::End, what)
        });
        self.conclude(Err(error), State::Ready);
    }

    /// LMTP: the reply for one recipient (RFC 2033 section 4.2).
    fn on_end_for(&mut self, index: usize) {
        let reply = self.parser.reply();
        if !reply.is_positive() && !reply.is_negative() {
            return self.handle_unexpected(Phase::End);
        }
        self.mail.envelope.answer(index, reply);
        self.mail.envelope.settle(index);
        if reply.is_positive() {
            self.mail.delivered = true;
        } else if self.mail.refusal.is_none() {
            let address = self.mail.envelope.recipient(index).unwrap_or_default().to_owned();
            let what = format!("the server read the message and refused it for <{address}>");
            let error = self.refusal(Code::MESSAGE_REJECTED, Phase::End, what).with_address(address);
            self.mail.refusal = Some(error);
        }
        if !self.ledger.is_empty() {
            return;
        }
        self.stale_transaction = false;
        if self.mail.delivered {
            return self.end_accepted();
        }
        let temporary = self.mail.envelope.count(RecipientState::RefusedTemporary) > 0;
        self.mail.outcome = if temporary { Outcome::RejectedTemporary } else { Outcome::RejectedPermanent };
        if let Some(error) = self.mail.refusal.take() {
            self.conclude(Err(error), State::Ready);
        }
    }

    /// The reply that was just read is that of every recipient of the transaction.
    pub(super) fn settle_refused(&mut self) {
        let reply = self.parser.reply().to_record();
        self.mail.envelope.settle_all(self.mail.outcome, Some(&reply));
    }

    fn on_empty_end(&mut self) {
        self.stale_transaction = false;
    }

    fn on_reset(&mut self) {
        let positive = self.parser.reply().is_positive();
        self.stale_transaction &= !positive;
        if self.state != State::Simple {
            // The RSET before a transaction: MAIL's reply will tell.
            return;
        }
        if positive {
            return self.succeed(self.rest());
        }
        let error = self.refusal(Code::COMMAND_REJECTED, Phase::Reset, "the server refused RSET".into());
        self.conclude(Err(error), State::Ready);
    }

    fn on_other(&mut self) {
        let reply = self.parser.reply();
        if reply.is_positive() {
            return self.succeed(self.rest());
        }
        if !reply.is_negative() {
            // The server waits for something that will not come.
            return self.handle_unexpected(Phase::Command);
        }
        let what = format!("the server rejected {}, which it does not know or does not allow", self.verb);
        let error = self.refusal(Code::COMMAND_REJECTED, Phase::Command, what);
        self.conclude(Err(error), self.rest());
    }

    /// A reply that came in before the end of the content had left: it cannot
    /// be the answer to it. True if it ended the session.
    fn early_reply(&mut self) -> bool {
        if !matches!(self.state, State::Content | State::Pausing | State::Paused | State::End) || self.mail.end_sent {
            return false;
        }
        let is_of_end = |pending| matches!(pending, Pending::End | Pending::EndFor(_));
        if self.ledger.oldest().is_some_and(|pending| !is_of_end(pending))
            && self.ledger.may_be_answered(self.out.written())
        {
            // Every chunk has a reply of its own, and so has the envelope before one.
            return false;
        }
        let reply = self.parser.reply();
        let error = if reply.code() == 421 {
            let what = "the server is closing the connection (while taking the message)".into();
            self.refusal(Code::SERVER_CLOSING, Phase::Content, what)
        } else if reply.is_negative() && self.is_in_vain() {
            self.mail.refusal.take().unwrap_or_else(|| self.recipients_refused())
        } else if reply.is_negative() {
            self.mail.outcome = Outcome::of_refusal(reply.code());
            self.settle_refused();
            let what = "the server refused the message before its end".into();
            self.refusal(Code::MESSAGE_REJECTED, Phase::Content, what)
        } else {
            let what = "the server answered before the end of the message, so its reply cannot be trusted".into();
            self.refusal(Code::PROTOCOL, Phase::Content, what)
        };
        self.fail(error);
        true
    }

    /// 421 may come at any time (RFC 5321 section 3.8).
    fn handle_closing(&mut self, pending: Pending) {
        match pending {
            // It was for nobody, of which the replies before have told.
            Pending::End if self.mail.ahead && self.mail.accepted == 0 => {}
            Pending::End => {
                self.mail.outcome = Outcome::RejectedTemporary;
                self.settle_refused();
            }
            // The content behind it is not obeyed any more.
            Pending::Mail | Pending::Rcpt(_) | Pending::Reset if self.mail.outcome == Outcome::Unknown => {
                self.mail.outcome = Outcome::NotSent;
            }
            Pending::EndFor(index) => {
                self.mail.envelope.answer(index as usize, self.parser.reply());
                self.mail.envelope.settle(index as usize);
                if self.ledger.is_empty() {
                    self.mail.outcome = Outcome::RejectedTemporary;
                }
            }
            _ => {}
        }
        let phase = pending.phase();
        let what = format!("the server is closing the connection (while {})", phase.doing());
        let error = self.refusal(Code::SERVER_CLOSING, phase, what);
        self.fail(error);
    }

    pub(super) fn handle_unexpected(&mut self, phase: Phase) {
        let (code, what) = if self.parser.reply().code() == 421 {
            (Code::SERVER_CLOSING, "the server is closing the connection")
        } else {
            (Code::PROTOCOL, "the server sent a reply that does not belong here")
        };
        let error = self.refusal(code, phase, what.into());
        self.fail(error);
    }

    pub(super) fn greet(&mut self) {
        let name = self.config.local_name.clone();
        if self.config.lmtp {
            self.queue(&Command::Lhlo(&name), Pending::Ehlo);
        } else if self.config.extended {
            self.queue(&Command::Ehlo(&name), Pending::Ehlo);
        } else {
            self.queue(&Command::Helo(&name), Pending::Helo);
        }
    }

    /// After EHLO or HELO: on to STARTTLS, or done.
    fn secure_or_finish(&mut self) {
        let offered = self.capabilities.starttls;
        match (self.tls, self.config.security) {
            (None, Security::Required | Security::Opportunistic) if offered => {
                self.queue(&Command::StartTls, Pending::StartTls);
            }
            (None, Security::Required) => {
                let what = if self.extended {
                    "TLS is required but the server does not offer STARTTLS"
                } else {
                    "TLS is required but the server knows only HELO, without extensions"
                };
                self.fail(Error::new(Code::STARTTLS_UNAVAILABLE, Phase::StartTls, what));
            }
            _ => self.opened(),
        }
    }
}
