//! A message by commands of the caller's own: MAIL, each RCPT, the content in
//! pieces, the end.

use super::transaction::Next;
use super::{Session, State};
use crate::error::{Code, Error, Result};
use crate::proto::address::Mailbox;
use crate::proto::envelope::Envelope;
use crate::proto::moment::Moment;
use crate::proto::original_recipient::RecipientDelivery;

impl Session {
    /// Begins a message with MAIL. The envelope, which has no recipient yet, is
    /// taken over as by [`Session::send`].
    ///
    /// # Errors
    ///
    /// As [`Session::send`].
    pub fn begin_message(&mut self, envelope: &mut Envelope, now: Moment) -> Result<()> {
        self.take_envelope(envelope)?;
        self.expect_offered(&self.mail.envelope)?;
        self.mail.stepwise = true;
        self.since = now;
        self.begin_transaction();
        Ok(())
    }

    /// Adds a recipient with RCPT, perhaps with notifications of its own; its refusal
    /// is an error that leaves the message open.
    ///
    /// # Errors
    ///
    /// Before anything is sent: `NO_MESSAGE_OPEN`, `SMTPUTF8_REQUIRED`,
    /// `EXTENSION_UNAVAILABLE`, `NOT_CONNECTED`.
    pub fn add_recipient(
        &mut self,
        recipient: Mailbox<'_>,
        notifications: Option<RecipientDelivery>,
        now: Moment,
    ) -> Result<()> {
        match self.state {
            State::Building => {}
            State::Paused => {
                let what = "a recipient was added when the content had begun";
                return Err(Error::caller(Code::MESSAGE_OPEN, what)
                    .with_remedy("Add all recipients before the first SmtpWrite or SmtpAppendMessage."));
            }
            _ => return Err(self.no_message()),
        }
        if recipient.needs_smtputf8() && !self.mail.envelope.needs_smtputf8() {
            let what =
                format!("the address {} needs SMTPUTF8, which this message was begun without", recipient.as_str());
            return Err(Error::caller(Code::SMTPUTF8_REQUIRED, what)
                .with_remedy("Set SMTP_PROPERTY_SMTPUTF8 before SmtpCreateMessage."));
        }
        if notifications.is_some() && !self.capabilities.dsn && !self.mail.envelope.leaves_out() {
            return Err(self.unavailable("notifications were asked for", "DSN", "RFC 3461"));
        }
        self.mail.envelope.push(recipient);
        if let Some(own) = notifications {
            self.mail.envelope.set_recipient_delivery(self.mail.envelope.len() - 1, own);
        }
        self.mail.refusal = None;
        self.mail.running = true;
        self.state = State::Envelope;
        self.since = now;
        self.queue_rcpt(self.mail.envelope.len() - 1);
        self.mail.next = Next::Nothing;
        Ok(())
    }

    /// Takes content, beginning with DATA if there was none yet. `last` ends the
    /// message with it.
    ///
    /// # Errors
    ///
    /// Before anything is sent: `NO_MESSAGE_OPEN`, `NO_RECIPIENTS`, `NOT_CONNECTED`.
    pub fn take_content(&mut self, last: bool, now: Moment) -> Result<()> {
        match self.state {
            State::Building if self.mail.accepted == 0 => {
                let what = "the content was given before a recipient was accepted";
                return Err(Error::caller(Code::NO_RECIPIENTS, what)
                    .with_remedy("Add a recipient that the server accepts, or drop the message with SmtpReset."));
            }
            State::Building => {
                self.mail.open = false;
                self.state = State::Envelope;
                self.mail.next = Next::Data;
            }
            State::Paused => self.state = State::Content,
            _ => return Err(self.no_message()),
        }
        self.mail.running = true;
        self.mail.keeps_open = !last;
        self.since = now;
        self.pump();
        Ok(())
    }

    fn no_message(&self) -> Box<Error> {
        match self.state {
            State::Ready => Error::caller(Code::NO_MESSAGE_OPEN, "no message was begun"),
            _ => Error::caller(Code::NOT_CONNECTED, "the connection is closed"),
        }
    }
}
