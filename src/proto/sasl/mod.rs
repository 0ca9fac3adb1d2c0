//! Logging in: SASL mechanisms (RFC 4422) as pure steps, one a file.

mod anonymous;
mod cram_md5;
mod digest_md5;
mod external;
mod gssapi;
mod login;
mod mechanism;
mod ntlm;
mod oauth_bearer;
mod plain;
mod scram;
mod token;
mod xoauth2;

pub use anonymous::Anonymous;
pub use cram_md5::CramMd5;
pub use digest_md5::DigestMd5;
pub use external::External;
pub use gssapi::{GssContext, GssLibrary, Gssapi};
pub use login::Login;
pub use mechanism::Mechanism;
pub use ntlm::Ntlm;
pub use plain::Plain;
pub use scram::Scram;
pub use token::TokenLogin;

use super::secret::Secret;
use crate::error::{Code, Error, Result};
use std::borrow::Cow;

/// What a login is made with.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The mechanism to use; `None` is the best one.
    pub mechanism: Option<Mechanism>,
    /// Which may be chosen from, the best first; none stands for the usual order.
    pub methods: Vec<Mechanism>,
    /// The user name.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// The OAuth token.
    pub token: Secret,
    /// Whom to act as, if not as the user.
    pub identity: String,
    /// The realm for DIGEST-MD5 and the domain for NTLM; empty leaves it to the server.
    pub realm: String,
    /// The server's name, which DIGEST-MD5 puts into the digest.
    pub host: String,
    /// Random printable ASCII without commas or quotes; never used twice.
    pub nonce: String,
    /// The seconds since 1970, which NTLM needs where the server names no time.
    pub time: u64,
    /// The system's Kerberos library, for GSSAPI.
    pub gssapi: Option<&'static dyn GssLibrary>,
    /// What both ends of a TLS connection know and nobody else (`tls-exporter`,
    /// RFC 9266); the session fills it in.
    pub binding: Option<Secret>,
    /// Whether the server offers any login that is bound to the channel; the session fills it in.
    pub binding_offered: bool,
}

impl Credentials {
    /// Whether they are enough for a mechanism.
    ///
    /// # Errors
    ///
    /// `NO_CREDENTIALS` for what is missing, `INVALID_PARAMETER` for what the mechanism cannot carry.
    pub fn check(&self, mechanism: Mechanism) -> Result<()> {
        let name = mechanism.name();
        let missing = |what: &str| Err(Error::caller(Code::NO_CREDENTIALS, format!("{what} is missing")));
        let refused = |what: String| Err(Error::caller(Code::INVALID_PARAMETER, what));
        if mechanism.takes_token() {
            if self.token.is_empty() {
                return missing("the token");
            }
            if !self.token.expose().iter().all(u8::is_ascii_graphic) {
                return refused("the token has characters that are not printable ASCII".into());
            }
            if self.user.is_empty() && mechanism == Mechanism::XOauth2 {
                return missing("the user name");
            }
            // These separate the parts of the message.
            if self.user.contains(char::is_control) || self.identity.contains(char::is_control) {
                return refused("the user name has control characters".into());
            }
        } else if mechanism.takes_password() && (self.user.is_empty() || self.password.is_empty()) {
            return missing("the user name or the password");
        }
        if mechanism == Mechanism::Gssapi && self.gssapi.is_none() {
            let what =
                "a login by GSSAPI needs the system's Kerberos library (libgssapi_krb5.so.2), which is not there";
            return Err(Error::caller(Code::NO_CREDENTIALS, what).with_remedy("Install it, or use another method."));
        }
        let prepared = match mechanism {
            Mechanism::Anonymous => anonymous::prepare(&self.user),
            Mechanism::DigestMd5 => digest_md5::prepare(&self.user, &self.identity, &self.password),
            Mechanism::Ntlm => ntlm::prepare(&self.password),
            _ if mechanism.is_scram() => scram::prepare(&self.user, &self.identity, &self.password),
            _ => Ok(()),
        };
        if let Err(what) = prepared {
            return refused(format!("{what} by {name}"));
        }
        if !self.identity.is_empty() && !mechanism.carries_identity() {
            return refused(format!("a login by {name} has no place for SMTP_PROPERTY_AUTH_IDENTITY"));
        }
        Ok(())
    }
}

/// Why a challenge cannot be answered, to follow "given up at the server's challenge".
pub type Objection = Cow<'static, str>;

/// The objection to what a mechanism knows nothing of.
const NONSENSE: &str = "it is not one of this method's";

/// A login under way.
#[derive(Debug)]
pub enum Exchange {
    /// See [`Mechanism::Plain`].
    Plain(Plain),
    /// See [`Mechanism::Login`].
    Login(Login),
    /// See [`Mechanism::XOauth2`] and [`Mechanism::OauthBearer`].
    Token(TokenLogin),
    /// See [`Mechanism::CramMd5`].
    CramMd5(CramMd5),
    /// See [`Mechanism::External`].
    External(External),
    /// See [`Mechanism::ScramSha1`] and those behind it.
    Scram(Box<Scram>),
    /// See [`Mechanism::DigestMd5`].
    DigestMd5(Box<DigestMd5>),
    /// See [`Mechanism::Ntlm`].
    Ntlm(Box<Ntlm>),
    /// See [`Mechanism::Anonymous`].
    Anonymous(Anonymous),
    /// See [`Mechanism::Gssapi`].
    Gssapi(Box<Gssapi>),
}

impl Exchange {
    /// Begins a login.
    #[must_use]
    pub fn new(mechanism: Mechanism, credentials: Credentials) -> Self {
        match mechanism {
            Mechanism::Plain => Self::Plain(Plain::new(credentials)),
            Mechanism::Login => Self::Login(Login::new(credentials)),
            Mechanism::XOauth2 => Self::Token(xoauth2::login(credentials)),
            Mechanism::OauthBearer => Self::Token(oauth_bearer::login(credentials)),
            Mechanism::CramMd5 => Self::CramMd5(CramMd5::new(credentials)),
            Mechanism::External => Self::External(External::new(credentials)),
            Mechanism::DigestMd5 => Self::DigestMd5(Box::new(DigestMd5::new(credentials))),
            Mechanism::Ntlm => Self::Ntlm(Box::new(Ntlm::new(credentials))),
            Mechanism::Gssapi => Self::Gssapi(Box::new(Gssapi::new(credentials))),
            Mechanism::Anonymous => Self::Anonymous(Anonymous::new(credentials)),
            Mechanism::ScramSha1
            | Mechanism::ScramSha256
            | Mechanism::ScramSha512
            | Mechanism::ScramSha1Plus
            | Mechanism::ScramSha256Plus
            | Mechanism::ScramSha512Plus => Self::Scram(Box::new(Scram::new(mechanism, credentials))),
        }
    }

    /// Which mechanism it is.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        match self {
            Self::Plain(_) => Mechanism::Plain,
            Self::Login(_) => Mechanism::Login,
            Self::Token(login) => login.mechanism(),
            Self::CramMd5(_) => Mechanism::CramMd5,
            Self::External(_) => Mechanism::External,
            Self::Scram(scram) => scram.mechanism(),
            Self::DigestMd5(_) => Mechanism::DigestMd5,
            Self::Ntlm(_) => Mechanism::Ntlm,
            Self::Anonymous(_) => Mechanism::Anonymous,
            Self::Gssapi(_) => Mechanism::Gssapi,
        }
    }

    /// What the client may send before any challenge (RFC 4954 section 4,
    /// SASL-IR); `None` if the server speaks first.
    #[must_use]
    pub fn initial(&mut self) -> Option<Secret> {
        match self {
            Self::Plain(plain) => Some(plain.message()),
            Self::Login(login) => Some(login.initial()),
            Self::Token(login) => Some(login.message()),
            // Kerberos takes its time, and its failure is told like any other's.
            Self::CramMd5(_) | Self::DigestMd5(_) | Self::Gssapi(_) => None,
            Self::Ntlm(ntlm) => Some(ntlm.initial()),
            Self::Anonymous(anonymous) => Some(anonymous.message()),
            Self::External(external) => Some(external.message()),
            Self::Scram(scram) => Some(scram.initial()),
        }
    }

    /// Answers a challenge.
    ///
    /// # Errors
    ///
    /// Why it cannot be answered.
    pub fn step(&mut self, challenge: &[u8]) -> std::result::Result<Secret, Objection> {
        let answer = match self {
            Self::Plain(plain) => plain.step(challenge),
            Self::Login(login) => login.step(challenge),
            Self::Token(login) => login.step(challenge),
            Self::CramMd5(cram) => cram.step(challenge),
            Self::External(external) => external.step(challenge),
            Self::Anonymous(anonymous) => anonymous.step(challenge),
            Self::Scram(scram) => return scram.step(challenge).map_err(Objection::from),
            Self::DigestMd5(digest) => return digest.step(challenge).map_err(Objection::from),
            Self::Gssapi(gssapi) => return gssapi.step(challenge),
            Self::Ntlm(ntlm) => return ntlm.step(challenge).map_err(Objection::from),
        };
        answer.ok_or(Objection::from(NONSENSE))
    }

    /// Whether the server has given the proof that the mechanism wants of it.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        match self {
            Self::Scram(scram) => scram.is_proven(),
            Self::DigestMd5(digest) => digest.is_proven(),
            Self::Gssapi(gssapi) => gssapi.is_proven(),
            _ => true,
        }
    }

    /// Whether the token was refused, and another one of the same kind could help.
    #[must_use]
    pub fn asks_for_another_token(&self) -> bool {
        match self {
            Self::Token(login) => login.asks_for_another(),
            _ => false,
        }
    }

    /// What to do about a refused token.
    #[must_use]
    pub fn token_remedy(&self) -> Option<String> {
        match self {
            Self::Token(login) => Some(login.remedy()),
            _ => None,
        }
    }

    /// What the server said of a failure within the exchange.
    #[must_use]
    pub fn complaint(&self) -> Option<&str> {
        match self {
            Self::Token(login) => login.complaint(),
            Self::Scram(scram) => scram.complaint(),
            _ => None,
        }
    }
}

/// What a server said inside an exchange, fit for a sentence.
fn readable(text: &[u8]) -> String {
    /// Enough for the members status, schemes and scope.
    const MOST: usize = 400;
    let text = String::from_utf8_lossy(text);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect::<String>().trim().to_owned()
}
