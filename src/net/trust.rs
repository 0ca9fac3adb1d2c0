//! Whom to trust: the settings of TLS made ready for use, and the check of a
//! server's certificate against them.

use super::pins::Pins;
use super::refused::Refused;
use super::roots::{Verifiers, verifiers};
use super::sys::process_epoch;
use super::tls::provider;
use super::tls_settings::{Digester, Mark, TlsSettings};
use crate::error::{Code, Error, Phase, Result};
use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;

/// What a handshake does with the verdict on the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    judge: Judge,
}

/// The settings used last, which keep the sessions that may be resumed. Everything
/// that a session was agreed under is in its mark.
static KEPT: Mutex<Vec<(Mark, Arc<Trust>)>> = Mutex::new(Vec::new());

/// As many servers as one program is likely to talk to in turns.
const MOST_KEPT: usize = 32;

impl Trust {
    /// The settings for a server.
    ///
    /// They are made once and shared; files that have changed are read again.
    ///
    /// # Errors
    ///
    /// For files that cannot be used, or if the system has no authorities.
    pub fn of(settings: &TlsSettings, policy: Policy, host: &str, port: u16) -> Result<Arc<Self>> {
        let mark = mark(settings, policy, host, port);
        if let Some(trust) = kept(&mark) {
            return Ok(trust);
        }
        let verifiers = match (policy, verifiers(&settings.authorities, &settings.crl_file)) {
            (Policy::Ignore, Err(error)) => Err(error.what),
            (_, made) => made?,
        };
        if let (Policy::Enforce, Err(reason)) = (policy, &verifiers) {
            return Err(no_authorities(reason));
        }
        let trust = Arc::new(Self::new(Judge { verifiers, pins: settings.pins.clone() }, policy, settings)?);
        keep(mark, &trust);
        Ok(trust)
    }

    fn new(judge: Judge, policy: Policy, settings: &TlsSettings) -> Result<Self> {
        let cannot = |error| Error::new(Code::TLS_HANDSHAKE, Phase::Tls, format!("TLS cannot be set up: {error}"));
        let explaining = Arc::new(Explaining { judge: judge.clone(), policy, provider: provider() });
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&settings.versions())
            .map_err(cannot)?
            .dangerous()
            .with_custom_certificate_verifier(explaining);
        let mut config = match settings.identity.load()? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
                let what = format!("the client certificate cannot be used with its key: {error}");
                Error::new(Code::TLS_CLIENT_CERTIFICATE, Phase::Tls, what)
            })?,
            None => builder.with_no_client_auth(),
        };
        config.resumption = match settings.resumption {
            // For one server, as there is one in the mark.
            true => Resumption::in_memory_sessions(8),
            false => Resumption::disabled(),
        };
        Ok(Self { config: Arc::new(config), judge })
    }

    /// Judges a chain after the handshake; pins were compared in it.
    ///
    /// # Errors
    ///
    /// Why it is not good.
    pub fn judge(&self, chain: &[CertificateDer<'_>], name: &ServerName<'_>) -> std::result::Result<(), Box<Refused>> {
        let Some((end_entity, intermediates)) = chain.split_first() else {
            return Err(Box::new(Refused::without_certificate(name)));
        };
        self.judge.chain(end_entity, intermediates, name, UnixTime::now())
    }

    /// Whether only certain certificates or keys are accepted.
    #[must_use]
    pub fn has_pins(&self) -> bool {
        !self.judge.pins.is_empty()
    }
}

fn mark(settings: &TlsSettings, policy: Policy, host: &str, port: u16) -> Mark {
    let mut digester = Digester::new();
    // A forked child must not send a session's ticket that its parent sends too.
    digester.add(&process_epoch().to_be_bytes());
    digester.add(&[policy as u8, u8::from(settings.resumption)]);
    digester.add(&[settings.least as u16, settings.most as u16].map(u16::to_be_bytes).concat());
    digester.add(host.as_bytes());
    digester.add(&port.to_be_bytes());
    digester.add(settings.name(host).as_bytes());
    digester.add(settings.pins.as_str().as_bytes());
    digester.path(&settings.crl_file);
    settings.authorities.feed(&mut digester);
    settings.identity.feed(&mut digester);
    digester.finish()
}

/// In a child of a fork the lock may be held for ever by a thread that is not there.
const PATIENCE: Duration = Duration::from_millis(50);

fn kept(mark: &Mark) -> Option<Arc<Trust>> {
    let mut kept = KEPT.try_lock_for(PATIENCE)?;
    let at = kept.iter().position(|(other, _)| other == mark)?;
    // The one that was used last stands last.
    let found = kept.remove(at);
    let trust = Arc::clone(&found.1);
    kept.push(found);
    Some(trust)
}

fn keep(mark: Mark, trust: &Arc<Trust>) {
    let Some(mut kept) = KEPT.try_lock_for(PATIENCE) else { return };
    kept.retain(|(other, _)| *other != mark);
    if kept.len() >= MOST_KEPT {
        kept.remove(0);
    }
    kept.push((mark, Arc::clone(trust)));
}

fn no_authorities(reason: &str) -> Box<Error> {
    let what = format!("the system's certificate authorities could not be read: {reason}");
    Error::new(Code::TLS_HANDSHAKE, Phase::Tls, what)
        .with_remedy("Install the system's certificates (ca-certificates), or set SMTP_PROPERTY_CA_FILE.")
}

/// What a certificate is compared with.
#[derive(Clone, Debug)]
struct Judge {
    verifiers: Verifiers,
    pins: Pins,
}

impl Judge {
    fn chain(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> std::result::Result<(), Box<Refused>> {
        let verdict = match &self.verifiers {
            Ok(verifiers) => verifiers.iter().try_for_each(|verifier| {
                verifier.verify_server_cert(end_entity, intermediates, name, &[], now).map(drop)
            }),
            Err(reason) => Err(rustls::Error::General(reason.clone())),
        };
        verdict.map_err(|error| Box::new(Refused::new(error, end_entity, name)))
    }

    fn pins(&self, end_entity: &CertificateDer<'_>, name: &ServerName<'_>) -> std::result::Result<(), Box<Refused>> {
        self.pins.check(end_entity).map_err(|found| Box::new(Refused::of_pins(found, end_entity, name)))
    }
}

/// Passes the check on to another verifier, and in a refusal tells what the
/// certificate says of itself.
#[derive(Debug)]
struct Explaining {
    judge: Judge,
    policy: Policy,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Explaining {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if self.policy == Policy::Enforce {
            self.judge.chain(end_entity, intermediates, name, now)?;
        }
        // A pin is a wish of its own, in every mode.
        self.judge.pins(end_entity, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
            .map_err(|error| Refused::of_signature(error, certificate))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
            .map_err(|error| Refused::of_signature(error, certificate))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tls_settings::Authorities;
    use super::*;

    #[test]
    fn files_that_hold_no_authority() {
        for file in ["/nonexistent/ca.pem", "/dev/null"] {
            let authorities = Authorities { file: file.to_owned(), ..Authorities::default() };
            let settings = TlsSettings { authorities, ..TlsSettings::default() };
            let error = Trust::of(&settings, Policy::Enforce, "mail.example", 25).expect_err(file);
            assert_eq!(error.code, Code::CA_FILE);
            assert!(error.what.contains(file));
        }
    }

    /// Whatever is set otherwise must not share sessions with what was set before.
    #[test]
    fn what_shares_sessions() {
        let plain = TlsSettings::default();
        let with = |change: fn(&mut TlsSettings)| {
            let mut settings = TlsSettings::default();
            change(&mut settings);
            mark(&settings, Policy::Enforce, "a.example", 25)
        };
        let mut marks = vec![
            mark(&plain, Policy::Enforce, "a.example", 25),
            mark(&plain, Policy::Observe, "a.example", 25),
            mark(&plain, Policy::Ignore, "a.example", 25),
            mark(&plain, Policy::Enforce, "b.example", 25),
            mark(&plain, Policy::Enforce, "a.example", 26),
            with(|settings| settings.resumption = false),
            with(|settings| settings.server_name = "b.example".into()),
            with(|settings| settings.authorities.file = "/x".into()),
            with(|settings| settings.authorities.folder = "/x".into()),
            with(|settings| settings.authorities.data = "x".into()),
            with(|settings| settings.crl_file = "/x".into()),
            with(|settings| settings.pins = Pins::parse(&format!("sha256:{}", "0".repeat(64))).expect("a pin")),
            with(|settings| settings.least = super::super::tls_settings::TlsVersion::V1_3),
            with(|settings| settings.most = super::super::tls_settings::TlsVersion::V1_2),
            with(|settings| settings.identity.certificate = "/x".into()),
            with(|settings| settings.identity.key = "/x".into()),
            with(|settings| settings.identity.certificate_data = crate::proto::Secret::new("x")),
            with(|settings| settings.identity.key_data = crate::proto::Secret::new("x")),
            with(|settings| settings.identity.password = crate::proto::Secret::new("x")),
        ];
        assert_eq!(mark(&plain, Policy::Enforce, "a.example", 25), marks[0]);
        let count = marks.len();
        marks.sort_unstable();
        marks.dedup();
        assert_eq!(marks.len(), count);
    }
}
