//! Pins: the digests of the certificates or keys that alone are accepted.

use super::certificate::{fingerprint, key_digest};
use crate::error::{Code, Error, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};

/// A set of pins; an empty one accepts everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    text: String,
    /// Digests of certificates, in hexadecimal digits.
    certificates: Vec<String>,
    /// Digests of public keys (SubjectPublicKeyInfo).
    keys: Vec<Vec<u8>>,
}

impl Pins {
    /// Reads pins, one a line or separated by blanks: `sha256:` with 64
    /// hexadecimal digits for a certificate, `sha256//` with Base64 for a key.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` with the pin that is neither.
    pub fn parse(text: &str) -> Result<Self> {
        let mut pins = Self { text: text.to_owned(), ..Self::default() };
        for pin in text.split_ascii_whitespace() {
            if let Some(digits) = pin.strip_prefix("sha256:") {
                let digits = digits.replace(':', "").to_ascii_lowercase();
                if digits.len() == 64 && digits.bytes().all(|octet| octet.is_ascii_hexdigit()) {
                    pins.certificates.push(digits);
                    continue;
                }
            } else if let Some(digest) = pin.strip_prefix("sha256//")
                && let Ok(digest) = BASE64_STANDARD.decode(digest)
                && digest.len() == 32
            {
                pins.keys.push(digest);
                continue;
            }
            let shown: String = pin.chars().take(100).collect();
            let what = format!("\"{}\" is not a pin", shown.escape_debug());
            let remedy =
                "Write sha256: and 64 hexadecimal digits for a certificate, or sha256// and Base64 for a public key.";
            return Err(Error::caller(Code::INVALID_PARAMETER, what).with_remedy(remedy));
        }
        Ok(pins)
    }

    /// As they were given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.keys.is_empty()
    }

    /// Looks whether a certificate is one of those; if not, gives its own pins.
    ///
    /// # Errors
    ///
    /// What the certificate and its key would be pinned by.
    pub fn check(&self, der: &[u8]) -> std::result::Result<(), String> {
        if self.is_empty() {
            return Ok(());
        }
        let (certificate, key) = (fingerprint(der), key_digest(der));
        let has_key = |key: &Vec<u8>| self.keys.contains(key);
        if self.certificates.contains(&certificate) || key.as_ref().is_some_and(has_key) {
            return Ok(());
        }
        let key = key.map_or_else(String::new, |key| format!(" (key: {})", key_pin(&key)));
        Err(format!("sha256:{certificate}{key}"))
    }
}

/// The pin of a public key, from its digest.
#[must_use]
pub fn key_pin(digest: &[u8]) -> String {
    format!("sha256//{}", BASE64_STANDARD.encode(digest))
}

/// The pin of a certificate's public key; empty if it cannot be read.
#[must_use]
pub fn pin_of(der: &[u8]) -> String {
    key_digest(der).map(|digest| key_pin(&digest)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::certificate::hexadecimal;
    use super::*;

    #[test]
    fn forms() {
        let hex = hexadecimal(&[0xAB; 32]);
        let base64 = BASE64_STANDARD.encode([7; 32]);
        let text = format!("sha256:{}\n sha256//{base64}", hex.to_uppercase());
        let pins = Pins::parse(&text).expect("two pins");
        assert_eq!((pins.certificates, pins.keys, pins.text), (vec![hex.clone()], vec![vec![7; 32]], text));
        let spaced: Vec<_> = hex.as_bytes().chunks(2).map(String::from_utf8_lossy).collect();
        let pins = Pins::parse(&format!("sha256:{}", spaced.join(":"))).expect("as OpenSSL writes it");
        assert_eq!(pins.certificates.first(), Some(&hex));
        assert!(Pins::parse("").expect("none").is_empty() && Pins::parse(" \n ").expect("none").is_empty());
        for bad in ["sha256:", "sha256//", "md5:00", &hex, &format!("sha256:{hex}0"), "sha256//AAAA", "sha1//AAAA"] {
            assert_eq!(Pins::parse(bad).expect_err(bad).code, Code::INVALID_PARAMETER, "{bad}");
        }
    }
}
