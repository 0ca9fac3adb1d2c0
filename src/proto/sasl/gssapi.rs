//! GSSAPI (RFC 4752): Kerberos. The tickets and the messages made from them are the
//! system's library's, which a [`GssLibrary`] stands for; here is what SASL adds: the
//! agreement that nothing is signed or encrypted afterwards, and whom to act as.

use super::super::secret::Secret;
use super::{Credentials, NONSENSE, Objection, readable};
use std::fmt::Debug;

/// The most messages of the library's own; Kerberos has two or three.
const MOST_ROUNDS: u8 = 10;

/// The system's library.
pub trait GssLibrary: Debug + Send + Sync {
    /// Begins to log in at the `smtp` service of a host, as whoever has tickets.
    ///
    /// # Errors
    ///
    /// The library's own words.
    fn begin(&self, host: &str) -> Result<Box<dyn GssContext>, String>;
}

/// A login of the library's.
pub trait GssContext: Debug + Send {
    /// Takes the server's message, empty at first; gives the next one, and whether each
    /// side has now proved to the other who it is. May speak with other servers.
    ///
    /// # Errors
    ///
    /// The library's own words.
    fn step(&mut self, message: &[u8]) -> Result<(Vec<u8>, bool), String>;

    /// Checks a message that the server has signed, and unwraps it.
    ///
    /// # Errors
    ///
    /// The library's own words.
    fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, String>;

    /// Signs a message.
    ///
    /// # Errors
    ///
    /// The library's own words.
    fn wrap(&mut self, message: &[u8]) -> Result<Vec<u8>, String>;
}

#[derive(Debug)]
enum State {
    Start,
    /// The library's messages go to and fro; how many so far.
    Negotiating(Box<dyn GssContext>, u8),
    /// The server says next what it can sign or encrypt.
    Agreeing(Box<dyn GssContext>),
    Proven,
    Over,
}

/// A GSSAPI login.
#[derive(Debug)]
pub struct Gssapi {
    library: Option<&'static dyn GssLibrary>,
    host: String,
    identity: String,
    state: State,
}

impl Gssapi {
    /// Begins a login.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        let Credentials { gssapi, host, identity, .. } = credentials;
        Self { library: gssapi, host, identity, state: State::Start }
    }

    /// Answers a challenge.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or what the library says.
    pub fn step(&mut self, challenge: &[u8]) -> Result<Secret, Objection> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Start if challenge.is_empty() => {
                let library = self.library.ok_or("there is no Kerberos library")?;
                let context = library.begin(&self.host).map_err(words)?;
                self.negotiate(context, challenge, 0)
            }
            State::Negotiating(context, rounds) => self.negotiate(context, challenge, rounds),
            State::Agreeing(context) => self.agree(context, challenge),
            State::Start | State::Proven | State::Over => Err(NONSENSE.into()),
        }
    }

    /// Whether the server has proved who it is.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        matches!(self.state, State::Proven)
    }

    fn negotiate(
        &mut self,
        mut context: Box<dyn GssContext>,
        challenge: &[u8],
        rounds: u8,
    ) -> Result<Secret, Objection> {
        if rounds >= MOST_ROUNDS {
            return Err("there is no end to its messages".into());
        }
        let (message, complete) = context.step(challenge).map_err(words)?;
        self.state = if complete { State::Agreeing(context) } else { State::Negotiating(context, rounds + 1) };
        Ok(Secret::new(message))
    }

    /// Section 3.1: the server offers layers, of which none is taken.
    fn agree(&mut self, mut context: Box<dyn GssContext>, challenge: &[u8]) -> Result<Secret, Objection> {
        const NO_LAYER: u8 = 1;
        let offered = context.unwrap(challenge).map_err(words)?;
        let [layers, ..] = <[u8; 4]>::try_from(offered).map_err(|_| NONSENSE)?;
        if layers & NO_LAYER == 0 {
            return Err("it wants every message signed or encrypted by this method; TLS does that here".into());
        }
        let answer = context.wrap(&[&[NO_LAYER, 0, 0, 0], self.identity.as_bytes()].concat()).map_err(words)?;
        self.state = State::Proven;
        Ok(Secret::new(answer))
    }
}

fn words(words: String) -> Objection {
    readable(words.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library that needs so many messages, and signs by putting an "s" in front.
    #[derive(Debug)]
    struct Library(u8);

    #[derive(Debug)]
    struct Context(u8);

    impl GssLibrary for Library {
        fn begin(&self, host: &str) -> Result<Box<dyn GssContext>, String> {
            if host == "unknown" {
                return Err("Server not found in\nKerberos database".into());
            }
            Ok(Box::new(Context(self.0)))
        }
    }

    impl GssContext for Context {
        fn step(&mut self, message: &[u8]) -> Result<(Vec<u8>, bool), String> {
            self.0 = self.0.saturating_sub(1);
            if message == b"forged" { Err("forged".into()) } else { Ok((vec![self.0], self.0 == 0)) }
        }

        fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
            message.strip_prefix(b"s").map(<[u8]>::to_vec).ok_or_else(|| "not signed".into())
        }

        fn wrap(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
            Ok([b"s", message].concat())
        }
    }

    fn login(rounds: u8, host: &str) -> Gssapi {
        let gssapi: Option<&'static dyn GssLibrary> = Some(Box::leak(Box::new(Library(rounds))));
        Gssapi::new(Credentials { gssapi, host: host.into(), identity: "boss".into(), ..Credentials::default() })
    }

    #[test]
    fn the_exchange() {
        let mut login = login(2, "mail.example");
        assert_eq!(login.step(b"").expect("the first").expose(), [1]);
        assert_eq!(login.step(b"x").expect("the second").expose(), [0]);
        assert!(!login.is_proven());
        assert_eq!(login.step(b"s\x07\x00\x10\x00").expect("the agreement").expose(), b"s\x01\0\0\0boss");
        assert!(login.is_proven());
        assert!(login.step(b"").is_err(), "it is over");
    }

    #[test]
    fn what_is_refused() {
        assert!(login(2, "mail.example").step(b"x").is_err(), "the client begins");
        let found = login(2, "unknown").step(b"").expect_err("no such server");
        assert_eq!(found, "Server not found in Kerberos database");
        let after = |message: &[u8]| {
            let mut login = login(1, "mail.example");
            login.step(b"").expect("the only one");
            login.step(message).expect_err("refused")
        };
        assert!(after(b"\x01\0\0\0").contains("not signed"));
        assert!(after(b"s\x06\0\0\0").contains("TLS does that"));
        assert!(after(b"s\x01\0\0").contains("not one"));
        let mut forged = login(2, "mail.example");
        forged.step(b"").expect("the first");
        assert_eq!(forged.step(b"forged").expect_err("refused"), "forged");
        assert!(forged.step(b"x").is_err() && !forged.is_proven());
        assert!(Gssapi::new(Credentials::default()).step(b"").is_err());
    }

    #[test]
    fn a_server_without_an_end() {
        let mut login = login(200, "mail.example");
        let mut challenge: &[u8] = b"";
        let mut rounds = 0;
        while login.step(challenge).is_ok() {
            challenge = b"more";
            rounds += 1;
        }
        assert_eq!(rounds, MOST_ROUNDS);
    }
}
