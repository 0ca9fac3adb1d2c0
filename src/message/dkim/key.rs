//! Keys that sign: RSA (RFC 8301) and Ed25519 (RFC 8463).

use crate::error::{Code, Error, Result};
use crate::net::private_key::{self, Refusal};
use crate::proto::Secret;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;

/// A key of one of the two algorithms.
pub enum SigningKey {
    /// `rsa-sha256`
    Rsa(RsaKeyPair),
    /// `ed25519-sha256`
    Ed25519(Ed25519KeyPair),
}

/// The object identifiers of keys in PKCS#8 form.
const RSA: &str = "1.2.840.113549.1.1.1";
const ED25519: &str = "1.3.101.112";

impl SigningKey {
    /// Takes a key in PEM or DER form, or the path of a file with one. PEM is known by
    /// its first line.
    ///
    /// # Errors
    ///
    /// `DKIM_KEY` with what is wrong with it.
    pub fn open(key: &str, password: &str) -> Result<Self> {
        if key.contains("-----BEGIN") {
            return Self::read(key.as_bytes(), password, "the text given");
        }
        let octets = std::fs::read(key).map_err(|error| {
            let what = format!("the DKIM key file {key} cannot be read ({error})");
            Error::caller(Code::DKIM_KEY, what).with_os(&error)
        })?;
        Self::read(Secret::new(octets).expose(), password, key)
    }

    /// Takes the octets of a key.
    ///
    /// # Errors
    ///
    /// `DKIM_KEY` with what is wrong with it; `source` says where it is from.
    pub fn read(octets: &[u8], password: &str, source: &str) -> Result<Self> {
        let unusable =
            |reason: &str| Error::caller(Code::DKIM_KEY, format!("the DKIM key of {source} cannot be used: {reason}"));
        let refused = |refusal: Refusal| {
            let error = unusable(&refusal.reason);
            match refusal.remedy.or(refusal.password.then_some("Give the password of the key.")) {
                Some(remedy) => error.with_remedy(remedy),
                None => error,
            }
        };
        let key = private_key::read(octets, password.as_bytes()).map_err(refused)?;
        let rsa = |found: std::result::Result<RsaKeyPair, ring::error::KeyRejected>| {
            found.map(Self::Rsa).map_err(|error| match error.to_string().as_str() {
                "TooSmall" => unusable("it has less than 2048 bits, and RFC 8301 asks for that many"),
                "TooLarge" => unusable("it has more than 4096 bits, which few who verify can read"),
                other => unusable(&format!("the RSA key is damaged ({other})")),
            })
        };
        match &key {
            PrivateKeyDer::Pkcs1(der) => rsa(RsaKeyPair::from_der(der.secret_pkcs1_der())),
            PrivateKeyDer::Pkcs8(der) => match private_key::algorithm(&key).as_deref() {
                Some(RSA) => rsa(RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())),
                // OpenSSL writes it without the public key.
                Some(ED25519) => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
                    .map(Self::Ed25519)
                    .map_err(|error| unusable(&format!("the Ed25519 key is damaged ({error})"))),
                Some(_) => Err(unusable("it is neither an RSA nor an Ed25519 key")),
                None => Err(unusable("it is damaged")),
            },
            _ => Err(unusable("it is an elliptic curve key, and DKIM has RSA and Ed25519 only")),
        }
    }

    /// The name of the algorithm in a signature.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa-sha256",
            Self::Ed25519(_) => "ed25519-sha256",
        }
    }

    /// Signs.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if the key cannot do it.
    pub(super) fn sign(&self, octets: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), octets, &mut signature)
                    .map_err(|_| Error::caller(Code::INTERNAL, "the RSA key did not sign"))?;
                Ok(signature)
            }
            // What is signed is the hash (RFC 8463 section 3).
            Self::Ed25519(key) => Ok(key.sign(digest(&SHA256, octets).as_ref()).as_ref().to_vec()),
        }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.algorithm())
    }
}
