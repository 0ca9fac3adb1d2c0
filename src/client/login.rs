//! What a login is made with: the arguments, and the properties for what is not given.

use super::call::{Call, Stage};
use super::core::{Client, Inner};
use super::settings::Settings;
use super::status::Status;
use crate::drive::Connection;
use crate::error::{Code, Error, Result};
use crate::net::clock::wall_millis;
use crate::net::gssapi;
use crate::net::random::nonce;
use crate::proto::sasl::{Credentials, Mechanism};
use crate::proto::{Envelope, Moment, Secret, Session};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What `SMTP_PROPERTY_AUTH_TYPE` may be: the mechanism, the name behind
/// `SMTP_AUTH_`, and what it is. The first is the default.
pub const AUTH_TYPES: &[(Option<Mechanism>, &str, &str)] = &[
    (
        None,
        "AUTOMATIC",
        "The strongest that both sides have: OAUTHBEARER and XOAUTH2 if there is a token, then SCRAM with channel binding, SCRAM, DIGEST-MD5, CRAM-MD5, NTLM, PLAIN, LOGIN; or the first of SMTP_PROPERTY_AUTH_METHODS.",
    ),
    (Some(Mechanism::Login), "LOGIN", "User name and password, one after the other."),
    (Some(Mechanism::Plain), "PLAIN", "User name and password in one message (RFC 4616)."),
    (Some(Mechanism::XOauth2), "XOAUTH2", "An OAuth token, in Google's and Microsoft's form."),
    (Some(Mechanism::OauthBearer), "BEARER", "An OAuth token: OAUTHBEARER (RFC 7628)."),
    (Some(Mechanism::CramMd5), "CRAM_MD5", "A digest made with the password (RFC 2195); old."),
    (
        Some(Mechanism::External),
        "EXTERNAL",
        "The server knows the client by other means (RFC 4422 appendix A); no password is needed.",
    ),
    (Some(Mechanism::ScramSha1), "SCRAM_SHA_1", "Both sides prove that they know the password (RFC 5802)."),
    (Some(Mechanism::ScramSha256), "SCRAM_SHA_256", "The same with a stronger hash (RFC 7677)."),
    (Some(Mechanism::ScramSha512), "SCRAM_SHA_512", "The same with a stronger hash still."),
    (
        Some(Mechanism::ScramSha1Plus),
        "SCRAM_SHA_1_PLUS",
        "SCRAM bound to the TLS connection, which has to be TLS 1.3 (RFC 9266).",
    ),
    (Some(Mechanism::ScramSha256Plus), "SCRAM_SHA_256_PLUS", "The same with a stronger hash."),
    (Some(Mechanism::ScramSha512Plus), "SCRAM_SHA_512_PLUS", "The same with a stronger hash still."),
    (Some(Mechanism::DigestMd5), "DIGEST_MD5", "Digests made with the password by both sides (RFC 2831); historic."),
    (
        Some(Mechanism::Ntlm),
        "NTLM",
        "A digest made with the password (MS-NLMP, version 2); old. The user name may be domain\\user.",
    ),
    (
        Some(Mechanism::Anonymous),
        "ANONYMOUS",
        "Nobody in particular (RFC 4505); the user name, if there is one, is told for the server's records.",
    ),
    (
        Some(Mechanism::Gssapi),
        "GSSAPI",
        "Kerberos (RFC 4752), with the tickets that the user has, by the system's library.",
    ),
];

/// See [`TokenProvider`].
pub type GiveToken = dyn Fn(&mut [u8], bool) -> i64 + Send + Sync;

/// Who is asked for OAuth tokens: it fills the buffer and says how many octets that
/// are, or something negative to give up; with true, the token before was refused.
pub struct TokenProvider(pub Box<GiveToken>);

impl TokenProvider {
    fn ask(&self, renew: bool) -> Result<Secret> {
        /// More than fits into a line of a login.
        const MOST: usize = 16_384;
        let mut buffer = Zeroizing::new(vec![0; MOST]);
        let count = (self.0)(&mut buffer, renew);
        let length = usize::try_from(count).map_err(|_| {
            Error::caller(
                Code::NO_CREDENTIALS,
                format!("the token callback gave up with {count}, so there is no token"),
            )
        })?;
        let token = buffer.get(..length).ok_or_else(|| {
            let what = format!("the token callback gave {length} octets, and a token has room for {MOST}");
            Error::caller(Code::TOO_LONG, what)
        })?;
        if token.is_empty() {
            return Err(Error::caller(Code::NO_CREDENTIALS, "the token callback gave an empty token"));
        }
        Ok(Secret::new(token))
    }
}

impl fmt::Debug for TokenProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenProvider")
    }
}

/// A login on its way.
pub(super) struct Login {
    user: Option<String>,
    password: Option<Secret>,
    /// Who gives the token, if it may be a login with one.
    provider: Option<Arc<TokenProvider>>,
    /// It is the second attempt, with a new token.
    renewed: bool,
}

impl Login {
    /// What is not given comes from the properties.
    pub(super) fn new(user: Option<&str>, password: Option<Secret>) -> Self {
        Self { user: user.map(str::to_owned), password, provider: None, renewed: false }
    }
}

impl Client {
    /// Begins a login. `end` is when the whole has had its time, if that is known.
    pub(super) fn begin_login(&self, inner: &mut Inner, login: &mut Login, end: Option<Moment>) -> Result<Stage> {
        inner.expect_connection()?;
        if !login.renewed {
            let provider = inner.token_provider.clone();
            login.provider = provider.filter(|_| self.may_take_token(inner, login.password.is_some()));
        }
        let token = login.provider.as_ref().map(|provider| provider.ask(login.renewed)).transpose()?;
        self.log_in(inner, login, token, end)
    }

    /// Begins the login again with another token, if the first one was refused. `None`
    /// if it goes on.
    pub(super) fn follow_login(
        &self,
        inner: &mut Inner,
        call: &mut Call<'_>,
        result: Result<()>,
    ) -> Option<Result<()>> {
        let Some(mut login) = call.login.take() else { return Some(result) };
        let session = inner.connection.as_ref().and_then(Connection::session);
        let wants_token = login.provider.is_some() && session.is_some_and(Session::wants_token);
        if result.is_ok() || login.renewed || !wants_token {
            return Some(result);
        }
        login.renewed = true;
        match self.begin_login(inner, &mut login, call.end) {
            Ok(stage) => {
                call.stage = stage;
                call.login = Some(login);
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// Whether the login that is about to be may be one with a token of the provider's.
    fn may_take_token(&self, inner: &Inner, is_given: bool) -> bool {
        let shared = self.shared.lock();
        let settings = &shared.settings;
        match settings.auth_type {
            Some(mechanism) => mechanism.takes_token() && !is_given,
            None => {
                let session = inner.connection.as_ref().and_then(Connection::session);
                let offered = session.map_or(&[][..], |session| &session.capabilities().mechanisms);
                let methods = &settings.auth_methods;
                offered
                    .iter()
                    .filter_map(|name| Mechanism::of_name(name))
                    .any(|mechanism| mechanism.takes_token() && (methods.is_empty() || methods.contains(&mechanism)))
            }
        }
    }

    fn log_in(&self, inner: &mut Inner, login: &Login, token: Option<Secret>, end: Option<Moment>) -> Result<Stage> {
        let mut settings = self.shared.lock().settings.clone();
        if let Some(token) = token {
            settings.bearer_token = token;
        }
        let insecure_auth = settings.insecure_auth;
        let host = inner.connection.as_ref().map_or("", |connection| connection.plan().host.as_str());
        let credentials = credentials(settings, host, login.user.as_deref(), login.password.clone())?;
        self.shared.lock().status.begin_login();
        let begin = |session: &mut Session, now, _: &mut Envelope| {
            session.set_insecure_auth(insecure_auth);
            session.authenticate(credentials, now)
        };
        self.begin_command(inner, end, false, begin, Status::take_session)
    }
}

/// The number of a type.
#[must_use]
pub fn auth_type_number(mechanism: Option<Mechanism>) -> i64 {
    mechanism.map_or(-1, |mechanism| mechanism as i64)
}

/// The type of a number.
pub(super) fn parse_auth_type(name: &str, value: i64) -> Result<Option<Mechanism>> {
    let found = AUTH_TYPES.iter().find(|(mechanism, ..)| auth_type_number(*mechanism) == value);
    found.map(|(mechanism, ..)| *mechanism).ok_or_else(|| {
        let what = format!("the value {value} of {name} is none of the SMTP_AUTH_ constants");
        Error::caller(Code::INVALID_PARAMETER, what)
    })
}

/// The mechanisms that a text lists, the best first.
pub(super) fn parse_methods(name: &str, text: &str) -> Result<Vec<Mechanism>> {
    let words = text.split(' ').filter(|word| !word.is_empty());
    let mut methods = Vec::new();
    for word in words {
        let Some(method) = Mechanism::of_name(word) else {
            let known = Mechanism::ALL.map(Mechanism::name).join(", ");
            let shown: String = word.chars().take(40).collect();
            let what = format!("\"{}\" in {name} is no login method of this library's: {known}", shown.escape_debug());
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        };
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    Ok(methods)
}

/// Puts together what to log in with. For the types that take a token, the
/// password argument is the token.
pub(super) fn credentials(
    settings: Settings,
    host: &str,
    user: Option<&str>,
    password: Option<Secret>,
) -> Result<Credentials> {
    let mechanism = settings.auth_type;
    let (password, token) = if mechanism.is_some_and(Mechanism::takes_token) {
        let kept = if settings.bearer_token.is_empty() { settings.password } else { settings.bearer_token };
        (Secret::default(), password.unwrap_or(kept))
    } else {
        (password.unwrap_or(settings.password), settings.bearer_token)
    };
    let user = user.map_or(settings.user, str::to_owned);
    let listed = mechanism.is_none() && settings.auth_methods.contains(&Mechanism::Gssapi);
    let wants_kerberos = mechanism == Some(Mechanism::Gssapi) || listed;
    let credentials = Credentials {
        mechanism,
        methods: settings.auth_methods,
        user,
        password,
        token,
        identity: settings.auth_identity,
        realm: settings.auth_realm,
        host: host.to_owned(),
        nonce: nonce()?,
        time: wall_millis() / 1000,
        gssapi: wants_kerberos.then(gssapi::library).flatten(),
        ..Credentials::default()
    };
    match mechanism {
        Some(mechanism) => credentials.check(mechanism)?,
        None if !credentials.methods.is_empty() => {
            let checks = credentials.methods.iter().map(|method| credentials.check(*method));
            // One that is possible is enough.
            checks.reduce(|one, other| if one.is_ok() { one } else { other.or(one) }).unwrap_or(Ok(()))?;
        }
        None if credentials.token.is_empty() => credentials.check(Mechanism::Plain)?,
        // Without a user name only one mechanism is left, which need not have one.
        None => credentials.check(Mechanism::OauthBearer)?,
    }
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_their_numbers() {
        assert_eq!(parse_auth_type("X", -1).expect("automatic"), None);
        assert_eq!(parse_auth_type("X", 4).expect("known"), Some(Mechanism::OauthBearer));
        for unknown in [-2, 2, 99, i64::MAX] {
            assert_eq!(parse_auth_type("X", unknown).expect_err("a gap").code, Code::INVALID_PARAMETER);
        }
    }

    #[test]
    fn lists_of_methods() {
        let methods = parse_methods("X", " scram-sha-256  PLAIN plain ").expect("known");
        assert_eq!(methods, [Mechanism::ScramSha256, Mechanism::Plain]);
        assert!(parse_methods("X", "").expect("nothing").is_empty());
        let error = parse_methods("X", "PLAIN KERBEROS_V4").expect_err("unknown");
        assert!(error.code == Code::INVALID_PARAMETER && error.what.contains("KERBEROS_V4"), "{error}");
        let with = |methods: &str, user: &str| {
            let auth_methods = parse_methods("X", methods).expect("known");
            let settings = Settings { auth_methods, ..Settings::default() };
            credentials(settings, "mail.example", Some(user), None).err().map(|error| error.code)
        };
        assert_eq!(with("EXTERNAL PLAIN", ""), None, "one is enough");
        assert_eq!(with("PLAIN EXTERNAL", ""), None);
        assert_eq!(with("PLAIN LOGIN", "tim"), Some(Code::NO_CREDENTIALS));
    }

    #[test]
    fn the_password_argument_is_the_token_where_one_is_wanted() {
        let settings = |auth_type| Settings {
            auth_type,
            user: "tim".into(),
            password: Secret::new("kept"),
            bearer_token: Secret::new("token"),
            ..Settings::default()
        };
        let made = |auth_type, password: Option<&str>| {
            let made =
                credentials(settings(auth_type), "mail.example", None, password.map(Secret::new)).expect("enough");
            (made.password.expose().to_vec(), made.token.expose().to_vec())
        };
        let pair = |password: &str, token: &str| (password.as_bytes().to_vec(), token.as_bytes().to_vec());
        assert_eq!(made(None, None), pair("kept", "token"));
        assert_eq!(made(None, Some("given")), pair("given", "token"));
        assert_eq!(made(Some(Mechanism::XOauth2), None), pair("", "token"));
        assert_eq!(made(Some(Mechanism::XOauth2), Some("given")), pair("", "given"));
        let without = Settings { bearer_token: Secret::default(), ..settings(Some(Mechanism::OauthBearer)) };
        assert_eq!(credentials(without, "mail.example", None, None).expect("enough").token.expose(), b"kept");
    }
}
