//! PKCS#12 files (RFC 7292): a certificate with its key and its issuers, under a password.
//!
//! Read as a tree of plain ASN.1 values: the typed structures of RustCrypto's pkcs12
//! and cms make the library 100 KB larger, for a form that is hardly ever met.

use super::identity::Identity;
use super::pbes::{self, PBES2, Purpose, Read, WRONG, affordable, cipher_block, damaged, derive, items, octets, oid};
use cbc::cipher::{BlockCipherDecrypt, KeyInit};
use ring::{digest, hmac};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::{Decode as _, Encode as _};

const DATA: &str = "1.2.840.113549.1.7.1";
const ENCRYPTED_DATA: &str = "1.2.840.113549.1.7.6";
const KEY_BAG: &str = "1.2.840.113549.1.12.10.1.1";
const SHROUDED_KEY_BAG: &str = "1.2.840.113549.1.12.10.1.2";
const CERTIFICATE_BAG: &str = "1.2.840.113549.1.12.10.1.3";
const X509_CERTIFICATE: &str = "1.2.840.113549.1.9.22.1";
const LOCAL_KEY_ID: &str = "1.2.840.113549.1.9.21";

/// Reads a file.
///
/// # Errors
///
/// Why it cannot be read; mostly that is the password.
pub(super) fn open(file: &[u8], password: &str) -> Read<Identity> {
    let parts = AnyRef::from_der(file).ok().and_then(|file| items(file.value()).ok()).unwrap_or_default();
    // Version 3, the content, and mostly a message authentication code.
    let ([version, content], mac) = match parts.as_slice() {
        [version, content] => ([version, content], None),
        [version, content, mac] => ([version, content], Some(mac)),
        _ => return Err("it is neither a certificate nor PKCS#12".to_owned()),
    };
    if version.value() != [3] {
        return Err("it is neither a certificate nor PKCS#12".to_owned());
    }
    let content = safe(content, password)?;
    if let Some(mac) = mac {
        check_mac(mac.value(), &content, password)?;
    }
    let mut bags = Bags::default();
    for part in items(only(&content)?.value())? {
        let content = safe(&part, password)?;
        for bag in items(only(&content)?.value())? {
            bags.add(&bag, password)?;
        }
    }
    bags.identity()
}

/// The one value that octets are.
fn only(octets: &[u8]) -> Read<AnyRef<'_>> {
    AnyRef::from_der(octets).map_err(damaged)
}

/// So many values, and perhaps more, in a value.
fn at_least<'a, const COUNT: usize>(value: &AnyRef<'a>) -> Read<([AnyRef<'a>; COUNT], Vec<AnyRef<'a>>)> {
    let mut found = items(value.value())?;
    let rest = if found.len() < COUNT { Vec::new() } else { found.split_off(COUNT) };
    let found = found.try_into().map_err(|_| "it is damaged (a part is missing)".to_owned())?;
    Ok((found, rest))
}

/// What is in a part of the file (ContentInfo, RFC 5652), decrypted.
fn safe(part: &AnyRef<'_>, password: &str) -> Read<Vec<u8>> {
    let ([kind, content], _) = at_least(part)?;
    match oid(&kind)?.as_str() {
        DATA => octets(&only(content.value())?).map(<[u8]>::to_vec),
        ENCRYPTED_DATA => {
            let ([_version, info], _) = at_least(&only(content.value())?)?;
            let ([_kind, cipher, encrypted], _) = at_least(&info)?;
            decrypt(&cipher, encrypted.value(), password)
        }
        _ => Err("a part of it is signed or encrypted with a key, not with a password".to_owned()),
    }
}

/// What was found, each with the mark that tells which belong together.
#[derive(Default)]
struct Bags {
    keys: Vec<(Option<Vec<u8>>, Vec<u8>)>,
    certificates: Vec<(Option<Vec<u8>>, Vec<u8>)>,
}

impl Bags {
    fn add(&mut self, bag: &AnyRef<'_>, password: &str) -> Read<()> {
        let ([kind, content], attributes) = at_least(bag)?;
        let mark = attributes.first().and_then(mark);
        match oid(&kind)?.as_str() {
            KEY_BAG => self.keys.push((mark, content.value().to_vec())),
            SHROUDED_KEY_BAG => {
                let ([cipher, encrypted], _) = at_least(&only(content.value())?)?;
                self.keys.push((mark, decrypt(&cipher, octets(&encrypted)?, password)?));
            }
            CERTIFICATE_BAG => {
                let ([kind, certificate], _) = at_least(&only(content.value())?)?;
                if oid(&kind)? == X509_CERTIFICATE {
                    self.certificates.push((mark, octets(&only(certificate.value())?)?.to_vec()));
                }
            }
            // Lists, secrets and the like are of no use here.
            _ => {}
        }
        Ok(())
    }

    /// The first key with its certificate, and behind that those of its issuers.
    fn identity(mut self) -> Read<Identity> {
        if self.keys.is_empty() {
            return Err("the PKCS#12 file has no key".to_owned());
        }
        let (mark, key) = self.keys.swap_remove(0);
        let own = self.certificates.iter().position(|(other, _)| mark.is_some() && *other == mark);
        let own = match own {
            Some(own) => own,
            None if self.certificates.is_empty() => return Err("the PKCS#12 file has no certificate".to_owned()),
            None => 0,
        };
        let mut chain = vec![self.certificates.remove(own).1];
        // Whoever issued the last one comes next; an authority's own is not wanted by any server.
        while let Some(issuer) = chain.last().and_then(|last| names(last)).map(|(_, issuer)| issuer) {
            let next = self.certificates.iter().position(|(_, other)| {
                names(other).is_some_and(|(subject, its_issuer)| subject == issuer && its_issuer != subject)
            });
            let Some(next) = next else { break };
            chain.push(self.certificates.remove(next).1);
        }
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        Ok((chain, PrivatePkcs8KeyDer::from(key).into()))
    }
}

/// Subject and issuer of a certificate.
fn names(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    let facts = certificate.tbs_certificate();
    Some((facts.subject().to_der().ok()?, facts.issuer().to_der().ok()?))
}

/// The attribute `localKeyId` (RFC 2985 section 5.5.2).
fn mark(attributes: &AnyRef<'_>) -> Option<Vec<u8>> {
    items(attributes.value()).ok()?.iter().find_map(|attribute| {
        let ([kind, values], _) = at_least(attribute).ok()?;
        (oid(&kind).ok()? == LOCAL_KEY_ID).then(|| values.value().to_vec())
    })
}

fn check_mac(data: &[u8], content: &[u8], password: &str) -> Read<()> {
    let parts = items(data)?;
    let [info, salt, rounds @ ..] = parts.as_slice() else { return Err(WRONG.to_owned()) };
    let ([algorithm, expected], _) = at_least(info)?;
    let ([hash], _) = at_least(&algorithm)?;
    let (hash, mac) = match oid(&hash)?.as_str() {
        "1.3.14.3.2.26" => (&digest::SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        "2.16.840.1.101.3.4.2.1" => (&digest::SHA256, hmac::HMAC_SHA256),
        "2.16.840.1.101.3.4.2.2" => (&digest::SHA384, hmac::HMAC_SHA384),
        "2.16.840.1.101.3.4.2.3" => (&digest::SHA512, hmac::HMAC_SHA512),
        other => return Err(format!("the hash {other} is not known")),
    };
    let rounds = match rounds.first() {
        Some(rounds) => rounds.decode_as().map_err(damaged)?,
        None => 1,
    };
    let key = derive(hash, password, octets(salt)?, affordable(rounds)?, Purpose::Mac, hash.output_len());
    hmac::verify(&hmac::Key::new(mac, &key), content, octets(&expected)?).map_err(|_| WRONG.to_owned())
}

fn decrypt(algorithm: &AnyRef<'_>, octets: &[u8], password: &str) -> Read<Vec<u8>> {
    let ([cipher, parameters], _) = at_least(algorithm)?;
    match oid(&cipher)?.as_str() {
        PBES2 => pbes::decrypt(&parameters, octets, password.as_bytes()),
        // The ciphers of old files: three-key Triple DES, and RC2 with 40 bits.
        "1.2.840.113549.1.12.1.3" => old_cipher::<des::TdesEde3>(&parameters, octets, password, 24),
        "1.2.840.113549.1.12.1.6" => old_cipher::<rc2::Rc2>(&parameters, octets, password, 5),
        other => Err(format!("the cipher {other} is not known")),
    }
}

fn old_cipher<C: KeyInit + BlockCipherDecrypt>(
    parameters: &AnyRef<'_>,
    encrypted: &[u8],
    password: &str,
    length: usize,
) -> Read<Vec<u8>> {
    let ([salt, rounds], _) = at_least(parameters)?;
    let (salt, rounds) = (octets(&salt)?, affordable(rounds.decode_as().map_err(damaged)?)?);
    let derived = |purpose, length| derive(&digest::SHA1_FOR_LEGACY_USE_ONLY, password, salt, rounds, purpose, length);
    cipher_block::<C>(&derived(Purpose::Key, length), &derived(Purpose::Start, 8), encrypted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole files are in tests/suite/test_trust.py.
    #[test]
    fn what_is_no_archive() {
        for octets in [b"".as_slice(), b"0", b"\x30\x00", b"\x30\x03\x02\x01\x03", &[0x30; 40]] {
            assert!(open(octets, "").is_err());
        }
        // Version 3, then a content that is none.
        for content in [[0x30, 0x00], [0x04, 0x00], [0x05, 0x00]] {
            let file = [&[0x30, 0x05, 0x02, 0x01, 0x03], content.as_slice()].concat();
            assert!(open(&file, "").is_err());
        }
    }
}
