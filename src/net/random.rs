//! Random numbers of the system.

use crate::error::{Code, Error, Result};
use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine as _};
use ring::rand::{SecureRandom as _, SystemRandom};

/// A text never used before, as SCRAM wants it: printable ASCII without commas.
///
/// # Errors
///
/// If the system gives none.
pub fn nonce() -> Result<String> {
    let mut octets = [0_u8; 18];
    SystemRandom::new()
        .fill(&mut octets)
        .map_err(|_| Error::caller(Code::INTERNAL, "the system gives no random numbers"))?;
    Ok(BASE64_STANDARD_NO_PAD.encode(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_differ_and_are_plain() {
        let (one, two) = (nonce().expect("random"), nonce().expect("random"));
        assert!(one != two && one.len() == 24 && one.bytes().all(|octet| octet.is_ascii_graphic() && octet != b','));
    }
}
