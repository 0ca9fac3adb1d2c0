//! Sending a message by commands of the caller's own.

use super::arguments::{Content, fill_sender, fill_wishes, with_mailbox};
use super::core::{Client, Inner};
use super::send::check_line_ends;
use super::status::Status;
use crate::drive::{Checked, File, Memory, NoContent, Reader, Source};
use crate::error::Result;
use crate::proto::{LineEndCheck, Session};

impl Client {
    /// Begins a message with MAIL, for recipients and content to follow.
    ///
    /// # Errors
    ///
    /// `INVALID_ADDRESS`, `MESSAGE_TOO_LARGE` and the like before anything is sent;
    /// `MESSAGE_OPEN` if another was begun; `SENDER_REJECTED`; else whatever the
    /// attempt met.
    pub fn create_message(&self, sender: &str, size: Option<u64>) -> Result<()> {
        self.operate_message(|inner| {
            inner.expect_connection()?;
            fill_sender(&mut inner.envelope, sender)?;
            fill_wishes(&mut inner.envelope, &self.shared.lock().settings)?;
            // The recipients are not known before the first of them is asked for.
            inner.envelope.set_all_or_nothing(false);
            // What is not known yet may have octets beyond ASCII.
            inner.envelope.set_eight_bit(true);
            inner.envelope.set_size(size);
            inner.line_ends = LineEndCheck::default();
            self.run_command(
                inner,
                None,
                |session, now, envelope| session.begin_message(envelope, now),
                Status::take_outcome,
            )
        })
    }

    /// Adds a recipient with RCPT.
    ///
    /// # Errors
    ///
    /// `INVALID_ADDRESS`, `NO_MESSAGE_OPEN` before anything is sent;
    /// `RECIPIENT_REJECTED`, after which the message is still open; else whatever
    /// the attempt met.
    pub fn add_recipient(&self, address: &str) -> Result<()> {
        self.operate_step(|inner| {
            with_mailbox(address, |mailbox| {
                let own = self.shared.lock().settings.wishes.of_recipient(mailbox.as_str()).cloned();
                let begin = |session: &mut Session, now, _: &mut _| session.add_recipient(mailbox, own, now);
                self.run_command(inner, None, begin, Status::take_recipient)
            })
        })
    }

    /// Gives content of the message that was begun; the first time it sends DATA.
    ///
    /// # Errors
    ///
    /// `NO_MESSAGE_OPEN`, `NO_RECIPIENTS`, `FILE` before anything is sent;
    /// `DATA_REJECTED`, or whatever the attempt met.
    pub fn append_message<'a>(&self, content: impl FnOnce() -> Result<Content<'a>>) -> Result<()> {
        self.operate_step(|inner| {
            let is_strict = inner.is_strict(self);
            match content()? {
                Content::Memory(octets) => self.append(inner, &mut Memory::new(octets), is_strict),
                Content::File(path) => self.append(inner, &mut File::open(path)?, is_strict),
                Content::Reader { read, .. } if is_strict => {
                    let mut check = inner.line_ends.clone();
                    let mut reader = Reader::new(read);
                    let result = self.take_content(inner, &mut Checked::new(&mut reader, &mut check, false), false);
                    inner.line_ends = check;
                    result
                }
                Content::Reader { read, .. } => self.take_content(inner, &mut Reader::new(read), false),
                Content::Source { source, .. } => self.take_content(inner, source, false),
            }
        })
    }

    /// Ends the message that was begun, and reads what the server makes of it.
    ///
    /// # Errors
    ///
    /// As [`Self::send_message`], and `NO_MESSAGE_OPEN`.
    pub fn close_message(&self) -> Result<()> {
        self.operate_step(|inner| {
            if inner.is_strict(self) {
                inner.line_ends.finish()?;
            }
            self.take_content(inner, &mut NoContent, true)
        })
    }

    /// Runs a step of a message: if it fails, the record tells what has become of it.
    fn operate_step(&self, step: impl FnOnce(&mut Inner) -> Result<()>) -> Result<()> {
        self.operate(|inner| step(inner).map_err(|error| error.with_outcome(self.shared.lock().status.outcome())))
    }

    /// Content that can be had twice is looked at before anything of it is sent.
    fn append(&self, inner: &mut Inner, source: &mut dyn Source, is_strict: bool) -> Result<()> {
        let mut check = inner.line_ends.clone();
        if is_strict {
            check_line_ends(source, &mut check, false)?;
            source.rewind()?;
        }
        self.take_content(inner, source, false)?;
        inner.line_ends = check;
        Ok(())
    }

    fn take_content(&self, inner: &mut Inner, source: &mut dyn Source, last: bool) -> Result<()> {
        let begin = |session: &mut Session, now, _: &mut _| session.take_content(last, now);
        self.run_command(inner, Some(source), begin, Status::take_content)
    }
}

impl Inner {
    fn is_strict(&self, client: &Client) -> bool {
        let settings = &client.shared.lock().settings;
        settings.strict_line_ends && !settings.binary
    }
}
