//! Sending a message in one call.

use super::arguments::{Arguments, Content, fill_envelope, fill_wishes};
use super::call::{Call, Check, Stage};
use super::core::{Client, Inner, Progress};
use super::feed::Feed;
use super::status::Status;
use crate::drive::{File, Memory, Reader, Shared, Source};
use crate::error::{Code, Error, Result};
use crate::proto::{Envelope, LineEndCheck, Measure, Measurer, Moment, Session, header_needs_smtputf8};

impl Client {
    /// Sends a finished message. The envelope is made of the arguments alone. They
    /// are asked for when it is this call's turn.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, `INVALID_ADDRESS`, `NO_RECIPIENTS` and the like before
    /// anything is sent; `RECIPIENTS_REJECTED` if all were refused; else whatever
    /// the attempt met. [`super::Property::Outcome`] says what became of the message.
    pub fn send_message<'a>(&self, arguments: impl FnOnce() -> Result<Arguments<'a>>) -> Result<Progress> {
        self.operate_message(|inner| {
            let arguments = arguments()?;
            inner.expect_connection()?;
            let (mut feed, check) = self.prepare(inner, arguments)?;
            let stage = self.begin_sending(inner, &mut feed, None)?;
            Ok(Call { feed, check, ..Call::new(stage) })
        })
    }

    /// Looks at a message and makes its envelope, before anything is sent.
    pub(super) fn prepare<'a>(
        &self,
        inner: &mut Inner,
        arguments: Arguments<'a>,
    ) -> Result<(Feed<'a>, Option<Box<Check>>)> {
        let Arguments { sender, recipients, message } = arguments;
        fill_envelope(&mut inner.envelope, sender, recipients)?;
        let is_strict = {
            let settings = &self.shared.lock().settings;
            fill_wishes(&mut inner.envelope, settings)?;
            settings.strict_line_ends && !settings.binary
        };
        match message {
            Content::Memory(octets) => {
                describe(&mut inner.envelope, octets, false);
                if is_strict {
                    check_line_ends(&mut Memory::new(octets), &mut LineEndCheck::default(), true)?;
                }
                inner.envelope.set_size(Some(octets.len() as u64));
                Ok((Feed::Memory(Memory::new(octets)), None))
            }
            Content::Shared(octets) => {
                describe(&mut inner.envelope, &octets, false);
                if is_strict {
                    check_line_ends(&mut Memory::new(&octets), &mut LineEndCheck::default(), true)?;
                }
                inner.envelope.set_size(Some(octets.len() as u64));
                Ok((Feed::Other(Box::new(Shared::new(octets))), None))
            }
            Content::File(path) => {
                let mut file = File::open(path)?;
                if is_strict {
                    check_line_ends(&mut file, &mut LineEndCheck::default(), true)?;
                    file.rewind()?;
                }
                describe(&mut inner.envelope, file.next()?, true);
                file.rewind()?;
                inner.envelope.set_size(file.length());
                Ok((Feed::Other(Box::new(file)), None))
            }
            Content::Reader { size, read } => {
                // What is not known before it is read may have octets beyond ASCII.
                inner.envelope.set_eight_bit(true);
                inner.envelope.set_size(size);
                let check =
                    is_strict.then(|| Box::new(Check { state: LineEndCheck::default(), passing: true, ends: true }));
                Ok((Feed::Other(Box::new(Reader::new(read))), check))
            }
            Content::Source { size, repeatable, eight_bit, header_utf8, source } => {
                inner.envelope.set_repeatable(repeatable);
                inner.envelope.set_eight_bit(eight_bit);
                inner.envelope.set_size(size);
                if header_utf8 {
                    inner.envelope.set_header_utf8(true);
                }
                Ok((Feed::Other(source), None))
            }
        }
    }

    /// Begins to send the message that was prepared.
    pub(super) fn begin_sending(&self, inner: &mut Inner, feed: &mut Feed<'_>, end: Option<Moment>) -> Result<Stage> {
        inner.measure(feed.source())?;
        let begin = |session: &mut Session, now, envelope: &mut Envelope| session.send(envelope, now);
        self.begin_command(inner, end, true, begin, Status::take_message)
    }
}

impl Inner {
    /// Learns how long the message will be on the wire where it goes out with BDAT.
    fn measure(&mut self, source: &mut dyn Source) -> Result<()> {
        let session = self.connection.as_ref().and_then(|connection| connection.session());
        let chunks = self.envelope.prefers_chunks() && session.is_some_and(|session| session.capabilities().chunking);
        if !chunks || !self.envelope.is_repeatable() {
            return Ok(());
        }
        measure(&mut self.envelope, source)
    }

    /// A message that was begun step by step must not be forgotten for another one.
    pub(super) fn expect_no_message(&self) -> Result<()> {
        let session = self.connection.as_ref().and_then(|connection| connection.session());
        if session.is_some_and(Session::is_message_open) {
            let what = "a message was begun with SmtpCreateMessage and is not complete";
            return Err(Error::caller(Code::MESSAGE_OPEN, what));
        }
        Ok(())
    }
}

/// Tells the envelope how long its content will be on the wire with BDAT.
pub(super) fn measure(envelope: &mut Envelope, source: &mut dyn Source) -> Result<()> {
    let is_binary = envelope.is_binary();
    if let Some(length) = envelope.size().filter(|_| is_binary) {
        envelope.set_measure(Measure::of_binary(length));
        return Ok(());
    }
    let (mut measurer, mut octets) = (Measurer::default(), 0);
    loop {
        let piece = source.next()?;
        if piece.is_empty() {
            break;
        }
        octets += piece.len() as u64;
        if !is_binary {
            measurer.push(piece);
        }
    }
    envelope.set_measure(if is_binary { Measure::of_binary(octets) } else { measurer.finish() });
    source.rewind()
}

/// Tells the envelope what its content, which can be had again, is like; `more` if
/// these are only its first octets.
pub(super) fn describe(envelope: &mut Envelope, octets: &[u8], more: bool) {
    let is_ascii = is_ascii(octets);
    envelope.set_repeatable(true);
    envelope.set_eight_bit(more || !is_ascii);
    if !is_ascii && header_needs_smtputf8(octets) {
        envelope.set_header_utf8(true);
    }
}

/// As the function of this name of a slice, for what is nearly always ASCII: in lanes,
/// without a look at each step whether it still is.
fn is_ascii(octets: &[u8]) -> bool {
    const LANES: usize = 64;
    let (pieces, rest) = octets.as_chunks::<LANES>();
    let mut all = [0_u8; LANES];
    for piece in pieces {
        (0..LANES).for_each(|lane| all[lane] |= piece[lane]);
    }
    all.is_ascii() && rest.is_ascii()
}

/// Reads a source to its end; `ends` if that is the end of the message too.
pub(super) fn check_line_ends(source: &mut dyn Source, check: &mut LineEndCheck, ends: bool) -> Result<()> {
    loop {
        let piece = source.next()?;
        if piece.is_empty() {
            return if ends { check.finish() } else { Ok(()) };
        }
        check.push(piece)?;
    }
}
