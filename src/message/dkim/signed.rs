//! A rendered message with its signatures in front: read twice.

use super::{Signature, Signer};
use crate::drive::Source as _;
use crate::error::{Code, Error, Result};
use crate::message::Rendering;
use std::sync::Arc;

impl Rendering {
    /// Reads it to its end, puts the DKIM-Signature fields in front, and begins it anew.
    /// A part that is longer or shorter when it is read again ends the sending.
    ///
    /// # Errors
    ///
    /// `READ_ONCE` if it cannot be read again, before it is read; `DKIM_HEADER` if its header
    /// cannot be signed; if the content of a part cannot be read.
    pub fn sign(&mut self, signatures: &[Arc<Signature>], now: u64) -> Result<()> {
        if signatures.is_empty() {
            return Ok(());
        }
        self.readable_twice("signed")?;
        let mut signer = Signer::new(signatures);
        loop {
            let piece = self.next()?;
            if piece.is_empty() {
                break;
            }
            signer.push(piece)?;
        }
        let fields = signer.finish(now)?;
        self.rewind()?;
        self.prepend(fields.into_bytes());
        Ok(())
    }

    /// Refuses to use up what is still to be sent.
    pub(in crate::message) fn readable_twice(&self, what: &str) -> Result<()> {
        if self.is_repeatable() {
            return Ok(());
        }
        Err(Error::caller(
            Code::READ_ONCE,
            format!("the message cannot be {what}: a reader of an attachment gives its content once"),
        ))
    }
}
