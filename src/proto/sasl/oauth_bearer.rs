//! OAUTHBEARER (RFC 7628): an OAuth token in one message.

use super::super::secret::Secret;
use super::scram::escaped;
use super::token::TokenLogin;
use super::{Credentials, Mechanism};

/// Begins a login. A refusal is answered with the one octet of section 3.2.3.
pub(super) fn login(credentials: Credentials) -> TokenLogin {
    TokenLogin::new(Mechanism::OauthBearer, credentials, message, "\x01")
}

/// The message (section 3.1). Host and port are left out: only tokens that sign the
/// request need them, and a bearer token does not.
fn message(credentials: &Credentials) -> Secret {
    let Credentials { user, token, identity, .. } = credentials;
    let name = escaped(if identity.is_empty() { user } else { identity });
    let place: &[u8] = if name.is_empty() { b"" } else { b"a=" };
    Secret::joined(&[b"n,", place, name.as_bytes(), b",\x01auth=Bearer ", token.expose(), b"\x01\x01"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, identity: &str) -> TokenLogin {
        super::login(Credentials {
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
