//! The content of a message: from the source to the wire, with DATA or BDAT.
//!
//! With BDAT it is one chunk if its size is known: servers are known that answer each
//! chunk but the last one late. If it is small, the chunk goes out with MAIL and RCPT,
//! and may turn out to be for nobody; a large one waits for their replies.

use super::transaction::Next;
use super::{Outcome, Session, State};
use crate::error::{Code, Error, Phase};
use crate::proto::command::Command;
use crate::proto::dot::DotStuffer;
use crate::proto::ledger::Pending;
use crate::proto::limits::{OUTPUT_CHUNK, OUTPUT_KEPT};
use crate::proto::moment::Moment;

impl Session {
    /// Gives the next piece of the message; only when [`super::Want::Content`] was said.
    pub fn content(&mut self, piece: &[u8], now: Moment) {
        if self.state != State::Content {
            return;
        }
        self.since = now;
        self.mail.content_octets += piece.len() as u64;
        if !self.mail.chunked || self.mail.left.is_some() {
            self.out.reserve(piece.len());
        }
        if !self.mail.chunked {
            let from = self.out.end();
            self.mail.stuffer.push(piece, self.out.buffer());
            return self.trace.content(self.out.since(from), false);
        }
        if let Some(left) = self.mail.left {
            let from = self.out.end();
            // What the stuffer would make of the last piece depends on those before, which
            // may have gone past it.
            if self.mail.envelope.is_binary() || self.goes_as_is() {
                self.out.buffer().extend_from_slice(piece);
            } else {
                self.mail.stuffer.push(piece, self.out.buffer());
            }
            self.trace.content(self.out.since(from), false);
            return self.count_down(left, self.out.since(from).len() as u64);
        }
        // The last chunk must not be empty, so one is sent only when there is more.
        if self.mail.chunk.len() >= OUTPUT_CHUNK && !piece.is_empty() {
            self.write_chunk("");
            self.ledger.enter(Pending::Chunk, self.out.queued());
        }
        if self.mail.envelope.is_binary() {
            self.mail.chunk.extend_from_slice(piece);
        } else {
            self.mail.stuffer.push(piece, &mut self.mail.chunk);
        }
    }

    /// Ends the message, or what the present call gives of it; only when
    /// [`super::Want::Content`] was said.
    pub fn finish_content(&mut self, now: Moment) {
        if self.state != State::Content {
            return;
        }
        self.since = now;
        if self.mail.keeps_open {
            if self.out.waiting().len() < OUTPUT_KEPT {
                // So little goes along with what follows.
                return self.succeed(State::Paused);
            }
            self.state = State::Pausing;
            return;
        }
        if let Some(left) = self.mail.left {
            return self.finish_whole(left);
        }
        if self.mail.chunked {
            if !self.mail.envelope.is_binary() {
                self.mail.stuffer.finish(&mut self.mail.chunk);
            }
            if self.mail.chunk.is_empty() {
                // RFC 3030 allows an empty last chunk, but not all servers do.
                self.mail.chunk.extend_from_slice(b"\r\n");
            }
            self.write_chunk(" LAST");
            self.enter_end();
        } else {
            let from = self.out.end();
            self.mail.stuffer.finish(self.out.buffer());
            self.trace.content(self.out.since(from), true);
            self.enter_end();
        }
        self.state = State::End;
    }

    /// How much of the content, up to its end, may go from its source to the stream
    /// past the session, which is told with [`Self::handle_passed`]; 0 is none. What is
    /// queued goes first.
    #[must_use]
    pub fn passable(&self) -> u64 {
        match self.mail.left {
            Some(left) if self.goes_as_is() && self.state == State::Content && !self.trace.wants_records() => left,
            _ => 0,
        }
    }

    /// Whether the content was looked at and has nothing to repair.
    fn goes_as_is(&self) -> bool {
        self.mail.envelope.measure().is_some_and(|measure| measure.as_is)
    }

    /// Takes note that so many octets of the content were given to the stream.
    pub fn handle_passed(&mut self, count: u64, now: Moment) {
        let left = self.passable();
        if left > 0 && self.out.waiting().is_empty() {
            self.since = now;
            self.out.pass(count);
            self.mail.content_octets += count;
            self.count_down(left, count);
        }
    }

    /// Takes note that the source gives the message from its beginning again.
    pub fn handle_rewound(&mut self) {
        let mail = if self.batch.gathering { self.batch.draft() } else { &mut *self.mail };
        mail.rewind = false;
    }

    /// Whether the next piece of content may be given now. A chunk behind another
    /// is a command behind a command.
    pub(super) fn takes_content(&self) -> bool {
        // Nothing is left but to hear that it is the end, which has to be known before
        // the last of it leaves.
        if self.mail.left == Some(0) {
            return true;
        }
        self.out.waiting().len() < OUTPUT_CHUNK
            && self.out.is_whole()
            && (!self.mail.chunked
                || self.mail.left.is_some()
                || self.capabilities.pipelining
                || self.ledger.is_empty())
    }

    fn write_chunk(&mut self, last: &str) {
        let from = self.out.end();
        let line = format!("BDAT {}{last}\r\n", self.mail.chunk.len());
        self.out.buffer().extend_from_slice(line.as_bytes());
        self.trace.command(self.out.since(from), None);
        self.trace.content(&self.mail.chunk, true);
        self.out.buffer().extend_from_slice(&self.mail.chunk);
        self.mail.chunk.clear();
        self.mail.chunk.shrink_to(OUTPUT_CHUNK);
    }

    /// Announces the message as one chunk, whose content follows.
    pub(super) fn begin_whole(&mut self, octets: u64) {
        let from = self.out.end();
        Command::LastChunk(octets).write_to(self.out.buffer());
        self.trace.command(self.out.since(from), None);
        self.enter_end_at(self.out.queued() + octets);
        self.mail.left = Some(octets);
        self.state = State::Content;
    }

    fn count_down(&mut self, left: u64, count: u64) {
        self.mail.left = left.checked_sub(count);
        if self.mail.left.is_none() {
            self.fail(changed("more"));
        }
    }

    fn finish_whole(&mut self, left: u64) {
        let from = self.out.end();
        // Binary content, and what was passed by, has not met the stuffer.
        self.mail.stuffer.finish(self.out.buffer());
        if self.mail.content_octets == 0 {
            self.out.buffer().extend_from_slice(b"\r\n");
        }
        let rest = self.out.since(from).len() as u64;
        self.trace.content(self.out.since(from), true);
        if left != rest {
            return self.fail(changed(if left > rest { "fewer" } else { "more" }));
        }
        self.mail.left = None;
        self.state = State::End;
    }

    /// Whether the content that is on its way is known to be for nobody: the sender, or
    /// every recipient, was refused.
    pub(super) fn is_in_vain(&self) -> bool {
        let answered = || matches!(self.ledger.oldest(), Some(Pending::End));
        self.mail.ahead && (self.mail.refusal.is_some() || (self.mail.accepted == 0 && answered()))
    }

    /// What has become of a message whose recipients were all refused that were asked for.
    pub(super) fn refused_outcome(&self) -> Outcome {
        if self.mail.envelope.waiting() > 0 { Outcome::NotSent } else { self.mail.refused_outcome() }
    }

    /// A recipient was refused while the content is on its way: if it was the last one,
    /// the end that was sent brings nothing about.
    pub(super) fn note_in_vain(&mut self) {
        if self.is_in_vain() {
            self.mail.outcome = self.refused_outcome();
        }
    }

    /// The reply to content that was for nobody: the transaction ends as it would have
    /// without it.
    pub(super) fn on_end_in_vain(&mut self) {
        let reply = self.parser.reply();
        if !reply.is_negative() && (!reply.is_positive() || self.mail.refusal.is_some()) {
            self.mail.outcome = Outcome::Unknown;
            return self.handle_unexpected(Phase::End);
        }
        // What the server makes of a transaction in which BDAT failed is not laid down.
        self.stale_transaction = true;
        self.mail.end_sent = false;
        self.mail.content_octets = 0;
        self.mail.stuffer = DotStuffer::without_dots();
        self.mail.rewind = true;
        self.mail.next = Next::Nothing;
        self.state = State::Envelope;
    }

    /// Whose replies the end will have: one, or with LMTP one for each recipient
    /// that was accepted (RFC 2033 section 4.2).
    fn enter_end(&mut self) {
        self.enter_end_at(self.out.queued());
    }

    fn enter_end_at(&mut self, end: u64) {
        self.mail.end_at = end;
        if !self.config.lmtp {
            return self.ledger.enter(Pending::End, end);
        }
        for index in 0..self.mail.envelope.len() {
            if self.mail.envelope.is_hopeful(index) {
                self.ledger.enter(Pending::EndFor(u32::try_from(index).unwrap_or(u32::MAX)), end);
            }
        }
    }
}

fn changed(how: &str) -> Box<Error> {
    let what = format!("the message has {how} octets than when it was measured before it was sent");
    Error::new(Code::FILE, Phase::Content, what)
        .with_remedy("Send it again, and do not change it while it is being sent.")
}
