//! What a caller wants of TLS: versions, name, authorities, pins, certificate.

use super::identity::IdentitySource;
use super::pins::Pins;
use crate::error::{Code, Error, Phase, Result};
use crate::proto::Secret;
use ring::digest::{Context, SHA256};
use ring::hmac;
use ring::rand::SystemRandom;
use rustls::SupportedProtocolVersion;
use rustls::pki_types::ServerName;
use std::path::Path;
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

/// A version of TLS; the numbers are those on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2 = 0x0303,
    /// RFC 8446.
    V1_3 = 0x0304,
}

impl TlsVersion {
    /// Every version: its name behind `SMTP_TLS_VERSION_`, and what it is.
    pub const ALL: [(Self, &'static str, &'static str); 2] =
        [(Self::V1_2, "1_2", "TLS 1.2 (RFC 5246)."), (Self::V1_3, "1_3", "TLS 1.3 (RFC 8446).")];
}

/// Whom to trust; all that is given is taken together, and nothing means the system's.
#[derive(Clone, Debug, Default)]
pub struct Authorities {
    /// The path of a PEM file.
    pub file: String,
    /// The path of a folder with such files.
    pub folder: String,
    /// The text of such a file.
    pub data: String,
}

impl Authorities {
    /// Whether the system's are meant.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.file.is_empty() && self.folder.is_empty() && self.data.is_empty()
    }

    pub(super) fn feed(&self, digester: &mut Digester) {
        digester.path(&self.file);
        digester.folder(&self.folder);
        digester.add(self.data.as_bytes());
    }
}

/// Everything that a caller can say about TLS, but for whether to use it.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The least version.
    pub least: TlsVersion,
    /// The highest version.
    pub most: TlsVersion,
    /// The name that the certificate must be for, if not the host's.
    pub server_name: String,
    /// Whom to trust.
    pub authorities: Authorities,
    /// The path of a file with revocation lists.
    pub crl_file: String,
    /// The certificates or keys that alone are accepted.
    pub pins: Pins,
    /// Our own certificate.
    pub identity: IdentitySource,
    /// Whether sessions may be resumed.
    pub resumption: bool,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            least: TlsVersion::V1_2,
            most: TlsVersion::V1_3,
            server_name: String::new(),
            authorities: Authorities::default(),
            crl_file: String::new(),
            pins: Pins::default(),
            identity: IdentitySource::default(),
            resumption: true,
        }
    }
}

impl TlsSettings {
    /// Finds settings that exclude each other.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER`.
    pub fn check(&self) -> Result<()> {
        if self.least > self.most {
            let what = "SMTP_PROPERTY_TLS_MIN_VERSION is above SMTP_PROPERTY_TLS_MAX_VERSION: no version is left";
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        }
        self.identity.check()
    }

    /// The name that the certificate must be for.
    #[must_use]
    pub fn name<'a>(&'a self, host: &'a str) -> &'a str {
        if self.server_name.is_empty() { host } else { &self.server_name }
    }

    pub(super) fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        match (self.least, self.most) {
            (TlsVersion::V1_2, TlsVersion::V1_2) => vec![&rustls::version::TLS12],
            (TlsVersion::V1_2, TlsVersion::V1_3) => vec![&rustls::version::TLS13, &rustls::version::TLS12],
            (TlsVersion::V1_3, _) => vec![&rustls::version::TLS13],
        }
    }
}

/// Reads a name that a certificate can be for: a host name or an address.
///
/// # Errors
///
/// `INVALID_PARAMETER`.
pub fn server_name(name: &str) -> Result<ServerName<'static>> {
    let read = super::resolve::literal(name)
        .map_or_else(|| ServerName::try_from(name.to_owned()), |address| Ok(ServerName::IpAddress(address.into())));
    read.map_err(|_| {
        let what = format!("\"{}\" is not a name that a certificate can be for", name.escape_debug());
        Error::new(Code::INVALID_PARAMETER, Phase::Tls, what)
    })
}

/// The mark of a set of settings: settings and files that are not the same have
/// another. It tells nothing of the secrets among them.
pub(super) type Mark = [u8; 32];

/// Makes a [`Mark`].
pub(super) struct Digester(Context);

impl Digester {
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Adds octets that must be the same.
    pub(super) fn add(&mut self, octets: &[u8]) {
        self.0.update(&(octets.len() as u64).to_be_bytes());
        self.0.update(octets);
    }

    /// Adds a secret: a digest of it with a key that no other process has.
    pub(super) fn secret(&mut self, secret: &Secret) {
        static KEY: OnceLock<Option<hmac::Key>> = OnceLock::new();
        let key = KEY.get_or_init(|| hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok());
        match key {
            _ if secret.is_empty() => self.add(b""),
            Some(key) => self.add(hmac::sign(key, secret.expose()).as_ref()),
            // Without random numbers there is no TLS either.
            None => self.add(b"?"),
        }
    }

    /// Adds a path, and how its file is at present.
    pub(super) fn path(&mut self, path: &str) {
        self.add(path.as_bytes());
        if !path.is_empty() {
            self.stamp(Path::new(path));
        }
    }

    /// Adds a folder, and how the files in it are at present.
    pub(super) fn folder(&mut self, path: &str) {
        self.path(path);
        if !path.is_empty()
            && let Ok(files) = super::roots::files_of(Path::new(path))
        {
            for file in files {
                self.add(file.as_os_str().as_encoded_bytes());
                self.stamp(&file);
            }
        }
    }

    fn stamp(&mut self, path: &Path) {
        let Ok(data) = std::fs::metadata(path) else { return self.add(b"none") };
        let modified = data.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        self.add(&data.len().to_be_bytes());
        self.add(&modified.map_or(0, |since| since.as_nanos()).to_be_bytes());
    }

    pub(super) fn finish(self) -> Mark {
        let mut mark = [0; 32];
        mark.copy_from_slice(self.0.finish().as_ref());
        mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_must_leave_one() {
        let mut settings = TlsSettings::default();
        assert!(settings.check().is_ok() && settings.versions().len() == 2);
        settings.least = TlsVersion::V1_3;
        assert!(settings.check().is_ok() && settings.versions().len() == 1);
        settings.most = TlsVersion::V1_2;
        assert_eq!(settings.check().expect_err("none left").code, Code::INVALID_PARAMETER);
        settings.least = TlsVersion::V1_2;
        assert!(settings.check().is_ok() && settings.versions().len() == 1);
    }

    #[test]
    fn marks_differ_with_every_part() {
        let mark = |pieces: &[&str], secret: &str| {
            let mut digester = Digester::new();
            pieces.iter().for_each(|piece| digester.add(piece.as_bytes()));
            digester.secret(&Secret::new(secret));
            digester.finish()
        };
        assert_eq!(mark(&["a", "b"], "s"), mark(&["a", "b"], "s"));
        assert_ne!(mark(&["a", "b"], "s"), mark(&["ab", ""], "s"));
        assert_ne!(mark(&["a", "b"], "s"), mark(&["a", "b"], "t"));
        assert_ne!(mark(&["a", "b"], ""), mark(&["a", "b"], "t"));
    }
}
