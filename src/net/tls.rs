//! TLS over a socket, by rustls on ring.

use super::certificate::CertificateStatus;
use super::hybrid::X25519MlKem768;
use super::input::Input;
use super::refused::Refused;
use super::socket::Socket;
use super::tls_settings;
use super::trust::{Policy, Trust};
use super::wire_error;
use crate::error::{Code, Error, Phase, Result};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConnection, HandshakeKind, SupportedCipherSuite};
use std::io::{self, IoSlice, Read as _, Write as _};
use std::sync::{Arc, OnceLock};

/// The provider of the cryptography; never installed as the process's default,
/// which is the host program's to choose.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let made = PROVIDER.get_or_init(|| {
        let mut provider = rustls::crypto::ring::default_provider();
        // rustls sends a share for the first group, and for X25519 as a part of it.
        provider.kx_groups.insert(0, &X25519MlKem768);
        Arc::new(provider)
    });
    Arc::clone(made)
}

/// One TLS connection.
#[derive(Debug)]
pub struct Tls {
    connection: ClientConnection,
    trust: Arc<Trust>,
    name: ServerName<'static>,
    policy: Policy,
    /// The first octets that came in, to tell a server that does not speak TLS.
    first: Vec<u8>,
    ended: bool,
}

/// What was agreed in a handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsInfo {
    /// The protocol, such as `TLS 1.3`.
    pub protocol: &'static str,
    /// The cipher suite by its IANA name.
    pub cipher: String,
    /// Whether the certificate was found good.
    pub verified: bool,
    /// Why it was not, if it was not.
    pub objection: Option<String>,
    /// What the check of the certificate came to, also where it changes nothing.
    pub status: CertificateStatus,
    /// The server's certificate, in DER form.
    pub certificate: Vec<u8>,
    /// Those that the server sent behind it, to an authority's.
    pub issuers: Vec<Vec<u8>>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The bits of the cipher's key.
    pub cipher_bits: usize,
    /// The bits of the hash.
    pub hash_bits: usize,
    /// The group of the key exchange, such as `X25519`.
    pub key_exchange: &'static str,
    /// The channel binding `tls-exporter` (RFC 9266). TLS 1.2 has it only with an
    /// extended master secret, and rustls does not tell of that.
    pub exporter: Option<[u8; 32]>,
}

impl Tls {
    /// A connection that is about to begin its handshake.
    ///
    /// # Errors
    ///
    /// If the name can be no server's.
    pub fn new(trust: Arc<Trust>, server_name: &str, policy: Policy) -> Result<Self> {
        let name = tls_settings::server_name(server_name)?;
        let connection = ClientConnection::new(Arc::clone(&trust.config), name.clone())
            .map_err(|error| Error::new(Code::TLS_HANDSHAKE, Phase::Tls, format!("TLS cannot be set up: {error}")))?;
        Ok(Self { connection, trust, name, policy, first: Vec::new(), ended: false })
    }

    /// Whether the handshake is still under way.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// What was agreed; to be called once the handshake is over.
    ///
    /// # Errors
    ///
    /// If the certificate of a resumed session, which was good once, is so no more.
    pub fn info(&self) -> Result<TlsInfo> {
        let chain = self.connection.peer_certificates().unwrap_or_default();
        let resumed = self.connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let refusal = match self.policy {
            Policy::Enforce if resumed => {
                self.trust.judge(chain, &self.name).map_err(|refused| refused.to_error())?;
                None
            }
            Policy::Enforce => None,
            Policy::Observe | Policy::Ignore => self.trust.judge(chain, &self.name).err(),
        };
        let objection = match (self.policy, &refusal) {
            (Policy::Ignore, None) if self.trust.has_pins() => {
                Some("the check is switched off, but for the pins, which fit".to_owned())
            }
            (Policy::Ignore, None) => Some("the check is switched off".to_owned()),
            (Policy::Ignore, Some(refused)) => Some(format!("the check is switched off; it would say: {refused}")),
            (_, refusal) => refusal.as_ref().map(ToString::to_string),
        };
        let (cipher_bits, hash_bits) = self.strength();
        Ok(TlsInfo {
            protocol: match self.connection.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
                _ => "",
            },
            cipher: self.cipher(),
            verified: objection.is_none(),
            objection,
            status: refusal
                .map_or(CertificateStatus::Valid, |refused| CertificateStatus::of_refusal(refused.to_error().code)),
            certificate: chain.first().map(|certificate| certificate.to_vec()).unwrap_or_default(),
            cipher_bits,
            hash_bits,
            key_exchange: self
                .connection
                .negotiated_key_exchange_group()
                .and_then(|group| group.name().as_str())
                .unwrap_or_default(),
            exporter: self.exporter(),
            issuers: chain.iter().skip(1).map(|certificate| certificate.to_vec()).collect(),
            resumed,
        })
    }

    fn exporter(&self) -> Option<[u8; 32]> {
        if self.connection.protocol_version() != Some(rustls::ProtocolVersion::TLSv1_3) {
            return None;
        }
        self.connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok()
    }

    /// The bits of the cipher's key and of the hash.
    fn strength(&self) -> (usize, usize) {
        let (key, hash) = match self.connection.negotiated_cipher_suite() {
            Some(SupportedCipherSuite::Tls13(suite)) => (suite.aead_alg.key_len(), suite.common.hash_provider),
            Some(SupportedCipherSuite::Tls12(suite)) => {
                (suite.aead_alg.key_block_shape().enc_key_len, suite.common.hash_provider)
            }
            None => return (0, 0),
        };
        (key * 8, hash.output_len() * 8)
    }

    fn cipher(&self) -> String {
        let name = self.connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        // rustls marks the suites of TLS 1.3, IANA does not.
        name.unwrap_or_default().replacen("TLS13_", "TLS_", 1)
    }

    /// Encrypts as much as there is room for and sends what goes at once.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub fn write(&mut self, octets: &[u8], socket: &Socket) -> Result<usize> {
        let taken = self.connection.writer().write(octets).map_err(|error| wire_error(&error, Phase::Idle))?;
        self.flush(socket)?;
        Ok(taken)
    }

    /// Sends what is encrypted already; true if nothing is left.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub fn flush(&mut self, socket: &Socket) -> Result<bool> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Sender(socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(wire_error(&error, Phase::Idle)),
            }
        }
        Ok(true)
    }

    /// Whether something encrypted waits to be sent.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.connection.wants_write()
    }

    /// Whether the other side has ended the connection.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes in what `receive` reads and appends it, decrypted, to `input`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` comes out as `Ok(false)`; else why the connection is broken,
    /// or the handshake failed.
    pub fn receive(
        &mut self,
        input: &mut Input,
        socket: &Socket,
        mut receive: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Result<bool> {
        let mut reader = Receiver { receive: &mut receive, first: &mut self.first };
        match self.connection.read_tls(&mut reader) {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(wire_error(&error, Phase::Idle)),
        }
        let state = match self.connection.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                // The alert that tells the server why; if it cannot be sent, be it so.
                let _ = self.flush(socket);
                return Err(self.broken(&error));
            }
        };
        if self.ended && self.is_handshaking() {
            return Err(Error::new(
                Code::TLS_HANDSHAKE,
                Phase::Tls,
                "the server closed the connection during the TLS handshake",
            )
            .with_remedy(
                "Check that the port is one for TLS, and that the server's TLS is not too old (1.2 at least).",
            ));
        }
        self.ended |= state.peer_has_closed();
        let room = input.room(state.plaintext_bytes_to_read());
        let length = room.len();
        self.connection.reader().read_exact(room).map_err(|error| wire_error(&error, Phase::Idle))?;
        input.add(length);
        Ok(true)
    }

    fn broken(&self, error: &rustls::Error) -> Box<Error> {
        if let Some(refused) = Refused::inside(error) {
            return refused.to_error();
        }
        // In TLS 1.3 this comes when the client's side of the handshake is over.
        let mut failure = if matches!(error, rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) {
            let what = "the server wants a certificate of the client, and has got none";
            Error::new(Code::TLS_CLIENT_CERTIFICATE_REQUIRED, Phase::Tls, what)
        } else if !self.is_handshaking() {
            Error::new(Code::TLS_BROKEN, Phase::Idle, format!("the TLS connection broke: {error}"))
        } else if self.first.iter().take(3).all(u8::is_ascii_digit) && self.first.len() >= 3 {
            let line = self.first.split(|octet| *octet == b'\r' || *octet == b'\n').next().unwrap_or_default();
            let line: String = line.escape_ascii().map(char::from).collect();
            let what = format!("the server does not speak TLS on this port; it began with \"{line}\"");
            Error::new(Code::TLS_NOT_TLS, Phase::Tls, what)
        } else {
            let failure = Error::new(Code::TLS_HANDSHAKE, Phase::Tls, format!("the TLS handshake failed: {error}"));
            match error {
                rustls::Error::InvalidMessage(_) => failure.with_remedy("Check that the port is one for TLS."),
                rustls::Error::AlertReceived(_) | rustls::Error::PeerIncompatible(_) => failure
                    .with_remedy("The server and this client have no TLS settings in common; it needs TLS 1.2 or 1.3."),
                _ => failure,
            }
        };
        failure.tls_reason = Some(error.to_string());
        failure
    }
}

/// Writes ciphertext without SIGPIPE, several records in one call.
struct Sender<'a>(&'a Socket);

impl io::Write for Sender<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.send(octets)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads ciphertext in the way that the caller chose, and keeps the first octets.
struct Receiver<'a, F> {
    receive: &'a mut F,
    first: &'a mut Vec<u8>,
}

impl<F: FnMut(&mut [u8]) -> io::Result<usize>> io::Read for Receiver<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        /// Enough of a greeting to show in an error.
        const SHOWN: usize = 80;
        let count = (self.receive)(buffer)?;
        let room = SHOWN.saturating_sub(self.first.len());
        self.first.extend_from_slice(&buffer[..count.min(room)]);
        Ok(count)
    }
}
