//! The octets that wait to be sent.

use super::limits::OUTPUT_KEPT;

/// A queue of octets: appended at the end, sent from the front.
///
/// Invariant: `sent <= buffer.len()`, and both are 0 once everything is sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    buffer: Vec<u8>,
    sent: usize,
    /// All octets ever sent.
    total: u64,
}

impl Outbox {
    /// What is still to be sent.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.buffer[self.sent..]
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Whether the first of what waits is still to be sent: the time to append
    /// more, since later the memory of what was sent would have to be kept.
    pub(super) fn is_whole(&self) -> bool {
        self.sent == 0
    }

    /// Where to append; only at the end.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Makes room for so many octets, and a little for what is put between and behind
    /// them: the memory stays, so it is not to be twice as much as needed.
    pub(super) fn reserve(&mut self, octets: usize) {
        self.buffer.reserve_exact(octets + octets / 32 + 8);
    }

    /// How much was ever appended since the box was last empty.
    pub(super) fn end(&self) -> usize {
        self.buffer.len()
    }

    /// What was appended since `from`, an earlier [`Self::end`].
    pub(super) fn since(&self, from: usize) -> &[u8] {
        &self.buffer[from..]
    }

    /// Takes note that the first `count` waiting octets were sent.
    pub(super) fn advance(&mut self, count: usize) {
        self.sent += count;
        self.total += count as u64;
        debug_assert!(self.sent <= self.buffer.len());
        if self.sent >= self.buffer.len() {
            self.clear();
        }
    }

    /// Takes note that so many octets were sent that were never here.
    pub(super) fn pass(&mut self, count: u64) {
        debug_assert!(self.buffer.is_empty());
        self.total += count;
    }

    /// All octets sent in the session.
    pub(super) fn written(&self) -> u64 {
        self.total
    }

    /// All octets of the session, those that wait included.
    pub(super) fn queued(&self) -> u64 {
        self.total + self.waiting().len() as u64
    }

    /// Forgets everything that waits.
    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.sent = 0;
    }

    /// The memory that is taken.
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Gives memory back that only a large message needed.
    pub(super) fn shrink(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > OUTPUT_KEPT {
            self.buffer.shrink_to(OUTPUT_KEPT);
        }
    }
}
