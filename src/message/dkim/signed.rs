//! A message's source with its signatures in front: read twice.

use super::{Signature, Signer};
use crate::drive::Source;
use crate::error::{Code, Error, Phase, Result};
use std::sync::Arc;

/// Content of another source, behind its DKIM-Signature fields.
pub struct Signed<'a> {
    source: &'a mut dyn Source,
    fields: String,
    /// The fields are still to be given.
    in_front: bool,
    /// How long the source was when it was signed.
    length: u64,
    given: u64,
}

impl<'a> Signed<'a> {
    /// Reads the source to its end, signs it, and begins it anew.
    ///
    /// # Errors
    ///
    /// `DKIM_SOURCE` if the source cannot be read again; `DKIM_HEADER` if its header cannot be
    /// signed; or what the source says.
    pub fn new(source: &'a mut dyn Source, signatures: &[Arc<Signature>], now: u64) -> Result<Self> {
        if signatures.is_empty() {
            return Ok(Self { source, fields: String::new(), in_front: false, length: u64::MAX, given: 0 });
        }
        // Asked before all is read for nothing.
        source.rewind().map_err(|error| once(&error))?;
        let mut signer = Signer::new(signatures);
        let mut length = 0;
        loop {
            let piece = source.next()?;
            if piece.is_empty() {
                break;
            }
            length += piece.len() as u64;
            signer.push(piece)?;
        }
        let fields = signer.finish(now)?;
        source.rewind().map_err(|error| once(&error))?;
        Ok(Self { source, fields, in_front: true, length, given: 0 })
    }

    /// How many octets the signatures add.
    #[must_use]
    pub fn added(&self) -> u64 {
        self.fields.len() as u64
    }
}

fn once(error: &Error) -> Box<Error> {
    Error::caller(
        Code::DKIM_SOURCE,
        format!("the message cannot be signed, since it can be read only once ({})", error.what),
    )
}

impl Source for Signed<'_> {
    fn next(&mut self) -> Result<&[u8]> {
        if std::mem::take(&mut self.in_front) {
            return Ok(self.fields.as_bytes());
        }
        let piece = self.source.next()?;
        self.given += piece.len() as u64;
        // Not completed, it is not sent with a signature that fails.
        if self.length != u64::MAX && (self.given > self.length || piece.is_empty() && self.given < self.length) {
            let what = "the message changed between being signed and being sent";
            return Err(Error::new(Code::DKIM_SOURCE, Phase::Content, what));
        }
        Ok(piece)
    }

    fn rewind(&mut self) -> Result<()> {
        self.source.rewind()?;
        self.given = 0;
        self.in_front = !self.fields.is_empty();
        Ok(())
    }

    fn may_wait(&self) -> bool {
        self.source.may_wait()
    }
}
