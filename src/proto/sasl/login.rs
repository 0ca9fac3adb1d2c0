//! LOGIN: no standard, but everywhere. The server asks for the user name and then
//! for the password (draft-murchison-sasl-login-00).

use super::super::secret::Secret;
use super::Credentials;

/// A LOGIN login.
#[derive(Debug)]
pub struct Login {
    credentials: Credentials,
    /// How often the user name was sent: before it was asked for, and once on request.
    user_sent: u8,
    password_sent: bool,
}

impl Login {
    /// Begins a login.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, user_sent: 0, password_sent: false }
    }

    /// The user name, before it is asked for.
    #[must_use]
    pub fn initial(&mut self) -> Secret {
        self.user_sent += 1;
        Secret::new(self.credentials.user.as_bytes())
    }

    /// Answers a prompt. The prompts' words are not fixed, so the order decides;
    /// but a server that passed over the initial response says "user" again.
    #[must_use]
    pub fn step(&mut self, challenge: &[u8]) -> Option<Secret> {
        if self.password_sent {
            return None;
        }
        let asks_for_user = challenge.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"user"));
        if self.user_sent == 0 || asks_for_user {
            return (self.user_sent < 2).then(|| self.initial());
        }
        self.password_sent = true;
        Some(self.credentials.password.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> Login {
        Login::new(Credentials { user: "tim".into(), password: Secret::new("secret"), ..Credentials::default() })
    }

    #[test]
    fn asked_in_order() {
        let mut login = login();
        assert_eq!(login.step(b"Username:").expect("user").expose(), b"tim");
        assert_eq!(login.step(b"Password:").expect("password").expose(), b"secret");
        assert!(login.step(b"Password:").is_none(), "never twice");
    }

    #[test]
    fn with_initial_response() {
        let mut first = login();
        assert_eq!(first.initial().expose(), b"tim");
        assert_eq!(first.step(b"Passwort:").expect("password").expose(), b"secret");
        let mut ignored = login();
        assert_eq!(ignored.initial().expose(), b"tim");
        assert_eq!(ignored.step(b"User Name\0").expect("user").expose(), b"tim");
        assert!(ignored.step(b"User Name\0").is_none(), "a server that asks for ever gets no third");
        assert_eq!(ignored.step(b"Password\0").expect("password").expose(), b"secret");
    }
}
