//! Logging in: SASL mechanisms (RFC 4422) as pure steps, one a file.

mod login;
mod plain;

pub use login::Login;
pub use plain::Plain;

use super::secret::Secret;
use crate::error::{Code, Error, Phase, Result};

/// A mechanism that this library knows, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// PLAIN (RFC 4616): one message.
    Plain,
    /// LOGIN (draft-murchison-sasl-login): user name and password one after the other.
    Login,
}

impl Mechanism {
    /// In the order of preference.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Login];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// The best mechanism among those the server offers.
    ///
    /// # Errors
    ///
    /// `INVALID_AUTHENTICATION_TYPE`, which lists what is offered and what is known.
    pub fn choose(offered: &[String]) -> Result<Self> {
        let is_offered = |mechanism: &Self| offered.iter().any(|name| name == mechanism.name());
        Self::ALL.into_iter().find(is_offered).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            let what = if offered.is_empty() {
                format!("the server offers no login (AUTH) here; this client knows {known}")
            } else {
                format!(
                    "no login method in common: the server offers {}; this client knows {known}",
                    offered.join(", ")
                )
            };
            let reason = |name: &String| (name.clone(), "this client does not know it".to_owned());
            let skipped = offered.iter().map(reason).collect();
            Error::new(Code::INVALID_AUTHENTICATION_TYPE, Phase::Auth, what).with_choice(offered, skipped)
        })
    }
}

/// A user name and password.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// A login under way.
#[derive(Debug)]
pub enum Exchange {
    /// See [`Mechanism::Plain`].
    Plain(Plain),
    /// See [`Mechanism::Login`].
    Login(Login),
}

impl Exchange {
    /// Begins a login.
    #[must_use]
    pub fn new(mechanism: Mechanism, credentials: Credentials) -> Self {
        match mechanism {
            Mechanism::Plain => Self::Plain(Plain::new(credentials)),
            Mechanism::Login => Self::Login(Login::new(credentials)),
        }
    }

    /// Which mechanism it is.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        match self {
            Self::Plain(_) => Mechanism::Plain,
            Self::Login(_) => Mechanism::Login,
        }
    }

    /// What the client may send before any challenge (RFC 4954 section 4, SASL-IR).
    #[must_use]
    pub fn initial(&mut self) -> Secret {
        match self {
            Self::Plain(plain) => plain.message(),
            Self::Login(login) => login.initial(),
        }
    }

    /// Answers a challenge; `None` if it is not understood.
    #[must_use]
    pub fn step(&mut self, challenge: &[u8]) -> Option<Secret> {
        match self {
            Self::Plain(plain) => plain.step(challenge),
            Self::Login(login) => login.step(challenge),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_follows_our_order_not_the_servers() {
        let offered = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(Mechanism::choose(&offered(&["LOGIN", "PLAIN"])).ok(), Some(Mechanism::Plain));
        assert_eq!(Mechanism::choose(&offered(&["CRAM-MD5", "LOGIN"])).ok(), Some(Mechanism::Login));
        let error = Mechanism::choose(&offered(&["GSSAPI", "NTLM"])).expect_err("nothing fits");
        assert!(error.what.contains("GSSAPI, NTLM") && error.what.contains("PLAIN, LOGIN"));
        assert_eq!(error.offered, ["GSSAPI", "NTLM"]);
        assert_eq!(error.skipped[1], ("NTLM".into(), "this client does not know it".into()));
        assert_eq!(Mechanism::choose(&[]).expect_err("nothing").code, Code::INVALID_AUTHENTICATION_TYPE);
    }
}
