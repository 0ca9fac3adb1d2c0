//! Certificates and a TLS server for tests, both made on the spot.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// An authority of our own, its certificate in a file.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub file: PathBuf,
}

/// What is wrong with a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    OtherName,
    Expired,
    NotYetValid,
    SelfSigned,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("authority {name}"));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).unwrap();
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.pem", std::process::id()));
        std::fs::write(&file, certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    pub fn server(&self, flaw: Flaw) -> Arc<ServerConfig> {
        let name = if flaw == Flaw::OtherName { "other.example" } else { "localhost" };
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        match flaw {
            Flaw::Expired => {
                params.not_before = date_time_ymd(2020, 1, 1);
                params.not_after = date_time_ymd(2020, 2, 1);
            }
            Flaw::NotYetValid => {
                params.not_before = date_time_ymd(2090, 1, 1);
                params.not_after = date_time_ymd(2091, 1, 1);
            }
            _ => {}
        }
        let key = KeyPair::generate().unwrap();
        let certificate = match flaw {
            Flaw::SelfSigned => params.self_signed(&key).unwrap(),
            _ => params.signed_by(&key, &self.issuer).unwrap(),
        };
        serving(vec![certificate.der().clone()], &key)
    }

    /// A certificate for a name, with its key.
    pub fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate, key)
    }

    /// A certificate with these parameters.
    pub fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Certificate {
        params.signed_by(key, &self.issuer).unwrap()
    }

    /// A list of revoked certificates, by their serial numbers, in DER form.
    pub fn revocation_list(&self, serials: &[u64], next_update: i32) -> Vec<u8> {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(next_update, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().der().to_vec()
    }
}

/// What a server with this chain and key works with.
pub fn serving(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// What the server does next.
#[derive(Clone, Debug)]
pub enum Step {
    Expect(&'static [u8]),
    Send(&'static [u8]),
    StartTls,
    /// The reply `250` with the channel binding of the connection.
    SendBinding,
    /// Close without the alert that says so.
    Cut,
}

/// Plays a script with the first client that connects; gives the port, and what
/// did not go as scripted.
pub fn start(config: Arc<ServerConfig>, script: Vec<Step>) -> (u16, JoinHandle<Result<(), String>>) {
    start_many(vec![config], script)
}

/// Plays a script with as many clients, one after the other, as there are settings.
pub fn start_many(configs: Vec<Arc<ServerConfig>>, script: Vec<Step>) -> (u16, JoinHandle<Result<(), String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let mut result = Ok(());
        for config in configs {
            let (stream, _) = listener.accept().map_err(|error| error.to_string())?;
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            result = result.and(play(stream, &config, &script));
        }
        result
    });
    (port, thread)
}

enum Line {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

fn play(stream: TcpStream, config: &Arc<ServerConfig>, script: &[Step]) -> Result<(), String> {
    let mut line = Line::Plain(stream);
    for (number, step) in script.iter().enumerate() {
        let failed = |error: std::io::Error| format!("step {number}: {error}");
        match step {
            Step::Expect(expected) => {
                let mut found = vec![0; expected.len()];
                match &mut line {
                    Line::Plain(stream) => stream.read_exact(&mut found).map_err(failed)?,
                    Line::Tls(stream) => stream.read_exact(&mut found).map_err(failed)?,
                }
                if found != *expected {
                    return Err(format!("step {number}: got \"{}\"", found.escape_ascii()));
                }
            }
            Step::Send(octets) => match &mut line {
                Line::Plain(stream) => stream.write_all(octets).map_err(failed)?,
                Line::Tls(stream) => stream.write_all(octets).and_then(|()| stream.flush()).map_err(failed)?,
            },
            Step::StartTls => {
                let Line::Plain(stream) = line else { return Err("TLS twice".into()) };
                let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                let mut stream = StreamOwned::new(connection, stream);
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock).map_err(failed)?;
                }
                line = Line::Tls(Box::new(stream));
            }
            Step::SendBinding => {
                let Line::Tls(stream) = &mut line else { return Err("no TLS".into()) };
                let label = b"EXPORTER-Channel-Binding";
                let octets = stream.conn.export_keying_material([0_u8; 32], label, Some(b"")).unwrap();
                let text: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
                stream.write_all(format!("250 {text}\r\n").as_bytes()).and_then(|()| stream.flush()).map_err(failed)?;
            }
            Step::Cut => return Ok(()),
        }
    }
    if let Line::Tls(stream) = &mut line {
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }
    Ok(())
}
