//! Sending a message by commands of the caller's own.

use super::arguments::{Content, fill_sender, fill_wishes, with_mailbox};
use super::call::{Call, Check};
use super::core::{Client, Inner, Progress};
use super::feed::Feed;
use super::send::check_line_ends;
use super::status::Status;
use crate::drive::{File, Memory, Reader, Source};
use crate::error::Result;
use crate::proto::{Envelope, LineEndCheck, Session};

impl Client {
    /// Begins a message with MAIL, for recipients and content to follow.
    ///
    /// # Errors
    ///
    /// `INVALID_ADDRESS`, `MESSAGE_TOO_LARGE` and the like before anything is sent;
    /// `MESSAGE_OPEN` if another was begun; `SENDER_REJECTED`; else whatever the
    /// attempt met.
    pub fn create_message(&self, sender: &str, size: Option<u64>) -> Result<Progress> {
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
            let begin = |session: &mut Session, now, envelope: &mut Envelope| session.begin_message(envelope, now);
            self.begin_command(inner, None, false, begin, Status::take_outcome).map(Call::new)
        })
    }

    /// Adds a recipient with RCPT.
    ///
    /// # Errors
    ///
    /// `INVALID_ADDRESS`, `NO_MESSAGE_OPEN` before anything is sent;
    /// `RECIPIENT_REJECTED`, after which the message is still open; else whatever
    /// the attempt met.
    pub fn add_recipient(&self, address: &str) -> Result<Progress> {
        self.operate_step(|inner| {
            with_mailbox(address, |mailbox| {
                let own = self.shared.lock().settings.wishes.of_recipient(mailbox.as_str()).cloned();
                let begin = |session: &mut Session, now, _: &mut _| session.add_recipient(mailbox, own, now);
                self.begin_command(inner, None, false, begin, Status::take_recipient).map(Call::new)
            })
        })
    }

    /// Gives content of the message that was begun; the first time it sends DATA.
    ///
    /// # Errors
    ///
    /// `NO_MESSAGE_OPEN`, `NO_RECIPIENTS`, `FILE` before anything is sent;
    /// `DATA_REJECTED`, or whatever the attempt met.
    pub fn append_message<'a>(&self, content: impl FnOnce() -> Result<Content<'a>>) -> Result<Progress> {
        self.operate_step(|inner| {
            let is_strict = inner.is_strict(self);
            match content()? {
                Content::Memory(octets) => {
                    let check = self.look_ahead(inner, &mut Memory::new(octets), is_strict)?;
                    self.take_content(inner, Feed::Memory(Memory::new(octets)), check, false)
                }
                Content::File(path) => {
                    let mut file = File::open(path)?;
                    let check = self.look_ahead(inner, &mut file, is_strict)?;
                    self.take_content(inner, Feed::Other(Box::new(file)), check, false)
                }
                Content::Reader { read, .. } => {
                    let check = is_strict
                        .then(|| Box::new(Check { state: inner.line_ends.clone(), passing: true, ends: false }));
                    self.take_content(inner, Feed::Other(Box::new(Reader::new(read))), check, false)
                }
                Content::Source { source, .. } => self.take_content(inner, Feed::Other(source), None, false),
            }
        })
    }

    /// Ends the message that was begun, and reads what the server makes of it.
    ///
    /// # Errors
    ///
    /// As [`Self::send_message`], and `NO_MESSAGE_OPEN`.
    pub fn close_message(&self) -> Result<Progress> {
        self.operate_step(|inner| {
            if inner.is_strict(self) {
                inner.line_ends.finish()?;
            }
            self.take_content(inner, Feed::nothing(), None, true)
        })
    }

    /// Runs a step of a message: if it fails, the record tells what has become of it.
    fn operate_step<'a>(&self, step: impl FnOnce(&mut Inner) -> Result<Call<'a>>) -> Result<Progress> {
        self.operate(|inner| {
            let call = step(inner).map_err(|error| self.with_outcome(true, error))?;
            Ok(call.of_message())
        })
    }

    /// Content that can be had twice is looked at before anything of it is sent.
    fn look_ahead(&self, inner: &Inner, source: &mut dyn Source, is_strict: bool) -> Result<Option<Box<Check>>> {
        if !is_strict {
            return Ok(None);
        }
        let mut state = inner.line_ends.clone();
        check_line_ends(source, &mut state, false)?;
        source.rewind()?;
        Ok(Some(Box::new(Check { state, passing: false, ends: false })))
    }

    fn take_content<'a>(
        &self,
        inner: &mut Inner,
        feed: Feed<'a>,
        check: Option<Box<Check>>,
        last: bool,
    ) -> Result<Call<'a>> {
        let begin = |session: &mut Session, now, _: &mut _| session.take_content(last, now);
        let stage = self.begin_command(inner, None, true, begin, Status::take_content)?;
        Ok(Call { feed, check, ..Call::new(stage) })
    }
}

impl Inner {
    fn is_strict(&self, client: &Client) -> bool {
        let settings = &client.shared.lock().settings;
        settings.strict_line_ends && !settings.binary
    }
}
