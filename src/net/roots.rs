//! The authorities' certificates: the system's, read once a process, or the caller's.

use super::tls::provider;
use super::tls_settings::{Authorities, Digester, Mark};
use crate::error::{Code, Error, Phase, Result};
use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

/// Every one of them has to accept a chain; without any, the reason for that.
pub(super) type Verifiers = std::result::Result<Vec<Arc<dyn ServerCertVerifier>>, String>;

/// Makes what judges a chain.
///
/// # Errors
///
/// `CA_FILE` and `TLS_CRL_FILE` for files that cannot be used. That the system
/// has no authorities is told with the verifiers.
pub(super) fn verifiers(authorities: &Authorities, crl_file: &str) -> Result<Verifiers> {
    if authorities.is_system() && crl_file.is_empty() {
        return Ok(system_verifier());
    }
    let roots = match authorities.is_system() {
        true => system_roots()?,
        false => Ok(shared_roots(authorities)?),
    };
    match roots {
        Ok(roots) => of_roots(&roots, crl_file).map(Ok),
        Err(reason) => Ok(Err(reason)),
    }
}

fn of_roots(roots: &Arc<RootCertStore>, crl_file: &str) -> Result<Vec<Arc<dyn ServerCertVerifier>>> {
    let builder = || WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider());
    let unusable = |error| ca_error("the authorities", &format!("{error}"));
    if crl_file.is_empty() {
        return Ok(vec![builder().build().map_err(unusable)?]);
    }
    let lists = revocation_lists(crl_file)?;
    let unusable = |error| crl_error(crl_file, &format!("{error}"));
    // A revoked certificate anywhere in the chain is found; but only of the server's
    // own must it be known, as authorities rarely publish lists of each other.
    let anywhere = builder().with_crls(lists.clone()).allow_unknown_revocation_status().build().map_err(unusable)?;
    let own = builder()
        .with_crls(lists)
        .only_check_end_entity_revocation()
        .enforce_revocation_expiration()
        .build()
        .map_err(unusable)?;
    Ok(vec![anywhere, own])
}

/// The roots of a caller's choice, made once as long as somebody uses them.
fn shared_roots(authorities: &Authorities) -> Result<Arc<RootCertStore>> {
    static SHARED: Mutex<Vec<(Mark, Weak<RootCertStore>)>> = Mutex::new(Vec::new());
    let mut digester = Digester::new();
    authorities.feed(&mut digester);
    let mark = digester.finish();
    let known = SHARED.lock().iter().find(|(other, _)| *other == mark).and_then(|(_, roots)| roots.upgrade());
    if let Some(roots) = known {
        return Ok(roots);
    }
    let roots = Arc::new(own_roots(authorities)?);
    let mut shared = SHARED.lock();
    shared.retain(|(other, roots)| *other != mark && roots.strong_count() > 0);
    shared.push((mark, Arc::downgrade(&roots)));
    Ok(roots)
}

fn own_roots(authorities: &Authorities) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if !authorities.file.is_empty() {
        add_file(&mut roots, Path::new(&authorities.file))?;
    }
    if !authorities.folder.is_empty() {
        let folder = Path::new(&authorities.folder);
        let files = files_of(folder).map_err(|error| ca_error(&shown(folder), &error.to_string()))?;
        let before = roots.len();
        for file in files {
            // Other files may lie there too; those with certificates are meant.
            if let Ok(pem) = std::fs::read(&file) {
                let found = CertificateDer::pem_slice_iter(&pem).filter_map(std::result::Result::ok);
                roots.add_parsable_certificates(found);
            }
        }
        if roots.len() == before {
            return Err(ca_error(&shown(folder), "no file in it has a certificate in PEM form"));
        }
    }
    if !authorities.data.is_empty() {
        add_pem(&mut roots, authorities.data.as_bytes(), "SMTP_PROPERTY_CA_DATA")?;
    }
    Ok(roots)
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<()> {
    let pem = std::fs::read(path).map_err(|error| ca_error(&shown(path), &error.to_string()))?;
    add_pem(roots, &pem, &shown(path))
}

fn add_pem(roots: &mut RootCertStore, pem: &[u8], source: &str) -> Result<()> {
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| ca_error(source, &error.to_string()))?;
        roots.add(certificate).map_err(|error| ca_error(source, &error.to_string()))?;
    }
    if roots.len() == before {
        return Err(ca_error(source, "it has no certificate in PEM form"));
    }
    Ok(())
}

/// The regular files of a folder, in an order that stays.
pub(super) fn files_of(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn revocation_lists(file: &str) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    let octets = std::fs::read(file).map_err(|error| crl_error(file, &error.to_string()))?;
    // DER begins with the tag of a sequence, which no text does.
    if octets.first() == Some(&0x30) {
        return Ok(vec![CertificateRevocationListDer::from(octets)]);
    }
    let mut lists = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&octets) {
        let (kind, der) = section.map_err(|error| crl_error(file, &error.to_string()))?;
        if kind == SectionKind::Crl {
            lists.push(CertificateRevocationListDer::from(der));
        }
    }
    if lists.is_empty() {
        return Err(crl_error(file, "it has no revocation list, neither in DER nor in PEM form"));
    }
    Ok(lists)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn ca_error(source: &str, reason: &str) -> Box<Error> {
    let what = format!("the certificate authority file {source} cannot be used: {reason}");
    Error::new(Code::CA_FILE, Phase::Tls, what)
}

fn crl_error(file: &str, reason: &str) -> Box<Error> {
    let what = format!("the revocation list {file} cannot be used: {reason}");
    Error::new(Code::TLS_CRL_FILE, Phase::Tls, what)
}

/// Where the system judges certificates itself, it is asked.
#[cfg(any(windows, target_vendor = "apple", target_os = "android"))]
fn system_verifier() -> Verifiers {
    static SYSTEM: OnceLock<Verifiers> = OnceLock::new();
    let made = SYSTEM.get_or_init(|| match rustls_platform_verifier::Verifier::new(provider()) {
        Ok(verifier) => Ok(vec![Arc::new(verifier)]),
        Err(error) => Err(error.to_string()),
    });
    made.clone()
}

#[cfg(any(windows, target_vendor = "apple", target_os = "android"))]
fn system_roots() -> Result<std::result::Result<Arc<RootCertStore>, String>> {
    let what = "revocation lists are compared only with authorities that are named, not with the system's";
    let remedy = "Set SMTP_PROPERTY_CA_FILE too, or leave SMTP_PROPERTY_CRL_FILE to the system.";
    Err(Error::new(Code::TLS_CRL_FILE, Phase::Tls, what).with_remedy(remedy))
}

#[cfg(not(any(windows, target_vendor = "apple", target_os = "android")))]
fn system_verifier() -> Verifiers {
    static SYSTEM: OnceLock<Verifiers> = OnceLock::new();
    let made = SYSTEM.get_or_init(|| of_roots(&system_store().clone()?, "").map_err(|error| error.what));
    made.clone()
}

#[cfg(not(any(windows, target_vendor = "apple", target_os = "android")))]
fn system_roots() -> Result<std::result::Result<Arc<RootCertStore>, String>> {
    Ok(system_store().clone())
}

/// Read here and not by rustls-native-certs, which obeys environment variables
/// (`SSL_CERT_FILE`) and reads the same certificates twice where both forms exist.
#[cfg(not(any(windows, target_vendor = "apple", target_os = "android")))]
fn system_store() -> &'static std::result::Result<Arc<RootCertStore>, String> {
    /// The bundles of the systems, the most usual first; the same places as Go's crypto/x509 looks in.
    const BUNDLES: [&str; 8] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/pki/tls/cacert.pem",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/ssl/cert.pem",
        "/usr/local/etc/ssl/cert.pem",
        "/usr/local/share/certs/ca-root-nss.crt",
    ];
    /// Where there is no bundle.
    const FOLDERS: [&str; 3] = ["/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/openssl/certs"];
    static STORE: OnceLock<std::result::Result<Arc<RootCertStore>, String>> = OnceLock::new();
    STORE.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let mut add = |file: &Path| {
            if let Ok(pem) = std::fs::read(file) {
                let found = CertificateDer::pem_slice_iter(&pem).filter_map(std::result::Result::ok);
                roots.add_parsable_certificates(found);
            }
            !roots.is_empty()
        };
        let found = BUNDLES.iter().any(|bundle| add(Path::new(bundle)))
            || FOLDERS.iter().any(|folder| {
                let files = files_of(Path::new(folder)).unwrap_or_default();
                files.iter().fold(false, |_, file| add(file))
            });
        match found {
            true => Ok(Arc::new(roots)),
            false => Err(format!("none of {} has any", BUNDLES.join(", "))),
        }
    })
}
