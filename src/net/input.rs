//! The octets that were received and not used yet.

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

    /// Takes note that the first `count` octets of the room were filled.
    pub fn add(&mut self, count: usize) {
        self.filled = (self.filled + count).min(self.buffer.len());
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.filled = 0;
    }
}
