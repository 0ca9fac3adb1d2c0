//! Many messages, and what became of each.

use super::access::Recipient;
use super::arguments::fill_envelope;
use crate::error::{Code, Error, Phase, Result, ServerReply};
use crate::net::sys::process_epoch;
use crate::proto::{Envelope, Outcome, RecipientState, Reply, Settled, queue_id};
use parking_lot::{Mutex, MutexGuard};
use std::ops::Range;
use std::sync::Arc;

/// A batch: messages are added, sent together, and looked at. Its lock is held for
/// moments, never across a callback.
#[derive(Debug)]
pub struct Batch {
    state: Mutex<State>,
    epoch: u64,
}

#[derive(Debug, Default)]
struct State {
    /// Shared with the call that sends them, and not changed meanwhile.
    messages: Arc<Messages>,
    fates: Vec<Fate>,
    /// The recipients of all messages, one behind the other.
    recipients: Vec<(RecipientState, Option<Box<ServerReply>>)>,
    /// The texts of replies.
    replies: Vec<u8>,
    /// For the addresses of a message that is added.
    envelope: Envelope,
    /// A call sends it.
    sending: bool,
}

/// The messages, with all that they are made of in one piece of memory, so that a batch
/// that is cleared and filled again allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// The contents.
    octets: Vec<u8>,
    /// The addresses, and the paths of files.
    texts: String,
    pub(super) items: Vec<Item>,
}

/// Where the parts of a message are.
#[derive(Debug)]
pub(super) struct Item {
    sender: Range<usize>,
    /// As an envelope has them.
    recipients: Range<usize>,
    needs_smtputf8: bool,
    /// The content, or the path of the file that has it.
    content: Range<usize>,
    pub(super) is_file: bool,
    /// Its recipients among those of all messages.
    first: usize,
    count: usize,
}

impl Messages {
    /// Puts the sender and the recipients of a message into an envelope.
    pub(super) fn fill(&self, item: &Item, envelope: &mut Envelope) {
        let (sender, recipients) = (&self.texts[item.sender.clone()], &self.texts[item.recipients.clone()]);
        envelope.refill(sender, recipients, item.needs_smtputf8);
    }

    pub(super) fn content(&self, item: &Item) -> &[u8] {
        &self.octets[item.content.clone()]
    }

    pub(super) fn path(&self, item: &Item) -> &str {
        &self.texts[item.content.clone()]
    }

    fn keep(&mut self, octets: &[u8]) -> Range<usize> {
        let from = self.octets.len();
        self.octets.extend_from_slice(octets);
        from..self.octets.len()
    }

    fn keep_text(&mut self, text: &str) -> Range<usize> {
        let from = self.texts.len();
        self.texts.push_str(text);
        from..self.texts.len()
    }
}

#[derive(Clone, Debug, Default)]
struct Fate {
    outcome: Outcome,
    error: Option<Arc<Error>>,
    /// The reply to its end: code, and where the text is.
    code: u16,
    text: Range<usize>,
}

/// What became of one message.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// 0, or the code of the error.
    pub code: i32,
    /// Its fate.
    pub outcome: Outcome,
    /// The code of the reply that decided it, or 0.
    pub reply: u16,
    /// The enhanced status code of that reply.
    pub enhanced: Option<(u8, u16, u16)>,
    /// How many recipients it has.
    pub recipients: usize,
    /// How many the server took it for.
    pub accepted: usize,
    /// How many the server refused.
    pub refused: usize,
}

/// A text about one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportText {
    /// Why it was not accepted, in one sentence.
    Error = 1,
    /// The same as a JSON object.
    ErrorJson = 2,
    /// The text of the reply that decided it.
    Reply = 3,
    /// The name that the server gave it.
    QueueId = 4,
}

impl ReportText {
    /// Every text: its name behind `SMTP_BATCH_TEXT_`, what it is.
    pub const ALL: [(Self, &str, &str); 4] = [
        (Self::Error, "ERROR", "Why the message was not accepted, in one sentence; empty if it was."),
        (Self::ErrorJson, "ERROR_JSON", "The same with everything that is known, as one JSON object."),
        (Self::Reply, "REPLY", "The text of the reply that decided it, its lines joined by line feeds."),
        (Self::QueueId, "QUEUE_ID", "The name that the server gave the message that it accepted, if it can be told."),
    ];
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

// For the program
impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Mutex::default(), epoch: process_epoch() }
    }

    /// Whether the batch belongs to this process.
    ///
    /// # Errors
    ///
    /// `FORKED` in a child of the process that made it.
    pub fn check_process(&self) -> Result<()> {
        if self.epoch == process_epoch() {
            return Ok(());
        }
        Err(Error::caller(Code::FORKED, "the batch was made before this process was forked"))
    }

    /// Adds a message that is copied.
    ///
    /// # Errors
    ///
    /// `INVALID_ADDRESS`, `NO_RECIPIENTS` and the like; `BATCH_BUSY`.
    pub fn add(&self, sender: &str, recipients: &str, message: &[u8]) -> Result<()> {
        self.push(sender, recipients, |messages| messages.keep(message), false)
    }

    /// Adds a message that is in a file, which is opened when its turn comes.
    ///
    /// # Errors
    ///
    /// As [`Self::add`].
    pub fn add_file(&self, sender: &str, recipients: &str, path: &str) -> Result<()> {
        self.push(sender, recipients, |messages| messages.keep_text(path), true)
    }

    fn push(
        &self,
        sender: &str,
        recipients: &str,
        keep: impl FnOnce(&mut Messages) -> Range<usize>,
        is_file: bool,
    ) -> Result<()> {
        let mut state = self.state.lock();
        let State { messages, fates, recipients: all, envelope, .. } = &mut *state;
        let messages = Arc::get_mut(messages).ok_or_else(busy)?;
        if u32::try_from(messages.items.len() + 1).is_err() {
            return Err(Error::caller(Code::INVALID_PARAMETER, "the batch has as many messages as can be counted"));
        }
        fill_envelope(envelope, sender, recipients)?;
        // Kept as they were understood, so that they need no second thought.
        let sender = messages.keep_text(envelope.sender());
        let recipients = messages.keep_text(envelope.commands());
        let needs_smtputf8 = envelope.address_needs_smtputf8();
        let content = keep(messages);
        let (first, count) = (all.len(), envelope.len());
        messages.items.push(Item { sender, recipients, needs_smtputf8, content, is_file, first, count });
        all.resize_with(first + count, Default::default);
        fates.push(Fate::default());
        Ok(())
    }

    /// Forgets all messages, and keeps the memory.
    ///
    /// # Errors
    ///
    /// `BATCH_BUSY`.
    pub fn clear(&self) -> Result<()> {
        let mut state = self.state.lock();
        let messages = Arc::get_mut(&mut state.messages).ok_or_else(busy)?;
        messages.octets.clear();
        messages.texts.clear();
        messages.items.clear();
        state.fates.clear();
        state.recipients.clear();
        state.replies.clear();
        Ok(())
    }

    /// How many messages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.lock().fates.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What became of a message, also while it is being sent.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` if there is none of this number.
    pub fn report(&self, index: usize) -> Result<Report> {
        let state = self.state.lock();
        let (fate, item) = state.at(index)?;
        let states = &state.recipients[item.first..item.first + item.count];
        let count = |wanted: &[RecipientState]| states.iter().filter(|(state, _)| wanted.contains(state)).count();
        let reply = state.decisive_reply(fate);
        Ok(Report {
            code: fate.error.as_ref().map_or(0, |error| error.code.0),
            outcome: fate.outcome,
            reply: reply.code,
            enhanced: reply.enhanced,
            recipients: item.count,
            accepted: count(&[RecipientState::Accepted]),
            refused: count(&[RecipientState::RefusedTemporary, RecipientState::RefusedPermanent]),
        })
    }

    /// A text about a message.
    ///
    /// # Errors
    ///
    /// As [`Self::report`].
    pub fn report_text(&self, index: usize, which: ReportText) -> Result<String> {
        let state = self.state.lock();
        let (fate, _) = state.at(index)?;
        let error = fate.error.as_deref();
        Ok(match which {
            ReportText::Error => error.map(Error::to_string).unwrap_or_default(),
            ReportText::ErrorJson => error.map(Error::to_json).unwrap_or_default(),
            ReportText::Reply => state.decisive_reply(fate).text,
            ReportText::QueueId if fate.outcome == Outcome::Accepted => {
                queue_id(&state.last_reply(fate).text).unwrap_or_default().to_owned()
            }
            ReportText::QueueId => String::new(),
        })
    }

    /// What became of a recipient of a message.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` if there is no such message or recipient.
    pub fn recipient(&self, index: usize, recipient: usize) -> Result<Recipient> {
        let mut state = self.state.lock();
        let (_, item) = state.at(index)?;
        if recipient >= item.count {
            let what = format!("message {index} has no recipient {recipient}: it has {}", item.count);
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        }
        let place = item.first + recipient;
        let State { messages, envelope, .. } = &mut *state;
        messages.fill(&messages.items[index], envelope);
        let address = envelope.recipient(recipient).unwrap_or_default().to_owned();
        let (state, refusal) = &state.recipients[place];
        Ok(Recipient { address, state: *state, refusal: refusal.as_deref().cloned() })
    }
}

// For the call that sends it
impl Batch {
    /// Takes the messages to send them; [`Self::end_sending`] gives them back.
    pub(super) fn begin_sending(&self) -> Result<Arc<Messages>> {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.sending, true) {
            return Err(busy());
        }
        // What was never sent is tried anew.
        for fate in state.fates.iter_mut().filter(|fate| fate.outcome == Outcome::NotSent) {
            fate.error = None;
        }
        Ok(Arc::clone(&state.messages))
    }

    pub(super) fn end_sending(&self, messages: &mut Arc<Messages>) {
        let mut state = self.state.lock();
        // The last one who has them is the batch.
        *messages = Arc::default();
        state.sending = false;
    }

    /// The next message, from one on, that was not sent.
    pub(super) fn next_unsent(&self, from: usize) -> Option<usize> {
        let state = self.state.lock();
        (from..state.fates.len()).find(|index| state.fates[*index].outcome == Outcome::NotSent)
    }

    /// A message cannot be sent.
    pub(super) fn refuse(&self, index: usize, error: Box<Error>) {
        if let Some(fate) = self.state.lock().fates.get_mut(index) {
            fate.error = Some(Arc::from(error.with_outcome(Outcome::NotSent)));
        }
    }

    /// Writes down what became of a message.
    pub(super) fn settle(&self, settled: &Settled) {
        let mut state = self.state.lock();
        let State { messages, fates, recipients, replies, .. } = &mut *state;
        let index = settled.number() as usize;
        let (Some(item), Some(fate)) = (messages.items.get(index), fates.get_mut(index)) else { return };
        fate.outcome = settled.outcome();
        fate.error = settled.error().map(|error| Arc::new(error.clone()));
        let envelope = settled.envelope();
        for (number, place) in recipients[item.first..item.first + item.count].iter_mut().enumerate() {
            place.0 = envelope.state(number);
            place.1 = envelope.refusal(number).cloned().map(Box::new);
        }
        let reply = settled.reply();
        fate.code = reply.code();
        let from = replies.len();
        replies.extend_from_slice(reply.text());
        fate.text = from..replies.len();
    }

    /// What the sending has come to as a whole; `result` is that of the connection.
    pub(super) fn conclude(&self, result: Result<()>) -> Result<()> {
        let mut state = self.state.lock();
        if let Err(error) = &result {
            mark_untried(&mut state, error);
        }
        let failed = |fate: &&Fate| fate.outcome != Outcome::Accepted;
        let count = state.fates.iter().filter(failed).count();
        let Some(index) = state.fates.iter().position(|fate| failed(&fate)) else { return Ok(()) };
        let mut error = match (&state.fates[index].error, result) {
            // That it was not begun is not the cause.
            (Some(own), Err(cause)) if own.code == Code::BATCH_ENDED => cause.with_outcome(Outcome::NotSent),
            (Some(own), _) => Box::new(Error::clone(own)),
            (None, result) => return result,
        };
        let total = state.fates.len();
        error.what =
            format!("{count} of {total} messages were not accepted, the first being message {index}: {}", error.what);
        Err(error)
    }
}

/// Gives those that were not reached an error of their own.
fn mark_untried(state: &mut MutexGuard<'_, State>, cause: &Error) {
    let mut shared = None;
    for fate in state.fates.iter_mut().filter(|fate| fate.outcome == Outcome::NotSent && fate.error.is_none()) {
        let error = shared.get_or_insert_with(|| {
            let what = format!("the message was not begun, since the call had ended before: {}", cause.what);
            Arc::from(Error::new(Code::BATCH_ENDED, Phase::Idle, what).with_outcome(Outcome::NotSent))
        });
        fate.error = Some(Arc::clone(error));
    }
}

impl State {
    fn at(&self, index: usize) -> Result<(&Fate, &Item)> {
        self.fates.get(index).zip(self.messages.items.get(index)).ok_or_else(|| {
            let what = format!("there is no message {index}: the batch has {}", self.fates.len());
            Error::caller(Code::INVALID_PARAMETER, what)
        })
    }

    /// The reply to the end of a message; the code is 0 if there was none.
    fn last_reply(&self, fate: &Fate) -> ServerReply {
        Reply::record_of(fate.code, &self.replies[fate.text.clone()])
    }

    /// The reply that decided on a message.
    fn decisive_reply(&self, fate: &Fate) -> ServerReply {
        match fate.error.as_ref().and_then(|error| error.reply.as_ref()) {
            Some(reply) => reply.clone(),
            None => self.last_reply(fate),
        }
    }
}

fn busy() -> Box<Error> {
    Error::caller(Code::BATCH_BUSY, "the batch is being sent")
}
