//! What each reply changes: one function for each command that is answered.

use super::{Next, Outcome, Session, State, encode};
use crate::error::{Code, Error, Phase};
use crate::proto::capabilities::Capabilities;
use crate::proto::command::Command;
use crate::proto::ledger::Pending;
use crate::proto::secret::Secret;
use crate::proto::session::Security;
use base64::prelude::{BASE64_STANDARD, Engine as _};

impl Session {
    pub(super) fn handle_reply(&mut self, more_input: bool) {
        let code = self.parser.reply().code();
        let is_challenge = code == 334 && self.state == State::Auth;
        self.trace.reply(code, self.parser.reply().text(), is_challenge);
        if self.early_reply() {
            return;
        }
        if code != 421 && !self.ledger.may_be_answered(self.out.written()) {
            let what = "the server answered a command that had not been sent yet".into();
            let error = self.refusal(Code::PROTOCOL, self.phase(), what);
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
            Pending::Rcpt(index) => self.on_rcpt(index),
            Pending::Data => self.on_data(),
            Pending::End => self.on_end(),
            Pending::EmptyEnd => self.on_empty_end(),
            Pending::Reset => self.on_reset(),
            Pending::Quit => self.succeed(State::Closed),
            Pending::Other => self.on_other(),
        }
        self.pump();
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
            self.capabilities = Capabilities::parse(self.parser.reply());
            self.extended = true;
            return self.secure_or_finish();
        }
        // RFC 5321 section 3.2: a server that does not know EHLO is greeted with HELO.
        if self.parser.reply().code() >= 500 {
            return self.queue(&Command::Helo(&self.config.local_name.clone()), Pending::Helo);
        }
        let error = self.refusal(Code::COMMAND_REJECTED, Phase::Ehlo, "the server refused EHLO".into());
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
                return self.succeed(State::Ready);
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

    fn on_auth(&mut self) {
        let code = self.parser.reply().code();
        if self.parser.reply().is_positive() {
            self.authenticated = self.exchange.take().map(|exchange| exchange.mechanism());
            return self.succeed(State::Ready);
        }
        if code == 334 {
            let answer = self.answer_challenge();
            return match answer {
                Some(line) => self.queue_line(line.expose(), Some(0), Pending::Auth),
                // RFC 4954 section 4: this ends the exchange.
                None => self.queue_line(b"*\r\n", None, Pending::AuthCancel),
            };
        }
        let mechanism = self.exchange.take().map_or("AUTH", |exchange| exchange.mechanism().name());
        let what = format!("the server did not accept the login by {mechanism}");
        let mut error = self.refusal(Code::AUTHENTICATION_FAILED, Phase::Auth, what);
        error.remedy = match code {
            400..=499 => Some("The server cannot check logins just now: try again later.".into()),
            538 => Some("The server wants TLS before this login: use a TLS mode.".into()),
            534 => Some("The server wants another login method, or a password made for applications.".into()),
            503 => Some("The session is logged in already, or the server does not want a login here.".into()),
            _ => None,
        };
        self.conclude(Err(error), State::Ready);
    }

    /// The next line of the login, or `None` if the challenge makes no sense.
    fn answer_challenge(&mut self) -> Option<Secret> {
        let text = self.parser.reply().text();
        // Some servers put words where the challenge is empty.
        let challenge = BASE64_STANDARD.decode(text.trim_ascii()).unwrap_or_default();
        let answer = self.exchange.as_mut()?.step(&challenge)?;
        let encoded = encode(&answer).ok()?;
        let mut line = Vec::with_capacity(encoded.expose().len() + 2);
        line.extend_from_slice(encoded.expose());
        line.extend_from_slice(b"\r\n");
        Some(Secret::new(line))
    }

    fn on_auth_cancelled(&mut self) {
        let mechanism = self.exchange.take().map_or("AUTH", |exchange| exchange.mechanism().name());
        let what = format!("the server's challenge does not belong to a login by {mechanism}");
        let error = self.refusal(Code::PROTOCOL, Phase::Auth, what);
        self.conclude(Err(error), State::Ready);
    }

    fn on_mail(&mut self) {
        let reply = self.parser.reply();
        if reply.is_positive() {
            self.stale_transaction = true;
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
    }

    fn on_rcpt(&mut self, index: u32) {
        let reply = self.parser.reply();
        if !reply.is_positive() && !reply.is_negative() {
            return self.handle_unexpected(Phase::Rcpt);
        }
        if self.mail.refusal.is_some() {
            // MAIL was refused: this reply says nothing of the recipient.
            return;
        }
        self.mail.envelope.answer(index as usize, reply);
        self.mail.accepted += usize::from(reply.is_positive());
        if self.trace.wants_recipients() {
            let (envelope, number) = (&self.mail.envelope, index as usize);
            let address = envelope.recipient(number).unwrap_or_default();
            self.trace.recipient(index, address, envelope.state(number), reply);
        }
    }

    fn on_data(&mut self) {
        let reply = self.parser.reply();
        let deliverable = self.mail.refusal.is_none() && self.mail.accepted > 0;
        match reply.code() {
            354 if deliverable => self.state = State::Content,
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
            }
            400.. => {}
            _ => self.handle_unexpected(Phase::Data),
        }
    }

    fn on_end(&mut self) {
        let reply = self.parser.reply();
        if reply.is_positive() {
            self.mail.outcome = Outcome::Accepted;
            self.stale_transaction = false;
            return self.succeed(State::Ready);
        }
        if !reply.is_negative() {
            return self.handle_unexpected(Phase::End);
        }
        self.mail.outcome = Outcome::of_refusal(reply.code());
        self.stale_transaction = false;
        let what = "the server read the message and refused it".into();
        let error = self.refusal(Code::MESSAGE_REJECTED, Phase::End, what);
        self.conclude(Err(error), State::Ready);
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
            return self.succeed(State::Ready);
        }
        let error = self.refusal(Code::COMMAND_REJECTED, Phase::Reset, "the server refused RSET".into());
        self.conclude(Err(error), State::Ready);
    }

    fn on_other(&mut self) {
        let reply = self.parser.reply();
        if reply.is_positive() {
            return self.succeed(State::Ready);
        }
        if !reply.is_negative() {
            // The server waits for something that will not come.
            return self.handle_unexpected(Phase::Command);
        }
        let what = format!("the server rejected {}, which it does not know or does not allow", self.verb);
        let error = self.refusal(Code::COMMAND_REJECTED, Phase::Command, what);
        self.conclude(Err(error), State::Ready);
    }

    /// A reply that came in before the end of the content had left: it cannot
    /// be the answer to it. True if it ended the session.
    fn early_reply(&mut self) -> bool {
        if !matches!(self.state, State::Content | State::End) || self.mail.end_sent {
            return false;
        }
        let reply = self.parser.reply();
        let error = if reply.code() == 421 {
            let what = "the server is closing the connection (while taking the message)".into();
            self.refusal(Code::SERVER_CLOSING, Phase::Content, what)
        } else if reply.is_negative() {
            self.mail.outcome = Outcome::of_refusal(reply.code());
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
        if pending == Pending::End {
            self.mail.outcome = Outcome::RejectedTemporary;
        }
        let phase = pending.phase();
        let what = format!("the server is closing the connection (while {})", phase.doing());
        let error = self.refusal(Code::SERVER_CLOSING, phase, what);
        self.fail(error);
    }

    fn handle_unexpected(&mut self, phase: Phase) {
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
        if self.config.extended {
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
            _ => self.succeed(State::Ready),
        }
    }
}
