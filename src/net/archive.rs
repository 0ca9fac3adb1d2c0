//! PKCS#12 files (RFC 7292): a certificate with its key and its issuers, under a password.

use super::identity::Identity;
use super::pbes::{self, Purpose, Read, WRONG, affordable, cipher_block, damaged, derive};
use cbc::cipher::{BlockCipherDecrypt, KeyInit};
use pkcs12::cms::content_info::ContentInfo;
use pkcs12::cms::encrypted_data::EncryptedData;

use pkcs12::pbe_params::EncryptedPrivateKeyInfo;
use pkcs12::pfx::Pfx;
use pkcs12::safe_bag::{SafeBag, SafeContents};
use pkcs12::{AuthenticatedSafe, CertBag, MacData};
use ring::{digest, hmac};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use x509_cert::der::asn1::{Any, AnyRef, ContextSpecific, OctetString, OctetStringRef};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// Reads a file.
///
/// # Errors
///
/// Why it cannot be read; mostly that is the password.
pub(super) fn open(octets: &[u8], password: &str) -> Read<Identity> {
    let pfx = Pfx::from_der(octets).map_err(|_| "it is neither a certificate nor PKCS#12".to_owned())?;
    let content = data_of(&pfx.auth_safe)?;
    if let Some(mac) = &pfx.mac_data {
        check_mac(mac, &content, password)?;
    }
    let mut bags = Bags::default();
    for safe in AuthenticatedSafe::from_der(&content).map_err(damaged)? {
        let content = match safe.content_type.to_string().as_str() {
            "1.2.840.113549.1.7.6" => {
                let data: EncryptedData = safe.content.decode_as().map_err(damaged)?;
                let encrypted = data.enc_content_info;
                let octets = encrypted.encrypted_content.ok_or("an encrypted part of it is empty")?;
                decrypt(&encrypted.content_enc_alg, octets.as_bytes(), password)?
            }
            _ => data_of(&safe)?,
        };
        for bag in SafeContents::from_der(&content).map_err(damaged)? {
            bags.add(&bag, password)?;
        }
    }
    bags.identity()
}

/// What was found, each with the mark that tells which belong together.
#[derive(Default)]
struct Bags {
    keys: Vec<(Option<Vec<u8>>, Vec<u8>)>,
    certificates: Vec<(Option<Vec<u8>>, Vec<u8>)>,
}

impl Bags {
    fn add(&mut self, bag: &SafeBag, password: &str) -> Read<()> {
        match bag.bag_id {
            pkcs12::PKCS_12_KEY_BAG_OID => {
                let key: ContextSpecific<Any> = ContextSpecific::from_der(&bag.bag_value).map_err(damaged)?;
                self.keys.push((mark(bag), key.value.to_der().map_err(damaged)?));
            }
            pkcs12::PKCS_12_PKCS8_KEY_BAG_OID => {
                let key: ContextSpecific<EncryptedPrivateKeyInfo> =
                    ContextSpecific::from_der(&bag.bag_value).map_err(damaged)?;
                let key = key.value;
                let opened = decrypt(&key.encryption_algorithm, key.encrypted_data.as_bytes(), password)?;
                self.keys.push((mark(bag), opened));
            }
            pkcs12::PKCS_12_CERT_BAG_OID => {
                let found: ContextSpecific<CertBag> = ContextSpecific::from_der(&bag.bag_value).map_err(damaged)?;
                if found.value.cert_id == pkcs12::PKCS_12_X509_CERT_OID {
                    self.certificates.push((mark(bag), found.value.cert_value.as_bytes().to_vec()));
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
fn mark(bag: &SafeBag) -> Option<Vec<u8>> {
    let attributes = bag.bag_attributes.as_ref()?;
    let found = attributes.iter().find(|attribute| attribute.oid.to_string() == "1.2.840.113549.1.9.21")?;
    found.values.iter().next().map(|value| value.value().to_vec())
}

fn data_of(content: &ContentInfo) -> Read<Vec<u8>> {
    if content.content_type.to_string() != "1.2.840.113549.1.7.1" {
        return Err("a part of it is signed or encrypted with a key, not with a password".to_owned());
    }
    let octets: OctetString = content.content.decode_as().map_err(damaged)?;
    Ok(octets.as_bytes().to_vec())
}

fn check_mac(data: &MacData, content: &[u8], password: &str) -> Read<()> {
    let (hash, mac) = match data.mac.algorithm.oid.to_string().as_str() {
        "1.3.14.3.2.26" => (&digest::SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        "2.16.840.1.101.3.4.2.1" => (&digest::SHA256, hmac::HMAC_SHA256),
        "2.16.840.1.101.3.4.2.2" => (&digest::SHA384, hmac::HMAC_SHA384),
        "2.16.840.1.101.3.4.2.3" => (&digest::SHA512, hmac::HMAC_SHA512),
        other => return Err(format!("the hash {other} is not known")),
    };
    let (salt, rounds) = (data.mac_salt.as_bytes(), affordable(data.iterations.try_into().unwrap_or(0))?);
    let key = derive(hash, password, salt, rounds, Purpose::Mac, hash.output_len());
    hmac::verify(&hmac::Key::new(mac, &key), content, data.mac.digest.as_bytes()).map_err(|_| WRONG.to_owned())
}

fn decrypt(algorithm: &AlgorithmIdentifierOwned, octets: &[u8], password: &str) -> Read<Vec<u8>> {
    let parameters = algorithm.parameters.as_ref().ok_or("its cipher has no parameters")?;
    match algorithm.oid.to_string().as_str() {
        PBES2 => pbes::decrypt(parameters.into(), octets, password.as_bytes()),
        // The ciphers of old files: three-key Triple DES, and RC2 with 40 bits.
        "1.2.840.113549.1.12.1.3" => old_cipher::<des::TdesEde3>(parameters.into(), octets, password, 24),
        "1.2.840.113549.1.12.1.6" => old_cipher::<rc2::Rc2>(parameters.into(), octets, password, 5),
        other => Err(format!("the cipher {other} is not known")),
    }
}

fn old_cipher<C: KeyInit + BlockCipherDecrypt>(
    parameters: AnyRef<'_>,
    octets: &[u8],
    password: &str,
    length: usize,
) -> Read<Vec<u8>> {
    let read = parameters.sequence(|reader| {
        let salt = <&OctetStringRef>::decode(reader)?.as_bytes();
        Ok::<_, x509_cert::der::Error>((salt, u32::decode(reader)?))
    });
    let (salt, rounds) = read.map_err(damaged)?;
    let rounds = affordable(rounds)?;
    let derived = |purpose, length| derive(&digest::SHA1_FOR_LEGACY_USE_ONLY, password, salt, rounds, purpose, length);
    cipher_block::<C>(&derived(Purpose::Key, length), &derived(Purpose::Start, 8), octets)
}

/// The ciphers of PKCS#5.
pub(super) const PBES2: &str = "1.2.840.113549.1.5.13";
