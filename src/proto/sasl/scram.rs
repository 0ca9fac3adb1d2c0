//! SCRAM-SHA-1 (RFC 5802), SCRAM-SHA-256 (RFC 7677) and SCRAM-SHA-512: each side proves
//! to the other that it knows the password, which never goes over the wire. The forms
//! with -PLUS prove as well that both speak over the same TLS connection, by
//! `tls-exporter` (RFC 9266), which TLS 1.3 gives.

use super::super::secret::Secret;
use super::{Credentials, Mechanism, NONSENSE, readable};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// The fewest rounds accepted (RFC 7677 section 4): fewer would let who has
/// recorded the exchange guess the password cheaply.
const LEAST_ROUNDS: u32 = 4096;

/// The most rounds accepted: a server must not make the client compute for long.
/// Servers use up to 600,000.
const MOST_ROUNDS: u32 = 1_000_000;

#[derive(Debug)]
enum State {
    Start,
    /// The first message is out; the part of it that is signed.
    First(String),
    /// The proof is out; what the server has to sign, and the key it has to use.
    Final(hmac::Key, Vec<u8>),
    /// The server has proved that it knows the password.
    Proven,
    /// The server has said that the login failed, or made no sense.
    Over,
}

/// A SCRAM login.
#[derive(Debug)]
pub struct Scram {
    mechanism: Mechanism,
    credentials: Credentials,
    state: State,
    complaint: Option<String>,
}

impl Scram {
    /// Begins a login; [`Credentials::nonce`] makes it different from all others.
    #[must_use]
    pub fn new(mechanism: Mechanism, credentials: Credentials) -> Self {
        Self { mechanism, credentials, state: State::Start, complaint: None }
    }

    /// Which of them it is.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The first message: user name and nonce.
    #[must_use]
    pub fn initial(&mut self) -> Secret {
        let name = stringprep::saslprep(&self.credentials.user).unwrap_or_default();
        let bare = format!("n={},r={}", escaped(&name), self.credentials.nonce);
        let message = Secret::joined(&[self.header().as_bytes(), bare.as_bytes()]);
        self.state = State::First(bare);
        message
    }

    /// Answers the server's first message with the proof, its final one with nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with the message.
    pub fn step(&mut self, challenge: &[u8]) -> Result<Secret, &'static str> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Start if challenge.is_empty() => Ok(self.initial()),
            State::First(bare) => self.prove(&bare, challenge),
            State::Final(key, message) => self.check(&key, &message, challenge),
            State::Start | State::Proven | State::Over => Err(NONSENSE),
        }
    }

    /// Whether the server has proved that it knows the password.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        matches!(self.state, State::Proven)
    }

    /// Why the login failed, in the server's words.
    #[must_use]
    pub fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    /// The GS2 header: what is bound, and whom to act as. "y" says that this client
    /// could have bound the channel and that the server did not offer it: if somebody
    /// between them took the offer away, the server finds out (RFC 5802 section 6).
    fn header(&self) -> String {
        let flag = match (self.mechanism.binds_channel(), &self.credentials.binding) {
            (true, _) => "p=tls-exporter",
            (false, Some(_)) if !self.credentials.binding_offered => "y",
            _ => "n",
        };
        match self.credentials.identity.as_str() {
            "" => format!("{flag},,"),
            identity => format!("{flag},a={},", escaped(identity)),
        }
    }

    /// The header, and what both ends know of the channel.
    fn binding(&self) -> Result<String, &'static str> {
        let header = self.header();
        if !self.mechanism.binds_channel() {
            return Ok(BASE64_STANDARD.encode(header));
        }
        let binding = self.credentials.binding.as_ref().ok_or("there is no TLS connection to bind it to")?;
        Ok(BASE64_STANDARD.encode(Secret::joined(&[header.as_bytes(), binding.expose()]).expose()))
    }

    fn prove(&mut self, bare: &str, challenge: &[u8]) -> Result<Secret, &'static str> {
        let first = ServerFirst::parse(challenge, &self.credentials.nonce)?;
        let password = self.credentials.password.expose();
        let password = std::str::from_utf8(password).map_err(|_| "the password is not UTF-8")?;
        let password = prepared(password).ok_or("the password cannot be used")?;
        let (keyed, plain, derived) = match self.mechanism {
            Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => {
                (hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &digest::SHA1_FOR_LEGACY_USE_ONLY, pbkdf2::PBKDF2_HMAC_SHA1)
            }
            Mechanism::ScramSha512 | Mechanism::ScramSha512Plus => {
                (hmac::HMAC_SHA512, &digest::SHA512, pbkdf2::PBKDF2_HMAC_SHA512)
            }
            _ => (hmac::HMAC_SHA256, &digest::SHA256, pbkdf2::PBKDF2_HMAC_SHA256),
        };
        let mut salted = Zeroizing::new([0; digest::SHA512_OUTPUT_LEN]);
        let salted = &mut salted[..plain.output_len()];
        pbkdf2::derive(derived, first.rounds, &first.salt, password.expose(), salted);
        let salted = hmac::Key::new(keyed, salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(plain, client_key.as_ref());
        let server_key = hmac::sign(&salted, b"Server Key");
        let binding = self.binding()?;
        let answer = format!("c={binding},r={}", first.nonce);
        let signed = [bare.as_bytes(), challenge, answer.as_bytes()].join(&b',');
        let signature = hmac::sign(&hmac::Key::new(keyed, stored_key.as_ref()), &signed);
        let proof: Zeroizing<Vec<u8>> = client_key
            .as_ref()
            .iter()
            .zip(signature.as_ref())
            .map(|(key, octet)| key ^ octet)
            .collect::<Vec<_>>()
            .into();
        self.state = State::Final(hmac::Key::new(keyed, server_key.as_ref()), signed);
        Ok(Secret::new(format!("{answer},p={}", BASE64_STANDARD.encode(&*proof))))
    }

    fn check(&mut self, key: &hmac::Key, message: &[u8], challenge: &[u8]) -> Result<Secret, &'static str> {
        let first = challenge.split(|octet| *octet == b',').next().unwrap_or_default();
        if let Some(complaint) = first.strip_prefix(b"e=") {
            // The reply to the empty answer will say so in SMTP's own way.
            self.complaint = Some(readable(complaint));
            return Ok(Secret::default());
        }
        let signature = first.strip_prefix(b"v=").and_then(|text| BASE64_STANDARD.decode(text).ok());
        let signature = signature.ok_or("the server did not prove that it knows the password")?;
        hmac::verify(key, message, &signature)
            .map_err(|_| "the server's proof is wrong: it does not know the password")?;
        self.state = State::Proven;
        Ok(Secret::default())
    }
}

/// The server's first message: `r=nonce,s=salt,i=rounds`.
struct ServerFirst<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    rounds: NonZeroU32,
}

impl<'a> ServerFirst<'a> {
    fn parse(challenge: &'a [u8], own_nonce: &str) -> Result<Self, &'static str> {
        let mut parts = std::str::from_utf8(challenge).map_err(|_| NONSENSE)?.split(',');
        let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name)).ok_or(NONSENSE);
        // An extension that must be understood ("m=") would stand here and is none of ours.
        let nonce = part("r=")?;
        let salt = BASE64_STANDARD.decode(part("s=")?).map_err(|_| NONSENSE)?;
        let rounds: u32 = part("i=")?.parse().map_err(|_| "its number of rounds is not a number in range")?;
        let added = nonce.strip_prefix(own_nonce).ok_or("it does not bring this login's own nonce back")?;
        if added.is_empty() || !added.bytes().all(|octet| octet.is_ascii_graphic()) || salt.is_empty() {
            return Err("its nonce or its salt is empty");
        }
        if rounds < LEAST_ROUNDS {
            return Err("it asks for fewer than 4096 rounds, which would not protect the password");
        }
        if rounds > MOST_ROUNDS {
            return Err("it asks for more than 1000000 rounds");
        }
        Ok(Self { nonce, salt, rounds: NonZeroU32::new(rounds).ok_or(NONSENSE)? })
    }
}

/// A name in which the separators are written otherwise (RFC 5801 section 4).
pub(super) fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// A password in the form that both sides have to compute with (RFC 4013).
fn prepared(password: &str) -> Option<Secret> {
    let prepared = stringprep::saslprep(password).ok()?;
    (!prepared.is_empty()).then(|| Secret::new(prepared.into_owned()))
}

/// Finds what SCRAM cannot take.
pub(super) fn prepare(user: &str, identity: &str, password: &Secret) -> Result<(), &'static str> {
    if !stringprep::saslprep(user).is_ok_and(|name| !name.is_empty()) || identity.contains(char::is_control) {
        return Err("the user name has characters that cannot be used in a login (RFC 4013)");
    }
    let password = std::str::from_utf8(password.expose()).ok();
    if password.and_then(prepared).is_none() {
        return Err("the password has characters that cannot be used in a login (RFC 4013)");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(mechanism: Mechanism, nonce: &str) -> Scram {
        let credentials = Credentials {
            user: "user".into(),
            password: Secret::new("pencil"),
            nonce: nonce.into(),
            ..Credentials::default()
        };
        Scram::new(mechanism, credentials)
    }

    fn sha256() -> Scram {
        login(Mechanism::ScramSha256, "rOprNGfwEbeRWgbNEkqO")
    }

    const FIRST: &[u8] = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const LAST: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    /// The example of RFC 7677 section 3.
    #[test]
    fn the_exchange_with_sha_256() {
        let mut login = sha256();
        assert_eq!(login.initial().expose(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let answer = login.step(FIRST).expect("the proof");
        assert_eq!(
            std::str::from_utf8(answer.expose()),
            Ok(
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
            )
        );
        assert!(!login.is_proven());
        assert!(login.step(LAST).expect("nothing").is_empty());
        assert!(login.is_proven());
        assert!(login.step(LAST).is_err(), "it is over");
    }

    /// The example of RFC 5802 section 5.
    #[test]
    fn the_exchange_with_sha_1() {
        let mut login = login(Mechanism::ScramSha1, "fyko+d2lbbFgONRv9qkxdawL");
        assert_eq!(login.step(b"").expect("asked for").expose(), b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
        let first = b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
        let answer = login.step(first).expect("the proof");
        assert_eq!(
            std::str::from_utf8(answer.expose()),
            Ok("c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=")
        );
        assert!(login.step(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=").is_ok());
        assert!(login.is_proven());
    }

    #[test]
    fn a_server_that_does_not_know_the_password() {
        let wrong: [&[u8]; 4] =
            [b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", b"v=", b"", b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="];
        for last in wrong {
            let mut login = sha256();
            let _ = login.initial();
            login.step(FIRST).expect("the proof");
            assert!(login.step(last).is_err());
            assert!(!login.is_proven());
        }
        let mut login = sha256();
        let _ = login.initial();
        login.step(FIRST).expect("the proof");
        assert!(login.step(b"e=unknown-user").expect("nothing").is_empty());
        assert_eq!((login.complaint(), login.is_proven()), (Some("unknown-user"), false));
    }

    #[test]
    fn first_messages_that_are_refused() {
        let nonce = "rOprNGfwEbeRWgbNEkqO";
        let cases = [
            (format!("r={nonce}X,s=W22Z,i=4095"), "fewer than 4096"),
            (format!("r={nonce}X,s=W22Z,i=1000001"), "more than 1000000"),
            (format!("r={nonce}X,s=W22Z,i=99999999999"), "not a number in range"),
            (format!("r={nonce}X,s=W22Z,i=-1"), "not a number in range"),
            (format!("r={nonce},s=W22Z,i=4096"), "empty"),
            (format!("r={nonce}X,s=,i=4096"), "empty"),
            ("r=another,s=W22Z,i=4096".to_owned(), "own nonce"),
            (format!("m=x,r={nonce}X,s=W22Z,i=4096"), "not one of this method's"),
            (format!("r={nonce}X,s=W22Z"), "not one of this method's"),
            (format!("r={nonce}X,s=*,i=4096"), "not one of this method's"),
            (String::new(), "not one of this method's"),
        ];
        for (challenge, reason) in cases {
            let mut login = sha256();
            let _ = login.initial();
            let found = login.step(challenge.as_bytes()).expect_err(&challenge);
            assert!(found.contains(reason), "{challenge}: {found}");
            assert!(login.step(FIRST).is_err(), "and then it is over");
        }
    }

    #[test]
    fn names_and_passwords_beyond_the_plain() {
        assert_eq!(escaped("a=b,c"), "a=3Db=2Cc");
        // RFC 4013 section 3: a soft hyphen is left out, a compatibility character replaced.
        assert_eq!(prepared("I\u{ad}X").expect("good").expose(), b"IX");
        assert_eq!(prepared("\u{2168}").expect("good").expose(), b"IX");
        assert!(prepared("\u{7}").is_none() && prepared("\u{627}\u{31}").is_none());
        let password = Secret::new("pencil");
        assert!(prepare("j\u{f6}rg", "", &password).is_ok());
        assert!(prepare("a\nb", "", &password).is_err() && prepare("\u{ad}", "", &password).is_err());
        assert!(prepare("a", "b\n", &password).is_err() && prepare("a", "", &Secret::new([0xff])).is_err());
        let credentials = Credentials { user: "tim".into(), identity: "a,b".into(), ..Credentials::default() };
        let mut login = Scram::new(Mechanism::ScramSha1, credentials);
        assert_eq!(login.initial().expose(), b"n,a=a=2Cb,n=tim,r=");
    }

    #[test]
    fn debug_shows_nothing() {
        let mut login = sha256();
        let _ = login.initial();
        login.step(FIRST).expect("the proof");
        let shown = format!("{login:?}");
        assert!(!shown.contains("pencil") && !shown.contains("dHzbZap"), "{shown}");
    }
}
