//! Servers that never stop talking: what the client holds of it stays small, and
//! what it does about it does not take for ever.

#[path = "support/counting.rs"]
mod counting;
#[path = "support/smtp.rs"]
mod smtp;

use counting::peak_of;
use smtp::Smtp;
use smtpclient::error::{Code, Error, Phase};
use smtpclient::proto::sasl::Credentials;
use smtpclient::proto::{
    Config, Envelope, HostName, Mailbox, Moment, RecipientState, ReversePath, Secret, Security, Session, Timeouts,
    Want, Wishes,
};
use std::io::{Read, Write};

/// The most that may be held above what an idle client holds.
const MOST: usize = 1024 * 1024;
/// How much is said before the client must have had enough.
const ENOUGH: usize = 4 * 1024 * 1024;

const NOW: Moment = Moment(1000);

/// A session at a point of the conversation, waiting for a reply.
fn waiting_at(phase: Phase) -> Session {
    let mut session = Session::new(Config {
        local_name: HostName::parse("client.example").expect("good"),
        extended: true,
        security: Security::None,
        timeouts: Timeouts::default(),
        private_path: true,
        insecure_auth: false,
        lmtp: false,
        skips_verify: false,
        withheld: Vec::new(),
    });
    session.set_trace(Wishes { records: true, ..Wishes::default() });
    session.open(NOW);
    if phase == Phase::Greeting {
        return session;
    }
    say(&mut session, b"220 hi\r\n");
    if phase == Phase::Ehlo {
        return session;
    }
    say(&mut session, b"250-hi\r\n250 AUTH PLAIN LOGIN\r\n");
    session.take_result().expect("over").expect("open");
    match phase {
        Phase::Auth => {
            let credentials = Credentials { user: "u".into(), password: Secret::new("p"), ..Credentials::default() };
            session.authenticate(credentials, NOW).expect("begins");
        }
        Phase::Command => session.reset(NOW).expect("begins"),
        Phase::Quit => session.quit(NOW).expect("begins"),
        _ => {
            let mut envelope = envelope(1);
            session.send(&mut envelope, NOW).expect("begins");
            follow(&mut session);
            for (at, reply) in [(Phase::Mail, "250 ok\r\n"), (Phase::Rcpt, "250 ok\r\n"), (Phase::Data, "354 go\r\n")] {
                if phase == at {
                    break;
                }
                say(&mut session, reply.as_bytes());
            }
        }
    }
    follow(&mut session);
    session
}

fn envelope(recipients: usize) -> Envelope {
    let mut envelope = Envelope::default();
    envelope.begin(ReversePath::Null);
    for number in 0..recipients {
        envelope.push(Mailbox::parse(&format!("r{number}@y.example")).expect("good"));
    }
    envelope
}

fn follow(session: &mut Session) {
    loop {
        match session.want() {
            Want::Write => session.handle_written(session.output().len(), NOW),
            Want::Content => session.finish_content(NOW),
            _ => return session.handle_flushed(),
        }
    }
}

fn say(session: &mut Session, octets: &[u8]) {
    session.handle_input(octets, NOW);
    drop(session.take_trace());
    follow(session);
}

/// Says something over and over until the session has had enough of it.
fn say_endlessly(session: &mut Session, first: &[u8], again: &[u8]) -> Box<Error> {
    say(session, first);
    let piece = again.repeat(60_000_usize.div_ceil(again.len()));
    for _ in 0..ENOUGH / piece.len() {
        if session.want() == Want::Done {
            break;
        }
        say(session, &piece);
    }
    session.take_result().expect("had enough").expect_err("endless")
}

const PHASES: [Phase; 9] = [
    Phase::Greeting,
    Phase::Ehlo,
    Phase::Auth,
    Phase::Mail,
    Phase::Rcpt,
    Phase::Data,
    Phase::End,
    Phase::Command,
    Phase::Quit,
];

#[test]
fn endless_lines_and_replies_in_every_phase() {
    let long = [&b"250-"[..], &[b'x'; 990], b"\r\n"].concat();
    let table: [(&[u8], &[u8], Code); 8] = [
        (b"", b"2", Code::REPLY_TOO_LONG),
        (b"250 ", b"x", Code::REPLY_TOO_LONG),
        (b"250-", b"\0", Code::REPLY_TOO_LONG),
        (b"", b"250-\r\n", Code::REPLY_TOO_LONG),
        (b"", b"250-an ordinary line of an ordinary reply\r\n", Code::REPLY_TOO_LONG),
        (b"", &long, Code::REPLY_TOO_LONG),
        (b"", b"\r\n", Code::PROTOCOL),
        (b"", b"250-\n", Code::REPLY_TOO_LONG),
    ];
    for phase in PHASES {
        for (first, again, code) in table {
            let mut session = waiting_at(phase);
            assert_eq!(session.want(), Want::Read, "{phase:?}");
            let (error, peak) = peak_of(|| say_endlessly(&mut session, first, again));
            let at = format!("{phase:?}, endless {}", again[..again.len().min(20)].escape_ascii());
            assert_eq!(
                (error.code, error.phase),
                (code, if phase == Phase::Command { Phase::Reset } else { phase }),
                "{at}"
            );
            assert!(!session.is_open(), "{at}");
            assert!(peak < MOST, "{at}: {peak} octets");
        }
    }
}

/// Challenge upon challenge: the login ends after the few that it has.
#[test]
fn endless_challenges() {
    let mut session = waiting_at(Phase::Auth);
    let mut challenges = 0;
    while session.want() == Want::Read {
        challenges += 1;
        assert!(challenges < 10);
        say(&mut session, b"334 VXNlcm5hbWU6\r\n");
    }
    assert!(session.take_result().expect("over").is_err());
}

/// The largest EHLO replies that are taken, of the kinds that make most of it.
#[test]
fn the_largest_replies_to_ehlo() {
    let mechanisms: Vec<String> = (0..40_000).map(|number| format!("{number:03X}")).collect();
    let lines: Vec<String> = mechanisms.chunks(3000).map(|names| format!("250-AUTH {}\r\n", names.join(" "))).collect();
    let table = [
        ("short lines", "250-A\r\n".repeat(16_000)),
        ("long lines", format!("250-{}\r\n", "A".repeat(16_000)).repeat(8)),
        ("mechanisms", lines[..9].concat()),
        ("limits", format!("250-LIMITS{}\r\n", " RCPTMAX=1".repeat(1500)).repeat(8)),
        ("octets that are not UTF-8", String::new()),
    ];
    for (name, lines) in table {
        let mut session = waiting_at(Phase::Ehlo);
        let octets = if lines.is_empty() {
            [&b"250-"[..], &[0xFF; 16_000], b"\r\n"].concat().repeat(8)
        } else {
            lines.into_bytes()
        };
        let ((), peak) = peak_of(|| {
            say(&mut session, b"250-mail.example\r\n");
            say(&mut session, &octets);
            say(&mut session, b"250 HELP\r\n");
        });
        session.take_result().expect("over").unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(peak < MOST, "{name}: {peak} octets");
    }
}

/// Every recipient refused at the greatest length: what is kept of it is bounded
/// by what a caller asked for, not by what a server says.
#[test]
fn the_longest_refusals_of_many_recipients() {
    const MANY: usize = 500;
    let refusal = [format!("550-{}\r\n", "no ".repeat(5000)).repeat(8), "550 no\r\n".to_owned()].concat();
    let mut session = waiting_at(Phase::Command);
    say(&mut session, b"250 ok\r\n");
    session.take_result().expect("over").expect("reset");
    let mut envelope = envelope(MANY);
    session.send(&mut envelope, NOW).expect("begins");
    follow(&mut session);
    let ((), peak) = peak_of(|| {
        say(&mut session, b"250 ok\r\n");
        for _ in 0..MANY {
            say(&mut session, refusal.as_bytes());
        }
    });
    let error = session.take_result().expect("over").expect_err("all refused");
    assert_eq!(error.code, Code::RECIPIENTS_REJECTED);
    assert_eq!(session.envelope().count(RecipientState::RefusedPermanent), MANY);
    assert!(peak < 2 * MOST + MANY * 4096, "{peak} octets for {MANY} recipients");
    let kept = session.envelope().refusal(MANY - 1).expect("refused");
    assert!(kept.text.starts_with("no no no") && kept.text.len() > 1000, "its beginning");
}

/// The same over a socket, through the C interface: what a whole call holds.
#[test]
fn endless_talk_over_a_socket() {
    let table: [(&[u8], &[u8], Phase, Code); 7] = [
        (b"", b"220-welcome to an endless greeting\r\n", Phase::Greeting, Code::REPLY_TOO_LONG),
        (b"220 ", b"x", Phase::Greeting, Code::REPLY_TOO_LONG),
        (b"", b"220-\r\n", Phase::Greeting, Code::REPLY_TOO_LONG),
        (b"", b"\0", Phase::Greeting, Code::REPLY_TOO_LONG),
        (b"220 hi\r\n", b"250-SIZE 1\r\n", Phase::Ehlo, Code::REPLY_TOO_LONG),
        (b"220 hi\r\n250-", b"x", Phase::Ehlo, Code::REPLY_TOO_LONG),
        // The second answers EHLO before that was sent.
        (b"", b"220 hi\r\n", Phase::Ehlo, Code::PROTOCOL),
    ];
    for (first, again, phase, code) in table {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (first, piece) = (first.to_vec(), again.repeat(60_000_usize.div_ceil(again.len())));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            // Each reply has its command before it, so that the endless one is not early.
            for line in first.split_inclusive(|octet| *octet == b'\n') {
                stream.write_all(line).expect("sent");
                if line.ends_with(b"\n") {
                    let _ = stream.read(&mut [0; 1000]).expect("a command");
                }
            }
            let mut said = 0;
            while said < 64 * ENOUGH && stream.write_all(&piece).is_ok() {
                said += piece.len();
            }
            said
        });
        let client = Smtp::new();
        let (result, peak) = peak_of(|| client.connect(port, 0));
        let failure = result.expect_err("endless");
        let at = format!("endless {}", again.escape_ascii());
        assert_eq!(failure.code, code, "{at}: {failure:?}");
        assert_eq!(failure.phase, phase, "{at}: {failure:?}");
        assert!(peak < MOST, "{at}: {peak} octets");
        let said = server.join().expect("no panic");
        assert!(said < 64 * ENOUGH, "{at}: the client read all of it");
    }
}

/// Messages of any kind are checked and signed in little memory, and what is found of them is bounded.
#[test]
fn endless_messages() {
    use smtpclient::message::check::Checker;
    use smtpclient::message::dkim::{BodyHash, Canonical, HeaderFields, MAX_SIGNED_HEADER};
    let header = "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".as_bytes();
    for again in [
        &b"x"[..],
        b"\r\n",
        b"\n\r\0",
        b" \t",
        b"To: nobody, \xFF\r\n",
        b"a,",
        b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
        b"--b\r\n\r\n=",
    ] {
        let piece = again.repeat(60_000_usize.div_ceil(again.len()));
        for beginning in [&b""[..], b"To: ", header] {
            let (found, peak) = peak_of(|| {
                let mut checker = Checker::new(1);
                checker.push(beginning);
                (0..ENOUGH / piece.len()).for_each(|_| checker.push(&piece));
                checker.finish().findings().len()
            });
            assert!(found > 0 && peak < MOST, "{}: {peak} octets", again.escape_ascii());
        }
        for canonical in [Canonical::Simple, Canonical::Relaxed] {
            let ((), peak) = peak_of(|| {
                let mut hash = BodyHash::new(canonical);
                (0..ENOUGH / piece.len()).for_each(|_| hash.push(&piece));
                let _ = hash.finish();
            });
            assert!(peak < MOST / 2, "{}: {peak} octets", again.escape_ascii());
        }
    }
    let (refused, peak) = peak_of(|| {
        let mut fields = HeaderFields::default();
        (0..ENOUGH).any(|_| fields.push(&[b'x'; 1000]).is_err())
    });
    assert!(refused && peak < 4 * MAX_SIGNED_HEADER, "{peak} octets");
}

/// The allocator counts: a test with it can fail.
#[test]
fn the_measurement_is_real() {
    let (kept, peak) = peak_of(|| drop(vec![1_u8; 3 * MOST]));
    assert_eq!(kept, ());
    assert!((3 * MOST..4 * MOST).contains(&peak), "{peak}");
}
