//! TLS over a socket, through the C interface, against a server and an authority
//! made on the spot.

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/smtp.rs"]
mod smtp;
#[path = "support/tls.rs"]
mod tls;

use scripted::Scripted;
use smtp::{Failure, Smtp};
use smtpclient::client::{Options, Property};
use smtpclient::error::{Code, Phase};
use smtpclient::net::certificate::CertificateStatus;
use tls::{Authority, Flaw, Step, start};

fn before_starttls() -> Vec<Step> {
    vec![
        Step::Send(b"220 hi\r\n"),
        Step::Expect(b"EHLO client.example\r\n"),
        Step::Send(b"250-mail.example\r\n250-PIPELINING\r\n250-SIZE 5\r\n250 STARTTLS\r\n"),
        Step::Expect(b"STARTTLS\r\n"),
        Step::Send(b"220 go on\r\n"),
        Step::StartTls,
    ]
}

fn session() -> Vec<Step> {
    vec![
        Step::Expect(b"EHLO client.example\r\n"),
        Step::Send(b"250-mail.example\r\n250 AUTH PLAIN\r\n"),
        Step::Expect(b"AUTH PLAIN AHRpbQBzZWNyZXQ=\r\n"),
        Step::Send(b"235 ok\r\n"),
        Step::Expect(b"MAIL FROM:<a@x.example>\r\n"),
        Step::Send(b"250 ok\r\n"),
        Step::Expect(b"RCPT TO:<b@y.example>\r\n"),
        Step::Send(b"250 ok\r\n"),
        Step::Expect(b"DATA\r\n"),
        Step::Send(b"354 go\r\n"),
        Step::Expect(b"Subject: hi\r\n\r\n..\r\n.\r\n"),
        Step::Send(b"250 ok\r\n"),
        Step::Expect(b"QUIT\r\n"),
        Step::Send(b"221 bye\r\n"),
    ]
}

fn whole_session(client: &Smtp, port: u16, options: u32) -> Result<(), Failure> {
    client.connect_to("localhost", port, options)?;
    client.authenticate("tim", "secret")?;
    client.send("a@x.example", "b@y.example", b"Subject: hi\r\n\r\n.\r\n")?;
    client.disconnect()
}

fn trusting(authority: &Authority) -> Smtp {
    let client = Smtp::new();
    client.set_text(Property::CaFile, authority.file.to_str().expect("UTF-8"));
    client
}

#[test]
fn starttls_and_implicit_tls_with_the_exact_octets() {
    let authority = Authority::new("good");
    let starttls = || [before_starttls(), session()].concat();
    let implicit = || [vec![Step::StartTls, Step::Send(b"220 hi\r\n")], session()].concat();
    let modes = [
        (starttls(), Options::SECURE.0, 0),
        (starttls(), 0, 0),
        (starttls(), 0, 2),
        (implicit(), Options::SECURE_IMPLICIT.0, 0),
        (implicit(), 0, 3),
    ];
    for (script, options, mode) in modes {
        let (port, server) = start(authority.server(Flaw::None), script);
        let client = trusting(&authority);
        client.set(Property::TlsMode, mode);
        client.connect_to("localhost", port, options).expect("connects");
        assert_eq!(client.text(Property::TlsProtocol), "TLS 1.3");
        assert!(client.text(Property::TlsCipher).starts_with("TLS_"));
        assert_eq!(client.integer(Property::TlsVerified), 1);
        assert_eq!((client.integer(Property::Secure), client.integer(Property::CertificateStatus)), (1, 1));
        assert!([128, 256].contains(&client.integer(Property::CipherStrength)));
        assert!([256, 384].contains(&client.integer(Property::HashStrength)));
        assert!(["X25519", "secp256r1"].contains(&client.text(Property::KeyExchange).as_str()));
        assert_eq!(client.text(Property::CertificateNames), "localhost");
        assert!(client.text(Property::CertificateSubject).contains("CN="), "rcgen gives every certificate a name");
        assert_eq!(client.text(Property::CertificateIssued), "1975-01-01T00:00:00Z");
        assert_eq!(client.text(Property::CertificateExpires), "4096-01-01T00:00:00Z");
        let fingerprint = client.text(Property::CertificateFingerprint);
        assert!(fingerprint.len() == 64 && fingerprint.bytes().all(|octet| octet.is_ascii_hexdigit()), "{fingerprint}");
        assert_eq!(client.text(Property::Extensions), "AUTH PLAIN", "what was offered in the clear is forgotten");
        client.authenticate("tim", "secret").expect("logs in");
        client.send("a@x.example", "b@y.example", b"Subject: hi\r\n\r\n.\r\n").expect("sent");
        client.disconnect().expect("always");
        assert_eq!((client.integer(Property::Secure), client.integer(Property::CertificateStatus)), (0, 0));
        assert_eq!(client.text(Property::CertificateSubject) + &client.text(Property::CertificateFingerprint), "");
        server.join().expect("no panic").expect("as scripted");
    }
}

#[test]
fn bad_certificates_are_refused_with_the_check_and_the_names() {
    let authority = Authority::new("bad");
    let cases = [
        (Flaw::OtherName, Code::TLS_CERTIFICATE_NAME, "not for this host name", "other.example"),
        (Flaw::Expired, Code::TLS_CERTIFICATE_EXPIRED, "expired on 2020-02-01", "localhost"),
        (Flaw::NotYetValid, Code::TLS_CERTIFICATE_EXPIRED, "not valid before 2090-01-01", "localhost"),
        (Flaw::SelfSigned, Code::TLS_CERTIFICATE_UNTRUSTED, "self-signed", "localhost"),
    ];
    for (flaw, code, check, found) in cases {
        for implicit in [false, true] {
            let options = if implicit { Options::SECURE_IMPLICIT } else { Options::SECURE };
            let script = if implicit { vec![Step::StartTls] } else { before_starttls() };
            let (port, server) = start(authority.server(flaw), script);
            let client = trusting(&authority);
            let failure = whole_session(&client, port, options.0).expect_err("refused");
            assert_eq!((failure.code, failure.phase), (code, Phase::Tls), "{failure:?}");
            assert!(failure.sentence.contains(check), "{failure:?}");
            assert!(failure.sentence.contains("the name wanted is localhost"), "{failure:?}");
            assert!(failure.sentence.contains(&format!("the certificate is for {found}")), "{failure:?}");
            assert!(!client.text(Property::ErrorTlsReason).is_empty());
            assert_eq!(client.integer(Property::IsConnected), 0);
            assert!(server.join().expect("no panic").is_err(), "the server got an alert instead of a session");
        }
    }
}

#[test]
fn an_authority_that_nobody_named_is_not_trusted() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (port, server) = start(ours.server(Flaw::None), vec![Step::StartTls]);
    let failure = whole_session(&trusting(&other), port, Options::SECURE_IMPLICIT.0).expect_err("refused");
    assert_eq!(failure.code, Code::TLS_CERTIFICATE_UNTRUSTED, "{failure:?}");
    assert!(server.join().expect("no panic").is_err());
}

#[test]
fn the_check_can_be_switched_off_by_a_name_that_says_so() {
    let authority = Authority::new("off");
    for by_option in [false, true] {
        let script = [vec![Step::StartTls, Step::Send(b"220 hi\r\n")], session()].concat();
        let (port, server) = start(authority.server(Flaw::OtherName), script);
        let client = Smtp::new();
        let mut options = Options::SECURE_IMPLICIT.0;
        if by_option {
            options |= Options::TRUSTEDSITE.0;
        } else {
            client.set(Property::InsecureSkipVerify, 1);
        }
        client.connect_to("localhost", port, options).expect("connects");
        assert_eq!(client.integer(Property::TlsVerified), 0, "it shows");
        assert!(client.text(Property::TlsObjection).starts_with("the check is switched off"));
        // The system's authorities do not know this one.
        assert_eq!(client.integer(Property::CertificateStatus), CertificateStatus::Untrusted as i64);
        client.authenticate("tim", "secret").expect("the site is trusted");
        client.send("a@x.example", "b@y.example", b"Subject: hi\r\n\r\n.\r\n").expect("sent");
        client.disconnect().expect("always");
        server.join().expect("no panic").expect("as scripted");
    }
}

#[test]
fn opportunistic_tls_goes_on_with_a_bad_certificate_and_says_so() {
    let authority = Authority::new("opportunistic");
    let script =
        [before_starttls(), vec![Step::Expect(b"EHLO client.example\r\n"), Step::Send(b"250 ok\r\n")]].concat();
    let (port, server) = start(authority.server(Flaw::Expired), script);
    let client = trusting(&authority);
    client.connect_to("localhost", port, 0).expect("connects");
    assert_eq!(client.integer(Property::TlsVerified), 0);
    assert_eq!(client.text(Property::TlsProtocol), "TLS 1.3");
    drop(client);
    server.join().expect("no panic").expect("as scripted");
}

#[test]
fn the_verdict_is_told_also_where_it_changes_nothing() {
    let (authority, other) = (Authority::new("verdict"), Authority::new("stranger"));
    let cases = [
        (Flaw::None, &authority, CertificateStatus::Valid),
        (Flaw::None, &other, CertificateStatus::Untrusted),
        (Flaw::OtherName, &authority, CertificateStatus::NoMatch),
        (Flaw::Expired, &authority, CertificateStatus::Expired),
        (Flaw::NotYetValid, &authority, CertificateStatus::Expired),
        (Flaw::SelfSigned, &authority, CertificateStatus::Untrusted),
    ];
    for (flaw, trusted, status) in cases {
        for skipped in [false, true] {
            let script =
                [before_starttls(), vec![Step::Expect(b"EHLO client.example\r\n"), Step::Send(b"250 ok\r\n")]].concat();
            let (port, server) = start(authority.server(flaw), script);
            let client = trusting(trusted);
            client.set(Property::InsecureSkipVerify, i64::from(skipped));
            client.connect_to("localhost", port, 0).expect("connects");
            assert_eq!(client.integer(Property::CertificateStatus), status as i64, "{flaw:?} {skipped}");
            let verified = status == CertificateStatus::Valid && !skipped;
            assert_eq!(client.integer(Property::TlsVerified), i64::from(verified), "{flaw:?} {skipped}");
            assert_eq!(client.text(Property::TlsObjection).is_empty(), verified, "{flaw:?} {skipped}");
            let name = if flaw == Flaw::OtherName { "other.example" } else { "localhost" };
            assert_eq!(client.text(Property::CertificateNames), name);
            drop(client);
            server.join().expect("no panic").expect("as scripted");
        }
    }
}

#[test]
fn tls_spoken_to_a_server_that_speaks_plain_smtp() {
    let server =
        Scripted::start(vec![scripted::Step::Send(b"220 mail.example ESMTP\r\n".to_vec()), scripted::Step::Pause(100)]);
    let client = Smtp::new();
    let failure = client.connect_to("localhost", server.port, Options::SECURE_IMPLICIT.0).expect_err("not TLS");
    assert_eq!((failure.code, failure.phase), (Code::TLS_NOT_TLS, Phase::Tls), "{failure:?}");
    assert!(
        failure.sentence.contains("220 mail.example ESMTP") && failure.sentence.contains("STARTTLS"),
        "{failure:?}"
    );
    server.finish().expect("as scripted");
}

/// Octets behind the STARTTLS reply that come in a packet of their own reach the
/// handshake, which they break; nothing of them is obeyed.
#[test]
fn text_injected_behind_starttls() {
    for together in [true, false] {
        let mut script = vec![
            scripted::Step::Send(b"220 hi\r\n".to_vec()),
            scripted::Step::Expect(b"EHLO client.example\r\n".to_vec()),
            scripted::Step::Send(b"250-mail.example\r\n250 STARTTLS\r\n".to_vec()),
            scripted::Step::Expect(b"STARTTLS\r\n".to_vec()),
        ];
        if together {
            script.push(scripted::Step::Send(b"220 go\r\n250 AUTH PLAIN\r\n".to_vec()));
        } else {
            script.push(scripted::Step::Send(b"220 go\r\n".to_vec()));
            script.push(scripted::Step::Pause(50));
            script.push(scripted::Step::Send(b"250 AUTH PLAIN\r\n".to_vec()));
        }
        script.push(scripted::Step::Pause(100));
        let server = Scripted::start(script);
        let client = Smtp::new();
        let failure = client.connect_to("localhost", server.port, 0).expect_err("tampered with");
        let expected = if together { Code::STARTTLS_INJECTION } else { Code::TLS_NOT_TLS };
        assert_eq!(failure.code, expected, "{failure:?}");
        server.finish().expect("as scripted");
    }
}

#[test]
fn a_connection_cut_without_the_closing_alert_is_no_reply() {
    let authority = Authority::new("cut");
    let mut script = [vec![Step::StartTls, Step::Send(b"220 hi\r\n")], session()].concat();
    script.truncate(script.len() - 3);
    script.push(Step::Cut);
    let (port, server) = start(authority.server(Flaw::None), script);
    let client = trusting(&authority);
    let failure = whole_session(&client, port, Options::SECURE_IMPLICIT.0).expect_err("cut");
    assert_eq!((failure.code, failure.phase), (Code::CONNECTION_CLOSED, Phase::End), "{failure:?}");
    assert_eq!(client.message_outcome(), "UNKNOWN");
    server.join().expect("no panic").expect("as scripted");
}

#[test]
fn authority_files_that_cannot_be_used() {
    for file in ["/nonexistent/ca.pem", "/dev/null"] {
        let authority = Authority::new("unused");
        let (port, server) = start(authority.server(Flaw::None), vec![Step::StartTls]);
        let client = Smtp::new();
        client.set_text(Property::CaFile, file);
        let failure = client.connect_to("localhost", port, Options::SECURE_IMPLICIT.0).expect_err("no authorities");
        assert_eq!(failure.code, Code::CA_FILE, "{failure:?}");
        assert!(failure.sentence.contains(file), "{failure:?}");
        assert!(server.join().expect("no panic").is_err());
    }
}

/// Both ends have the same channel binding, and every connection has another.
#[test]
fn channel_bindings() {
    let authority = Authority::new("binding");
    let mut before = String::new();
    for _ in 0..2 {
        let script = vec![
            Step::StartTls,
            Step::Send(b"220 hi\r\n"),
            Step::Expect(b"EHLO client.example\r\n"),
            Step::SendBinding,
        ];
        let (port, server) = start(authority.server(Flaw::None), script);
        let client = trusting(&authority);
        client.connect_to("localhost", port, Options::SECURE_IMPLICIT.0).expect("connects");
        let exporter = client.text(Property::ChannelBindingExporter);
        assert_eq!((exporter.len(), client.text(Property::ResultString)), (64, exporter.clone()));
        assert_ne!(exporter, before);
        before = exporter;
        // The certificate is signed with SHA-256.
        let end_point = client.text(Property::ChannelBindingEndPoint);
        assert_eq!(end_point, client.text(Property::CertificateFingerprint));
        server.join().expect("no panic").expect("as scripted");
    }
    let client = Smtp::new();
    assert_eq!(client.text(Property::ChannelBindingExporter) + &client.text(Property::ChannelBindingEndPoint), "");
}

/// The trace has what went through TLS as it was inside, and says when TLS was up.
#[test]
fn a_trace_tells_of_tls() {
    let authority = Authority::new("traced");
    let (port, server) = start(authority.server(Flaw::None), [before_starttls(), session()].concat());
    let client = trusting(&authority);
    client.set(Property::TraceKeep, 100);
    whole_session(&client, port, Options::SECURE.0).expect("as scripted");
    server.join().expect("no panic").expect("as scripted");
    let text = client.text(Property::TraceText);
    let lines: Vec<&str> = text.lines().filter_map(|line| line.split_once("Z ")).map(|(_, line)| line).collect();
    let up = lines.iter().position(|line| line.starts_with("# TLS 1.3 is up with ")).expect("told");
    assert_eq!((lines[up - 1], lines[up + 1]), ("S 220 go on", "C EHLO client.example"), "{text}");
    assert!(lines[up].ends_with(", certificate verified") && text.contains("C AUTH PLAIN ********\n"), "{text}");
}
