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

    /// The one message: an empty authorization identity, NUL, user, NUL, password.
    #[must_use]
    pub fn message(&mut self) -> Secret {
        self.sent = true;
        let (user, password) = (self.credentials.user.as_bytes(), self.credentials.password.expose());
        // Exact capacity, so that no half-filled copy is left behind unzeroed.
        let mut message = Vec::with_capacity(user.len() + password.len() + 2);
        message.push(0);
        message.extend_from_slice(user);
        message.push(0);
        message.extend_from_slice(password);
        Secret::new(message)
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
        Plain::new(Credentials { user: "tim".into(), password: Secret::new("tanstaaftanstaaf") })
    }

    /// The example of RFC 4616 section 4.
    #[test]
    fn message() {
        assert_eq!(plain().message().expose(), b"\0tim\0tanstaaftanstaaf");
    }

    #[test]
    fn one_answer_to_the_empty_challenge_only() {
        let mut login = plain();
        assert!(login.step(b"surprise").is_none());
        assert!(login.step(b"").is_some());
        assert!(login.step(b"").is_none());
    }
}
