//! The mechanisms that this library knows, and which of them to take.

use super::Credentials;
use crate::error::{Code, Error, Phase, Result};

/// A way of logging in; the numbers are those of `SMTP_AUTH_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// LOGIN (draft-murchison-sasl-login): user name and password one after the other.
    Login = 0,
    /// PLAIN (RFC 4616): one message.
    Plain = 1,
    /// XOAUTH2: a token, in the form that Google made.
    XOauth2 = 3,
    /// OAUTHBEARER (RFC 7628): a token.
    OauthBearer = 4,
    /// CRAM-MD5 (RFC 2195): a digest made with the password.
    CramMd5 = 5,
    /// EXTERNAL (RFC 4422 appendix A): the server knows the client by other means.
    External = 6,
    /// SCRAM-SHA-1 (RFC 5802): each side proves that it knows the password.
    ScramSha1 = 7,
    /// SCRAM-SHA-256 (RFC 7677).
    ScramSha256 = 8,
}

impl Mechanism {
    /// Those that are chosen without being asked for: with a token first, the strongest first.
    const AUTOMATIC: [Self; 7] =
        [Self::OauthBearer, Self::XOauth2, Self::ScramSha256, Self::ScramSha1, Self::CramMd5, Self::Plain, Self::Login];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "LOGIN",
            Self::Plain => "PLAIN",
            Self::XOauth2 => "XOAUTH2",
            Self::OauthBearer => "OAUTHBEARER",
            Self::CramMd5 => "CRAM-MD5",
            Self::External => "EXTERNAL",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
        }
    }

    /// Whether it takes a token instead of a password.
    #[must_use]
    pub fn takes_token(self) -> bool {
        matches!(self, Self::XOauth2 | Self::OauthBearer)
    }

    /// Whether who reads the wire has the password, or the token, afterwards.
    #[must_use]
    pub fn reveals_secret(self) -> bool {
        matches!(self, Self::Login | Self::Plain | Self::XOauth2 | Self::OauthBearer)
    }

    /// Whether it has a place for an authorization identity.
    #[must_use]
    pub fn carries_identity(self) -> bool {
        !matches!(self, Self::Login | Self::XOauth2 | Self::CramMd5)
    }

    /// The one to log in with: the one that is asked for, or the best of those
    /// that the server offers and the credentials are enough for.
    ///
    /// `exposure` is why the path is not private, if it is not: then only a
    /// mechanism that reveals nothing may be used.
    ///
    /// # Errors
    ///
    /// `INVALID_AUTHENTICATION_TYPE`, which lists what is offered;
    /// `INSECURE_CREDENTIALS`; what [`Credentials::check`] says.
    pub fn choose(credentials: &Credentials, offered: &[String], exposure: Option<&str>) -> Result<Self> {
        let wanted: Vec<Self> = match credentials.mechanism {
            Some(mechanism) => {
                credentials.check(mechanism)?;
                vec![mechanism]
            }
            None => Self::AUTOMATIC.into_iter().filter(|one| credentials.check(*one).is_ok()).collect(),
        };
        let possible: Vec<Self> =
            wanted.iter().copied().filter(|one| offered.iter().any(|name| name == one.name())).collect();
        let Some(first) = possible.first() else {
            return Err(nothing_possible(credentials, &wanted, offered));
        };
        let Some(exposure) = exposure else { return Ok(*first) };
        possible.iter().copied().find(|one| !one.reveals_secret()).ok_or_else(|| {
            let secret = if first.takes_token() { "token" } else { "password" };
            let mut what = format!("the {secret} was not sent, since {exposure}");
            if credentials.mechanism.is_none() {
                what += &format!(", and the server offers no login that keeps it secret: {}", offered.join(", "));
            }
            Error::new(Code::INSECURE_CREDENTIALS, Phase::Auth, what)
                .with_choice(offered, skipped(credentials, &wanted, offered, Some(exposure)))
        })
    }
}

/// Why each method that is offered was passed over.
fn skipped(
    credentials: &Credentials,
    wanted: &[Mechanism],
    offered: &[String],
    exposure: Option<&str>,
) -> Vec<(String, String)> {
    let reason = |name: &String| {
        let known = Mechanism::AUTOMATIC.into_iter().chain([Mechanism::External]).find(|known| known.name() == name);
        let Some(mechanism) = known else { return "this client does not know it".to_owned() };
        match credentials.check(mechanism) {
            _ if credentials.mechanism.is_some() && !wanted.contains(&mechanism) => "another was asked for".to_owned(),
            Err(error) => error.what,
            Ok(()) if !wanted.contains(&mechanism) => "it is used only when it is asked for".to_owned(),
            Ok(()) => format!("it would reveal the secret, since {}", exposure.unwrap_or("others could read it")),
        }
    };
    offered.iter().map(|name| (name.clone(), reason(name))).collect()
}

fn nothing_possible(credentials: &Credentials, asked_for: &[Mechanism], offered: &[String]) -> Box<Error> {
    let wanted = asked_for.iter().map(|mechanism| mechanism.name()).collect::<Vec<_>>().join(", ");
    let what = match (credentials.mechanism, offered) {
        (_, []) => format!("the server offers no login (AUTH) here; this client would use {wanted}"),
        (Some(_), _) => {
            format!("the login method {wanted}, which was asked for, is not offered: {}", offered.join(", "))
        }
        (None, _) => format!(
            "no login method in common: the server offers {}; this client can use {wanted} with what it was given",
            offered.join(", ")
        ),
    };
    let error = Error::new(Code::INVALID_AUTHENTICATION_TYPE, Phase::Auth, what)
        .with_choice(offered, skipped(credentials, asked_for, offered, None));
    let takes_token = offered.iter().any(|name| name == "XOAUTH2" || name == "OAUTHBEARER");
    if credentials.mechanism.is_none() && credentials.token.is_empty() && takes_token {
        return error.with_remedy("Set SMTP_PROPERTY_BEARER_TOKEN to an OAuth token, which this server takes.");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::super::super::secret::Secret;
    use super::*;

    fn password() -> Credentials {
        Credentials { user: "tim".into(), password: Secret::new("secret"), ..Credentials::default() }
    }

    fn choose(credentials: &Credentials, offered: &str, exposure: Option<&str>) -> Result<Mechanism> {
        let offered: Vec<String> = offered.split_whitespace().map(str::to_owned).collect();
        Mechanism::choose(credentials, &offered, exposure)
    }

    #[test]
    fn the_choice_follows_our_order_not_the_servers() {
        use Mechanism::{CramMd5, Login, OauthBearer, Plain, ScramSha1, ScramSha256, XOauth2};
        let cases = [
            ("LOGIN PLAIN", Plain),
            ("GSSAPI LOGIN EXTERNAL", Login),
            ("PLAIN CRAM-MD5 XOAUTH2", CramMd5),
            ("PLAIN CRAM-MD5 SCRAM-SHA-1", ScramSha1),
            ("PLAIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-256-PLUS", ScramSha256),
        ];
        for (offered, expected) in cases {
            assert_eq!(choose(&password(), offered, None).ok(), Some(expected), "{offered}");
        }
        let token = Credentials { token: Secret::new("abc"), ..password() };
        assert_eq!(choose(&token, "SCRAM-SHA-256 XOAUTH2 OAUTHBEARER", None).ok(), Some(OauthBearer));
        assert_eq!(choose(&token, "SCRAM-SHA-256 XOAUTH2", None).ok(), Some(XOauth2));
        assert_eq!(choose(&token, "SCRAM-SHA-256", None).ok(), Some(ScramSha256), "there is a password as well");
        let token = Credentials { password: Secret::default(), ..token };
        let error = choose(&token, "PLAIN LOGIN", None).expect_err("no password");
        assert!(error.what.contains("PLAIN, LOGIN") && error.what.contains("OAUTHBEARER, XOAUTH2"), "{error}");
    }

    #[test]
    fn nothing_in_common() {
        let error = choose(&password(), "GSSAPI NTLM", None).expect_err("nothing fits");
        assert_eq!(error.code, Code::INVALID_AUTHENTICATION_TYPE);
        assert!(error.what.contains("GSSAPI, NTLM") && error.what.contains("PLAIN, LOGIN"), "{error}");
        assert_eq!(error.offered, ["GSSAPI", "NTLM"]);
        assert_eq!(error.skipped[1], ("NTLM".into(), "this client does not know it".into()));
        assert_eq!(choose(&password(), "", None).expect_err("none").code, Code::INVALID_AUTHENTICATION_TYPE);
        let error = choose(&password(), "XOAUTH2", None).expect_err("a token is wanted");
        assert!(error.to_string().contains("SMTP_PROPERTY_BEARER_TOKEN"), "{error}");
    }

    #[test]
    fn what_was_asked_for_is_used_or_nothing() {
        for (mechanism, offered) in [(Mechanism::Login, "PLAIN LOGIN SCRAM-SHA-1"), (Mechanism::External, "EXTERNAL")] {
            let chosen = Credentials { mechanism: Some(mechanism), ..password() };
            assert_eq!(choose(&chosen, offered, None).ok(), Some(mechanism));
            let error = choose(&chosen, "PLAIN CRAM-MD5", None).expect_err("not offered");
            assert_eq!(error.code, Code::INVALID_AUTHENTICATION_TYPE);
            assert!(error.what.contains(mechanism.name()) && error.what.contains("PLAIN, CRAM-MD5"), "{error}");
        }
    }

    #[test]
    fn in_the_clear_only_what_reveals_nothing() {
        let exposure = Some("the connection is not encrypted");
        assert_eq!(choose(&password(), "PLAIN SCRAM-SHA-1", exposure).ok(), Some(Mechanism::ScramSha1));
        assert_eq!(choose(&password(), "PLAIN CRAM-MD5", exposure).ok(), Some(Mechanism::CramMd5));
        let error = choose(&password(), "PLAIN LOGIN", exposure).expect_err("both show the password");
        assert_eq!(error.code, Code::INSECURE_CREDENTIALS);
        assert!(error.what.contains("not encrypted") && error.what.contains("PLAIN, LOGIN"), "{error}");
        assert!(error.skipped[0].1.contains("not encrypted"), "{:?}", error.skipped);
        for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::XOauth2, Mechanism::OauthBearer] {
            let chosen = Credentials { mechanism: Some(mechanism), token: Secret::new("abc"), ..password() };
            let error = choose(&chosen, "SCRAM-SHA-1 PLAIN LOGIN XOAUTH2 OAUTHBEARER", exposure).expect_err("exposed");
            assert_eq!(error.code, Code::INSECURE_CREDENTIALS, "{mechanism:?}");
        }
    }

    #[test]
    fn what_is_missing_or_has_no_place_is_told() {
        let code = |mechanism, credentials: Credentials| {
            let chosen = Credentials { mechanism: Some(mechanism), ..credentials };
            choose(&chosen, mechanism.name(), None).err().map(|error| error.code)
        };
        assert_eq!(code(Mechanism::Plain, Credentials::default()), Some(Code::NO_CREDENTIALS));
        assert_eq!(code(Mechanism::XOauth2, password()), Some(Code::NO_CREDENTIALS));
        assert_eq!(code(Mechanism::External, Credentials::default()), None);
        let identity = || Credentials { identity: "boss".into(), ..password() };
        assert_eq!(code(Mechanism::Login, identity()), Some(Code::INVALID_PARAMETER));
        assert_eq!(code(Mechanism::Plain, identity()), None);
        assert_eq!(choose(&identity(), "LOGIN CRAM-MD5 PLAIN", None).ok(), Some(Mechanism::Plain));
        let odd = Credentials { token: Secret::new("a\u{1}b"), ..password() };
        assert_eq!(code(Mechanism::OauthBearer, odd), Some(Code::INVALID_PARAMETER));
        let user = Credentials { user: "a\u{1}b".into(), token: Secret::new("abc"), ..password() };
        assert_eq!(code(Mechanism::XOauth2, user), Some(Code::INVALID_PARAMETER));
        let prohibited = Credentials { password: Secret::new("a\u{7}"), ..password() };
        assert_eq!(code(Mechanism::ScramSha256, prohibited.clone()), Some(Code::INVALID_PARAMETER));
        assert_eq!(choose(&prohibited, "SCRAM-SHA-256 PLAIN", None).ok(), Some(Mechanism::Plain));
    }
}
