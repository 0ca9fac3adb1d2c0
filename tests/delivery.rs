//! Ways of delivery over a socket, through the C interface: LMTP, Unix sockets,
//! chunks, further transactions, strict line ends; and connections that were idle.

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/smtp.rs"]
mod smtp;

use scripted::{Scripted, Step};
use smtp::Smtp;
use smtpclient::client::{Options, Property};
use smtpclient::error::{Code, Phase};
use std::time::Duration;

fn greeting() -> Vec<Step> {
    vec![
        Step::Send(b"220 hi\r\n".to_vec()),
        Step::Expect(b"EHLO client.example\r\n".to_vec()),
        Step::Send(b"250-mail.example\r\n250 PIPELINING\r\n".to_vec()),
    ]
}

#[test]
fn a_unix_socket_carries_lmtp() {
    use std::io::{BufRead, BufReader, Write};
    let path = format!("{}/lmtp-{}.sock", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let _ = std::fs::remove_file(&path);
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a path");
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        let mut writer = stream.try_clone().expect("a second handle");
        writer.write_all(b"220 hi\r\n").expect("sent");
        let mut lines = Vec::new();
        for line in BufReader::new(stream).lines() {
            let line = line.expect("a line");
            let reply = match line.split(' ').next() {
                Some("LHLO") => "250-mail.example\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n",
                Some("DATA") => "354 go\r\n",
                Some("AUTH") => "235 welcome\r\n",
                Some("." | "MAIL" | "RCPT") => "250 ok\r\n",
                Some("QUIT") => "221 bye\r\n",
                _ => "",
            };
            writer.write_all(reply.as_bytes()).expect("sent");
            lines.push(line);
        }
        lines
    });
    let client = Smtp::new();
    client.set_text(Property::Host, &path);
    client.set(Property::Options, i64::from(Options::LMTP.0));
    client.connect_by_properties().expect("connects");
    assert_eq!(client.text(Property::PeerAddress), path);
    client.authenticate("user", "pass").expect("nothing leaves the machine");
    client.send("a@x.example", "b@y.example", b"x").expect("sent");
    client.disconnect().expect("always");
    let lines = server.join().expect("no panic");
    assert_eq!(lines[0], "LHLO client.example");
    assert_eq!(lines[2..], ["MAIL FROM:<a@x.example>", "RCPT TO:<b@y.example>", "DATA", "x", ".", "QUIT"]);

    client.set(Property::TlsMode, 2);
    assert_eq!(client.connect_by_properties().expect_err("TLS makes no sense").code, Code::INVALID_PARAMETER);
    client.set(Property::TlsMode, 0);
    std::fs::remove_file(&path).expect("was there");
    let failure = client.connect_by_properties().expect_err("nobody there");
    assert_eq!(failure.phase, Phase::Connect, "{failure:?}");
    assert!(failure.sentence.contains("No such file"), "{failure:?}");
    client.set_text(Property::Host, "127.0.0.1");
    client.set(Property::Port, 25);
    let failure = client.connect_by_properties().expect_err("RFC 2033");
    assert!(failure.code == Code::INVALID_PARAMETER && failure.sentence.contains("port 25"), "{failure:?}");
}

/// What the server said, or did, while nothing was under way is told as such, and
/// nothing of the next message is sent.
#[test]
fn the_end_of_an_idle_connection_is_noticed_before_the_next_message() {
    for (last, code) in [
        (Some(b"421 4.4.2 idle too long\r\n".to_vec()), Code::SERVER_CLOSING),
        (Some(b"250 what for\r\n".to_vec()), Code::PROTOCOL),
        (None, Code::CONNECTION_CLOSED),
    ] {
        let mut script = greeting();
        // Apart from the reply to EHLO, with which it would be a reply too many.
        script.push(Step::Pause(100));
        script.extend(last.map(Step::Send));
        let server = Scripted::start(script);
        let client = Smtp::new();
        client.connect(server.port, 0).expect("connects");
        server.finish().expect("as scripted");
        std::thread::sleep(Duration::from_millis(100));
        let failure = client.send("a@x.example", "b@y.example", b"x").expect_err("over");
        assert_eq!((failure.code, failure.phase), (code, Phase::Idle), "{failure:?}");
        assert_eq!((client.message_outcome(), client.states()), ("NOT_SENT", vec!["NOT_TRIED"]));
        assert_eq!(client.integer(Property::SafeToRetry), 1);
        let failure = client.send("a@x.example", "b@y.example", b"x").expect_err("over");
        assert_eq!(failure.code, Code::NOT_CONNECTED);
    }
}

#[test]
fn strict_line_ends_are_asked_for_and_told_with_the_line() {
    let mut script = greeting();
    script.push(Step::Expect(b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n".to_vec()));
    script.push(Step::Send(b"250 ok\r\n250 ok\r\n354 go\r\n".to_vec()));
    script.push(Step::Expect(b"good\r\n".to_vec()));
    script.push(Step::AwaitClose);
    let server = Scripted::start(script);
    let client = Smtp::new();
    client.set(Property::StrictLineEnds, 1);
    client.connect(server.port, 0).expect("connects");
    let path = format!("{}/strict-{}.eml", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    std::fs::write(&path, b"a\r\nb\rc\r\n").expect("written");
    for failure in [
        client.send("a@x.example", "b@y.example", b"a\r\nb\nc\r\n").expect_err("a bare LF"),
        client.send_file("a@x.example", "b@y.example", &path).expect_err("a bare CR"),
    ] {
        assert_eq!((failure.code, failure.phase), (Code::LINE_END, Phase::Argument), "{failure:?}");
        assert!(failure.sentence.contains("line 2"), "{failure:?}");
        assert_eq!(client.message_outcome(), "NOT_SENT");
    }
    // A reader is read only once: what was sent of it is not completed.
    let mut pieces = [b"good\r\n".to_vec(), b"bad\n".to_vec()].into_iter();
    let mut read = |buffer: &mut [u8]| {
        let Some(piece) = pieces.next() else { return 0 };
        buffer[..piece.len()].copy_from_slice(&piece);
        i64::try_from(piece.len()).expect("small")
    };
    let failure = client.send_stream(u64::MAX, &mut read).expect_err("a bare LF");
    assert_eq!(failure.code, Code::LINE_END, "{failure:?}");
    assert_eq!(client.message_outcome(), "NOT_SENT");
    drop(client);
    // What was queued before the bad line may or may not have left.
    drop(server.finish());
}

#[test]
fn a_header_beyond_ascii_needs_smtputf8() {
    let message = "Subject: gr\u{fc}n\r\n\r\nx\r\n".as_bytes();
    let offered = |keyword: &str| {
        vec![
            Step::Send(b"220 hi\r\n".to_vec()),
            Step::Expect(b"EHLO client.example\r\n".to_vec()),
            Step::Send(format!("250-mail.example\r\n250-8BITMIME\r\n250 {keyword}\r\n").into_bytes()),
        ]
    };
    let mut script = offered("SMTPUTF8");
    for parameters in [" BODY=8BITMIME SMTPUTF8", " BODY=8BITMIME"] {
        script.push(Step::Expect(format!("MAIL FROM:<a@x.example>{parameters}\r\n").into_bytes()));
        script.push(Step::Send(b"451 later\r\n".to_vec()));
    }
    let server = Scripted::start(script);
    let client = Smtp::new();
    client.connect(server.port, 0).expect("connects");
    for (message, number) in [(message, 1), (b"Subject: x\r\n\r\n\xc3\xbc", 2)] {
        let failure = client.send("a@x.example", "b@y.example", message).expect_err("refused");
        assert_eq!(failure.code, Code::SENDER_REJECTED, "message {number}: {failure:?}");
    }
    server.finish().expect("as scripted");

    let mut script = offered("HELP");
    script.push(Step::Expect(b"MAIL FROM:<a@x.example> BODY=8BITMIME\r\n".to_vec()));
    let server = Scripted::start(script);
    let client = Smtp::new();
    client.connect(server.port, 0).expect("connects");
    let failure = client.send("a@x.example", "b@y.example", message).expect_err("not offered");
    assert_eq!((failure.code, failure.phase), (Code::SMTPUTF8_REQUIRED, Phase::Argument), "{failure:?}");
    assert!(failure.sentence.contains("header"), "{failure:?}");
    client.set(Property::LeaveOut, 1);
    let failure = client.send("a@x.example", "b@y.example", message).expect_err("hung up");
    assert_ne!(failure.code, Code::SMTPUTF8_REQUIRED, "{failure:?}");
    server.finish().expect("as scripted");
}

type Taken = (Vec<(usize, bool)>, Vec<u8>);

/// A server that takes the first messages and refuses those behind them: gives the size
/// of each chunk, whether it was the last one, and the octets of all that were taken.
fn chunk_server(takes: usize) -> (u16, std::thread::JoinHandle<Taken>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Read, Write};
        let (stream, _) = listener.accept().expect("a client");
        let mut writer = stream.try_clone().expect("a second handle");
        let mut reader = BufReader::new(stream);
        writer.write_all(b"220 hi\r\n").expect("sent");
        let (mut sizes, mut taken, mut messages) = (Vec::new(), Vec::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).expect("a line") == 0 {
                return (sizes, taken);
            }
            let mut reply = "250 ok\r\n";
            if line.starts_with("EHLO") {
                reply = "250-mail.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n";
            } else if line.starts_with("MAIL") {
                messages += 1;
            } else if let Some(chunk) = line.strip_prefix("BDAT ") {
                let size: usize = chunk.split_whitespace().next().and_then(|size| size.parse().ok()).expect("a size");
                let mut octets = vec![0; size];
                reader.read_exact(&mut octets).expect("all of it");
                if messages <= takes {
                    taken.extend_from_slice(&octets);
                    sizes.push((size, chunk.contains("LAST")));
                } else {
                    reply = "552 5.3.4 too big\r\n";
                }
            }
            writer.write_all(reply.as_bytes()).expect("sent");
        }
    });
    (port, server)
}

/// Content of a size that is not known: chunks with their true sizes, the last one
/// never empty; and the rest is not sent when one is refused.
#[test]
fn a_large_message_of_a_reader_goes_in_chunks() {
    let content = b"0123456789abcdef0123456789abcdef\r\n".repeat(6000);
    let (port, server) = chunk_server(1);
    let client = Smtp::new();
    client.set(Property::Chunking, 2);
    client.connect(port, 0).expect("connects");
    let send = || {
        let mut left = &content[..];
        client.send_stream(u64::MAX, &mut |buffer| {
            let (now, later) = left.split_at(left.len().min(buffer.len()));
            buffer[..now.len()].copy_from_slice(now);
            left = later;
            i64::try_from(now.len()).expect("small")
        })
    };
    send().expect("taken");
    let failure = send().expect_err("refused");
    assert_eq!(failure.code, Code::MESSAGE_REJECTED, "{failure:?}");
    assert_eq!((client.message_outcome(), client.states()), ("REJECTED_PERMANENT", vec!["REFUSED_PERMANENT"]));
    let failure = client.send("a@x.example", "b@y.example", b"x").expect_err("refused, over the same connection");
    assert_eq!(failure.code, Code::MESSAGE_REJECTED, "{failure:?}");
    client.disconnect().expect("always");
    let (sizes, taken) = server.join().expect("no panic");
    assert_eq!(taken, content);
    assert!(sizes.len() > 2 && sizes.iter().all(|(size, _)| *size > 0), "{sizes:?}");
    assert!(sizes.iter().rev().skip(1).all(|(_, last)| !last) && sizes[sizes.len() - 1].1, "{sizes:?}");
}

#[test]
fn a_reader_is_not_asked_for_more_transactions_than_it_can_serve() {
    let mut script = vec![
        Step::Send(b"220 hi\r\n".to_vec()),
        Step::Expect(b"EHLO client.example\r\n".to_vec()),
        Step::Send(b"250-mail.example\r\n250 LIMITS RCPTMAX=2 RCPTDOMAINMAX=1\r\n".to_vec()),
    ];
    script.push(Step::AwaitClose);
    let server = Scripted::start(script);
    let client = Smtp::new();
    client.connect(server.port, 0).expect("connects");
    let domains = "b@y.example,c@z.example";
    let failure = client.send_stream_to(domains, u64::MAX, &mut |_| 0).expect_err("read once only");
    assert_eq!(failure.code, Code::TOO_MANY_RECIPIENTS, "{failure:?}");
    assert!(failure.sentence.contains("recipients of 1 domains"), "{failure:?}");
    let recipients = "b@y.example,c@y.example,d@Y.example";
    let failure = client.send_stream_to(recipients, u64::MAX, &mut |_| 0).expect_err("read once only");
    assert_eq!((failure.code, failure.phase), (Code::TOO_MANY_RECIPIENTS, Phase::Argument), "{failure:?}");
    client.set(Property::AllOrNothing, 1);
    let failure = client.send("a@x.example", recipients, b"x").expect_err("all or nothing");
    assert_eq!(failure.code, Code::TOO_MANY_RECIPIENTS, "{failure:?}");
    assert_eq!((client.message_outcome(), client.states()), ("NOT_SENT", vec!["NOT_TRIED"; 3]));
    drop(client);
    server.finish().expect("nothing was sent");
}

/// Content that can be looked at first is one chunk, whatever its size, whether it
/// goes past the session or has to be repaired, from memory or from a file.
#[test]
fn a_message_whose_size_is_known_is_one_chunk() {
    let right = b"0123456789abcdef0123456789abcdef\r\n".repeat(100_000);
    let bare = b"0123456789abcdef0123456789abcdef\n".repeat(6000);
    let cut = &right[..right.len() - 2];
    let cr = &right[..right.len() - 1];
    let contents = [&right[..], &bare, cut, cr, &right[..65_536], &right[..65_535], &right[..34], b""];
    let (port, server) = chunk_server(usize::MAX);
    let client = Smtp::new();
    client.set(Property::Chunking, 2);
    client.connect(port, 0).expect("connects");
    let path = format!("{}/whole-{}.eml", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let mut expected = Vec::new();
    for content in contents {
        std::fs::write(&path, content).expect("written");
        client.send("a@x.example", "b@y.example", content).expect("taken");
        client.send_file("a@x.example", "b@y.example", &path).expect("taken");
        let mut wire = String::from_utf8(content.to_vec()).expect("ASCII").replace("\r\n", "\n");
        if wire.ends_with('\r') {
            wire.pop();
        }
        if !wire.ends_with('\n') {
            wire.push('\n');
        }
        expected.extend([wire.replace('\n', "\r\n"), wire.replace('\n', "\r\n")]);
    }
    client.disconnect().expect("always");
    let (sizes, taken) = server.join().expect("no panic");
    let wanted: Vec<(usize, bool)> = expected.iter().map(|wire| (wire.len(), true)).collect();
    assert_eq!(sizes, wanted);
    assert!(taken == expected.concat().as_bytes(), "the octets are those that were given");
}

/// A file that loses octets while it is being sent cannot be sent as announced: the
/// message is not completed, and the connection is given up.
#[test]
fn a_file_that_shrinks_on_its_way_is_not_completed() {
    let path = format!("{}/shrinking-{}.eml", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    for passes in [true, false] {
        // The last line, which is bare, keeps the content from going past the session.
        let end: &[u8] = if passes { b"\r\n" } else { b"\n" };
        let mut content = b"0123456789abcdef0123456789abcdef\r\n".repeat(50_000);
        content.extend_from_slice(end);
        std::fs::write(&path, &content).expect("written");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let file = path.clone();
        let server = std::thread::spawn(move || {
            use std::io::{BufRead, BufReader, Read, Write};
            let (stream, _) = listener.accept().expect("a client");
            let mut writer = stream.try_clone().expect("a second handle");
            let mut reader = BufReader::new(stream);
            writer.write_all(b"220 hi\r\n").expect("sent");
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).expect("a line") == 0 {
                    return 0;
                }
                let reply = match line.split(' ').next() {
                    Some("EHLO") => "250-mail.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
                    Some("RCPT") => {
                        // Measured, and not yet sent.
                        std::fs::OpenOptions::new()
                            .write(true)
                            .open(&file)
                            .expect("there")
                            .set_len(100_000)
                            .expect("cut");
                        "250 ok\r\n"
                    }
                    Some("BDAT") => {
                        let mut rest = Vec::new();
                        reader.read_to_end(&mut rest).expect("hung up");
                        return rest.len();
                    }
                    _ => "250 ok\r\n",
                };
                writer.write_all(reply.as_bytes()).expect("sent");
            }
        });
        let client = Smtp::new();
        client.set(Property::Chunking, 2);
        client.connect(port, 0).expect("connects");
        let failure = client.send_file("a@x.example", "b@y.example", &path).expect_err("changed");
        assert_eq!((failure.code, failure.phase), (Code::FILE, Phase::Content), "{failure:?}");
        assert!(failure.sentence.contains("fewer octets"), "{failure:?}");
        assert_eq!((client.message_outcome(), client.states()), ("NOT_SENT", vec!["NOT_TRIED"]));
        assert!(server.join().expect("no panic") <= 100_000);
    }
}
