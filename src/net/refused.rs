//! Why a server's certificate was refused, in our own terms.

use super::certificate::{Certificate, rsa_bits};
use crate::error::{Code, Error, Phase};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, OtherError};
use std::fmt;
use std::sync::Arc;

/// Why a certificate was refused, with the names concerned.
#[derive(Debug)]
pub struct Refused {
    reason: rustls::Error,
    wanted: String,
    found: Vec<String>,
    subject: String,
    self_signed: bool,
    /// Of a certificate that is not pinned, its own pins.
    pins: Option<String>,
    /// The bits of a key that is too short.
    short_key: Option<usize>,
}

impl Refused {
    pub(super) fn new(reason: rustls::Error, end_entity: &CertificateDer<'_>, name: &ServerName<'_>) -> Self {
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
        let subject = if found.is_empty() { Certificate::read(end_entity).subject } else { String::new() };
        let short_key = short_key(end_entity);
        Self { reason, wanted: name.to_str().into_owned(), found, subject, self_signed, pins: None, short_key }
    }

    /// The refusal of a certificate that is not pinned.
    pub(super) fn of_pins(pins: String, end_entity: &CertificateDer<'_>, name: &ServerName<'_>) -> Self {
        let reason = rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        Self { pins: Some(pins), ..Self::new(reason, end_entity, name) }
    }

    /// The error of a signature in the handshake that does not hold: with a key that
    /// is too short it is not even looked at.
    pub(super) fn of_signature(error: rustls::Error, end_entity: &CertificateDer<'_>) -> rustls::Error {
        if short_key(end_entity).is_none() {
            return error;
        }
        let names = Certificate::read(end_entity).names;
        let found = names.lines().map(str::to_owned).collect();
        let mut refused = Self { found, short_key: short_key(end_entity), ..Self::nothing(error) };
        refused.wanted = "no matter".to_owned();
        refused.into()
    }

    fn nothing(reason: rustls::Error) -> Self {
        let (wanted, subject) = (String::new(), String::new());
        Self { reason, wanted, found: Vec::new(), subject, self_signed: false, pins: None, short_key: None }
    }

    pub(super) fn without_certificate(name: &ServerName<'_>) -> Self {
        let wanted = name.to_str().into_owned();
        Self { wanted, ..Self::nothing(rustls::Error::NoCertificatesPresented) }
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
            // A common name has not counted for years (RFC 9525 section 6.3), and is what people look at.
            [] if self.subject.contains("CN=") => {
                format!("no name but in its subject, {}, which does not count", self.subject)
            }
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
        if let Some(pins) = &self.pins {
            return (Code::TLS_PIN_MISMATCH, format!("it is none of those that are pinned; its pin is {pins}"));
        }
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
            _ if self.short_key.is_some() => {
                let bits = self.short_key.unwrap_or_default();
                (Code::TLS_CERTIFICATE_INVALID, format!("its RSA key has only {bits} bits, and 2048 are the least"))
            }
            E::UnknownRevocationStatus => (
                Code::TLS_REVOCATION_UNKNOWN,
                "whether it was revoked cannot be told, as no list of its authority is there".to_owned(),
            ),
            E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => (
                Code::TLS_REVOCATION_UNKNOWN,
                "whether it was revoked cannot be told, as the list of its authority has expired".to_owned(),
            ),
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
                (Code::TLS_CERTIFICATE_INVALID, "it was not issued for servers".to_owned())
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

impl From<Box<Refused>> for rustls::Error {
    fn from(refused: Box<Refused>) -> Self {
        (*refused).into()
    }
}

impl From<Refused> for rustls::Error {
    fn from(refused: Refused) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
    }
}

/// The bits of an RSA key that is shorter than the verification accepts.
fn short_key(der: &[u8]) -> Option<usize> {
    let bits = rsa_bits(der)?;
    (bits < 2048).then_some(bits)
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
}
