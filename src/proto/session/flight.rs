//! Whole messages in flight: MAIL, RCPT and the content as one BDAT, behind each other,
//! with no wait for any reply.

use super::batch::{Batch, BatchMode, Window};
use super::transaction::Next;
use super::{Outcome, Session, State};
use crate::error::{Code, Error, Phase};
use crate::proto::command::Command;
use crate::proto::ledger::Pending;
use crate::proto::limits::OUTPUT_CHUNK;
use crate::proto::moment::Moment;

/// Every server takes so many recipients at a time (RFC 5321 section 4.5.3.1.8).
const RECIPIENTS: usize = 100;

// What goes out
impl Session {
    /// Whether the draft may go out as a whole, with no reply awaited: it is short, and
    /// one transaction is likely to do.
    pub(super) fn draft_flies(&self) -> bool {
        let Some(envelope) = self.batch.draft.as_ref().map(|draft| &draft.envelope) else { return false };
        let limits = self.capabilities.limits;
        self.mode() == BatchMode::InFlight
            && matches!(self.state, State::Ready | State::Flight)
            && envelope.size().is_some_and(|size| size <= OUTPUT_CHUNK as u64)
            && envelope.is_repeatable()
            && envelope.len() <= limits.rcpt.map_or(RECIPIENTS, |most| RECIPIENTS.min(most as usize))
            && limits.rcpt_domain.is_none_or(|most| !envelope.has_more_domains(most as usize))
            && (!envelope.is_all_or_nothing() || envelope.len() == 1)
            && !self.is_used_up()
    }

    /// Whether another message may be in flight.
    pub(super) fn has_room(&self) -> bool {
        let Some(Window { messages, octets, .. }) = self.batch.window else { return false };
        self.mode() == BatchMode::InFlight
            && self.batch.behind.len() + 1 < messages as usize
            && self.batch.octets < octets
            && self.out.waiting().len() < OUTPUT_CHUNK
            && self.out.is_whole()
            && !self.is_used_up()
    }

    /// Gives the next piece of the message; only when [`super::Want::Gather`] was said.
    pub fn gather(&mut self, piece: &[u8]) {
        let Batch { draft, gathered, .. } = &mut self.batch;
        let draft = draft.get_or_insert_default();
        if draft.envelope.is_binary() {
            gathered.extend_from_slice(piece);
        } else {
            draft.stuffer.push(piece, gathered);
        }
        draft.content_octets += piece.len() as u64;
    }

    /// Takes note that the content cannot be had; only when [`super::Want::Gather`] was
    /// said. Nothing of the message has left, so the others are not concerned.
    pub fn drop_gathered(&mut self, error: Box<Error>) {
        self.batch.gathering = false;
        self.refuse_draft(error);
    }

    /// Ends the message, and sends it; only when [`super::Want::Gather`] was said.
    pub fn finish_gathered(&mut self, now: Moment) {
        self.since = now;
        let Batch { draft, gathered, gathering, octets, .. } = &mut self.batch;
        let draft = draft.get_or_insert_default();
        *gathering = false;
        if !draft.envelope.is_binary() {
            draft.stuffer.finish(gathered);
        }
        if gathered.is_empty() {
            // RFC 3030 allows an empty last chunk, but not all servers do.
            gathered.extend_from_slice(b"\r\n");
        }
        *octets += draft.content_octets;
        let is_first = self.state == State::Ready;
        self.note_mode(BatchMode::InFlight);
        self.with_draft(|session| session.queue_whole(!is_first));
        self.enqueue_draft(is_first);
        self.state = State::Flight;
    }

    /// Queues everything of a message.
    fn queue_whole(&mut self, rides: bool) {
        let octets = self.mail.content_octets;
        self.mail.begin(true);
        self.mail.content_octets = octets;
        self.mail.rode = rides;
        self.transactions += 1;
        if rides || self.stale_transaction {
            self.queue(&Command::Reset, Pending::Reset);
        }
        self.queue_mail();
        for index in 0..self.mail.envelope.len() {
            self.queue_rcpt(index);
        }
        self.mail.next = Next::Nothing;
        let from = self.out.end();
        Command::LastChunk(self.batch.gathered.len() as u64).write_to(self.out.buffer());
        self.trace.command(self.out.since(from), None);
        self.trace.content(&self.batch.gathered, true);
        self.out.buffer().extend_from_slice(&self.batch.gathered);
        self.mail.end_at = self.out.queued();
        self.ledger.enter(Pending::End, self.mail.end_at);
    }
}

// What comes back
impl Session {
    /// The reply to the end of a message that went out as a whole.
    pub(super) fn on_flown(&mut self) {
        let reply = self.parser.reply();
        let is_positive = reply.is_positive();
        // Taken from a sender that was refused: whatever that means, it may have been sent.
        if (is_positive && self.mail.refusal.is_some()) || (!is_positive && !reply.is_negative()) {
            self.mail.outcome = Outcome::Unknown;
            self.mail.refusal = None;
            return self.handle_unexpected(Phase::End);
        }
        self.stale_transaction = !is_positive;
        self.mail.end_reply.copy_from(reply);
        if self.mail.refusal.is_some() {
            self.end_refused_flight();
        } else if self.mail.accepted == 0 {
            if self.mail.envelope.waiting() > 0 {
                return self.send_again();
            }
            let error = self.recipients_refused();
            self.settle_message(Err(error));
        } else if is_positive {
            self.mail.outcome = Outcome::Accepted;
            self.mail.delivered = true;
            self.mail.envelope.settle_all(Outcome::Accepted, None);
            if self.mail.envelope.waiting() > 0 {
                return self.send_again();
            }
            self.settle_message(Ok(()));
        } else {
            self.mail.outcome = Outcome::of_refusal(self.parser.reply().code());
            self.settle_refused();
            let what = "the server read the message and refused it".into();
            let error = self.refusal(Code::MESSAGE_REJECTED, Phase::End, what);
            self.settle_message(Err(error));
        }
    }

    /// MAIL was refused, and then the message for want of it.
    fn end_refused_flight(&mut self) {
        if self.was_out_of_place() || self.may_repeat_without_doubted() {
            return self.send_again();
        }
        let error = self.mail.refusal.take().map_or(Ok(()), Err);
        self.mail.envelope.settle_all(Outcome::NotSent, None);
        self.settle_message(error);
    }
}
