//! ANONYMOUS (RFC 4505): nobody in particular; the message says who it was, for the
//! server's records, and proves nothing.

use super::super::secret::Secret;
use super::Credentials;

/// An ANONYMOUS login.
#[derive(Debug)]
pub struct Anonymous {
    trace: String,
    sent: bool,
}

impl Anonymous {
    /// Begins a login; the user name, if there is one, is what the server may note down.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self { trace: credentials.user, sent: false }
    }

    /// The one message.
    #[must_use]
    pub fn message(&mut self) -> Secret {
        self.sent = true;
        Secret::new(self.trace.as_bytes())
    }

    /// Answers the empty challenge of a server that got no initial response.
    #[must_use]
    pub fn step(&mut self, challenge: &[u8]) -> Option<Secret> {
        (!self.sent && challenge.is_empty()).then(|| self.message())
    }
}

/// Finds what cannot be noted down (section 2).
pub(super) fn prepare(trace: &str) -> Result<(), &'static str> {
    /// The most characters.
    const MOST: usize = 255;
    if trace.chars().count() > MOST || trace.contains(char::is_control) {
        return Err("the user name is longer than 255 characters or has control characters, and cannot be told");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of section 4.
    #[test]
    fn message() {
        let mut login = Anonymous::new(Credentials { user: "sirhc".into(), ..Credentials::default() });
        assert!(login.step(b"surprise").is_none());
        assert_eq!(login.step(b"").expect("the message").expose(), b"sirhc");
        assert!(login.step(b"").is_none(), "once is enough");
        assert!(Anonymous::new(Credentials::default()).message().is_empty());
    }

    #[test]
    fn what_cannot_be_told() {
        assert!(prepare("").is_ok() && prepare(&"\u{e4}".repeat(255)).is_ok());
        assert!(prepare(&"a".repeat(256)).is_err() && prepare("a\nb").is_err());
    }
}
