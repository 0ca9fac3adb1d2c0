//! Decryption with a password, for keys and PKCS#12 files: PBES2 (RFC 8018) with
//! PBKDF2 and AES or Triple DES, and the derivation of PKCS#12 (RFC 7292 appendix B).
//!
//! RustCrypto's pkcs5 has that too, with scrypt and GCM and in all 250 KB larger.

use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt as _, InnerIvInit as _, KeyInit};
use ring::{digest, pbkdf2};
use std::num::NonZeroU32;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::{self, Decode as _, Reader as _, SliceReader, Tag, Tagged as _};
use zeroize::Zeroizing;

pub(super) type Read<T> = Result<T, String>;

pub(super) const WRONG: &str = "the password is wrong, or it is damaged";

/// More rounds would keep a program waiting for seconds.
const MOST_ROUNDS: u32 = 10_000_000;

pub(super) fn affordable(rounds: u32) -> Read<NonZeroU32> {
    NonZeroU32::new(rounds)
        .filter(|rounds| rounds.get() <= MOST_ROUNDS)
        .ok_or_else(|| format!("it wants {rounds} rounds of hashing, and {MOST_ROUNDS} are the most"))
}

pub(super) fn damaged(error: der::Error) -> String {
    format!("it is damaged ({error})")
}

/// The cipher that [`decrypt`] is for.
pub(super) const PBES2: &str = "1.2.840.113549.1.5.13";

/// The values that stand behind each other.
pub(super) fn items(octets: &[u8]) -> Read<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(octets).map_err(damaged)?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        found.push(AnyRef::decode(&mut reader).map_err(damaged)?);
    }
    Ok(found)
}

/// An object identifier, with dots.
pub(super) fn oid(value: &AnyRef<'_>) -> Read<String> {
    value.decode_as::<ObjectIdentifier>().map(|oid| oid.to_string()).map_err(damaged)
}

/// What is in an octet string.
pub(super) fn octets<'a>(value: &AnyRef<'a>) -> Read<&'a [u8]> {
    if value.tag() == Tag::OctetString { Ok(value.value()) } else { Err("it is damaged (no octets)".to_owned()) }
}

/// An encrypted key (RFC 5958 section 3): the cipher, its parameters, and the octets.
/// `None` if it is something else.
pub(super) fn encrypted_key(der: &[u8]) -> Option<(String, AnyRef<'_>, &[u8])> {
    let key = items(AnyRef::from_der(der).ok()?.value()).ok()?;
    let [algorithm, encrypted] = key.as_slice() else { return None };
    let algorithm = items(algorithm.value()).ok()?;
    let [cipher, parameters] = algorithm.as_slice() else { return None };
    Some((oid(cipher).ok()?, *parameters, octets(encrypted).ok()?))
}

/// Decrypts with PBES2.
///
/// # Errors
///
/// If the password is wrong, or the cipher not known.
pub(super) fn decrypt(parameters: &AnyRef<'_>, encrypted: &[u8], password: &[u8]) -> Read<Vec<u8>> {
    let missing = || "its cipher has no parameters".to_owned();
    let parts = items(parameters.value())?;
    let [derivation, cipher] = parts.as_slice() else { return Err(missing()) };
    let (derivation, cipher) = (items(derivation.value())?, items(cipher.value())?);
    let ([derivation, details], [cipher, start]) = (derivation.as_slice(), cipher.as_slice()) else {
        return Err(missing());
    };
    if oid(derivation)? != "1.2.840.113549.1.5.12" {
        return Err("its key is derived by scrypt or another way than PBKDF2".to_owned());
    }
    let details = items(details.value())?;
    let [salt, rounds, rest @ ..] = details.as_slice() else { return Err(missing()) };
    let (salt, rounds) = (octets(salt)?, affordable(rounds.decode_as().map_err(damaged)?)?);
    // The length of the key, which may stand there too, follows from the cipher.
    let hash = match rest.iter().find(|value| value.tag() == Tag::Sequence) {
        Some(hash) => oid(items(hash.value())?.first().ok_or_else(missing)?)?,
        None => "1.2.840.113549.2.7".to_owned(),
    };
    let hash = match hash.as_str() {
        "1.2.840.113549.2.7" => pbkdf2::PBKDF2_HMAC_SHA1,
        "1.2.840.113549.2.9" => pbkdf2::PBKDF2_HMAC_SHA256,
        "1.2.840.113549.2.10" => pbkdf2::PBKDF2_HMAC_SHA384,
        "1.2.840.113549.2.11" => pbkdf2::PBKDF2_HMAC_SHA512,
        other => return Err(format!("the hash {other} is not known")),
    };
    let start = octets(start)?;
    let key = |length| {
        let mut key = Zeroizing::new(vec![0; length]);
        pbkdf2::derive(hash, rounds, salt, password, &mut key);
        key
    };
    match oid(cipher)?.as_str() {
        "2.16.840.1.101.3.4.1.2" => cipher_block::<aes::Aes128Dec>(&key(16), start, encrypted),
        "2.16.840.1.101.3.4.1.42" => cipher_block::<aes::Aes256Dec>(&key(32), start, encrypted),
        "1.2.840.113549.3.7" => cipher_block::<des::TdesEde3>(&key(24), start, encrypted),
        other => Err(format!("the cipher {other} is not known")),
    }
}

/// Decrypts in CBC mode.
pub(super) fn cipher_block<C: KeyInit + BlockCipherDecrypt>(key: &[u8], start: &[u8], octets: &[u8]) -> Read<Vec<u8>> {
    let cipher = C::new_from_slice(key).map_err(|_| "its key has a wrong length".to_owned())?;
    let cipher = cbc::Decryptor::inner_iv_slice_init(cipher, start).map_err(|_| "its cipher is odd".to_owned())?;
    cipher.decrypt_padded_vec::<Pkcs7>(octets).map_err(|_| WRONG.to_owned())
}

/// What a derived key of PKCS#12 is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Key = 1,
    Start = 2,
    Mac = 3,
}

/// Derives octets from a password (RFC 7292 appendix B.2).
pub(super) fn derive(
    hash: &'static digest::Algorithm,
    password: &str,
    salt: &[u8],
    rounds: NonZeroU32,
    purpose: Purpose,
    length: usize,
) -> Zeroizing<Vec<u8>> {
    let block = hash.block_len();
    let units = password.encode_utf16().chain([0]).flat_map(u16::to_be_bytes);
    let password = Zeroizing::new(units.collect::<Vec<u8>>());
    let filled = |piece: &[u8]| {
        let whole = piece.len().div_ceil(block) * block;
        piece.iter().copied().cycle().take(whole).collect::<Vec<u8>>()
    };
    let mut input = Zeroizing::new([filled(salt), filled(&password)].concat());
    let mut out = Zeroizing::new(Vec::with_capacity(length + hash.output_len()));
    while out.len() < length {
        let mut context = digest::Context::new(hash);
        context.update(&vec![purpose as u8; block]);
        context.update(&input);
        let mut round = context.finish();
        for _ in 1..rounds.get() {
            round = digest::digest(hash, round.as_ref());
        }
        out.extend_from_slice(round.as_ref());
        // Each block of the input grows by the digest, repeated, and one.
        for piece in input.chunks_mut(block) {
            let mut carry = 1_u16;
            for (at, octet) in piece.iter_mut().enumerate().rev() {
                carry += u16::from(*octet) + u16::from(round.as_ref()[at % hash.output_len()]);
                *octet = carry.to_be_bytes()[1];
                carry >>= 8;
            }
        }
    }
    out.truncate(length);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::certificate::hexadecimal;

    /// What OpenSSL's `PKCS12_key_gen_utf8` gives, as noted in the tests of RustCrypto's pkcs12.
    #[test]
    fn derivation() {
        let rounds = NonZeroU32::new(100).expect("not 0");
        let derived = |purpose, length| {
            hexadecimal(&derive(&digest::SHA256, "ge@\u{e4}heim", &[1, 2, 3, 4, 5, 6, 7, 8], rounds, purpose, length))
        };
        assert_eq!(derived(Purpose::Key, 32), "fae4d4957a3cc781e1180b9d4fb79c1e0c8579b746a3177e5b0768a3118bf863");
        assert_eq!(derived(Purpose::Start, 32), "e5ff813bc6547de5155b14d2fada85b3201a977349db6e26ccc998d9e8f83d6c");
        assert_eq!(derived(Purpose::Mac, 20), "136355ed9434516682534f46d63956db5ff06b84");
    }

    #[test]
    fn costs_are_bounded() {
        assert!(affordable(0).is_err() && affordable(MOST_ROUNDS + 1).is_err() && affordable(1).is_ok());
    }
}
