//! DKIM signatures (RFC 6376, RFC 8301, RFC 8463): made of any stream of octets in
//! one pass, in bounded memory. Who verifies has no part here.
//!
//! What is signed is what a server gets: line ends are repaired as they are when a
//! message is sent, so a file with bare line feeds has a good signature too.

mod body;
mod choice;
mod fields;
mod key;
mod options;
mod signed;
mod signer;
mod tags;
#[cfg(test)]
mod vectors;

pub use body::{BodyHash, Canonical};
pub use fields::{HeaderFields, MAX_SIGNED_HEADER, relaxed_field};
pub use key::SigningKey;
pub use options::Settings;
pub use signer::{Signature, Signer};

use crate::drive::{File, Source as _};
use crate::error::Result;
use crate::net::clock::wall_millis;
use std::sync::Arc;

/// Signs a message in memory: gives the DKIM-Signature field to be put in front.
///
/// # Errors
///
/// `DKIM_HEADER` if its header cannot be signed.
pub fn sign_octets(message: &[u8], signatures: &[Arc<Signature>]) -> Result<String> {
    let mut signer = Signer::new(signatures);
    signer.push(message)?;
    signer.finish(now())
}

/// Signs a message in a file.
///
/// # Errors
///
/// `FILE` if it cannot be read, or `DKIM_HEADER` if its header cannot be signed.
pub fn sign_file(path: &str, signatures: &[Arc<Signature>]) -> Result<String> {
    let mut file = File::open(path)?;
    let mut signer = Signer::new(signatures);
    loop {
        let piece = file.next()?;
        if piece.is_empty() {
            return signer.finish(now());
        }
        signer.push(piece)?;
    }
}

/// The seconds since the beginning of 1970.
#[must_use]
pub fn now() -> u64 {
    wall_millis() / 1000
}
