//! Sending a batch: its messages as a source for the session, and their fates back.

use super::arguments::fill_wishes;
use super::batch::{Batch, Item, Messages};
use super::call::Call;
use super::core::{Client, Inner, Progress};
use super::event::{Event, EventKind};
use super::feed::Feed;
use super::left_out::LeftOut;
use super::send::{check_line_ends, describe, measure};
use super::settings::{Chunking, Settings};
use super::status::Status;
use crate::drive::{Connection, File, Memory, Source};
use crate::error::{Code, Error, Result};
use crate::proto::{Envelope, LineEndCheck, OUTPUT_CHUNK, Session, Settled, Window, Withheld};
use std::ops::Range;
use std::sync::Arc;

/// How a server that does not bear messages behind each other is remembered among the
/// extensions that are left out: no keyword of EHLO is written like this.
const BEHIND_EACH_OTHER: &str = "messages behind each other";

impl Client {
    /// Sends the messages of a batch that were not sent before. [`Batch::report`] tells
    /// what became of each.
    ///
    /// # Errors
    ///
    /// `NOT_CONNECTED`, `MESSAGE_OPEN`, `BATCH_BUSY`; else the error of the first message
    /// that was not accepted.
    pub fn send_batch(&self, batch: &Arc<Batch>) -> Result<Progress> {
        self.operate(|inner| {
            inner.expect_no_message()?;
            inner.expect_connection()?;
            let settings = self.shared.lock().settings.clone();
            let window = window_of(inner, &settings);
            let session = inner.connection.as_ref().and_then(Connection::session);
            let chunks = window.chunks && session.is_some_and(|session| session.capabilities().chunking);
            let delivery = Delivery::begin(batch, settings, chunks)?;
            // Of the last message the batch alone tells.
            self.shared.lock().status.begin_message();
            self.live.begin_message();
            let begin = |session: &mut Session, now, _: &mut Envelope| session.send_batch(window, now);
            let stage = self.begin_command(inner, None, false, begin, Status::take_batch)?;
            let feed = Feed::Other(Box::new(delivery));
            Ok(Call { feed, batch: Some(Arc::clone(batch)), ..Call::new(stage) })
        })
    }

    /// Takes over what the end of the call has settled.
    pub(super) fn take_settled(&self, inner: &mut Inner, batch: &Batch) {
        let Some(session) = inner.connection.as_mut().and_then(Connection::session_mut) else { return };
        for settled in session.settled() {
            batch.settle(settled);
            let event =
                Event { message: Some((settled.number(), settled.outcome())), ..Event::plain(EventKind::Message) };
            self.tell(inner.sink.as_ref(), &event);
        }
        session.clear_settled();
    }

    /// Remembers a server that was found not to bear messages behind each other.
    pub(super) fn learn_blame(&self, connection: &mut Connection, left_out: &mut LeftOut) {
        let Some(reason) = connection.session_mut().and_then(Session::take_blame) else { return };
        self.note(|| format!("{reason}: batches go to it one by one from now on"));
        let plan = connection.plan();
        left_out.add(&plan.host, plan.port, Withheld { keyword: BEHIND_EACH_OTHER.to_owned(), reason });
    }
}

/// How much may be in flight at a time on the present connection.
fn window_of(inner: &Inner, settings: &Settings) -> Window {
    let plain = inner.connection.as_ref().map(Connection::plan).is_some_and(|plan| {
        inner.left_out.of(&plan.host, plan.port).any(|extension| extension.keyword == BEHIND_EACH_OTHER)
    });
    Window {
        messages: settings.batch.messages,
        octets: u64::from(settings.batch.octets),
        chunks: settings.chunking != Chunking::Never,
        plain,
    }
}

/// A batch on its way; owns what it needs, so that it can be left and gone on with.
struct Delivery {
    batch: Arc<Batch>,
    messages: Arc<Messages>,
    settings: Settings,
    /// The server knows BDAT, and it may be used.
    chunks: bool,
    /// The message to look at next.
    next: usize,
    /// The message whose content is given, and what is left of that in memory.
    selected: usize,
    rest: Range<usize>,
    file: Option<File>,
}

impl Delivery {
    fn begin(batch: &Arc<Batch>, settings: Settings, chunks: bool) -> Result<Self> {
        let messages = batch.begin_sending()?;
        Ok(Self {
            batch: Arc::clone(batch),
            messages,
            settings,
            chunks,
            next: 0,
            selected: usize::MAX,
            rest: 0..0,
            file: None,
        })
    }

    fn item(&self, index: usize) -> Result<&Item> {
        // Numbers come from here.
        self.messages.items.get(index).ok_or_else(|| Error::caller(Code::INTERNAL, "a message that is not there"))
    }

    /// Makes a message ready to be sent.
    fn prepare(&mut self, index: usize, envelope: &mut Envelope) -> Result<()> {
        let messages = Arc::clone(&self.messages);
        let item = self.item(index)?;
        messages.fill(item, envelope);
        fill_wishes(envelope, &self.settings)?;
        envelope.set_chunks(self.settings.chunking != Chunking::Never);
        let is_strict = self.settings.strict_line_ends && !self.settings.binary;
        if !item.is_file {
            let content = messages.content(item);
            describe(envelope, content, false);
            envelope.set_size(Some(content.len() as u64));
            if is_strict {
                check_line_ends(&mut Memory::new(content), &mut LineEndCheck::default(), true)?;
            }
            return Ok(());
        }
        // At once, so that a file that is not there concerns its message alone.
        let mut file = File::open(messages.path(item))?;
        if is_strict {
            check_line_ends(&mut file, &mut LineEndCheck::default(), true)?;
            file.rewind()?;
        }
        describe(envelope, file.next()?, true);
        envelope.set_size(file.length());
        self.file = Some(file);
        self.selected = index;
        Ok(())
    }
}

impl Delivery {
    /// Measures what is too long to be in flight with others, so that it goes as one chunk.
    fn measure(&mut self, index: usize, envelope: &mut Envelope) -> Result<()> {
        if !self.chunks || envelope.size().is_some_and(|size| size <= OUTPUT_CHUNK as u64) {
            return Ok(());
        }
        self.select(u32::try_from(index).unwrap_or(u32::MAX))?;
        measure(envelope, self)
    }
}

impl Source for Delivery {
    fn next(&mut self) -> Result<&[u8]> {
        let item = self.messages.items.get(self.selected);
        match (item, &mut self.file) {
            (Some(item), Some(file)) if item.is_file => file.next(),
            (Some(item), _) => {
                let end = self.rest.end.min(self.rest.start + OUTPUT_CHUNK);
                let piece = self.rest.start..end;
                self.rest.start = end;
                Ok(&self.messages.content(item)[piece])
            }
            (None, _) => Ok(&[]),
        }
    }

    fn rewind(&mut self) -> Result<()> {
        self.select(u32::try_from(self.selected).unwrap_or(u32::MAX))
    }

    fn may_wait(&self) -> bool {
        self.file.is_some()
    }

    fn next_message(&mut self, envelope: &mut Envelope) -> Option<u32> {
        loop {
            let index = self.batch.next_unsent(self.next)?;
            self.next = index + 1;
            match self.prepare(index, envelope).and_then(|()| self.measure(index, envelope)) {
                Ok(()) => return u32::try_from(index).ok(),
                Err(error) => self.batch.refuse(index, error),
            }
        }
    }

    fn select(&mut self, number: u32) -> Result<()> {
        let index = number as usize;
        let item = self.item(index)?;
        if !item.is_file {
            self.rest = 0..self.messages.content(item).len();
            self.file = None;
        } else if self.selected == index && self.file.is_some() {
            self.file.as_mut().map_or(Ok(()), File::rewind)?;
        } else {
            self.file = Some(File::open(self.messages.path(item))?);
        }
        self.selected = index;
        Ok(())
    }

    fn settled(&mut self, settled: &Settled) {
        self.batch.settle(settled);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.batch.end_sending(&mut self.messages);
    }
}
