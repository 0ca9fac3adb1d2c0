//! Private keys: PEM or DER, plain or encrypted with a password.

use super::pbes::{self, PBES2};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Why a key cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: String,
    /// What to do, if there is advice for this reason.
    pub remedy: Option<&'static str>,
    /// The password is missing or wrong.
    pub password: bool,
}

impl Refusal {
    fn plain(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: None, password: false }
    }

    fn password(reason: impl Into<String>) -> Self {
        Self { password: true, ..Self::plain(reason) }
    }
}

/// Reads a private key.
///
/// # Errors
///
/// If there is none, or its password is missing or wrong.
pub fn read(octets: &[u8], password: &[u8]) -> Result<PrivateKeyDer<'static>, Refusal> {
    // DER begins with the tag of a sequence, which no text does.
    if octets.first() == Some(&0x30) {
        if pbes::encrypted_key(octets).is_some() {
            return decrypted(octets, password);
        }
        return PrivateKeyDer::try_from(octets.to_vec()).map_err(Refusal::plain);
    }
    if let Some(der) = encrypted_section(octets) {
        return decrypted(&der, password);
    }
    refuse_old_encryption(octets)?;
    PrivateKeyDer::from_pem_slice(octets).map_err(|error| Refusal::plain(format!("it has no key ({error})")))
}

fn decrypted(der: &[u8], password: &[u8]) -> Result<PrivateKeyDer<'static>, Refusal> {
    if password.is_empty() {
        return Err(Refusal::password("its key is encrypted, and there is no password"));
    }
    let opened = match pbes::encrypted_key(der) {
        Some((cipher, parameters, octets)) if cipher == PBES2 => pbes::decrypt(&parameters, octets, password),
        Some((cipher, ..)) => Err(format!("the cipher {cipher} is not known")),
        None => Err("its encrypted key cannot be read".to_owned()),
    };
    opened.map(|opened| PrivatePkcs8KeyDer::from(opened).into()).map_err(Refusal::password)
}

/// Of keys that OpenSSL encrypted with MD5 (RFC 1421), the cause would not be seen in
/// what the reader of PEM says.
///
/// # Errors
///
/// If it is one.
pub(super) fn refuse_old_encryption(octets: &[u8]) -> Result<(), Refusal> {
    if memchr::memmem::find(octets, b"Proc-Type: 4,ENCRYPTED").is_none() {
        return Ok(());
    }
    let remedy = "Turn it into PKCS#8: openssl pkcs8 -topk8 -v2 aes-256-cbc -in old.pem -out new.pem.";
    Err(Refusal { remedy: Some(remedy), ..Refusal::plain("its key is encrypted in OpenSSL's old way") })
}

/// The encrypted key of a PEM text (RFC 7468 section 11), which rustls does not look for.
fn encrypted_section(octets: &[u8]) -> Option<Vec<u8>> {
    const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let from = memchr::memmem::find(octets, BEGIN.as_bytes())? + BEGIN.len();
    let length = memchr::memmem::find(&octets[from..], END.as_bytes())?;
    let base64: Vec<u8> =
        octets[from..from + length].iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    BASE64_STANDARD.decode(base64).ok()
}

/// Whose key it is, by the object identifier of its algorithm, with dots; `None` if it
/// is not in PKCS#8 form.
#[must_use]
pub fn algorithm(key: &PrivateKeyDer<'_>) -> Option<String> {
    let PrivateKeyDer::Pkcs8(der) = key else { return None };
    let whole = pbes::items(der.secret_pkcs8_der()).ok()?;
    let parts = pbes::items(whole.first()?.value()).ok()?;
    pbes::oid(pbes::items(parts.get(1)?.value()).ok()?.first()?).ok()
}
