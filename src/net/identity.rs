//! Our own certificate, for servers that ask for one: PEM, DER or PKCS#12, from
//! files or memory.

use super::archive;
use super::private_key::{self, Refusal};
use super::tls_settings::Digester;
use crate::error::{Code, Error, Phase, Result};
use crate::proto::Secret;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::der::Decode as _;

/// Where our certificate and its key are.
#[derive(Clone, Debug, Default)]
pub struct IdentitySource {
    /// The path of a file with the certificate, and perhaps the key.
    pub certificate: String,
    /// The path of a file with the key.
    pub key: String,
    /// What such a file with the certificate would have in it.
    pub certificate_data: Secret,
    /// What such a file with the key would have in it.
    pub key_data: Secret,
    /// The password of the key.
    pub password: Secret,
}

/// A certificate with those that issued it, and its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl IdentitySource {
    /// Whether there is a certificate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificate.is_empty() && self.certificate_data.is_empty()
    }

    /// Finds settings that exclude each other.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER`.
    pub fn check(&self) -> Result<()> {
        let what = if !self.certificate.is_empty() && !self.certificate_data.is_empty() {
            "SMTP_PROPERTY_CLIENT_CERTIFICATE excludes SMTP_PROPERTY_CLIENT_CERTIFICATE_DATA"
        } else if !self.key.is_empty() && !self.key_data.is_empty() {
            "SMTP_PROPERTY_CLIENT_KEY excludes SMTP_PROPERTY_CLIENT_KEY_DATA"
        } else if self.is_empty() && !(self.key.is_empty() && self.key_data.is_empty()) {
            "there is a client key without a client certificate"
        } else {
            return Ok(());
        };
        Err(Error::caller(Code::INVALID_PARAMETER, what))
    }

    pub(super) fn feed(&self, digester: &mut Digester) {
        digester.path(&self.certificate);
        digester.path(&self.key);
        digester.secret(&self.certificate_data);
        digester.secret(&self.key_data);
        digester.secret(&self.password);
    }

    /// Reads them; `None` if there is no certificate.
    ///
    /// # Errors
    ///
    /// `TLS_CLIENT_CERTIFICATE` with what cannot be read, and why.
    pub(super) fn load(&self) -> Result<Option<Identity>> {
        if self.is_empty() {
            return Ok(None);
        }
        let (octets, source) =
            read(&self.certificate, &self.certificate_data, "SMTP_PROPERTY_CLIENT_CERTIFICATE_DATA")?;
        let octets = octets.expose();
        // DER begins with the tag of a sequence, which no text does.
        let is_der = octets.first() == Some(&0x30);
        if is_der && x509_cert::Certificate::from_der(octets).is_err() {
            return self.of_archive(octets, &source).map(Some);
        }
        private_key::refuse_old_encryption(octets).map_err(|refusal| refused(&source, &refusal))?;
        let chain = if is_der {
            vec![CertificateDer::from(octets.to_vec())]
        } else {
            let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(octets).collect();
            found.map_err(|error| unusable(&source, &error.to_string()))?
        };
        if chain.is_empty() {
            return Err(unusable(&source, "it has no certificate, neither in PEM nor in DER nor in PKCS#12 form"));
        }
        let key = if self.key.is_empty() && self.key_data.is_empty() {
            if is_der {
                return Err(unusable(&source, "it is a certificate without a key, and no key is named"));
            }
            self.key_of(octets, &source)?
        } else {
            let (octets, source) = read(&self.key, &self.key_data, "SMTP_PROPERTY_CLIENT_KEY_DATA")?;
            self.key_of(octets.expose(), &source)?
        };
        Ok(Some((chain, key)))
    }

    fn of_archive(&self, octets: &[u8], source: &str) -> Result<Identity> {
        let password = std::str::from_utf8(self.password.expose())
            .map_err(|_| unusable(source, "SMTP_PROPERTY_CLIENT_KEY_PASSWORD is not UTF-8"))?;
        archive::open(octets, password).map_err(|reason| unusable(source, &reason).with_remedy(PASSWORD))
    }

    fn key_of(&self, octets: &[u8], source: &str) -> Result<PrivateKeyDer<'static>> {
        private_key::read(octets, self.password.expose()).map_err(|refusal| refused(source, &refusal))
    }
}

const PASSWORD: &str = "Set SMTP_PROPERTY_CLIENT_KEY_PASSWORD to the password of the key.";

fn read(path: &str, data: &Secret, name: &str) -> Result<(Secret, String)> {
    if path.is_empty() {
        return Ok((data.clone(), name.to_owned()));
    }
    let octets = std::fs::read(path).map_err(|error| unusable(path, &error.to_string()))?;
    Ok((Secret::new(octets), path.to_owned()))
}

pub(super) fn unusable(source: &str, reason: &str) -> Box<Error> {
    let what = format!("the client certificate or key of {source} cannot be used: {reason}");
    Error::new(Code::TLS_CLIENT_CERTIFICATE, Phase::Tls, what)
}

fn refused(source: &str, refusal: &Refusal) -> Box<Error> {
    let error = unusable(source, &refusal.reason);
    match refusal.remedy.or(refusal.password.then_some(PASSWORD)) {
        Some(remedy) => error.with_remedy(remedy),
        None => error,
    }
}
