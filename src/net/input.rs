//! The octets that were received and not used yet.

/// How much there is room for at first: most replies are shorter, and so much is kept.
const FEW: usize = 256;

/// How much there is room for where that was not enough, as in a flood of replies.
const MANY: usize = 4096;

/// A buffer that is filled at the end and emptied at once; it keeps its memory,
/// and is not written over with zeros each time.
///
/// Invariant: `filled <= buffer.len()`.
#[derive(Debug, Default)]
pub struct Input {
    buffer: Vec<u8>,
    filled: usize,
}

impl Input {
    /// What was received.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Room for `length` octets more, behind those that are there.
    pub fn room(&mut self, length: usize) -> &mut [u8] {
        let end = self.filled + length;
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        &mut self.buffer[self.filled..end]
    }

    /// Room for as many octets as it makes sense to receive at a time.
    pub fn chunk(&mut self) -> &mut [u8] {
        self.room(if self.buffer.len() > FEW || self.filled > 0 { MANY } else { FEW })
    }

    /// Takes note that the first `count` octets of the room were filled.
    pub fn add(&mut self, count: usize) {
        self.filled = (self.filled + count).min(self.buffer.len());
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        if self.filled >= FEW && self.buffer.len() <= MANY {
            // There may be more where that came from.
            self.buffer.resize(MANY, 0);
        }
        self.filled = 0;
    }

    /// Gives memory back that only a flood needed.
    pub fn shrink(&mut self) {
        if self.filled == 0 && self.buffer.len() > FEW {
            self.buffer.truncate(FEW);
            self.buffer.shrink_to(FEW);
        }
    }
}
