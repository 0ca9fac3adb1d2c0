//! What a server's certificate says of itself (RFC 5280), and what the check of it
//! came to. It is read when somebody asks, not with every connection.

use crate::error::Code;
use ring::digest::{SHA256, SHA384, SHA512, digest};
use std::fmt::Write as _;
use std::net::IpAddr;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Any, UintRef};
use x509_cert::der::{Decode as _, Encode as _, Reader as _, SliceReader, Tag, Tagged as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

/// What the check of a certificate came to; the numbers are the original's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateStatus {
    /// No TLS, no certificate.
    #[default]
    None = 0,
    /// Good.
    Valid = 1,
    /// For another name.
    NoMatch = 2,
    /// Expired, or not valid yet.
    Expired = 3,
    /// Revoked.
    Revoked = 4,
    /// Not from a trusted authority.
    Untrusted = 5,
    /// Anything else.
    Invalid = 6,
}

impl CertificateStatus {
    /// Every status: its name behind `SMTP_CERTIFICATE_`, and what it means.
    pub const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::None, "NONE", "The connection has no TLS, or there is none."),
        (Self::Valid, "VALID", "The certificate is good, and for this host."),
        (Self::NoMatch, "NO_MATCH", "It is for another host."),
        (Self::Expired, "EXPIRED", "It has expired, or is not valid yet."),
        (Self::Revoked, "REVOKED", "Its authority has revoked it."),
        (Self::Untrusted, "UNTRUSTED", "It was not issued by a trusted authority."),
        (Self::Invalid, "INVALID", "It cannot be read, or another check failed."),
    ];

    /// What a refusal with this code says.
    #[must_use]
    pub fn of_refusal(code: Code) -> Self {
        match code {
            Code::TLS_CERTIFICATE_NAME => Self::NoMatch,
            Code::TLS_CERTIFICATE_EXPIRED => Self::Expired,
            Code::TLS_CERTIFICATE_REVOKED => Self::Revoked,
            Code::TLS_CERTIFICATE_UNTRUSTED => Self::Untrusted,
            _ => Self::Invalid,
        }
    }
}

/// The parts of a certificate as text; empty where they cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it was issued to (RFC 4514).
    pub subject: String,
    /// Who issued it (RFC 4514).
    pub issuer: String,
    /// From when it is valid (RFC 3339, UTC).
    pub issued: String,
    /// Until when it is valid (RFC 3339, UTC).
    pub expires: String,
    /// The names that it is for, one a line.
    pub names: String,
}

impl Certificate {
    /// Reads a certificate in DER form.
    #[must_use]
    pub fn read(der: &[u8]) -> Self {
        let Ok(certificate) = x509_cert::Certificate::from_der(der) else { return Self::default() };
        let facts = certificate.tbs_certificate();
        let names = match facts.get_extension::<SubjectAltName>() {
            Ok(Some((_, SubjectAltName(names)))) => names.iter().filter_map(name).collect::<Vec<_>>().join("\n"),
            _ => String::new(),
        };
        Self {
            subject: distinguished(facts.subject()),
            issuer: distinguished(facts.issuer()),
            issued: facts.validity().not_before.to_string(),
            expires: facts.validity().not_after.to_string(),
            names,
        }
    }
}

/// The SHA-256 digest of a certificate in DER form, in hexadecimal digits.
#[must_use]
pub fn fingerprint(der: &[u8]) -> String {
    hexadecimal(digest(&SHA256, der).as_ref())
}

/// The channel binding `tls-server-end-point`: the digest of a certificate with
/// the hash of its own signature, where SHA-256 stands in for what is weaker
/// (RFC 5929 section 4.1). `None` for a signature that names no hash.
#[must_use]
pub fn end_point(der: &[u8]) -> Option<Vec<u8>> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    let algorithm = match certificate.signature_algorithm().oid.to_string().as_str() {
        // MD5, SHA-1 and SHA-256 with RSA; SHA-1 and SHA-256 with ECDSA.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.113549.1.1.11" => &SHA256,
        "1.2.840.10045.4.1" | "1.2.840.10045.4.3.2" => &SHA256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &SHA512,
        _ => return None,
    };
    Some(digest(algorithm, der).as_ref().to_vec())
}

/// The SHA-256 digest of a certificate's public key (SubjectPublicKeyInfo).
#[must_use]
pub fn key_digest(der: &[u8]) -> Option<Vec<u8>> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    let key = certificate.tbs_certificate().subject_public_key_info().to_der().ok()?;
    Some(digest(&SHA256, &key).as_ref().to_vec())
}

/// The bits of a certificate's key, if that is an RSA key (RFC 8017 appendix A.1.1).
#[must_use]
pub fn rsa_bits(der: &[u8]) -> Option<usize> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    let key = certificate.tbs_certificate().subject_public_key_info();
    if key.algorithm.oid.to_string() != "1.2.840.113549.1.1.1" {
        return None;
    }
    let mut parts = SliceReader::new(key.subject_public_key.as_bytes()?).ok()?;
    let modulus: UintRef<'_> = parts
        .sequence(|parts| {
            let modulus = UintRef::decode(parts)?;
            UintRef::decode(parts)?;
            Ok::<_, x509_cert::der::Error>(modulus)
        })
        .ok()?;
    let first = modulus.as_bytes().first()?;
    Some(modulus.as_bytes().len() * 8 - first.leading_zeros() as usize)
}

/// Octets as hexadecimal digits.
#[must_use]
pub fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// A name as text, its last part first (RFC 4514 section 2).
fn distinguished(name: &Name) -> String {
    let parts = name.iter_rdn().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+"));
    let mut parts: Vec<String> = parts.collect();
    parts.reverse();
    harmless(&parts.join(","))
}

/// The short names of RFC 4514 section 3, and the one for an address. The library's
/// own table has thousands, and would make this one 180 KB larger.
const ATTRIBUTES: [(&str, &str); 10] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "EMAIL"),
];

fn attribute(attribute: &AttributeTypeAndValue) -> String {
    let oid = attribute.oid.to_string();
    let name = ATTRIBUTES.iter().find(|(known, _)| *known == oid).map(|(_, name)| *name);
    let (Some(name), Some(text)) = (name, value(&attribute.value)) else {
        // Section 2.4: what has no short name, or is no text, is written in hexadecimal digits.
        let der = attribute.value.to_der().unwrap_or_default();
        return format!("{}=#{}", name.unwrap_or(&oid), hexadecimal(&der));
    };
    let last = text.chars().count().saturating_sub(1);
    let mut out = format!("{name}=");
    for (at, c) in text.chars().enumerate() {
        let special = matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\');
        if special || (c == ' ' && (at == 0 || at == last)) || (c == '#' && at == 0) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn value(value: &Any) -> Option<String> {
    let octets = value.value();
    match value.tag() {
        Tag::PrintableString | Tag::Utf8String | Tag::Ia5String => String::from_utf8(octets.to_vec()).ok(),
        // In practice Latin-1, whose characters are the first of Unicode.
        Tag::TeletexString => Some(octets.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let (pairs, rest) = octets.as_chunks::<2>();
            let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect::<Vec<_>>();
            rest.is_empty().then(|| String::from_utf16(&units).ok())?
        }
        _ => None,
    }
}

fn name(name: &GeneralName) -> Option<String> {
    Some(match name {
        GeneralName::DnsName(text) | GeneralName::Rfc822Name(text) | GeneralName::UniformResourceIdentifier(text) => {
            harmless(text.as_str())
        }
        GeneralName::IpAddress(octets) => match *octets.as_bytes() {
            [a, b, c, d] => IpAddr::from([a, b, c, d]).to_string(),
            _ => IpAddr::from(<[u8; 16]>::try_from(octets.as_bytes()).ok()?).to_string(),
        },
        _ => return None,
    })
}

/// A text from a stranger that stays on its line.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType, date_time_ymd};

    fn made() -> Vec<u8> {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["mail.example".to_owned(), "192.0.2.1".to_owned()]).expect("good");
        params.subject_alt_names.push(SanType::IpAddress("2001:db8::1".parse().expect("an address")));
        params.subject_alt_names.push(SanType::DnsName("evil\nmail.example".try_into().expect("ASCII")));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, " DE ");
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 65]), "xx");
        params.distinguished_name.push(DnType::OrganizationName, "Gr\u{fc}n, \u{1b}[2J+S\u{f6}hne");
        params.distinguished_name.push(DnType::CommonName, "mail.example");
        params.not_before = date_time_ymd(2020, 1, 2);
        params.not_after = date_time_ymd(2050, 3, 4);
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn parts() {
        let found = Certificate::read(&made());
        // The last part of the name comes first (RFC 4514 section 2.1).
        assert_eq!(
            found.subject,
            "CN=mail.example,O=Gr\u{fc}n\\, \u{fffd}[2J\\+S\u{f6}hne,2.5.4.65=#0c027878,C=\\ DE\\ "
        );
        assert_eq!(found.subject, found.issuer);
        assert_eq!((found.issued.as_str(), found.expires.as_str()), ("2020-01-02T00:00:00Z", "2050-03-04T00:00:00Z"));
        assert_eq!(found.names, "mail.example\n192.0.2.1\n2001:db8::1\nevil\u{fffd}mail.example");
    }

    /// FIPS 180-2 appendix B.1.
    #[test]
    fn fingerprints() {
        assert_eq!(fingerprint(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn spoilt_certificates_harm_nobody() {
        let good = made();
        for at in 0..good.len() {
            let _ = Certificate::read(&good[..at]);
            for octet in [0, 1, 0x7f, 0x80, 0xff, good[at] ^ 1, good[at].wrapping_add(1)] {
                let mut spoilt = good.clone();
                spoilt[at] = octet;
                let found = Certificate::read(&spoilt);
                assert!(!found.subject.contains(char::is_control) && !found.issuer.contains(char::is_control));
            }
        }
        assert_eq!(Certificate::read(b""), Certificate::default());
    }
}
