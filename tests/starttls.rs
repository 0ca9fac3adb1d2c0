//! Attacks on STARTTLS as in "Why TLS Is Better Without STARTTLS" (Poddebniak and
//! others, 2021): whoever is in between alters what is said in the clear.

#[path = "support/smtp.rs"]
mod smtp;
#[path = "support/tls.rs"]
mod tls;

use smtp::Smtp;
use smtpclient::client::{Options, Property};
use smtpclient::error::Code;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::Duration;
use tls::{Authority, Flaw, Step, start};

/// What is answered to a greeting that is awaited, to EHLO, and to STARTTLS.
#[derive(Clone, Copy)]
struct Attack {
    greeting: &'static str,
    ehlo: &'static str,
    starttls: &'static str,
}

/// As it should be, up to the handshake.
const HONEST: Attack = Attack {
    greeting: "220 mail.example\r\n",
    ehlo: "250-mail.example\r\n250-SIZE 1000\r\n250 STARTTLS\r\n",
    starttls: "220 go on\r\n",
};

/// Plays the attack with one client; gives the port, and the lines that came in the
/// clear. What is TLS counts as one line "TLS".
fn play(attack: Attack) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        stream.write_all(attack.greeting.as_bytes()).expect("sent");
        let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            let first = reader.fill_buf().unwrap_or_default().first().copied();
            match first {
                None => return lines,
                // The type of a record with a part of the handshake.
                Some(0x16) => {
                    lines.push("TLS".to_owned());
                    // What an answer in the clear makes of it.
                    let _ = stream.write_all(b"250 ok\r\n");
                    let _ = reader.read_to_end(&mut line);
                    return lines;
                }
                Some(_) => drop(reader.read_until(b'\n', &mut line)),
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let answer = match line.split(' ').next() {
                Some("EHLO") => attack.ehlo,
                Some("HELO") => "250 mail.example\r\n",
                Some("STARTTLS") => attack.starttls,
                Some("QUIT") => "221 bye\r\n",
                // Whatever else is said in the clear is welcome to who listens.
                _ => "250 ok\r\n",
            };
            lines.push(line);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (port, thread)
}

#[test]
fn nothing_goes_on_in_the_clear_where_tls_is_required() {
    let cases: [(&str, Attack, &[Code]); 15] = [
        ("stripped", Attack { ehlo: "250 mail.example\r\n", ..HONEST }, &[Code::STARTTLS_UNAVAILABLE]),
        ("spoilt", Attack { ehlo: "250-mail.example\r\n250 XTARTTLS\r\n", ..HONEST }, &[Code::STARTTLS_UNAVAILABLE]),
        ("without extensions", Attack { ehlo: "502 what?\r\n", ..HONEST }, &[Code::STARTTLS_UNAVAILABLE]),
        ("refused for now", Attack { starttls: "454 not now\r\n", ..HONEST }, &[Code::STARTTLS_REJECTED]),
        ("refused", Attack { starttls: "502 what?\r\n", ..HONEST }, &[Code::STARTTLS_REJECTED]),
        ("another success", Attack { starttls: "250 ok\r\n", ..HONEST }, &[Code::STARTTLS_REJECTED, Code::PROTOCOL]),
        (
            "logged in instead",
            Attack { starttls: "235 welcome\r\n", ..HONEST },
            &[Code::STARTTLS_REJECTED, Code::PROTOCOL],
        ),
        ("text behind", Attack { starttls: "220 go\r\n250 AUTH PLAIN\r\n", ..HONEST }, &[Code::STARTTLS_INJECTION]),
        ("part of a line behind", Attack { starttls: "220 go\r\n2", ..HONEST }, &[Code::STARTTLS_INJECTION]),
        ("a line end behind", Attack { starttls: "220 go\r\n\r\n", ..HONEST }, &[Code::STARTTLS_INJECTION]),
        ("no TLS behind", HONEST, &[Code::TLS_NOT_TLS]),
        (
            "the answer ahead",
            Attack { ehlo: "250-mail.example\r\n250 STARTTLS\r\n220 go\r\n", ..HONEST },
            &[Code::PROTOCOL, Code::STARTTLS_INJECTION],
        ),
        (
            "a session ahead",
            Attack { greeting: "220 hi\r\n250-mail.example\r\n250 AUTH PLAIN\r\n235 welcome\r\n250 ok\r\n", ..HONEST },
            &[Code::PROTOCOL, Code::STARTTLS_UNAVAILABLE, Code::STARTTLS_INJECTION],
        ),
        (
            "logged in already",
            Attack { greeting: "235 welcome\r\n", ..HONEST },
            &[Code::PROTOCOL, Code::SERVER_REFUSED],
        ),
        (
            "a greeting of another kind",
            Attack { greeting: "250 hi\r\n", ..HONEST },
            &[Code::PROTOCOL, Code::SERVER_REFUSED],
        ),
    ];
    for (name, attack, codes) in cases {
        let (port, server) = play(attack);
        let client = Smtp::new();
        client.set_text(Property::User, "tim");
        client.set_text(Property::Password, "secret");
        let failure = client.connect(port, Options::SECURE.0).expect_err(name);
        assert!(codes.contains(&failure.code), "{name}: {failure:?}");
        assert_eq!(client.integer(Property::IsConnected), 0, "{name}");
        assert!(
            client.authenticate("tim", "secret").is_err() && client.send("a@x.example", "b@y.example", b"x").is_err()
        );
        drop(client);
        let lines = server.join().expect("no panic");
        let allowed = ["EHLO client.example", "HELO client.example", "STARTTLS", "QUIT", "TLS"];
        assert!(lines.iter().all(|line| allowed.contains(&line.as_str())), "{name}: {lines:?}");
        // Once STARTTLS is said, all that may follow is TLS, or good-bye where it was refused.
        let after: Vec<_> = lines.iter().skip_while(|line| *line != "STARTTLS").skip(1).collect();
        assert!(
            after.len() <= 1 && after.iter().all(|line| ["TLS", "QUIT"].contains(&line.as_str())),
            "{name}: {lines:?}"
        );
    }
}

/// Opportunistic TLS gives way to who strips it, but not to who tampers with what was begun.
#[test]
fn what_was_begun_is_not_gone_back_from() {
    let cases = [
        ("text behind", Attack { starttls: "220 go\r\n250 AUTH PLAIN\r\n", ..HONEST }, Code::STARTTLS_INJECTION),
        ("no TLS behind", HONEST, Code::TLS_NOT_TLS),
    ];
    for (name, attack, code) in cases {
        let (port, server) = play(attack);
        let client = Smtp::new();
        assert_eq!(client.connect(port, 0).expect_err(name).code, code);
        assert_eq!(client.integer(Property::IsConnected), 0, "{name}");
        drop(client);
        let lines = server.join().expect("no panic");
        let expected: &[&str] = if name == "no TLS behind" {
            &["EHLO client.example", "STARTTLS", "TLS"]
        } else {
            &["EHLO client.example", "STARTTLS"]
        };
        assert_eq!(lines, expected, "{name}");
    }
}

/// What was learnt in the clear is not believed behind the handshake (RFC 3207 section 4.2).
#[test]
fn nothing_learnt_in_the_clear_survives() {
    let authority = Authority::new("survives");
    let before = |capabilities: &'static [u8]| {
        vec![
            Step::Send(b"220 hi\r\n"),
            Step::Expect(b"EHLO client.example\r\n"),
            Step::Send(capabilities),
            Step::Expect(b"STARTTLS\r\n"),
            Step::Send(b"220 go on\r\n"),
            Step::StartTls,
            Step::Expect(b"EHLO client.example\r\n"),
        ]
    };
    let generous: &[u8] =
        b"250-evil\r\n250-SIZE 77\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n";
    let script = [before(generous), vec![Step::Send(b"250 mail.example\r\n"), Step::Expect(b"QUIT\r\n")]].concat();
    let (port, server) = start(authority.server(Flaw::None), script);
    let client = Smtp::new();
    client.set_text(Property::CaFile, authority.file.to_str().expect("UTF-8"));
    client.connect_to("localhost", port, Options::SECURE.0).expect("connects");
    assert_eq!(client.text(Property::Extensions) + &client.text(Property::AuthMechanisms), "");
    assert_eq!((client.integer(Property::SizeLimit), client.integer(Property::ExtendedOptions)), (0, 0));
    assert_eq!(client.capability("SMTPUTF8"), Err(Code::EXTENSION_UNAVAILABLE));
    let failure = client.authenticate("tim", "secret").expect_err("not offered");
    assert_eq!(failure.code, Code::INVALID_AUTHENTICATION_TYPE, "{failure:?}");
    assert_eq!(client.text(Property::ErrorOffered), "");
    client.disconnect().expect("always");
    server.join().expect("no panic").expect("as scripted");

    // Hidden before, offered behind: what counts is what is behind.
    let hiding: &[u8] = b"250-evil\r\n250 STARTTLS\r\n";
    let script = [
        before(hiding),
        vec![
            Step::Send(b"250-mail.example\r\n250-SIZE 9\r\n250 AUTH PLAIN\r\n"),
            Step::Expect(b"AUTH PLAIN AHRpbQBzZWNyZXQ=\r\n"),
            Step::Send(b"235 ok\r\n"),
            Step::Expect(b"QUIT\r\n"),
        ],
    ]
    .concat();
    let (port, server) = start(authority.server(Flaw::None), script);
    client.connect_to("localhost", port, Options::SECURE.0).expect("connects");
    assert_eq!(client.text(Property::Extensions), "SIZE 9\nAUTH PLAIN");
    client.authenticate("tim", "secret").expect("logs in");
    client.disconnect().expect("always");
    server.join().expect("no panic").expect("as scripted");
}

/// Without the closing alert: an error where a reply is awaited, nothing of note behind QUIT.
#[test]
fn cut_off_without_the_closing_alert() {
    let authority = Authority::new("cut-off");
    let opening = || {
        vec![
            Step::StartTls,
            Step::Send(b"220 hi\r\n"),
            Step::Expect(b"EHLO client.example\r\n"),
            Step::Send(b"250 ok\r\n"),
        ]
    };
    let client = || {
        let client = Smtp::new();
        client.set_text(Property::CaFile, authority.file.to_str().expect("UTF-8"));
        client
    };
    let script = [opening(), vec![Step::Expect(b"NOOP\r\n"), Step::Cut]].concat();
    let (port, server) = start(authority.server(Flaw::None), script);
    let awaiting = client();
    awaiting.connect_to("localhost", port, Options::SECURE_IMPLICIT.0).expect("connects");
    let failure = awaiting.command("NOOP", "").expect_err("cut off");
    assert_eq!(failure.code, Code::CONNECTION_CLOSED, "{failure:?}");
    server.join().expect("no panic").expect("as scripted");
    for answer in [vec![], vec![Step::Send(b"221 bye\r\n")]] {
        let script = [opening(), vec![Step::Expect(b"QUIT\r\n")], answer, vec![Step::Cut]].concat();
        let (port, server) = start(authority.server(Flaw::None), script);
        let leaving = client();
        leaving.connect_to("localhost", port, Options::SECURE_IMPLICIT.0).expect("connects");
        leaving.disconnect().expect("nothing of note");
        server.join().expect("no panic").expect("as scripted");
    }
}
