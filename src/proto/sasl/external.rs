//! EXTERNAL (RFC 4422 appendix A): the server knows who the client is by other
//! means, such as its certificate; the message says only whom to act as.

use super::super::secret::Secret;
use super::Credentials;

/// An EXTERNAL login.
#[derive(Debug)]
pub struct External {
    identity: String,
    sent: bool,
}

impl External {
    /// Begins a login.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        let identity = if credentials.identity.is_empty() { credentials.user } else { credentials.identity };
        Self { identity, sent: false }
    }

    /// The one message: whom to act as, empty for whomever the server finds.
    #[must_use]
    pub fn message(&mut self) -> Secret {
        self.sent = true;
        Secret::new(self.identity.as_bytes())
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

    fn message(user: &str, identity: &str) -> Vec<u8> {
        let credentials = Credentials { user: user.into(), identity: identity.into(), ..Credentials::default() };
        External::new(credentials).message().expose().to_vec()
    }

    #[test]
    fn whom_to_act_as() {
        assert_eq!(message("", ""), b"");
        assert_eq!(message("tim", ""), b"tim");
        assert_eq!(message("tim", "fred@example.com"), b"fred@example.com");
    }

    #[test]
    fn one_answer_to_the_empty_challenge_only() {
        let mut login = External::new(Credentials::default());
        assert!(login.step(b"surprise").is_none());
        assert!(login.step(b"").is_some());
        assert!(login.step(b"").is_none());
    }
}
