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
pub use signed::Signed;
pub use signer::{Signature, Signer};
