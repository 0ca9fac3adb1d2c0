//! DIGEST-MD5 (RFC 2831): a digest of the password, the server's challenge and a nonce
//! of the client's own, and another one back, which proves that the server knows the
//! password. Historic (RFC 6331), and weak against who guesses passwords; without the
//! layers that would protect what follows (qop=auth).

use super::super::secret::Secret;
use super::{Credentials, NONSENSE};
use md5::{Digest as _, Md5};
use zeroize::Zeroizing;

/// The longest challenge (section 2.1.1).
const MOST: usize = 2048;

#[derive(Debug)]
enum State {
    Start,
    /// The answer is out; what the server has to answer.
    Answered(String),
    /// The server has proved that it knows the password.
    Proven,
    /// The server made no sense.
    Over,
}

/// A DIGEST-MD5 login.
#[derive(Debug)]
pub struct DigestMd5 {
    credentials: Credentials,
    state: State,
}

impl DigestMd5 {
    /// Begins a login; [`Credentials::nonce`] makes it different from all others.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, state: State::Start }
    }

    /// Answers the challenge with the digest, and the server's proof with nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with the message.
    pub fn step(&mut self, challenge: &[u8]) -> Result<Secret, &'static str> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Start => self.answer(challenge),
            State::Answered(expected) => self.check(&expected, challenge),
            State::Proven | State::Over => Err(NONSENSE),
        }
    }

    /// Whether the server has proved that it knows the password.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        matches!(self.state, State::Proven)
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Secret, &'static str> {
        let uri = format!("smtp/{}", self.credentials.host);
        self.answer_for(&uri, challenge)
    }

    fn answer_for(&mut self, uri: &str, challenge: &[u8]) -> Result<Secret, &'static str> {
        let challenge = Challenge::parse(challenge)?;
        let Credentials { user, identity, nonce: own, .. } = &self.credentials;
        let realm = challenge.realm(&self.credentials.realm)?;
        let secret = self.secret(&challenge, realm)?;
        let identity_part: &[&[u8]] = &[b":", identity.as_bytes()];
        let first = [&secret[..], b":", challenge.nonce.as_bytes(), b":", own.as_bytes()];
        let first =
            hex(&if identity.is_empty() { digest(&first) } else { digest(&[&first[..], identity_part].concat()) });
        let value = |second: String| {
            let second = hex(&digest(&[second.as_bytes()]));
            let pieces = [&first, ":", &challenge.nonce, ":00000001:", own, ":auth:", &second];
            hex(&digest(&pieces.map(str::as_bytes)))
        };
        let response = value(format!("AUTHENTICATE:{uri}"));
        let expected = value(format!(":{uri}"));
        let mut answer = String::new();
        if challenge.utf8 {
            answer.push_str("charset=utf-8,");
        }
        answer += &format!("username={}", quoted(user));
        if !challenge.realms.is_empty() || !realm.is_empty() {
            answer += &format!(",realm={}", quoted(realm));
        }
        answer += &format!(
            ",nonce={},nc=00000001,cnonce={},digest-uri={},response={response},qop=auth",
            quoted(&challenge.nonce),
            quoted(own),
            quoted(uri)
        );
        if !identity.is_empty() {
            answer += &format!(",authzid={}", quoted(identity));
        }
        let answer = if challenge.utf8 { answer.into_bytes() } else { latin(&answer).ok_or(NOT_LATIN)? };
        self.state = State::Answered(expected);
        Ok(Secret::new(answer))
    }

    /// The digest of user name, realm and password, by which a server may keep the password.
    fn secret(&self, challenge: &Challenge, realm: &str) -> Result<Zeroizing<[u8; 16]>, &'static str> {
        let password =
            std::str::from_utf8(self.credentials.password.expose()).map_err(|_| "the password is not UTF-8")?;
        // What fits into ISO 8859-1 is digested in it, whatever goes over the wire.
        let form = |text: &str| match latin(text) {
            Some(octets) => Ok(Zeroizing::new(octets)),
            None if challenge.utf8 => Ok(Zeroizing::new(text.as_bytes().to_vec())),
            None => Err(NOT_LATIN),
        };
        let (user, realm, password) = (form(&self.credentials.user)?, form(realm)?, form(password)?);
        Ok(Zeroizing::new(digest(&[&user, b":", &realm, b":", &password])))
    }

    fn check(&mut self, expected: &str, challenge: &[u8]) -> Result<Secret, &'static str> {
        const UNPROVEN: &str = "the server did not prove that it knows the password";
        let directives = directives(challenge).ok_or(UNPROVEN)?;
        let proof = only(&directives, "rspauth")?.ok_or(UNPROVEN)?;
        let differs = proof.bytes().zip(expected.bytes()).fold(0, |differs, (one, other)| differs | (one ^ other));
        if differs != 0 || proof.len() != expected.len() {
            return Err("the server's proof is wrong: it does not know the password");
        }
        self.state = State::Proven;
        Ok(Secret::default())
    }
}

const NOT_LATIN: &str = "it wants ISO 8859-1, in which the user name or the password cannot be written";

/// What the server says about itself (section 2.1.1).
#[derive(Debug)]
struct Challenge {
    realms: Vec<String>,
    nonce: String,
    utf8: bool,
}

impl Challenge {
    fn parse(challenge: &[u8]) -> Result<Self, &'static str> {
        let mut directives = directives(challenge).ok_or(NONSENSE)?;
        let utf8 = match only(&directives, "charset")? {
            None => false,
            Some(charset) if charset.eq_ignore_ascii_case("utf-8") => true,
            Some(_) => return Err("it names a character set that is not UTF-8"),
        };
        if only(&directives, "algorithm")? != Some("md5-sess") {
            return Err("its algorithm is not md5-sess");
        }
        if only(&directives, "qop")?.is_some_and(|qop| !qop.split(',').any(|one| one.trim() == "auth")) {
            return Err("it wants every message signed or encrypted by this method; TLS does that here");
        }
        if utf8 {
            for (_, value) in &mut directives {
                let octets = latin(value).ok_or(NONSENSE)?;
                *value = String::from_utf8(octets).map_err(|_| NONSENSE)?;
            }
        }
        let nonce = only(&directives, "nonce")?.filter(|nonce| !nonce.is_empty()).ok_or("it has no nonce")?.to_owned();
        let realms = directives.into_iter().filter(|(name, _)| name == "realm").map(|(_, value)| value).collect();
        Ok(Self { realms, nonce, utf8 })
    }

    /// The realm to log in to: the one asked for if the server has it, else its first.
    fn realm<'a>(&'a self, wanted: &'a str) -> Result<&'a str, &'static str> {
        if wanted.is_empty() {
            return Ok(self.realms.first().map_or("", String::as_str));
        }
        if self.realms.is_empty() || self.realms.iter().any(|realm| realm == wanted) {
            return Ok(wanted);
        }
        Err("the realm in SMTP_PROPERTY_AUTH_REALM is none of those that it names")
    }
}

/// The value of a directive that may stand once.
fn only<'a>(directives: &'a [(String, String)], name: &str) -> Result<Option<&'a str>, &'static str> {
    let mut found = directives.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
    let first = found.next();
    if found.next().is_some() { Err("it says a thing twice that may be said once") } else { Ok(first) }
}

/// Names and values, `name=value` or `name="value"`, separated by commas. Each octet is
/// taken for a character; who finds that it is UTF-8 takes that back.
fn directives(text: &[u8]) -> Option<Vec<(String, String)>> {
    if text.len() > MOST {
        return None;
    }
    let mut octets = text.iter().map(|octet| char::from(*octet)).peekable();
    let mut found = Vec::new();
    loop {
        while octets.next_if(|c| matches!(c, ',' | ' ' | '\t' | '\r' | '\n')).is_some() {}
        if octets.peek().is_none() {
            return Some(found);
        }
        let mut name = String::new();
        while let Some(c) = octets.next_if(|c| c.is_ascii_alphanumeric() || *c == '-') {
            name.push(c.to_ascii_lowercase());
        }
        while octets.next_if_eq(&' ').is_some() {}
        octets.next_if_eq(&'=').filter(|_| !name.is_empty())?;
        while octets.next_if_eq(&' ').is_some() {}
        let mut value = String::new();
        if octets.next_if_eq(&'"').is_some() {
            loop {
                match octets.next()? {
                    '"' => break,
                    '\\' => value.push(octets.next()?),
                    c => value.push(c),
                }
            }
        } else {
            while let Some(c) = octets.next_if(|c| c.is_ascii_graphic() && *c != ',' && *c != '"') {
                value.push(c);
            }
        }
        while octets.next_if(|c| matches!(c, ' ' | '\t' | '\r' | '\n')).is_some() {}
        if octets.peek().is_some_and(|c| *c != ',') {
            return None;
        }
        found.push((name, value));
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A text in ISO 8859-1, if it can be written so.
fn latin(text: &str) -> Option<Vec<u8>> {
    // Room for all first, so that no copy of a password is left by growing.
    let mut octets = Vec::with_capacity(text.len());
    for c in text.chars() {
        octets.push(u8::try_from(c).ok()?);
    }
    Some(octets)
}

fn digest(pieces: &[&[u8]]) -> [u8; 16] {
    let mut digest = Md5::new();
    pieces.iter().for_each(|piece| digest.update(piece));
    digest.finalize().into()
}

fn hex(octets: &[u8; 16]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Finds what this method cannot take.
pub(super) fn prepare(user: &str, identity: &str, password: &Secret) -> Result<(), &'static str> {
    let odd = user.contains(char::is_control) || identity.contains(char::is_control);
    if odd || user.contains(':') || std::str::from_utf8(password.expose()).is_err() {
        return Err("the user name or the password has characters that cannot be used in a login");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, password: &str, nonce: &str) -> DigestMd5 {
        DigestMd5::new(Credentials {
            user: user.into(),
            password: Secret::new(password),
            nonce: nonce.into(),
            host: "mail.example".into(),
            ..Credentials::default()
        })
    }

    const CHALLENGE: &[u8] =
        b"realm=\"elwood.innosoft.com\",nonce=\"OA6MG9tEQGm2hh\",qop=\"auth\",algorithm=md5-sess,charset=utf-8";

    /// The examples of RFC 2831 section 4.
    #[test]
    fn the_exchanges_of_the_standard() {
        let mut imap = login("chris", "secret", "OA6MHXh6VqTrRk");
        let answer = imap.answer_for("imap/elwood.innosoft.com", CHALLENGE).expect("the digest");
        assert_eq!(
            answer.expose().escape_ascii().to_string().replace('\\', ""),
            "charset=utf-8,username=\"chris\",realm=\"elwood.innosoft.com\",nonce=\"OA6MG9tEQGm2hh\",nc=00000001,\
             cnonce=\"OA6MHXh6VqTrRk\",digest-uri=\"imap/elwood.innosoft.com\",\
             response=d388dad90d4bbd760a152321f2143af7,qop=auth"
        );
        assert!(!imap.is_proven());
        assert!(imap.step(b"rspauth=ea40f60335c427b5527b84dbabcdfffd").expect("nothing").is_empty());
        assert!(imap.is_proven());
        assert!(imap.step(b"rspauth=ea40f60335c427b5527b84dbabcdfffd").is_err(), "it is over");
        let mut acap = login("chris", "secret", "OA9BSuZWMSpW8m");
        let challenge =
            b"realm=\"elwood.innosoft.com\",nonce=\"OA9BSXrbuRhWay\",qop=\"auth\",algorithm=md5-sess,charset=utf-8";
        let answer = acap.answer_for("acap/elwood.innosoft.com", challenge).expect("the digest");
        assert!(String::from_utf8_lossy(answer.expose()).contains("response=6084c6db3fede7352c551284490fd0fc"));
        assert!(acap.step(b"rspauth=2f0b3d7c3c2e486600ef710726aa2eae").is_ok());
    }

    #[test]
    fn a_server_that_does_not_know_the_password() {
        let wrong: [&[u8]; 6] = [
            b"rspauth=ea40f60335c427b5527b84dbabcdfffe",
            b"rspauth=",
            b"rspauth=ea40f60335c427b5527b84dbabcdfff",
            b"rspauth=ea40f60335c427b5527b84dbabcdfffd,rspauth=ea40f60335c427b5527b84dbabcdfffd",
            b"",
            CHALLENGE,
        ];
        for proof in wrong {
            let mut login = login("chris", "secret", "OA6MHXh6VqTrRk");
            login.answer_for("imap/elwood.innosoft.com", CHALLENGE).expect("the digest");
            assert!(login.step(proof).is_err(), "{}", proof.escape_ascii());
            assert!(!login.is_proven() && login.step(CHALLENGE).is_err());
        }
    }

    #[test]
    fn challenges_that_are_refused() {
        let long = format!("nonce=\"{}\",algorithm=md5-sess", "a".repeat(2048));
        let cases = [
            ("", "md5-sess"),
            ("nonce=\"a\"", "md5-sess"),
            ("nonce=\"a\",algorithm=md5", "md5-sess"),
            ("algorithm=md5-sess", "no nonce"),
            ("nonce=\"\",algorithm=md5-sess", "no nonce"),
            ("nonce=\"a\",nonce=\"b\",algorithm=md5-sess", "twice"),
            ("nonce=\"a\",algorithm=md5-sess,algorithm=md5-sess", "twice"),
            ("nonce=\"a\",algorithm=md5-sess,qop=\"auth-conf,auth-int\"", "TLS does that"),
            ("nonce=\"a\",algorithm=md5-sess,charset=latin-9", "character set"),
            ("nonce=\"a\",algorithm=md5-sess,charset=utf-8,realm=\"\u{ff}", "not one of this method's"),
            ("nonce=\"a,algorithm=md5-sess", "not one of this method's"),
            ("nonce=\"a\"b,algorithm=md5-sess", "not one of this method's"),
            ("=x", "not one of this method's"),
            (&long, "not one of this method's"),
        ];
        for (challenge, reason) in cases {
            let found = login("tim", "secret", "x").step(challenge.as_bytes()).expect_err(challenge);
            assert!(found.contains(reason), "{challenge}: {found}");
        }
        let odd = b"nonce=\"a\",algorithm=md5-sess,charset=utf-8,realm=\"\xff\"";
        assert!(login("tim", "secret", "x").step(odd).is_err());
        assert!(login("\u{20ac}", "secret", "x").step(b"nonce=\"a\",algorithm=md5-sess").is_err());
    }

    #[test]
    fn realms_and_identities() {
        let answer = |realm: &str, identity: &str, challenge: &str| {
            let mut login = login("t\"i\u{e4}m", "secret", "x");
            login.credentials.realm = realm.into();
            login.credentials.identity = identity.into();
            login.step(challenge.as_bytes()).map(|answer| answer.expose().to_vec())
        };
        let two = "realm=\"a\\\"b\", realm=\"c\" , nonce=\"n\",qop=\"auth-int,auth\",algorithm=md5-sess,charset=utf-8";
        let found = String::from_utf8(answer("", "", two).expect("the first")).expect("UTF-8");
        assert!(found.contains("username=\"t\\\"i\u{e4}m\",realm=\"a\\\"b\""), "{found}");
        assert!(found.contains("digest-uri=\"smtp/mail.example\"") && !found.contains("authzid"), "{found}");
        let found = String::from_utf8(answer("c", "boss", two).expect("the second")).expect("UTF-8");
        assert!(found.contains("realm=\"c\"") && found.ends_with(",authzid=\"boss\""), "{found}");
        assert!(answer("d", "", two).expect_err("neither").contains("AUTH_REALM"));
        let none = answer("", "", "nonce=n,algorithm=md5-sess").expect("without a realm");
        assert!(none.starts_with(b"username=\"t\\\"i\xe4m\",nonce=\"n\""), "{}", none.escape_ascii());
        let given = answer("d", "", "nonce=n,algorithm=md5-sess").expect("with one of ours");
        assert!(given.escape_ascii().to_string().contains("realm=\\\"d\\\""));
    }

    #[test]
    fn what_it_cannot_take() {
        let good = Secret::new("secret");
        assert!(prepare("tim", "", &good).is_ok());
        assert!(prepare("a:b", "", &good).is_err() && prepare("a\nb", "", &good).is_err());
        assert!(prepare("a", "b\n", &good).is_err() && prepare("a", "", &Secret::new([0xff])).is_err());
    }
}
