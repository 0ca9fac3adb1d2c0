//! The settings of TLS: versions, names, authorities, pins, certificates of the
//! client, sessions resumed, revocation. Through the C interface.

#[path = "support/smtp.rs"]
mod smtp;
#[path = "support/tls.rs"]
mod tls;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SerialNumber};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use smtp::{Failure, Smtp};
use smtpclient::client::{Options, Property};
use smtpclient::error::{Code, Phase};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use tls::{Authority, Flaw, Step, serving, start, start_many};

fn session() -> Vec<Step> {
    vec![
        Step::StartTls,
        Step::Send(b"220 hi\r\n"),
        Step::Expect(b"EHLO client.example\r\n"),
        Step::Send(b"250 ok\r\n"),
        Step::Expect(b"QUIT\r\n"),
        Step::Send(b"221 bye\r\n"),
    ]
}

fn trusting(authority: &Authority) -> Smtp {
    let client = Smtp::new();
    client.set_text(Property::CaFile, path(&authority.file));
    client
}

fn connect(client: &Smtp, port: u16) -> Result<(), Failure> {
    client.connect_to("localhost", port, Options::SECURE_IMPLICIT.0)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A file of this process, with its content.
fn file(name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, content).expect("written");
    path
}

fn done(server: JoinHandle<Result<(), String>>) {
    server.join().expect("no panic").expect("as scripted");
}

fn of_versions(config: &ServerConfig, versions: &[&'static rustls::SupportedProtocolVersion]) -> Arc<ServerConfig> {
    let mut changed = ServerConfig::builder_with_provider(Arc::clone(config.crypto_provider()))
        .with_protocol_versions(versions)
        .expect("known")
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&config.cert_resolver));
    changed.session_storage = Arc::clone(&config.session_storage);
    Arc::new(changed)
}

#[test]
fn versions() {
    const V1_2: i64 = 0x303;
    const V1_3: i64 = 0x304;
    let authority = Authority::new("versions");
    let both = authority.server(Flaw::None);
    let old = of_versions(&both, &[&rustls::version::TLS12]);
    let new = of_versions(&both, &[&rustls::version::TLS13]);
    let cases = [
        (&both, V1_2, V1_3, Some("TLS 1.3")),
        (&both, V1_2, V1_2, Some("TLS 1.2")),
        (&both, V1_3, V1_3, Some("TLS 1.3")),
        (&old, V1_2, V1_3, Some("TLS 1.2")),
        (&old, V1_3, V1_3, None),
        (&new, V1_2, V1_2, None),
    ];
    for (config, least, most, expected) in cases {
        let (port, server) = start(Arc::clone(config), session());
        let client = trusting(&authority);
        client.set(Property::TlsMinVersion, least);
        client.set(Property::TlsMaxVersion, most);
        match (connect(&client, port), expected) {
            (Ok(()), Some(protocol)) => {
                assert_eq!(client.text(Property::TlsProtocol), protocol);
                let has_exporter = !client.text(Property::ChannelBindingExporter).is_empty();
                assert_eq!(has_exporter, protocol == "TLS 1.3");
                client.disconnect().expect("always");
                done(server);
            }
            (Err(failure), None) => {
                assert_eq!((failure.code, failure.phase), (Code::TLS_HANDSHAKE, Phase::Tls), "{failure:?}");
                assert!(server.join().expect("no panic").is_err());
            }
            (other, _) => panic!("{least} {most} {expected:?}: {other:?}"),
        }
    }
    let client = Smtp::new();
    for bad in [0, 0x302, 0x305, -1, i64::MAX] {
        assert_eq!(client.try_set(Property::TlsMinVersion, bad), Code::INVALID_PARAMETER);
        assert_eq!(client.try_set(Property::TlsMaxVersion, bad), Code::INVALID_PARAMETER);
    }
    client.set(Property::TlsMinVersion, V1_3);
    client.set(Property::TlsMaxVersion, V1_2);
    let failure = connect(&client, 1).expect_err("no version is left");
    assert_eq!((failure.code, failure.phase), (Code::INVALID_PARAMETER, Phase::Argument), "{failure:?}");
}

/// Answers only who names a name.
fn by_name(authority: &Authority, name: &str) -> Arc<ServerConfig> {
    let (certificate, key) = authority.issue(name, |_| {});
    let config = serving(vec![certificate.der().clone()], &key);
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let key = config.crypto_provider().key_provider.load_private_key(key).expect("a key");
    let mut resolver = rustls::server::ResolvesServerCertUsingSni::new();
    resolver.add(name, CertifiedKey::new(vec![certificate.der().clone()], key)).expect("it is for the name");
    let mut config = Arc::unwrap_or_clone(config);
    config.cert_resolver = Arc::new(resolver);
    Arc::new(config)
}

#[test]
fn a_name_apart_from_the_address() {
    let authority = Authority::new("name");
    let (port, server) = start(by_name(&authority, "mail.example"), session());
    let client = trusting(&authority);
    client.set_text(Property::TlsServerName, "mail.example");
    client.connect_to("127.0.0.1", port, Options::SECURE_IMPLICIT.0).expect("the certificate is for the name");
    assert_eq!(client.integer(Property::TlsVerified), 1);
    client.disconnect().expect("always");
    done(server);
    // The name counts, not the host.
    let (port, server) = start(authority.server(Flaw::None), session());
    let failure = connect(&client, port).expect_err("another name");
    assert_eq!(failure.code, Code::TLS_CERTIFICATE_NAME, "{failure:?}");
    assert!(failure.sentence.contains("the name wanted is mail.example"), "{failure:?}");
    assert!(server.join().expect("no panic").is_err());
    for bad in ["a b", "-", "[::1", "\u{fc}.example", ".."] {
        assert_eq!(client.try_text(Property::TlsServerName, bad), Code::INVALID_PARAMETER, "{bad}");
    }
    assert_eq!(client.text(Property::TlsServerName), "mail.example");
}

#[test]
fn authorities_from_a_folder_and_from_memory() {
    let authority = Authority::new("sources");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("folder-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::write(folder.join("README"), "not a certificate").expect("written");
    let pem = std::fs::read_to_string(&authority.file).expect("read");
    let client = Smtp::new();

    client.set_text(Property::CaFolder, path(&folder));
    let (port, server) = start(authority.server(Flaw::None), session());
    let failure = connect(&client, port).expect_err("none in it");
    assert_eq!(failure.code, Code::CA_FILE, "{failure:?}");
    assert!(failure.sentence.contains(path(&folder)), "{failure:?}");
    assert!(server.join().expect("no panic").is_err());

    // The folder has changed, and is read again.
    std::fs::write(folder.join("ca.pem"), &pem).expect("written");
    let (port, server) = start(authority.server(Flaw::None), session());
    connect(&client, port).expect("it is in the folder");
    client.disconnect().expect("always");
    done(server);

    client.set_text(Property::CaFolder, "");
    client.set_text(Property::CaData, &pem);
    assert_eq!(client.text(Property::CaData), pem);
    let (port, server) = start(authority.server(Flaw::None), session());
    connect(&client, port).expect("it is in memory");
    client.disconnect().expect("always");
    done(server);

    // All that is given counts.
    let other = Authority::new("sources-other");
    client.set_text(Property::CaFile, path(&other.file));
    for authority in [&authority, &other] {
        let (port, server) = start(authority.server(Flaw::None), session());
        connect(&client, port).expect("both are trusted");
        client.disconnect().expect("always");
        done(server);
    }
    for (property, bad) in [(Property::CaFolder, "/nonexistent"), (Property::CaData, "nothing")] {
        let client = Smtp::new();
        client.set_text(property, bad);
        let (port, server) = start(authority.server(Flaw::None), session());
        let failure = connect(&client, port).expect_err("cannot be used");
        assert_eq!(failure.code, Code::CA_FILE, "{failure:?}");
        assert!(server.join().expect("no panic").is_err());
    }
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn pins() {
    let authority = Authority::new("pins");
    let config = authority.server(Flaw::None);
    let (port, server) = start(Arc::clone(&config), session());
    let client = trusting(&authority);
    connect(&client, port).expect("connects");
    let by_key = client.text(Property::CertificatePin);
    let by_certificate = format!("sha256:{}", client.text(Property::CertificateFingerprint));
    assert!(by_key.starts_with("sha256//") && by_key.len() == 52, "{by_key}");
    client.disconnect().expect("always");
    done(server);

    let stranger = format!("sha256:{}", "0".repeat(64));
    for pins in [&by_key, &by_certificate, &format!("{stranger}\n{by_key}\n")] {
        client.set_text(Property::TlsPins, pins);
        let (port, server) = start(Arc::clone(&config), session());
        connect(&client, port).expect("pinned");
        client.disconnect().expect("always");
        done(server);
    }
    // In every mode, also where nothing else is looked at.
    for skipped in [false, true] {
        client.set(Property::InsecureSkipVerify, i64::from(skipped));
        client.set_text(Property::TlsPins, &stranger);
        let (port, server) = start(Arc::clone(&config), session());
        let failure = connect(&client, port).expect_err("not pinned");
        assert_eq!((failure.code, failure.phase), (Code::TLS_PIN_MISMATCH, Phase::Tls), "{failure:?}");
        assert!(failure.sentence.contains(&by_key), "{failure:?}");
        assert!(server.join().expect("no panic").is_err());
    }
    let without_authority = Smtp::new();
    without_authority.set(Property::InsecureSkipVerify, 1);
    without_authority.set_text(Property::TlsPins, &by_key);
    let (port, server) = start(Arc::clone(&config), session());
    connect(&without_authority, port).expect("the pin fits");
    assert_eq!(without_authority.integer(Property::TlsVerified), 0);
    assert!(without_authority.text(Property::TlsObjection).contains("switched off"));
    without_authority.disconnect().expect("always");
    done(server);
    // A pin does not make up for a bad certificate.
    without_authority.set(Property::InsecureSkipVerify, 0);
    let (port, server) = start(config, session());
    let failure = connect(&without_authority, port).expect_err("not trusted");
    assert_eq!(failure.code, Code::TLS_CERTIFICATE_UNTRUSTED, "{failure:?}");
    assert!(server.join().expect("no panic").is_err());
}

#[test]
fn sessions_are_resumed_only_under_the_same_settings() {
    let authority = Authority::new("resumed");
    let both = authority.server(Flaw::None);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = of_versions(&both, &[version]);
        let (port, server) = start_many(vec![config; 9], session());
        let visit = |change: &dyn Fn(&Smtp)| {
            // Each client is another one: sessions are the process's.
            let client = trusting(&authority);
            change(&client);
            connect(&client, port).expect("connects");
            assert_eq!(client.integer(Property::CertificateCount), 1, "known also of a resumed session");
            let resumed = client.integer(Property::TlsResumed);
            client.disconnect().expect("always");
            assert_eq!(client.integer(Property::TlsResumed), 0, "of a connection that is gone");
            resumed
        };
        assert_eq!(visit(&|_| {}), 0);
        assert_eq!(visit(&|_| {}), 1);
        assert_eq!(visit(&|client| client.set(Property::TlsResumption, 0)), 0);
        assert_eq!(visit(&|client| client.set(Property::InsecureSkipVerify, 1)), 0, "what was not verified");
        assert_eq!(visit(&|client| client.set(Property::InsecureSkipVerify, 1)), 1);
        assert_eq!(
            visit(&|client| client
                .set(Property::TlsMaxVersion, 0x303 + i64::from(version.version != rustls::ProtocolVersion::TLSv1_2))),
            i64::from(version.version != rustls::ProtocolVersion::TLSv1_2)
        );
        let other = Authority::new("resumed-other");
        let both_authorities = |client: &Smtp| {
            client.set_text(Property::CaData, &std::fs::read_to_string(&other.file).expect("read"));
        };
        assert_eq!(visit(&both_authorities), 0, "verified by others");
        assert_eq!(visit(&both_authorities), 1);
        assert_eq!(visit(&|_| {}), 1, "still known");
        done(server);
    }
}

fn asking_for_certificates(authority: &Authority) -> Arc<ServerConfig> {
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(&authority.file).expect("read");
    let der = rustls::pki_types::pem::PemObject::from_pem_slice(&pem).expect("a certificate");
    roots.add(der).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().expect("built");
    let (certificate, key) = authority.issue("localhost", |_| {});
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("known")
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("they belong together");
    Arc::new(config)
}

/// Encrypted keys and PKCS#12 are in tests/suite/test_trust.py, with those that other programs make.
#[test]
fn certificates_of_the_client() {
    let authority = Authority::new("client");
    let (certificate, key) = authority.issue("tim", |_| {});
    let (pem, key_pem) = (certificate.pem(), key.serialize_pem());
    let both = file("both.pem", format!("{key_pem}{pem}"));
    let (in_pem, in_der) = (file("cert.pem", &pem), file("cert.der", certificate.der()));
    let (key_in_pem, key_in_der) = (file("key.pem", &key_pem), file("key.der", key.serialize_der()));
    let set = |client: &Smtp, certificate: &Path, key: &Path| {
        client.set_text(Property::ClientCertificate, path(certificate));
        client.set_text(Property::ClientKey, path(key));
    };
    let none = Path::new("");
    let good: [&dyn Fn(&Smtp); 6] = [
        &|client| set(client, &both, none),
        &|client| set(client, &in_pem, &key_in_pem),
        &|client| set(client, &in_der, &key_in_der),
        &|client| set(client, &in_pem, &key_in_der),
        &|client| client.set_text(Property::ClientCertificateData, &format!("{pem}{key_pem}")),
        &|client| {
            client.set_data(Property::ClientCertificateData, certificate.der());
            client.set_data(Property::ClientKeyData, &key.serialize_der());
        },
    ];
    for change in good {
        let (port, server) = start(asking_for_certificates(&authority), session());
        let client = trusting(&authority);
        change(&client);
        connect(&client, port).expect("the server is content");
        client.disconnect().expect("always");
        done(server);
    }

    let (_, other_key) = authority.issue("tim", |_| {});
    let other_key = file("other.pem", other_key.serialize_pem());
    type Case<'a> = (&'a dyn Fn(&Smtp), &'a str);
    let bad: [Case<'_>; 6] = [
        (&|client| set(client, &in_pem, none), "it has no key"),
        (&|client| set(client, &in_der, none), "without a key"),
        (&|client| set(client, &key_in_pem, none), "it has no certificate"),
        (&|client| set(client, Path::new("/nonexistent"), none), "/nonexistent"),
        (&|client| set(client, &in_pem, Path::new("/dev/null")), "it has no key"),
        (&|client| set(client, &in_pem, &other_key), "cannot be used with its key"),
    ];
    for (change, expected) in bad {
        let (port, server) = start(asking_for_certificates(&authority), session());
        let client = trusting(&authority);
        change(&client);
        let failure = connect(&client, port).expect_err("cannot be used");
        assert_eq!((failure.code, failure.phase), (Code::TLS_CLIENT_CERTIFICATE, Phase::Tls), "{failure:?}");
        assert!(failure.sentence.contains(expected), "{failure:?}");
        assert!(server.join().expect("no panic").is_err());
    }

    let (port, server) = start(asking_for_certificates(&authority), session());
    let failure = connect(&trusting(&authority), port).expect_err("none given");
    assert_eq!(failure.code, Code::TLS_CLIENT_CERTIFICATE_REQUIRED, "{failure:?}");
    assert!(failure.sentence.contains("SMTP_PROPERTY_CLIENT_CERTIFICATE"), "{failure:?}");
    assert!(server.join().expect("no panic").is_err());

    let client = Smtp::new();
    set(&client, &in_pem, none);
    client.set_text(Property::ClientCertificateData, &pem);
    assert_eq!(connect(&client, 1).expect_err("both").code, Code::INVALID_PARAMETER);
    client.set_text(Property::ClientCertificateData, "");
    set(&client, none, &key_in_pem);
    assert_eq!(connect(&client, 1).expect_err("a key alone").code, Code::INVALID_PARAMETER);
    for each in [both, in_pem, in_der, key_in_pem, key_in_der, other_key] {
        std::fs::remove_file(each).expect("removed");
    }
}

#[test]
fn the_chain_that_the_server_sent() {
    let authority = Authority::new("chain");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("good");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "in between");
    let intermediate = authority.sign(&params, &key);
    let issuer = Issuer::new(params, key);
    let own_key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("good");
    let own = params.signed_by(&own_key, &issuer).expect("a certificate");

    let chain = vec![own.der().clone(), intermediate.der().clone()];
    let (port, server) = start(serving(chain, &own_key), session());
    let client = trusting(&authority);
    connect(&client, port).expect("connects");
    assert_eq!(client.integer(Property::CertificateCount), 2);
    assert_eq!(client.certificate(0).expect("the server's"), own.der().to_vec());
    assert_eq!(client.certificate(1).expect("its issuer's"), intermediate.der().to_vec());
    assert_eq!(client.certificate(2).expect_err("no more"), Code::INVALID_PARAMETER);
    assert_eq!(client.certificate_text(0, Property::CertificateNames), "localhost");
    assert_eq!(client.certificate_text(1, Property::CertificateSubject), "CN=in between");
    assert!(client.certificate_text(1, Property::CertificateIssuer).contains("authority chain"));
    assert_eq!(client.certificate_text(0, Property::CertificatePin), client.text(Property::CertificatePin));
    assert_ne!(client.certificate_text(1, Property::CertificatePin), client.text(Property::CertificatePin));
    client.disconnect().expect("always");
    done(server);

    let (port, server) = start(serving(vec![own.der().clone()], &own_key), session());
    let failure = connect(&client, port).expect_err("the one in between is missing");
    assert_eq!(failure.code, Code::TLS_CERTIFICATE_UNTRUSTED, "{failure:?}");
    assert!(server.join().expect("no panic").is_err());
}

#[test]
fn revoked_is_apart_from_not_known() {
    let (authority, other) = (Authority::new("revoked"), Authority::new("revoked-other"));
    let (certificate, key) = authority.issue("localhost", |params| params.serial_number = Some(SerialNumber::from(7)));
    let config = serving(vec![certificate.der().clone()], &key);
    let pem = |der: &[u8]| {
        use base64::Engine as _;
        format!("-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n", base64::prelude::BASE64_STANDARD.encode(der))
    };
    let (with, without) = (authority.revocation_list(&[3, 7], 2090), authority.revocation_list(&[3], 2090));
    let (old, strange) = (authority.revocation_list(&[3], 2021), other.revocation_list(&[7], 2090));
    let cases: [(Vec<u8>, Option<Code>); 8] = [
        (without.clone(), None),
        (pem(&without).into(), None),
        ((pem(&strange) + &pem(&without)).into(), None),
        (with.clone(), Some(Code::TLS_CERTIFICATE_REVOKED)),
        (pem(&with).into(), Some(Code::TLS_CERTIFICATE_REVOKED)),
        (old, Some(Code::TLS_REVOCATION_UNKNOWN)),
        (strange, Some(Code::TLS_REVOCATION_UNKNOWN)),
        (b"nothing".to_vec(), Some(Code::TLS_CRL_FILE)),
    ];
    for (number, (list, expected)) in cases.into_iter().enumerate() {
        let list = file(&format!("list{number}"), list);
        let (port, server) = start(Arc::clone(&config), session());
        let client = trusting(&authority);
        client.set_text(Property::CrlFile, path(&list));
        match (connect(&client, port), expected) {
            (Ok(()), None) => {
                client.disconnect().expect("always");
                done(server);
            }
            (Err(failure), Some(code)) => {
                assert_eq!((failure.code, failure.phase), (code, Phase::Tls), "{number}: {failure:?}");
                assert!(server.join().expect("no panic").is_err());
            }
            (result, _) => panic!("{number}: {result:?}"),
        }
        std::fs::remove_file(list).expect("removed");
    }
}
