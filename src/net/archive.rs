//! PKCS#12 files (RFC 7292): a certificate with its key and its issuers, under a password.

use super::identity::Identity;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt as _, InnerIvInit as _, KeyInit};
use digest::block_api::BlockSizeUser;
use digest::{Digest, FixedOutputReset, OutputSizeUser};
use hmac::{EagerHash, Hmac, Mac as _};
use pkcs8::pkcs5::pbes2::{Kdf, Parameters};
use pkcs12::cms::content_info::ContentInfo;
use pkcs12::cms::encrypted_data::EncryptedData;
use pkcs12::kdf::{Pkcs12KeyType, derive_key_utf8};

use pkcs12::pbe_params::EncryptedPrivateKeyInfo;
use pkcs12::pfx::Pfx;
use pkcs12::safe_bag::{SafeBag, SafeContents};
use pkcs12::{AuthenticatedSafe, CertBag, MacData};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use x509_cert::der::asn1::{Any, ContextSpecific, OctetString};
use x509_cert::der::{Decode as _, Encode as _, Reader as _, SliceReader};
use x509_cert::spki::AlgorithmIdentifierOwned;

type Read<T> = Result<T, String>;

/// More rounds would keep a program waiting for seconds.
const MOST_ROUNDS: i32 = 10_000_000;

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
    match data.mac.algorithm.oid.to_string().as_str() {
        "1.3.14.3.2.26" => mac::<sha1::Sha1>(data, content, password),
        "2.16.840.1.101.3.4.2.1" => mac::<sha2::Sha256>(data, content, password),
        "2.16.840.1.101.3.4.2.2" => mac::<sha2::Sha384>(data, content, password),
        "2.16.840.1.101.3.4.2.3" => mac::<sha2::Sha512>(data, content, password),
        other => Err(format!("the hash {other} is not known")),
    }
}

fn mac<D: Digest + FixedOutputReset + BlockSizeUser + EagerHash>(
    data: &MacData,
    content: &[u8],
    password: &str,
) -> Read<()>
where
    Hmac<D>: KeyInit + digest::Mac,
{
    let (salt, rounds) = (data.mac_salt.as_bytes(), affordable(data.iterations)?);
    let length = <D as OutputSizeUser>::output_size();
    let key = derive_key_utf8::<D>(password, salt, Pkcs12KeyType::Mac, rounds, length).map_err(damaged)?;
    let mut mac = <Hmac<D> as KeyInit>::new_from_slice(&key).map_err(|_| "its hash cannot be used".to_owned())?;
    mac.update(content);
    mac.verify_slice(data.mac.digest.as_bytes()).map_err(|_| WRONG.to_owned())
}

const WRONG: &str = "the password is wrong, or the PKCS#12 file is damaged";

fn decrypt(algorithm: &AlgorithmIdentifierOwned, octets: &[u8], password: &str) -> Read<Vec<u8>> {
    let parameters = algorithm.parameters.as_ref().ok_or("its cipher has no parameters")?.to_der().map_err(damaged)?;
    match algorithm.oid.to_string().as_str() {
        "1.2.840.113549.1.5.13" => {
            let parameters = Parameters::from_der(&parameters).map_err(damaged)?;
            check_cost(&parameters)?;
            parameters.decrypt(password.as_bytes(), octets).map_err(|_| WRONG.to_owned())
        }
        // The ciphers of old files: three-key Triple DES, and RC2 with 40 bits.
        "1.2.840.113549.1.12.1.3" => old_cipher::<des::TdesEde3>(&parameters, octets, password, 24),
        "1.2.840.113549.1.12.1.6" => old_cipher::<rc2::Rc2>(&parameters, octets, password, 5),
        other => Err(format!("the cipher {other} is not known")),
    }
}

fn old_cipher<C: KeyInit + BlockCipherDecrypt>(
    parameters: &[u8],
    octets: &[u8],
    password: &str,
    length: usize,
) -> Read<Vec<u8>> {
    let mut reader = SliceReader::new(parameters).map_err(damaged)?;
    let read = reader.sequence(|reader| {
        let salt = OctetString::decode(reader)?;
        Ok::<_, x509_cert::der::Error>((salt, i32::decode(reader)?))
    });
    let (salt, rounds) = read.map_err(damaged)?;
    let rounds = affordable(rounds)?;
    let derive = |kind, length| derive_key_utf8::<sha1::Sha1>(password, salt.as_bytes(), kind, rounds, length);
    let key = derive(Pkcs12KeyType::EncryptionKey, length).map_err(damaged)?;
    let start = derive(Pkcs12KeyType::Iv, 8).map_err(damaged)?;
    let cipher = C::new_from_slice(&key).map_err(|_| "its key has a wrong length".to_owned())?;
    let cipher = cbc::Decryptor::inner_iv_slice_init(cipher, &start).map_err(|_| "its cipher is odd".to_owned())?;
    cipher.decrypt_padded_vec::<Pkcs7>(octets).map_err(|_| WRONG.to_owned())
}

/// Refuses what would take too long, or too much memory.
///
/// # Errors
///
/// If it would.
pub(super) fn check_cost(parameters: &Parameters) -> Read<()> {
    /// OpenSSL's own limit is 32 MiB.
    const MOST_MEMORY: u64 = 256 * 1024 * 1024;
    match &parameters.kdf {
        Kdf::Pbkdf2(pbkdf2) => affordable(i32::try_from(pbkdf2.iteration_count).unwrap_or(i32::MAX)).map(drop),
        Kdf::Scrypt(scrypt) => {
            let memory = scrypt.cost_parameter.saturating_mul(128 * u64::from(scrypt.block_size));
            let fits = memory <= MOST_MEMORY && scrypt.parallelization <= 16;
            if fits { Ok(()) } else { Err("its key would cost too much memory to open".to_owned()) }
        }
        _ => Ok(()),
    }
}

fn affordable(rounds: i32) -> Read<i32> {
    let fits = (1..=MOST_ROUNDS).contains(&rounds);
    fits.then_some(rounds).ok_or_else(|| format!("it wants {rounds} rounds of hashing, and {MOST_ROUNDS} are the most"))
}

fn damaged(error: x509_cert::der::Error) -> String {
    format!("it is damaged ({error})")
}
