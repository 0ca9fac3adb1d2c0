//! CRAM-MD5 (RFC 2195): the password makes a digest of the server's challenge, and
//! never goes over the wire. Old, and weak against who guesses passwords.

use super::super::secret::Secret;
use super::Credentials;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use std::fmt::Write as _;

/// A CRAM-MD5 login.
#[derive(Debug)]
pub struct CramMd5 {
    credentials: Credentials,
    answered: bool,
}

impl CramMd5 {
    /// Begins a login.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, answered: false }
    }

    /// User name, blank, and the keyed digest of the challenge.
    #[must_use]
    pub fn step(&mut self, challenge: &[u8]) -> Option<Secret> {
        // One that is the same every time would let the answer be used again.
        if self.answered || challenge.is_empty() {
            return None;
        }
        self.answered = true;
        let mut digest = Hmac::<Md5>::new_from_slice(self.credentials.password.expose()).ok()?;
        digest.update(challenge);
        let mut answer = format!("{} ", self.credentials.user);
        for octet in digest.finalize().into_bytes() {
            let _ = write!(answer, "{octet:02x}");
        }
        Some(Secret::new(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 2195 section 2.
    #[test]
    fn digest() {
        let credentials =
            Credentials { user: "tim".into(), password: Secret::new("tanstaaftanstaaf"), ..Credentials::default() };
        let mut login = CramMd5::new(credentials);
        let answer = login.step(b"<1896.697170952@postoffice.reston.mci.net>").expect("an answer");
        assert_eq!(answer.expose(), b"tim b913a602c7eda7a495b4e6e7334d3890");
        assert!(login.step(b"<once.more>").is_none());
    }

    /// RFC 2202 section 2, test case 6: a key longer than a block.
    #[test]
    fn long_password() {
        let credentials =
            Credentials { user: "u".into(), password: Secret::new(vec![0xaa; 80]), ..Credentials::default() };
        let answer = CramMd5::new(credentials).step(b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(answer.expect("an answer").expose(), b"u 6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd");
        assert!(CramMd5::new(Credentials::default()).step(b"").is_none());
    }
}
