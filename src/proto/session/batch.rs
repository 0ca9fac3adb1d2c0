//! Many messages in one command: which of them is sent when, and how each is handed
//! back. [`super::flight`] has those that are in flight as a whole.
//!
//! `mail` is always the oldest message that is not settled: the one that replies
//! belong to. What was sent behind it waits in `behind`, oldest first. A message gets
//! its commands queued by the same functions as any other: for as long as that takes
//! it is put into the place of `mail`.
//!
//! Rules they keep:
//!
//! 1. With DATA the next envelope goes out behind the end of a message, its content
//!    only when all before it is settled (RFC 2920 section 3.1).
//! 2. With BDAT whole messages go out behind each other, each behind a RSET: where the
//!    server still has an earlier transaction open, recipients of two messages would mix.
//! 3. What may need a further transaction, or may go out only when earlier replies are
//!    known, waits until all before it is settled, and so does all that follows.
//! 4. A message is sent again only where the replies prove that the server has not taken it.

use super::handle::add_that_it_may_be_there;
use super::transaction::{Next, Transaction};
use super::{Outcome, Session, State, Want, add_that_others_have_it};
use crate::error::{Class, Code, Error, Result};
use crate::proto::dot::DotStuffer;
use crate::proto::envelope::Envelope;
use crate::proto::ledger::Pending;
use crate::proto::limits::OUTPUT_CHUNK;
use crate::proto::moment::Moment;
use crate::proto::reply::Reply;
use std::collections::VecDeque;

/// How the messages of a batch follow on each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchMode {
    /// Each when the one before is settled.
    #[default]
    OneByOne = 0,
    /// The envelope of each right behind the end of the one before.
    Pipelined = 1,
    /// Whole messages behind each other.
    InFlight = 2,
}

/// How much may be in flight at a time.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// So many messages; 1 sends one by one.
    pub messages: u32,
    /// So many octets of content.
    pub octets: u64,
    /// Whole messages may be in flight, with BDAT.
    pub chunks: bool,
    /// The server is known not to bear it: one by one.
    pub plain: bool,
}

/// A message of a batch whose fate is known.
#[derive(Debug)]
pub struct Settled {
    mail: Box<Transaction>,
    error: Option<Box<Error>>,
}

impl Settled {
    /// The number it was given with.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.mail.number
    }

    /// Its fate.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.mail.outcome()
    }

    /// Its envelope, with what became of each recipient.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.mail.envelope
    }

    /// The server's reply to its end; the code is 0 if there was none.
    #[must_use]
    pub fn reply(&self) -> &Reply {
        &self.mail.end_reply
    }

    /// Why it was not accepted for anybody, or not for all that it should have been.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.error.as_deref()
    }
}

/// A batch under way.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) on: bool,
    /// The source has not said that there are no more.
    more: bool,
    pub(super) window: Option<Window>,
    /// The next message, while it is being given. There is one once there was a batch.
    pub(super) draft: Option<Box<Transaction>>,
    /// Its content is being taken, before any of it is queued.
    pub(super) gathering: bool,
    pub(super) gathered: Vec<u8>,
    /// It waits until everything before it is settled.
    pub(super) held: bool,
    /// What was sent behind the message that replies belong to.
    pub(super) behind: VecDeque<Box<Transaction>>,
    /// The octets of content in flight.
    pub(super) octets: u64,
    /// What is to be begun once more, when everything is settled.
    again: VecDeque<Box<Transaction>>,
    settled: Vec<Settled>,
    #[allow(clippy::vec_box)] // they are moved about
    spare: Vec<Box<Transaction>>,
    /// What the batch came to so far; the mode that was used.
    mode: BatchMode,
    /// The server has answered a message that went out behind another.
    proven: bool,
    /// It was found not to bear that.
    blamed: Option<String>,
}

impl Batch {
    pub(super) fn draft(&mut self) -> &mut Transaction {
        self.draft.get_or_insert_default()
    }

    /// Takes the draft, and leaves another in its place.
    fn take_draft(&mut self) -> Box<Transaction> {
        let next = self.spare.pop().unwrap_or_default();
        self.draft.replace(next).unwrap_or_default()
    }
}

// For the driver
impl Session {
    /// Sends many messages: each is asked for with [`super::Want::Next`] and handed back
    /// in [`Self::settled`].
    ///
    /// # Errors
    ///
    /// Before anything is sent: `NOT_CONNECTED`, `MESSAGE_OPEN`.
    pub fn send_batch(&mut self, window: Window, now: Moment) -> Result<()> {
        self.expect_ready()?;
        self.since = now;
        self.mail.running = false;
        let batch = &mut self.batch;
        batch.on = true;
        batch.more = true;
        batch.window = Some(window);
        batch.gathering = false;
        batch.held = false;
        batch.octets = 0;
        batch.mode = BatchMode::OneByOne;
        batch.settled.clear();
        batch.blamed = None;
        Ok(())
    }

    /// An envelope to fill with the next message.
    pub fn next_envelope(&mut self) -> &mut Envelope {
        &mut self.batch.draft().envelope
    }

    /// Takes the message over whose envelope was filled; only when [`super::Want::Next`]
    /// was said. `number` is what it is handed back with.
    pub fn add_message(&mut self, number: u32, now: Moment) {
        self.since = now;
        let draft = self.batch.draft();
        draft.prepare();
        draft.number = number;
        draft.rewind = true;
        draft.content_octets = 0;
        draft.stuffer = DotStuffer::without_dots();
        draft.end_reply.clear();
        let checked = self.batch.draft.as_ref().map_or(Ok(()), |draft| self.check_envelope(&draft.envelope));
        if let Err(error) = checked {
            return self.refuse_draft(error);
        }
        if self.draft_flies() {
            self.batch.gathering = true;
            self.batch.gathered.clear();
        } else if self.state == State::End {
            self.send_envelope_behind();
        } else {
            self.batch.held = true;
            self.go_on_with_batch();
        }
    }

    /// Takes note that there are no more messages; only when [`super::Want::Next`] was said.
    pub fn end_messages(&mut self) {
        self.batch.more = false;
        self.go_on_with_batch();
    }

    /// The messages whose fate was found since they were last cleared.
    #[must_use]
    pub fn settled(&self) -> &[Settled] {
        &self.batch.settled
    }

    /// Forgets them, for their memory to be used again.
    pub fn clear_settled(&mut self) {
        let batch = &mut self.batch;
        batch.spare.extend(batch.settled.drain(..).map(|settled| settled.mail));
        batch.spare.truncate(if batch.on { SPARE } else { SPARE_AT_REST });
    }

    /// The number of the message whose content is asked for.
    #[must_use]
    pub fn message_number(&self) -> u32 {
        match &self.batch.draft {
            Some(draft) if self.batch.gathering => draft.number,
            _ => self.mail.number,
        }
    }

    /// How the messages of the last batch followed on each other.
    #[must_use]
    pub fn batch_mode(&self) -> BatchMode {
        self.batch.mode
    }

    /// Why the server was found not to bear messages behind each other, once.
    pub fn take_blame(&mut self) -> Option<String> {
        self.batch.blamed.take()
    }
}

/// The memory of so many messages is kept for the next ones, and between batches.
const SPARE: usize = 64;
const SPARE_AT_REST: usize = 4;

// What is done next
impl Session {
    /// How messages may follow on each other now.
    pub(super) fn mode(&self) -> BatchMode {
        match self.batch.window {
            Some(window) if window.messages > 1 && !window.plain => {
                if !self.capabilities.pipelining || self.config.lmtp {
                    BatchMode::OneByOne
                } else if window.chunks && self.capabilities.chunking {
                    BatchMode::InFlight
                } else {
                    BatchMode::Pipelined
                }
            }
            _ => BatchMode::OneByOne,
        }
    }

    /// What the driver has to do about messages to come, if anything.
    pub(super) fn batch_want(&self) -> Option<Want> {
        if self.batch.gathering {
            let is_begun = self.batch.draft.as_ref().is_some_and(|draft| !draft.rewind);
            return Some(if is_begun { Want::Gather } else { Want::Rewind });
        }
        self.takes_message().then_some(Want::Next)
    }

    /// Whether the next message may be given now.
    fn takes_message(&self) -> bool {
        let batch = &self.batch;
        if !batch.more || batch.held || !batch.again.is_empty() {
            return false;
        }
        match self.state {
            State::Ready => true,
            State::End => {
                self.mode() == BatchMode::Pipelined
                    && batch.behind.is_empty()
                    && !self.mail.chunked
                    && self.mail.envelope.waiting() == 0
                    && !self.is_used_up()
                    && self.out.waiting().len() < OUTPUT_CHUNK / 4
            }
            State::Flight => self.has_room(),
            _ => false,
        }
    }

    /// Puts the draft into the place of the message that replies belong to, to do
    /// something with it.
    pub(super) fn with_draft(&mut self, action: impl FnOnce(&mut Self)) {
        self.swap_draft();
        action(self);
        self.swap_draft();
    }

    fn swap_draft(&mut self) {
        if let Some(draft) = &mut self.batch.draft {
            std::mem::swap(&mut self.mail, draft);
        }
    }

    /// The draft is on its way: behind what is, or as the first.
    pub(super) fn enqueue_draft(&mut self, is_first: bool) {
        let draft = self.batch.take_draft();
        if is_first {
            let unused = std::mem::replace(&mut self.mail, draft);
            self.batch.spare.push(unused);
        } else {
            self.batch.behind.push_back(draft);
        }
    }

    /// Sends the envelope of the draft behind the end of the message before.
    fn send_envelope_behind(&mut self) {
        self.note_mode(BatchMode::Pipelined);
        self.with_draft(|session| {
            session.mail.begin(false);
            session.mail.rode = true;
            session.mail.next = Next::Mail;
            session.transactions += 1;
            session.state = State::Envelope;
            session.pump();
            session.state = State::End;
        });
        self.enqueue_draft(false);
    }

    /// Begins the next message, if nothing is under way.
    fn go_on_with_batch(&mut self) {
        if self.state != State::Ready || self.batch.gathering {
            return;
        }
        if let Some(again) = self.batch.again.pop_front() {
            let unused = std::mem::replace(&mut self.mail, again);
            self.batch.spare.push(unused);
            self.begin_transaction();
        } else if self.batch.held {
            self.batch.held = false;
            self.enqueue_draft(true);
            self.begin_transaction();
        } else if !self.batch.more {
            self.batch.on = false;
            self.done = true;
            // As for a single message: whatever comes now, what was taken stays taken.
            self.mail.running = true;
        }
    }

    pub(super) fn note_mode(&mut self, mode: BatchMode) {
        self.batch.mode = mode;
    }
}

// How messages end
impl Session {
    /// The draft cannot be sent.
    pub(super) fn refuse_draft(&mut self, error: Box<Error>) {
        let mail = self.batch.take_draft();
        self.batch.settled.push(Settled { mail, error: Some(error.with_outcome(Outcome::NotSent)) });
        self.go_on_with_batch();
    }

    /// The fate of the oldest message is known: on to what is behind it.
    pub(super) fn settle_message(&mut self, result: Result<()>) {
        let mail = self.next_in_line();
        let outcome = mail.outcome();
        let error = result.err().map(|error| error.with_outcome(outcome));
        self.batch.settled.push(Settled { mail, error });
        self.go_on_with_batch();
    }

    /// The oldest message has to be begun once more, when nothing is in flight.
    pub(super) fn send_again(&mut self) {
        self.mail.rewind = true;
        let mail = self.next_in_line();
        self.batch.again.push_back(mail);
        self.go_on_with_batch();
    }

    /// Puts the next message into the place of the oldest, and gives that.
    fn next_in_line(&mut self) -> Box<Transaction> {
        let flies = self.state == State::Flight;
        self.batch.octets = self.batch.octets.saturating_sub(self.mail.content_octets);
        let next = match self.batch.behind.pop_front() {
            Some(next) => {
                self.state = if flies { State::Flight } else { State::Envelope };
                next
            }
            None => {
                self.state = State::Ready;
                self.batch.octets = 0;
                self.batch.spare.pop().unwrap_or_default()
            }
        };
        let mail = std::mem::replace(&mut self.mail, next);
        if self.state == State::Ready {
            self.mail.prepare();
            self.mail.running = false;
        }
        mail
    }

    /// MAIL behind another message was answered.
    pub(super) fn prove_ride(&mut self) {
        // 503 is what a server says that has lost count.
        if self.mail.rode && self.parser.reply().code() != 503 {
            self.batch.proven = true;
        }
    }

    /// Whether MAIL was refused because it came behind another message: it is
    /// repeated, and the server is not tried with that again.
    pub(super) fn was_out_of_place(&mut self) -> bool {
        let refusal = self.mail.refusal.as_ref().and_then(|error| error.reply.as_ref());
        if !self.mail.rode || refusal.is_none_or(|reply| reply.code != 503) {
            return false;
        }
        self.blame("refused MAIL behind another message as out of place (503)");
        true
    }

    fn blame(&mut self, what: &str) {
        if let Some(window) = &mut self.batch.window {
            window.plain = true;
        }
        self.batch.blamed.get_or_insert_with(|| format!("the server {what}"));
    }

    /// Once all replies are in: begins a transaction again that was out of place.
    pub(super) fn repeat_in_place(&mut self) -> bool {
        if !self.was_out_of_place() {
            return false;
        }
        self.mail.rode = false;
        self.mail.refusal = None;
        self.mail.outcome = Outcome::NotSent;
        self.stale_transaction = true;
        self.begin_envelope();
        true
    }
}

// The session ends
impl Session {
    /// The session has failed: settles what is under way. What was not begun is left
    /// to whoever gave it.
    pub(super) fn settle_lost(&mut self, error: &Error) {
        self.look_for_blame(error);
        // Who says that the connection is being closed does not obey what follows on that.
        let is_closing = error.code == Code::SERVER_CLOSING;
        if self.mail.running {
            let outcome = self.lost_outcome(is_closing);
            self.lose_message(outcome, error);
        }
        while let Some(next) = self.batch.behind.pop_front() {
            self.mail = next;
            let left = self.state == State::Flight && self.end_has_left();
            let outcome = if left && !is_closing { Outcome::Unknown } else { Outcome::NotSent };
            self.lose_message(outcome, error);
        }
        while let Some(again) = self.batch.again.pop_front() {
            self.mail = again;
            self.lose_message(Outcome::NotSent, error);
        }
        self.mail.running = false;
        self.batch.on = false;
        self.batch.gathering = false;
        self.batch.held = false;
    }

    fn lose_message(&mut self, outcome: Outcome, error: &Error) {
        let mut mail = std::mem::take(&mut self.mail);
        mail.outcome = outcome;
        mail.envelope.settle_all(outcome, None);
        let mut own = match mail.refusal.take() {
            // What the server said of the message itself comes first.
            Some(refusal) if matches!(outcome, Outcome::RejectedTemporary | Outcome::RejectedPermanent) => refusal,
            _ => Box::new(error.clone()),
        };
        if outcome == Outcome::Unknown {
            add_that_it_may_be_there(&mut own);
        }
        if mail.delivered {
            add_that_others_have_it(&mut own);
        }
        let outcome = mail.outcome();
        self.batch.settled.push(Settled { mail, error: Some(own.with_outcome(outcome)) });
    }

    /// The fate of the oldest message, when nothing more will be heard.
    fn lost_outcome(&self, is_closing: bool) -> Outcome {
        let mail = &self.mail;
        if mail.outcome != Outcome::NotSent {
            return mail.outcome;
        }
        if self.state == State::Flight && mail.accepted == 0 && self.ledger.oldest() == Some(Pending::End) {
            return self.refused_outcome();
        }
        let left = matches!(self.state, State::End | State::Flight) && self.end_has_left();
        if left && !is_closing { Outcome::Unknown } else { Outcome::NotSent }
    }

    /// Whether the whole of the message was given to the stream.
    pub(super) fn end_has_left(&self) -> bool {
        self.mail.end_at != 0 && self.out.written() >= self.mail.end_at
    }

    /// A connection that ends when for the first time a message goes out behind another
    /// is taken for a sign that the server does not bear that.
    fn look_for_blame(&mut self, error: &Error) {
        let waits_for_it = self.mail.running && self.mail.rode && self.state != State::Content;
        let suspect = match error.code {
            Code::TIMEOUT => waits_for_it,
            Code::SERVER_CLOSING | Code::PROTOCOL | Code::CONNECTION_CLOSED => true,
            _ => error.class() == Class::Wire && error.code != Code::CANCELLED,
        };
        if suspect && !self.batch.proven && (waits_for_it || !self.batch.behind.is_empty()) {
            self.blame("ended the connection when a message went out behind another");
        }
    }
}
