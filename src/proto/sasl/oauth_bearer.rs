//! OAUTHBEARER (RFC 7628): an OAuth token in one message.

use super::super::secret::Secret;
use super::token::{Refusal, remedy};
use super::{Credentials, scram::escaped};

/// An OAUTHBEARER login.
#[derive(Debug)]
pub struct OauthBearer {
    credentials: Credentials,
    sent: bool,
    refusal: Option<Refusal>,
}

impl OauthBearer {
    /// Begins a login.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, sent: false, refusal: None }
    }

    /// The one message (section 3.1). Host and port are left out: only tokens
    /// that sign the request need them, and a bearer token does not.
    #[must_use]
    pub fn message(&mut self) -> Secret {
        self.sent = true;
        let Credentials { user, token, identity, .. } = &self.credentials;
        let name = escaped(if identity.is_empty() { user } else { identity });
        let place: &[u8] = if name.is_empty() { b"" } else { b"a=" };
        Secret::joined(&[b"n,", place, name.as_bytes(), b",\x01auth=Bearer ", token.expose(), b"\x01\x01"])
    }

    /// Answers the empty challenge of a server that got no initial response, and
    /// with the one octet of section 3.2.3 the challenge that says why the token is refused.
    #[must_use]
    pub fn step(&mut self, challenge: &[u8]) -> Option<Secret> {
        if !self.sent && challenge.is_empty() {
            return Some(self.message());
        }
        if !self.sent || self.refusal.is_some() {
            return None;
        }
        self.refusal = Some(Refusal::parse(challenge));
        Some(Secret::new("\x01"))
    }

    /// Why the token was refused, in the server's words.
    #[must_use]
    pub fn complaint(&self) -> Option<&str> {
        self.refusal.as_ref().map(|refusal| refusal.text.as_str()).filter(|text| !text.is_empty())
    }

    /// Whether another token of the same kind could help.
    #[must_use]
    pub fn asks_for_another(&self) -> bool {
        self.refusal.as_ref().is_none_or(Refusal::asks_for_another)
    }

    /// What to do about a refusal.
    #[must_use]
    pub fn remedy(&self) -> String {
        remedy(&self.credentials, self.refusal.as_ref().unwrap_or(&Refusal::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, identity: &str) -> OauthBearer {
        OauthBearer::new(Credentials {
            user: user.into(),
            identity: identity.into(),
            token: Secret::new("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="),
            ..Credentials::default()
        })
    }

    /// The example of RFC 7628 section 4.1, without host and port.
    #[test]
    fn message() {
        assert_eq!(
            login("user@example.com", "").message().expose(),
            b"n,a=user@example.com,\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
        );
        assert!(login("", "").message().expose().starts_with(b"n,,\x01auth="));
        assert!(login("tim", "a=b,c").message().expose().starts_with(b"n,a=a=3Db=2Cc,\x01"));
    }

    /// The failure of RFC 7628 section 4.3.
    #[test]
    fn a_refusal_is_answered_and_kept() {
        let mut login = login("user@example.com", "");
        assert!(!login.step(b"").expect("the message").is_empty());
        let answer = login.step(b"{\"status\":\"invalid_token\",\"scope\":\"example_scope\"}").expect("one octet");
        assert_eq!(answer.expose(), b"\x01");
        assert_eq!(login.complaint(), Some("status invalid_token, scope example_scope"));
        assert!(login.step(b"again").is_none());
    }
}
