//! XOAUTH2: user name and OAuth token in one message, in the form that Google made
//! (developers.google.com/gmail/imap/xoauth2-protocol) and Microsoft took over.

use super::super::secret::Secret;
use super::token::TokenLogin;
use super::{Credentials, Mechanism};

/// Begins a login. A refusal is answered with nothing.
pub(super) fn login(credentials: Credentials) -> TokenLogin {
    TokenLogin::new(Mechanism::XOauth2, credentials, message, "")
}

fn message(credentials: &Credentials) -> Secret {
    let (user, token) = (credentials.user.as_bytes(), credentials.token.expose());
    Secret::joined(&[b"user=", user, b"\x01auth=Bearer ", token, b"\x01\x01"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_STANDARD, Engine as _};

    fn login() -> TokenLogin {
        super::login(Credentials {
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
