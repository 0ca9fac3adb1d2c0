//! PLAIN (RFC 4616): authorization identity, user name and password in one message.

use super::super::secret::Secret;
use super::Credentials;

/// A PLAIN login.
#[derive(Debug)]
pub struct Plain {
    credentials: Credentials,
    sent: bool,
}

impl Plain {
    /// Begins a login.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, sent: false }
    }

    /// The one message: whom to act as (empty for the user), NUL, user, NUL, password.
    #[must_use]
    pub fn message(&mut self) -> Secret {
        self.sent = true;
        let Credentials { user, password, identity, .. } = &self.credentials;
        Secret::joined(&[identity.as_bytes(), b"\0", user.as_bytes(), b"\0", password.expose()])
    }

    /// Answers the empty challenge of a server that got no initial response.
    #[must_use]
    pub fn step(&mut self, challenge: &[u8]) -> Option<Secret> {
        (!self.sent && challenge.is_empty()).then(|| self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Plain {
        let (user, password) = ("tim".into(), Secret::new("tanstaaftanstaaf"));
        Plain::new(Credentials { user, password, ..Credentials::default() })
    }

    /// The examples of RFC 4616 section 4.
    #[test]
    fn message() {
        assert_eq!(plain().message().expose(), b"\0tim\0tanstaaftanstaaf");
        let (user, password) = ("Kurt".into(), Secret::new("xipj3plmq"));
        let mut plain = Plain::new(Credentials { user, password, identity: "Ursel".into(), ..Credentials::default() });
        assert_eq!(plain.message().expose(), b"Ursel\0Kurt\0xipj3plmq");
    }

    #[test]
    fn one_answer_to_the_empty_challenge_only() {
        let mut login = plain();
        assert!(login.step(b"surprise").is_none());
        assert!(login.step(b"").is_some());
        assert!(login.step(b"").is_none());
    }
}
