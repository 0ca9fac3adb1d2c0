//! Where the content of a message comes from.

use crate::error::Result;
use crate::proto::OUTPUT_CHUNK;

/// Gives content piece by piece.
pub trait Source {
    /// The next piece; an empty one is the end.
    ///
    /// # Errors
    ///
    /// If the content cannot be had; nothing more is sent then, and the message
    /// is not completed.
    fn next(&mut self) -> Result<&[u8]>;
}

/// For operations that send no content.
#[derive(Debug)]
pub struct NoContent;

impl Source for NoContent {
    fn next(&mut self) -> Result<&[u8]> {
        Ok(&[])
    }
}

/// Content in memory, given in pieces without a copy of its own.
#[derive(Debug)]
pub struct Memory<'a>(pub &'a [u8]);

impl Source for Memory<'_> {
    fn next(&mut self) -> Result<&[u8]> {
        let (piece, rest) = self.0.split_at(self.0.len().min(OUTPUT_CHUNK));
        self.0 = rest;
        Ok(piece)
    }
}
