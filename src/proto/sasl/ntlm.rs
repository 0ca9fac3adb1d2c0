//! NTLM, version 2 (MS-NLMP, MS-SMTPNTLM): three messages, of which the last has a digest
//! of the password and the server's challenge. Old, weak against who guesses passwords,
//! and the server proves nothing; here for servers that have nothing else. Nothing is
//! signed or encrypted by it afterwards.

use super::super::secret::Secret;
use super::{Credentials, NONSENSE};
use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::{Digest as _, Md4};
use md5::Md5;
use zeroize::Zeroizing;

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// Texts are in UTF-16.
const UNICODE: u32 = 0x0000_0001;
/// The server is to name itself.
const REQUEST_TARGET: u32 = 0x0000_0004;
/// This is NTLM.
const NTLM: u32 = 0x0000_0200;
/// Servers expect it, although nothing is signed.
const ALWAYS_SIGN: u32 = 0x0000_8000;
/// The client has a challenge of its own.
const EXTENDED_SECURITY: u32 = 0x0008_0000;
/// The server has told more of itself.
const TARGET_INFO: u32 = 0x0080_0000;

const WANTED: u32 = UNICODE | REQUEST_TARGET | NTLM | ALWAYS_SIGN | EXTENDED_SECURITY | TARGET_INFO;

/// The kinds of what a server tells of itself (MS-NLMP 2.2.2.1).
const END: u16 = 0;
const FLAGS: u16 = 6;
const TIME: u16 = 7;

/// The seconds between 1601, from which Windows counts, and 1970.
const BEFORE_1970: u64 = 11_644_473_600;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    /// The first message is out; so often.
    Negotiating(u8),
    Over,
}

/// An NTLM login.
#[derive(Debug)]
pub struct Ntlm {
    credentials: Credentials,
    state: State,
}

impl Ntlm {
    /// Begins a login; [`Credentials::nonce`] makes it different from all others.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, state: State::Start }
    }

    /// The first message: what this client can do.
    #[must_use]
    pub fn initial(&mut self) -> Secret {
        self.state = match self.state {
            State::Negotiating(times) => State::Negotiating(times + 1),
            _ => State::Negotiating(1),
        };
        Secret::new(negotiate())
    }

    /// Answers a challenge.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn step(&mut self, challenge: &[u8]) -> Result<Secret, &'static str> {
        match self.state {
            State::Start if challenge.is_empty() => return Ok(self.initial()),
            // Some servers pass over an initial response, and say so in words.
            State::Negotiating(1) if challenge.is_empty() => return Ok(self.initial()),
            State::Negotiating(_) => {}
            State::Start | State::Over => return Err(NONSENSE),
        }
        self.state = State::Over;
        let server = Challenge::parse(challenge)?;
        let own: [u8; 16] = Md5::digest(self.credentials.nonce.as_bytes()).into();
        let own = own.first_chunk::<8>().ok_or(NONSENSE)?;
        self.answer(challenge, &server, own)
    }

    /// The last message (MS-NLMP 3.3.2).
    fn answer(&self, challenge: &[u8], server: &Challenge<'_>, own: &[u8; 8]) -> Result<Secret, &'static str> {
        let Credentials { user, password, realm, .. } = &self.credentials;
        let (domain, user) = user.split_once('\\').unwrap_or((realm, user));
        let password = std::str::from_utf8(password.expose()).map_err(|_| "the password is not UTF-8")?;
        let key = password_key(user, domain, password)?;
        let now = (self.credentials.time + BEFORE_1970).wrapping_mul(10_000_000);
        let told = server.information()?;
        let time = told.time.unwrap_or(now);
        let proof = Proof::new(&key, server.challenge, own, time, &told.answer)?;
        let lan_manager = if told.time.is_some() {
            [0; 24].to_vec()
        } else {
            [&keyed(&key, &[&server.challenge, own])?[..], own].concat()
        };
        let text = |text: &str| if server.flags & UNICODE == 0 { oem(text) } else { Ok(wide(text)) };
        let (domain, user) = (text(domain)?, text(user)?);
        let has_check = told.time.is_some();
        let mut message = Vec::new();
        message.extend_from_slice(SIGNATURE);
        message.extend_from_slice(&3_u32.to_le_bytes());
        let mut at: u32 = if has_check { 88 } else { 72 };
        let parts: [&[u8]; 6] = [&lan_manager, &proof.response, &domain, &user, &[], &[]];
        for part in parts {
            let length = u16::try_from(part.len()).map_err(|_| "the answer to it would be too long")?;
            message.extend_from_slice(&length.to_le_bytes());
            message.extend_from_slice(&length.to_le_bytes());
            message.extend_from_slice(&at.to_le_bytes());
            at += u32::from(length);
        }
        message.extend_from_slice(&(server.flags & WANTED).to_le_bytes());
        // A version, which is for the curious only.
        message.extend_from_slice(&[0; 8]);
        let check = message.len();
        if has_check {
            message.extend_from_slice(&[0; 16]);
        }
        parts.iter().for_each(|part| message.extend_from_slice(part));
        if has_check {
            let sum = keyed(&proof.session, &[&negotiate(), challenge, &message])?;
            message[check..check + sum.len()].copy_from_slice(&sum);
        }
        Ok(Secret::new(message))
    }
}

fn negotiate() -> [u8; 32] {
    let mut message = [0; 32];
    message[..8].copy_from_slice(SIGNATURE);
    message[8] = 1;
    message[12..16].copy_from_slice(&WANTED.to_le_bytes());
    // Neither domain nor machine is named.
    message
}

/// What the server sends (MS-NLMP 2.2.1.2).
#[derive(Debug)]
struct Challenge<'a> {
    flags: u32,
    challenge: [u8; 8],
    information: &'a [u8],
}

impl<'a> Challenge<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, &'static str> {
        if !message.starts_with(SIGNATURE) || number(message, 8) != Some(2) {
            return Err(NONSENSE);
        }
        let flags = number(message, 20).ok_or(NONSENSE)?;
        let challenge = *message.get(24..).and_then(<[u8]>::first_chunk).ok_or(NONSENSE)?;
        if flags & NTLM == 0 {
            return Err("it does not offer NTLM itself");
        }
        let information = if flags & TARGET_INFO == 0 {
            &[]
        } else {
            let length = short(message, 40).ok_or(NONSENSE)?;
            let at = number(message, 44).and_then(|at| usize::try_from(at).ok()).ok_or(NONSENSE)?;
            message.get(at..).and_then(|rest| rest.get(..usize::from(length))).ok_or(NONSENSE)?
        };
        Ok(Self { flags, challenge, information })
    }

    /// What the server tells of itself, as it has to be given back.
    fn information(&self) -> Result<Information, &'static str> {
        let mut told = Information { time: None, answer: Vec::new() };
        let mut rest = self.information;
        let (mut flags, mut ended) = (0_u32, rest.is_empty());
        while !ended {
            let kind = short(rest, 0).ok_or(NONSENSE)?;
            let length = usize::from(short(rest, 2).ok_or(NONSENSE)?);
            let value = rest.get(4..4 + length).ok_or(NONSENSE)?;
            match kind {
                END => ended = true,
                FLAGS => flags = number(value, 0).ok_or(NONSENSE)?,
                _ => {
                    if kind == TIME {
                        told.time = Some(u64::from_le_bytes(value.try_into().map_err(|_| NONSENSE)?));
                    }
                    told.answer.extend_from_slice(&rest[..4 + length]);
                }
            }
            rest = &rest[4 + length..];
        }
        // "This message has a check sum."
        if told.time.is_some() {
            flags |= 2;
        }
        if flags != 0 {
            told.answer.extend_from_slice(&[6, 0, 4, 0]);
            told.answer.extend_from_slice(&flags.to_le_bytes());
        }
        told.answer.extend_from_slice(&[0; 4]);
        Ok(told)
    }
}

#[derive(Debug)]
struct Information {
    time: Option<u64>,
    answer: Vec<u8>,
}

/// What shows that the client knows the password.
struct Proof {
    response: Vec<u8>,
    session: Zeroizing<[u8; 16]>,
}

impl Proof {
    fn new(
        key: &[u8; 16],
        challenge: [u8; 8],
        own: &[u8; 8],
        time: u64,
        information: &[u8],
    ) -> Result<Self, &'static str> {
        let mut blob = vec![1, 1, 0, 0, 0, 0, 0, 0];
        blob.extend_from_slice(&time.to_le_bytes());
        blob.extend_from_slice(own);
        blob.extend_from_slice(&[0; 4]);
        blob.extend_from_slice(information);
        blob.extend_from_slice(&[0; 4]);
        let proof = keyed(key, &[&challenge, &blob])?;
        let session = Zeroizing::new(keyed(key, &[&proof])?);
        Ok(Self { response: [&proof[..], &blob].concat(), session })
    }
}

/// What the server keeps instead of the password, with the user's name in it (`NTOWFv2`).
fn password_key(user: &str, domain: &str, password: &str) -> Result<Zeroizing<[u8; 16]>, &'static str> {
    let password = Zeroizing::new(wide(password));
    let hashed = Zeroizing::new(<[u8; 16]>::from(Md4::digest(&password)));
    Ok(Zeroizing::new(keyed(&hashed, &[&wide(&user.to_uppercase()), &wide(domain)])?))
}

fn keyed(key: &[u8; 16], pieces: &[&[u8]]) -> Result<[u8; 16], &'static str> {
    let mut digest = Hmac::<Md5>::new_from_slice(key).map_err(|_| NONSENSE)?;
    pieces.iter().for_each(|piece| digest.update(piece));
    Ok(digest.finalize().into_bytes().into())
}

/// A text in UTF-16; room for all first, so that no copy of a password is left by growing.
fn wide(text: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len() * 2);
    text.encode_utf16().for_each(|unit| octets.extend_from_slice(&unit.to_le_bytes()));
    octets
}

/// A text in whatever character set the server's machine has: in ASCII all agree.
fn oem(text: &str) -> Result<Vec<u8>, &'static str> {
    if text.is_ascii() { Ok(text.into()) } else { Err("it cannot take a user name beyond ASCII") }
}

fn short(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|pair| u16::from_le_bytes(*pair))
}

fn number(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
}

/// Finds what this method cannot take.
pub(super) fn prepare(password: &Secret) -> Result<(), &'static str> {
    std::str::from_utf8(password.expose()).map(drop).map_err(|_| "the password is not UTF-8 and cannot be used")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex");
        digits.chunks(2).map(pair).collect()
    }

    /// The server's names in the examples of MS-NLMP 4.2.4.
    const NAMES: &str = "02000c0044006f006d00610069006e00 01000c00530065007200760065007200";

    fn challenge(flags: u32, information: &str) -> Vec<u8> {
        let information = octets(information);
        let length = u16::try_from(information.len()).expect("short");
        let mut message = SIGNATURE.to_vec();
        message.extend_from_slice(&octets("02000000 0000 0000 38000000"));
        message.extend_from_slice(&flags.to_le_bytes());
        message.extend_from_slice(&octets("0123456789abcdef 0000000000000000"));
        message.extend_from_slice(&length.to_le_bytes());
        message.extend_from_slice(&length.to_le_bytes());
        message.extend_from_slice(&octets("38000000 06007017 0000000f"));
        message.extend_from_slice(&information);
        message
    }

    fn login(user: &str) -> Ntlm {
        let credentials =
            Credentials { user: user.into(), password: Secret::new("Password"), ..Credentials::default() };
        Ntlm::new(credentials)
    }

    /// The examples of MS-NLMP 4.2.4.1 and 4.2.4.2.
    #[test]
    fn the_values_of_the_specification() {
        let key = password_key("User", "Domain", "Password").expect("a key");
        assert_eq!(&key[..], octets("0c868a403bfd7a93a3001ef22ef02e3f"));
        let information = octets(&format!("{NAMES} 00000000"));
        let server = *octets("0123456789abcdef").first_chunk().expect("eight");
        let proof = Proof::new(&key, server, &[0xaa; 8], 0, &information).expect("a proof");
        assert_eq!(&proof.response[..16], octets("68cd0ab851e51c96aabc927bebef6a1c"));
        assert_eq!(&proof.session[..], octets("8de40ccadbc14a82f15cb0ad0de95ca3"));
        let lan_manager = keyed(&key, &[&server, &[0xaa; 8]]).expect("a digest");
        assert_eq!(&lan_manager[..], octets("86c35097ac9cec102554764a57cccc19"));
    }

    fn part(message: &[u8], at: usize) -> &[u8] {
        let (length, from) = (short(message, at).expect("a length"), number(message, at + 4).expect("a place"));
        &message[from as usize..][..usize::from(length)]
    }

    #[test]
    fn the_last_message() {
        let challenge = challenge(WANTED, &format!("{NAMES} 00000000"));
        let server = Challenge::parse(&challenge).expect("good");
        let mut login = login("Domain\\User");
        login.credentials.time = 1;
        let answer = login.answer(&challenge, &server, &[0xaa; 8]).expect("an answer");
        let answer = answer.expose();
        assert!(answer.starts_with(b"NTLMSSP\0\x03\0\0\0"));
        assert_eq!((part(answer, 28), part(answer, 36)), (&wide("Domain")[..], &wide("User")[..]));
        assert_eq!(part(answer, 12), octets("86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa"));
        let response = part(answer, 20);
        assert_eq!(response[16 + 8..16 + 16], ((BEFORE_1970 + 1) * 10_000_000).to_le_bytes());
        assert_eq!(&response[16 + 28..], octets(&format!("{NAMES} 00000000 00000000")));
        assert_eq!(number(answer, 60), Some(WANTED));
        assert_eq!(answer.len(), 72 + 24 + response.len() + 12 + 8);
    }

    /// With a time among what the server tells, the client adds a check sum of all
    /// three messages and leaves the weaker answer out.
    #[test]
    fn the_check_sum() {
        let challenge = challenge(WANTED, &format!("{NAMES} 07000800 0011223344556677 00000000"));
        let mut login = login("User");
        login.credentials.realm = "Domain".into();
        let first = login.initial();
        let answer = login.step(&challenge).expect("an answer");
        let answer = answer.expose();
        assert_eq!(part(answer, 12), [0; 24]);
        assert_eq!(part(answer, 28), wide("Domain"));
        let response = part(answer, 20);
        assert_eq!(response[16 + 8..16 + 16], octets("0011223344556677"));
        assert!(response.ends_with(&octets("07000800 0011223344556677 06000400 02000000 00000000 00000000")));
        let key = password_key("User", "Domain", "Password").expect("a key");
        let session = keyed(&key, &[&response[..16]]).expect("a digest");
        let mut without = answer.to_vec();
        without[72..88].fill(0);
        let sum = keyed(&session, &[first.expose(), &challenge, &without]).expect("a digest");
        assert_eq!(answer[72..88], sum);
        assert!(login.step(&challenge).is_err(), "it is over");
    }

    #[test]
    fn an_initial_response_that_is_passed_over() {
        let mut login = login("User");
        assert_eq!(login.initial().expose(), negotiate());
        assert_eq!(login.step(b"").expect("once more").expose(), negotiate());
        assert!(login.step(b"").is_err(), "not for ever");
        let mut asked = self::login("User");
        assert!(asked.step(b"x").is_err());
        let mut asked = self::login("User");
        assert_eq!(asked.step(b"").expect("the first").expose(), negotiate());
    }

    #[test]
    fn challenges_that_are_refused() {
        let good = challenge(WANTED, &format!("{NAMES} 00000000"));
        let answer = |challenge: &[u8]| {
            let mut login = login("User");
            let _ = login.initial();
            login.step(challenge)
        };
        assert!(answer(&good).is_ok());
        for length in 1..good.len() {
            assert!(answer(&good[..length]).is_err(), "cut at {length}");
        }
        assert!(answer(&negotiate()).is_err(), "its own message back");
        assert!(answer(&challenge(WANTED & !NTLM, "00000000")).is_err());
        assert!(answer(&challenge(WANTED, "0700040000000000 00000000")).is_err(), "a time of four octets");
        assert!(answer(&challenge(WANTED, NAMES)).is_err(), "without an end");
        assert!(answer(&challenge(WANTED, "0200ffff00000000")).is_err());
        let old = challenge(NTLM, "");
        assert!(answer(&old).is_ok(), "a server that tells nothing of itself");
        let mut login = login("J\u{f6}rg");
        let _ = login.initial();
        assert!(login.step(&old).expect_err("not in its character set").contains("ASCII"));
    }

    #[test]
    fn what_it_cannot_take() {
        assert!(prepare(&Secret::new("p\u{e4}ss")).is_ok() && prepare(&Secret::new([0xff])).is_err());
    }
}
