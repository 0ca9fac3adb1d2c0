//! What protects the connection, as one structure.

use super::core::Client;

/// The versions of TLS: name, the number that the protocol has for it, what it is, and
/// how [`crate::net::tls::TlsInfo`] names it.
pub const PROTOCOLS: &[(&str, u32, &str, &str)] = &[
    ("NONE", 0, "No TLS.", ""),
    ("TLS_1_2", 0x0303, "TLS 1.2 (RFC 5246).", "TLS 1.2"),
    ("TLS_1_3", 0x0304, "TLS 1.3 (RFC 8446).", "TLS 1.3"),
];

/// What was agreed in the TLS handshake of the last connection; all 0 without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecurityFacts {
    /// One of [`PROTOCOLS`].
    pub protocol: u32,
    /// The bits of the cipher's key.
    pub cipher_strength: u32,
    /// The bits of the hash.
    pub hash_strength: u32,
    /// What the check of the certificate came to.
    pub certificate_status: u32,
    /// Whether it was found good.
    pub verified: bool,
}

impl Client {
    /// What protects the connection, all of one moment.
    #[must_use]
    pub fn security(&self) -> SecurityFacts {
        let shared = self.shared.lock();
        let tls = shared.status.tls();
        let bits = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        SecurityFacts {
            protocol: PROTOCOLS.iter().find(|(.., name)| *name == tls.protocol).map_or(0, |(_, number, ..)| *number),
            cipher_strength: bits(tls.cipher_bits),
            hash_strength: bits(tls.hash_bits),
            certificate_status: tls.status as u32,
            verified: tls.verified,
        }
    }
}
