//! The content of a message: from the source to the wire, with DATA or BDAT.

use super::{Session, State};
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
        if !self.mail.chunked {
            let from = self.out.end();
            self.mail.stuffer.push(piece, self.out.buffer());
            return self.trace.content(self.out.since(from), false);
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

    /// Takes note that the source gives the message from its beginning again.
    pub fn handle_rewound(&mut self) {
        let mail = if self.batch.gathering { &mut self.batch.draft } else { &mut self.mail };
        mail.rewind = false;
    }

    /// Whether the next piece of content may be given now. A chunk behind another
    /// is a command behind a command.
    pub(super) fn takes_content(&self) -> bool {
        self.out.waiting().len() < OUTPUT_CHUNK
            && self.out.is_whole()
            && (!self.mail.chunked || self.capabilities.pipelining || self.ledger.is_empty())
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

    /// Whose replies the end will have: one, or with LMTP one for each recipient
    /// that was accepted (RFC 2033 section 4.2).
    fn enter_end(&mut self) {
        let end = self.out.queued();
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
