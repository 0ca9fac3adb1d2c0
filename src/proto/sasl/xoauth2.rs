//! XOAUTH2: user name and OAuth token in one message, in the form that Google made
//! (developers.google.com/gmail/imap/xoauth2-protocol) and Microsoft took over.

use super::super::secret::Secret;
use super::Credentials;
use super::token::{Refusal, remedy};

/// An XOAUTH2 login.
#[derive(Debug)]
pub struct XOauth2 {
    credentials: Credentials,
    sent: bool,
    refusal: Option<Refusal>,
}

impl XOauth2 {
    /// Begins a login.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, sent: false, refusal: None }
    }

    /// The one message.
    #[must_use]
    pub fn message(&mut self) -> Secret {
        self.sent = true;
        Secret::joined(&[
            b"user=",
            self.credentials.user.as_bytes(),
            b"\x01auth=Bearer ",
            self.credentials.token.expose(),
            b"\x01\x01",
        ])
    }

    /// Answers the empty challenge of a server that got no initial response, and
    /// with nothing the one that says why the token is refused.
    #[must_use]
    pub fn step(&mut self, challenge: &[u8]) -> Option<Secret> {
        if !self.sent && challenge.is_empty() {
            return Some(self.message());
        }
        if !self.sent || self.refusal.is_some() {
            return None;
        }
        self.refusal = Some(Refusal::parse(challenge));
        Some(Secret::default())
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
    use base64::prelude::{BASE64_STANDARD, Engine as _};

    fn login() -> XOauth2 {
        XOauth2::new(Credentials {
            user: "someuser@example.com".into(),
            token: Secret::new("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"),
            ..Credentials::default()
        })
    }

    /// The example of Google's page.
    #[test]
    fn message() {
        assert_eq!(
            BASE64_STANDARD.encode(login().message().expose()),
            "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52\
             YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
        );
    }

    #[test]
    fn a_refusal_is_answered_with_nothing_and_kept() {
        let mut first = login();
        assert!(first.step(b"{}").is_none(), "nothing was sent that could be refused");
        assert!(!first.step(b"").expect("the message").is_empty());
        let mut login = login();
        assert!(!login.message().is_empty());
        assert!(login.step(b"{\"status\":\"401\",\r\n\"scope\":\"x\"}").expect("nothing").is_empty());
        assert_eq!(login.complaint(), Some("status 401, scope x"));
        assert!(login.step(b"{}").is_none(), "once is enough");
    }
}
