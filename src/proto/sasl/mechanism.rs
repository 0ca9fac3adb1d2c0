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
    /// SCRAM-SHA-512 (draft-melnikov-scram-sha-512).
    ScramSha512 = 9,
    /// SCRAM-SHA-1-PLUS: bound to the TLS connection (RFC 5802, RFC 9266).
    ScramSha1Plus = 10,
    /// SCRAM-SHA-256-PLUS.
    ScramSha256Plus = 11,
    /// SCRAM-SHA-512-PLUS.
    ScramSha512Plus = 12,
    /// DIGEST-MD5 (RFC 2831): a digest made with the password, and one back.
    DigestMd5 = 13,
    /// NTLM (MS-NLMP), version 2: a digest made with the password.
    Ntlm = 14,
    /// ANONYMOUS (RFC 4505): nobody in particular.
    Anonymous = 15,
    /// GSSAPI (RFC 4752): Kerberos tickets, by the system's library.
    Gssapi = 16,
}

impl Mechanism {
    /// Every one; first those that are chosen without being asked for: with a token
    /// first, then the strongest first.
    pub const ALL: [Self; 16] = [
        Self::OauthBearer,
        Self::XOauth2,
        Self::ScramSha512Plus,
        Self::ScramSha256Plus,
        Self::ScramSha1Plus,
        Self::ScramSha512,
        Self::ScramSha256,
        Self::ScramSha1,
        Self::DigestMd5,
        Self::CramMd5,
        Self::Ntlm,
        Self::Plain,
        Self::Login,
        Self::External,
        Self::Anonymous,
        Self::Gssapi,
    ];

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
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha512Plus => "SCRAM-SHA-512-PLUS",
            Self::DigestMd5 => "DIGEST-MD5",
            Self::Ntlm => "NTLM",
            Self::Anonymous => "ANONYMOUS",
            Self::Gssapi => "GSSAPI",
        }
    }

    /// The one of a name, in any case.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name))
    }

    /// Whether it is chosen without being asked for.
    #[must_use]
    pub fn is_automatic(self) -> bool {
        !matches!(self, Self::External | Self::Anonymous | Self::Gssapi)
    }

    /// Whether it proves that both ends speak over the same TLS connection.
    #[must_use]
    pub fn binds_channel(self) -> bool {
        matches!(self, Self::ScramSha1Plus | Self::ScramSha256Plus | Self::ScramSha512Plus)
    }

    /// Whether it is a SCRAM, with channel binding or without.
    #[must_use]
    pub fn is_scram(self) -> bool {
        self.binds_channel() || matches!(self, Self::ScramSha1 | Self::ScramSha256 | Self::ScramSha512)
    }

    /// Whether it takes a user name and a password.
    #[must_use]
    pub fn takes_password(self) -> bool {
        self.is_scram() || matches!(self, Self::Login | Self::Plain | Self::CramMd5 | Self::DigestMd5 | Self::Ntlm)
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
        !matches!(self, Self::Login | Self::XOauth2 | Self::CramMd5 | Self::Ntlm | Self::Anonymous)
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
                expect_binding(credentials, mechanism)
                    .map_err(|error| error.with_choice(offered, skipped(credentials, &[mechanism], offered, None)))?;
                vec![mechanism]
            }
            None => allowed(credentials).filter(|one| is_possible(credentials, *one)).collect(),
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

/// Those that may be used where none was asked for, the best first.
fn allowed(credentials: &Credentials) -> impl Iterator<Item = Mechanism> {
    let listed = credentials.methods.clone();
    let automatic = if listed.is_empty() { &Mechanism::ALL[..] } else { &[] };
    listed.into_iter().chain(automatic.iter().copied().filter(|one| one.is_automatic()))
}

fn is_possible(credentials: &Credentials, mechanism: Mechanism) -> bool {
    credentials.check(mechanism).is_ok() && expect_binding(credentials, mechanism).is_ok()
}

fn expect_binding(credentials: &Credentials, mechanism: Mechanism) -> Result<()> {
    if !mechanism.binds_channel() || credentials.binding.is_some() {
        return Ok(());
    }
    let what = format!(
        "{} binds the login to the TLS connection, which needs TLS 1.3 (tls-exporter, RFC 9266)",
        mechanism.name()
    );
    Err(Error::new(Code::INVALID_AUTHENTICATION_TYPE, Phase::Auth, what)
        .with_remedy("Use TLS 1.3, or a method without -PLUS."))
}

/// Why each method that is offered was passed over.
fn skipped(
    credentials: &Credentials,
    wanted: &[Mechanism],
    offered: &[String],
    exposure: Option<&str>,
) -> Vec<(String, String)> {
    let reason = |name: &String| {
        let Some(mechanism) = Mechanism::ALL.into_iter().find(|known| known.name() == name) else {
            return "this client does not know it".to_owned();
        };
        if credentials.mechanism.is_some() && !wanted.contains(&mechanism) {
            return "another was asked for".to_owned();
        }
        if credentials.mechanism.is_none() && !allowed(credentials).any(|one| one == mechanism) {
            let listed = !credentials.methods.is_empty();
            let why = if listed {
                "SMTP_PROPERTY_AUTH_METHODS does not allow it"
            } else {
                "it is used only when it is asked for"
            };
            return why.to_owned();
        }
        let fits = credentials.check(mechanism).and_then(|()| expect_binding(credentials, mechanism));
        match fits {
            Err(error) => error.what,
            Ok(()) => format!("it would reveal the secret, since {}", exposure.unwrap_or("others could read it")),
        }
    };
    offered.iter().map(|name| (name.clone(), reason(name))).collect()
}

fn names(mechanisms: impl IntoIterator<Item = Mechanism>) -> String {
    mechanisms.into_iter().map(Mechanism::name).collect::<Vec<_>>().join(", ")
}

fn nothing_possible(credentials: &Credentials, asked_for: &[Mechanism], offered: &[String]) -> Box<Error> {
    let wanted = match asked_for {
        [] => format!("none of {}", names(allowed(credentials))),
        some => names(some.iter().copied()),
    };
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
        let error = choose(&password(), "GS2-KRB5 OTP", None).expect_err("nothing fits");
        assert_eq!(error.code, Code::INVALID_AUTHENTICATION_TYPE);
        assert!(error.what.contains("GS2-KRB5, OTP") && error.what.contains("PLAIN, LOGIN"), "{error}");
        assert_eq!(error.offered, ["GS2-KRB5", "OTP"]);
        assert_eq!(error.skipped[1], ("OTP".into(), "this client does not know it".into()));
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
    fn the_order_without_being_asked() {
        let order =
            ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "DIGEST-MD5", "CRAM-MD5", "NTLM", "PLAIN", "LOGIN"];
        let plus = "EXTERNAL ANONYMOUS SCRAM-SHA-1-PLUS SCRAM-SHA-512-PLUS ";
        for from in 0..order.len() {
            let offered = format!("{plus}{}", order[from..].join(" "));
            let chosen = choose(&password(), &offered, None).expect("one of them");
            assert_eq!(chosen.name(), order[from], "without TLS 1.3 there is nothing to bind to");
            let bound = Credentials { binding: Some(Secret::new([7; 32])), ..password() };
            assert_eq!(choose(&bound, &offered, None).expect("bound").name(), "SCRAM-SHA-512-PLUS");
        }
        let error = choose(&password(), plus, None).expect_err("none of them");
        assert!(error.skipped[2].1.contains("TLS 1.3"), "{:?}", error.skipped);
        assert!(error.skipped[1].1.contains("only when it is asked for"), "{:?}", error.skipped);
    }

    #[test]
    fn a_list_allows_and_orders() {
        let listed = |names: &str| {
            let methods = names.split(' ').map(|name| Mechanism::of_name(name).expect("known")).collect();
            Credentials { methods, ..password() }
        };
        let everything = "PLAIN LOGIN SCRAM-SHA-256 EXTERNAL XOAUTH2";
        let chosen = |names| choose(&listed(names), everything, None).expect("one of them").name();
        assert_eq!(chosen("login PLAIN"), "LOGIN");
        assert_eq!(chosen("SCRAM-SHA-512 EXTERNAL PLAIN"), "EXTERNAL");
        assert_eq!(chosen("XOAUTH2 PLAIN"), "PLAIN", "there is no token");
        let error = choose(&listed("SCRAM-SHA-512"), everything, None).expect_err("not offered");
        assert!(error.skipped.iter().all(|(_, reason)| reason.contains("AUTH_METHODS")), "{:?}", error.skipped);
        let error = choose(&listed("XOAUTH2"), everything, None).expect_err("no token");
        assert!(error.what.contains("none of XOAUTH2") && error.skipped[4].1.contains("token"), "{error:?}");
        let exposed = choose(&listed("PLAIN SCRAM-SHA-256"), everything, Some("others read it"));
        assert_eq!(exposed.ok(), Some(Mechanism::ScramSha256));
        let asked = Credentials { mechanism: Some(Mechanism::Login), ..listed("PLAIN") };
        assert_eq!(choose(&asked, everything, None).ok(), Some(Mechanism::Login), "the type goes before the list");
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
