//! Whom to trust: the operating system's authorities or those of a file, and
//! the check of a server's certificate against them.

use super::tls::provider;
use crate::error::{Code, Error, Phase, Result};
use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::time::SystemTime;

/// What a handshake does with the verdict on the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// A certificate that is not good ends it.
    Enforce,
    /// It goes on, and the verdict is asked for afterwards.
    Observe,
    /// It goes on whatever the verdict, even if there is nothing to judge by.
    Ignore,
}

/// TLS settings that connections share, and the means to judge a certificate.
#[derive(Debug)]
pub struct Trust {
    /// For rustls.
    pub config: Arc<ClientConfig>,
    verifier: Verifier,
}

/// Judges certificates; without authorities to judge by, the reason for that.
type Verifier = std::result::Result<Arc<dyn ServerCertVerifier>, String>;

impl Trust {
    /// The settings for a set of authorities: the system's, or those of a PEM file.
    ///
    /// They are made once and shared as long as some connection uses them; a
    /// file that has changed is read again.
    ///
    /// # Errors
    ///
    /// `CA_FILE` if the file cannot be used, `TLS_HANDSHAKE` if the system has no authorities.
    pub fn of(ca_file: Option<&Path>, policy: Policy) -> Result<Arc<Self>> {
        static SHARED: Mutex<Option<HashMap<Key, Weak<Trust>>>> = Mutex::new(None);
        let key = Key::new(ca_file, policy)?;
        let mut shared = SHARED.lock();
        let shared = shared.get_or_insert_default();
        if let Some(trust) = shared.get(&key).and_then(Weak::upgrade) {
            return Ok(trust);
        }
        let verifier = match (policy, ca_file) {
            (Policy::Ignore, Some(path)) => verifier_of_file(path).map_err(|error| error.what),
            (_, Some(path)) => Ok(verifier_of_file(path)?),
            (_, None) => verifier_of_system(),
        };
        if let (Policy::Enforce, Err(reason)) = (policy, &verifier) {
            return Err(no_authorities(reason));
        }
        let trust = Arc::new(Self::new(verifier, policy)?);
        shared.retain(|_, trust| trust.strong_count() > 0);
        shared.insert(key, Arc::downgrade(&trust));
        Ok(trust)
    }

    fn new(verifier: Verifier, policy: Policy) -> Result<Self> {
        let explaining = Arc::new(Explaining { verifier: verifier.clone(), policy, provider: provider() });
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(Code::TLS_HANDSHAKE, Phase::Tls, format!("TLS cannot be set up: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(explaining)
            .with_no_client_auth();
        // A session resumed in a connection that observes must not be taken for a
        // verified one; each set of settings has a store of its own.
        config.resumption = rustls::client::Resumption::in_memory_sessions(32);
        Ok(Self { config: Arc::new(config), verifier })
    }

    /// Judges a chain after the handshake.
    ///
    /// # Errors
    ///
    /// Why it is not good.
    pub fn judge(&self, chain: &[CertificateDer<'_>], name: &ServerName<'_>) -> std::result::Result<(), Refused> {
        let Some((end_entity, intermediates)) = chain.split_first() else {
            return Err(Refused::without_certificate(name));
        };
        let verdict = match &self.verifier {
            Ok(verifier) => {
                verifier.verify_server_cert(end_entity, intermediates, name, &[], UnixTime::now()).map(drop)
            }
            Err(reason) => Err(rustls::Error::General(reason.clone())),
        };
        verdict.map_err(|error| Refused::new(error, end_entity, name))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    file: Option<(PathBuf, u64, Option<SystemTime>)>,
    policy: Policy,
}

impl Key {
    fn new(ca_file: Option<&Path>, policy: Policy) -> Result<Self> {
        let Some(path) = ca_file else { return Ok(Self { file: None, policy }) };
        let data = std::fs::metadata(path).map_err(|error| ca_file_error(path, &error.to_string()))?;
        Ok(Self { file: Some((path.to_owned(), data.len(), data.modified().ok())), policy })
    }
}

fn verifier_of_system() -> Verifier {
    static SYSTEM: OnceLock<Verifier> = OnceLock::new();
    let verifier = SYSTEM.get_or_init(|| match rustls_platform_verifier::Verifier::new(provider()) {
        Ok(verifier) => Ok(Arc::new(verifier)),
        Err(error) => Err(error.to_string()),
    });
    verifier.clone()
}

fn no_authorities(reason: &str) -> Box<Error> {
    let what = format!("the system's certificate authorities could not be read: {reason}");
    Error::new(Code::TLS_HANDSHAKE, Phase::Tls, what)
        .with_remedy("Install the system's certificates (ca-certificates), or set SMTP_PROPERTY_CA_FILE.")
}

fn verifier_of_file(path: &Path) -> Result<Arc<dyn ServerCertVerifier>> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| ca_file_error(path, &error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| ca_file_error(path, &error.to_string()))?;
        roots.add(certificate).map_err(|error| ca_file_error(path, &error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(ca_file_error(path, "it has no certificate in PEM form"));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| ca_file_error(path, &error.to_string()))?;
    Ok(verifier)
}

fn ca_file_error(path: &Path, reason: &str) -> Box<Error> {
    let what = format!("the certificate authority file {} cannot be used: {reason}", path.display());
    Error::new(Code::CA_FILE, Phase::Tls, what)
}

/// Passes the check on to another verifier, and in a refusal tells what the
/// certificate says of itself.
#[derive(Debug)]
struct Explaining {
    verifier: Verifier,
    policy: Policy,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Explaining {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if self.policy != Policy::Enforce {
            return Ok(ServerCertVerified::assertion());
        }
        let verifier = self.verifier.as_ref().map_err(|reason| rustls::Error::General(reason.clone()))?;
        verifier
            .verify_server_cert(end_entity, intermediates, name, ocsp, now)
            .map_err(|error| rustls::Error::from(Refused::new(error, end_entity, name)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Why a certificate was refused, with the names concerned.
#[derive(Debug)]
pub struct Refused {
    reason: rustls::Error,
    wanted: String,
    found: Vec<String>,
    self_signed: bool,
}

impl Refused {
    fn new(reason: rustls::Error, end_entity: &CertificateDer<'_>, name: &ServerName<'_>) -> Self {
        let certificate = webpki::EndEntityCert::try_from(end_entity).ok();
        let mut found: Vec<String> = match &certificate {
            Some(certificate) => certificate.valid_dns_names().map(str::to_owned).collect(),
            None => Vec::new(),
        };
        // The names that webpki lists apart (IP addresses) come with this error.
        if let rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) = &reason {
            found = presented.iter().map(|name| bare_name(name).to_owned()).collect();
        }
        let self_signed = certificate.is_some_and(|certificate| certificate.issuer() == certificate.subject());
        Self { reason, wanted: name.to_str().into_owned(), found, self_signed }
    }

    fn without_certificate(name: &ServerName<'_>) -> Self {
        let reason = rustls::Error::NoCertificatesPresented;
        Self { reason, wanted: name.to_str().into_owned(), found: Vec::new(), self_signed: false }
    }

    /// The refusal inside an error of rustls, if that is what it is.
    #[must_use]
    pub fn inside(error: &rustls::Error) -> Option<&Self> {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Other(other)) => other.0.downcast_ref(),
            _ => None,
        }
    }

    /// The failure in our own terms.
    #[must_use]
    pub fn to_error(&self) -> Box<Error> {
        let (code, check) = self.check();
        let found = match self.found.as_slice() {
            [] => "no name that this client could read".to_owned(),
            names => names.join(", "),
        };
        let what = format!(
            "the server's certificate was refused: {check}; the name wanted is {}, the certificate is for {found}",
            self.wanted
        );
        let mut error = Error::new(code, Phase::Tls, what);
        error.tls_reason = Some(self.reason.to_string());
        error
    }

    fn check(&self) -> (Code, String) {
        use CertificateError as E;
        let rustls::Error::InvalidCertificate(reason) = &self.reason else {
            return (Code::TLS_CERTIFICATE_INVALID, format!("its check failed ({})", self.reason));
        };
        let untrusted = || {
            let text = if self.self_signed {
                "it is self-signed, not issued by a trusted authority"
            } else {
                "it was not issued by a trusted authority"
            };
            (Code::TLS_CERTIFICATE_UNTRUSTED, text.to_owned())
        };
        match reason {
            E::NotValidForName | E::NotValidForNameContext { .. } => {
                (Code::TLS_CERTIFICATE_NAME, "it is not for this host name".to_owned())
            }
            E::Expired => (Code::TLS_CERTIFICATE_EXPIRED, "it has expired".to_owned()),
            E::ExpiredContext { not_after, .. } => {
                (Code::TLS_CERTIFICATE_EXPIRED, format!("it expired on {}", date(*not_after)))
            }
            E::NotValidYet => (Code::TLS_CERTIFICATE_EXPIRED, "it is not valid yet".to_owned()),
            E::NotValidYetContext { not_before, .. } => {
                (Code::TLS_CERTIFICATE_EXPIRED, format!("it is not valid before {}", date(*not_before)))
            }
            // A signature that does not fit is an issuer of the same name with another key.
            E::UnknownIssuer | E::BadSignature => untrusted(),
            E::Revoked => (Code::TLS_CERTIFICATE_REVOKED, "it was revoked".to_owned()),
            // An authority's own certificate used as a server's.
            E::Other(_) if self.self_signed => untrusted(),
            other => (Code::TLS_CERTIFICATE_INVALID, format!("a check failed ({other})")),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for rustls::Error {
    fn from(refused: Refused) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
    }
}

/// The name in what webpki writes as `DnsName("example.com")` or `IpAddress(192.0.2.1)`.
fn bare_name(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

/// The day of a moment, as `2026-11-23` (the civil calendar from days since 1970).
fn date(moment: UnixTime) -> String {
    let days = moment.as_secs() / 86_400;
    // Years are counted from March, so that the leap day is a year's last.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let day = |seconds: u64| date(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)));
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(951_782_400), "2000-02-29");
        assert_eq!(day(1_580_515_200), "2020-02-01");
        assert_eq!(day(4_102_444_799), "2099-12-31");
    }

    #[test]
    fn names_without_their_wrapping() {
        assert_eq!(bare_name("DnsName(\"other.example\")"), "other.example");
        assert_eq!(bare_name("IpAddress(192.0.2.1)"), "192.0.2.1");
        assert_eq!(bare_name("plain"), "plain");
    }

    #[test]
    fn files_that_hold_no_authority() {
        let missing = Trust::of(Some(Path::new("/nonexistent/ca.pem")), Policy::Enforce).expect_err("missing");
        assert_eq!(missing.code, Code::CA_FILE);
        assert!(missing.what.contains("/nonexistent/ca.pem"));
        let empty = Trust::of(Some(Path::new("/dev/null")), Policy::Enforce).expect_err("empty");
        assert_eq!(empty.code, Code::CA_FILE);
    }
}
