//! Proxies over sockets, through the C interface: what is asked with every octet, answers
//! in any pieces, proxies that refuse, lie, hang and hang up.

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/smtp.rs"]
mod smtp;
#[path = "support/tls.rs"]
mod tls;

use scripted::{Scripted, Step};
use smtp::{Failure, Smtp};
use smtpclient::client::{Options, Property};
use smtpclient::error::{Code, Phase};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// How one protocol asks for mail.example:2525, and what a proxy answers.
struct Talk {
    /// What the property has in front of the host.
    scheme: &'static str,
    /// Question and answer by turns.
    turns: Vec<(Vec<u8>, Vec<u8>)>,
}

fn talks(host: &str) -> Vec<Talk> {
    let length = u8::try_from(host.len()).expect("short");
    let port = [9, 221];
    let name = |before: &[u8], after: &[u8]| [before, host.as_bytes(), after].concat();
    let socks5_request = name(&[5, 1, 0, 3, length], &port);
    let connect =
        |login: &str| format!("CONNECT {host}:2525 HTTP/1.1\r\nHost: {host}:2525\r\n{login}\r\n").into_bytes();
    let established = b"HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n\r\n".to_vec();
    let socks5_reply = vec![5, 0, 0, 1, 10, 0, 0, 1, 1, 2];
    vec![
        Talk {
            scheme: "socks4a://me@",
            turns: vec![(name(&[4, 1, 9, 221, 0, 0, 0, 1, b'm', b'e', 0], &[0]), vec![0, 90, 1, 2, 3, 4, 5, 6])],
        },
        Talk {
            scheme: "socks5://",
            turns: vec![(vec![5, 1, 0], vec![5, 0]), (socks5_request.clone(), socks5_reply.clone())],
        },
        Talk {
            scheme: "socks5://u%40x:hunter2@",
            turns: vec![
                (vec![5, 2, 0, 2], vec![5, 2]),
                (b"\x01\x03u@x\x07hunter2".to_vec(), vec![1, 0]),
                (socks5_request, [&[5, 0, 0, 3, 4][..], b"name\x01\x02"].concat()),
            ],
        },
        Talk { scheme: "http://", turns: vec![(connect(""), established.clone())] },
        Talk {
            scheme: "http://u%40x:hunter2@",
            turns: vec![(connect("Proxy-Authorization: Basic dUB4Omh1bnRlcjI=\r\n"), established)],
        },
    ]
}

/// The proxy's part, in one piece or octet by octet, with something of the server's
/// in the same piece as the last of it.
fn proxy_steps(talk: &Talk, by: usize, glued: &[u8]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (number, (question, answer)) in talk.turns.iter().enumerate() {
        steps.push(Step::Expect(question.clone()));
        let mut answer = answer.clone();
        if number + 1 == talk.turns.len() {
            answer.extend(glued);
        }
        let by = if by == 0 { answer.len() } else { by };
        steps.extend(answer.chunks(by).map(|piece| Step::Send(piece.to_vec())));
    }
    steps
}

fn expect(octets: &[u8]) -> Step {
    Step::Expect(octets.to_vec())
}

fn send(octets: &[u8]) -> Step {
    Step::Send(octets.to_vec())
}

fn client(scheme: &str, port: u16) -> Smtp {
    let client = Smtp::new();
    client.set_text(Property::Proxy, &format!("{scheme}127.0.0.1:{port}"));
    client
}

/// Connects through a proxy that plays a script, and tells what came of it.
fn through(scheme: &str, script: Vec<Step>) -> (Result<(), Failure>, Smtp) {
    let server = Scripted::start(script);
    let client = client(scheme, server.port);
    let result = client.connect_to("mail.example", 2525, 0);
    if result.is_ok() {
        client.disconnect().expect("always");
    }
    server.finish().expect("as scripted");
    (result, client)
}

fn session() -> Vec<Step> {
    vec![
        expect(b"EHLO client.example\r\n"),
        send(b"250 hi\r\n"),
        expect(b"QUIT\r\n"),
        send(b"221 bye\r\n"),
        Step::AwaitClose,
    ]
}

#[test]
fn every_protocol_in_any_pieces_with_the_greeting_behind() {
    for talk in talks("mail.example") {
        for by in [0, 1, 2, 3] {
            let script = [proxy_steps(&talk, by, b"220 hi\r\n"), session()].concat();
            let (result, client) = through(talk.scheme, script);
            result.unwrap_or_else(|failure| panic!("{}: {failure:?}", talk.scheme));
            assert!(!client.text(Property::Proxy).contains("hunter2"));
        }
    }
}

#[test]
fn a_name_of_other_characters_goes_out_in_ascii() {
    for talk in talks("xn--bcher-kva.example") {
        let server = Scripted::start([proxy_steps(&talk, 0, b"220 hi\r\n"), session()].concat());
        let client = client(talk.scheme, server.port);
        client.connect_to("b\u{fc}cher.example", 2525, 0).expect("connects");
        assert_eq!(client.text(Property::PeerAddress), format!("127.0.0.1:{}", server.port));
        client.disconnect().expect("always");
        server.finish().expect("as scripted");
    }
}

#[test]
fn a_proxy_may_hang_up_after_every_octet() {
    for talk in talks("mail.example") {
        for (turn, (_, answer)) in talk.turns.iter().enumerate() {
            for end in 0..answer.len() {
                let mut script = Vec::new();
                for (question, answer) in &talk.turns[..turn] {
                    script.extend([Step::Expect(question.clone()), Step::Send(answer.clone())]);
                }
                script.extend([Step::Expect(talk.turns[turn].0.clone()), send(&answer[..end])]);
                let failure = through(talk.scheme, script.clone()).0.expect_err("hung up");
                assert_eq!((failure.code, failure.phase), (Code::PROXY_PROTOCOL, Phase::Proxy), "{failure:?}");
                assert!(failure.sentence.contains("closed the connection"), "{failure:?}");
                assert!(!failure.sentence.contains("hunter2"), "{failure:?}");
                script.push(Step::Reset);
                let failure = through(talk.scheme, script).0.expect_err("reset");
                assert!([Code::CONNECTION_RESET, Code::PROXY_PROTOCOL].contains(&failure.code), "{failure:?}");
                assert_eq!(failure.phase, Phase::Proxy);
            }
        }
    }
}

#[test]
fn refusals_say_who_refused_what() {
    let connect = talks("mail.example")[3].turns[0].0.clone();
    let cases: [(&str, Vec<Step>, Code, &str); 8] = [
        ("socks5://", vec![expect(&[5, 1, 0]), send(&[5, 255])], Code::PROXY_AUTHENTICATION, "wants a login"),
        (
            "socks5://u:hunter2@",
            vec![expect(&[5, 2, 0, 2]), send(&[5, 2]), expect(b"\x01\x01u\x07hunter2"), send(&[1, 1])],
            Code::PROXY_AUTHENTICATION,
            "does not accept",
        ),
        (
            "socks5://",
            vec![expect(&[5, 1, 0]), send(&[5, 0]), Step::ExpectOctets(19), send(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0])],
            Code::PROXY_TARGET,
            "did not connect to mail.example:2525: connection refused (SOCKS5 reply 5)",
        ),
        (
            "socks5://",
            vec![expect(&[5, 1, 0]), send(&[5, 0]), Step::ExpectOctets(19), send(&[5, 2])],
            Code::PROXY_REFUSED,
            "not allowed by its rules",
        ),
        ("socks4a://", vec![Step::ExpectOctets(22), send(&[0, 91])], Code::PROXY_REFUSED, "SOCKS4 reply 91"),
        (
            "http://",
            vec![Step::Expect(connect.clone()), send(b"HTTP/1.1 403 Access violation\r\n\r\nno")],
            Code::PROXY_REFUSED,
            "it said 403 Access violation",
        ),
        (
            "http://",
            vec![Step::Expect(connect.clone()), send(b"HTTP/1.1 407 Log in\r\nProxy-Authenticate: Basic\r\n\r\n")],
            Code::PROXY_AUTHENTICATION,
            "ways: Basic",
        ),
        (
            "http://",
            vec![Step::Expect(connect), send(b"HTTP/1.1 502 no\r\n\r\n")],
            Code::PROXY_TARGET,
            "it said 502 no",
        ),
    ];
    for (scheme, script, code, part) in cases {
        let (result, client) = through(scheme, script);
        let failure = result.expect_err("refused");
        assert_eq!((failure.code, failure.phase), (code, Phase::Proxy), "{failure:?}");
        assert!(failure.sentence.contains(part) && !failure.sentence.contains("hunter2"), "{failure:?}");
        assert!(client.text(Property::ErrorAddress).starts_with("127.0.0.1:"));
        assert_eq!(client.integer(Property::IsConnected), 0);
    }
}

#[test]
fn what_is_no_proxy_is_found_out() {
    for (scheme, octets) in [
        ("socks5://", &b"220 mail.example ESMTP\r\n"[..]),
        ("socks4a://", b"220 mail.example ESMTP\r\n"),
        ("http://", b"220 mail.example ESMTP\r\n"),
        ("http://", b"\x05\x00"),
        ("socks5://", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("socks5://", b"\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00220 hi\r\n"),
    ] {
        let failure = through(scheme, vec![send(octets)]).0.expect_err("no proxy");
        // Closing with octets unread is a reset, which may come first.
        assert!([Code::PROXY_PROTOCOL, Code::CONNECTION_RESET].contains(&failure.code), "{scheme} {failure:?}");
        assert_eq!(failure.phase, Phase::Proxy);
    }
}

#[test]
fn an_endless_answer_is_given_up() {
    let script = vec![Step::ExpectLine(b"CONNECT".to_vec()), send(&b"HTTP/1.1 200 OK\r\n".repeat(10_000))];
    let server = Scripted::start(script);
    let client = client("http://", server.port);
    let failure = client.connect_to("mail.example", 2525, 0).expect_err("endless");
    assert_eq!((failure.code, failure.phase), (Code::PROXY_PROTOCOL, Phase::Proxy));
    assert!(failure.sentence.contains("longer than 16384 octets"), "{failure:?}");
}

#[test]
fn a_proxy_that_says_nothing_runs_out_of_time() {
    for talk in talks("mail.example") {
        let server = Scripted::start(vec![Step::Expect(talk.turns[0].0.clone()), Step::AwaitClose]);
        let client = client(talk.scheme, server.port);
        client.set(Property::TimeoutProxy, 50);
        let failure = client.connect_to("mail.example", 2525, 0).expect_err("silent");
        assert_eq!((failure.code, failure.phase), (Code::TIMEOUT, Phase::Proxy), "{failure:?}");
        assert!(failure.sentence.contains("50 ms") && failure.sentence.contains("the proxy is"), "{failure:?}");
        assert!(client.integer(Property::TimeProxy) >= 50);
        server.finish().expect("as scripted");
    }
}

#[test]
fn a_cancel_ends_the_wait_for_a_proxy() {
    for talk in talks("mail.example") {
        let server = Scripted::start(vec![Step::Expect(talk.turns[0].0.clone()), Step::AwaitClose]);
        let client = client(talk.scheme, server.port);
        client.set(Property::TimeoutProxy, 0);
        std::thread::scope(|scope| {
            let call = scope.spawn(|| client.connect_to("mail.example", 2525, 0));
            while client.integer(Property::Phase) != Phase::Proxy as i64 {
                std::thread::yield_now();
            }
            assert_eq!(smtpclient::ffi::SmtpCancel(client.0), 0);
            let failure = call.join().expect("no panic").expect_err("cancelled");
            assert_eq!((failure.code, failure.phase), (Code::CANCELLED, Phase::Proxy), "{failure:?}");
        });
        server.finish().expect("as scripted");
    }
}

#[test]
fn a_proxy_that_is_not_there_is_told_from_a_server_that_is_not() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let client = client("socks5://u:hunter2@", port);
    let failure = client.connect_to("mail.example", 2525, 0).expect_err("nothing there");
    assert_eq!((failure.code, failure.phase), (Code::CONNECTION_REFUSED, Phase::Connect));
    let proxy = format!("the proxy socks5://127.0.0.1:{port} could not be reached");
    assert!(failure.sentence.contains(&proxy) && failure.sentence.contains("SMTP_PROPERTY_PROXY"), "{failure:?}");
    assert!(client.text(Property::ErrorAttempts).starts_with(&format!("127.0.0.1:{port}: ")));
    client.set_text(Property::Proxy, "socks5://no-such-host.invalid:1");
    let failure = client.connect_to("mail.example", 2525, 0).expect_err("no such host");
    assert_eq!(failure.phase, Phase::Resolve);
    assert!(failure.sentence.contains("the proxy socks5://no-such-host.invalid:1"), "{failure:?}");
}

#[test]
fn a_proxy_on_this_machine_makes_no_private_path() {
    let talk = &talks("mail.example")[1];
    let offer = b"220 hi\r\n";
    let script = [
        proxy_steps(talk, 0, offer),
        vec![expect(b"EHLO client.example\r\n"), send(b"250-hi\r\n250 AUTH PLAIN LOGIN\r\n"), Step::AwaitClose],
    ];
    let server = Scripted::start(script.concat());
    let client = client(talk.scheme, server.port);
    client.connect_to("mail.example", 2525, 0).expect("connects");
    let failure = client.authenticate("tim", "secret").expect_err("in the clear");
    assert_eq!(failure.code, Code::INSECURE_CREDENTIALS);
    drop(client);
    server.finish().expect("nothing was sent");
}

#[test]
fn a_connection_made_anew_goes_through_the_proxy_too() {
    let talk = &talks("mail.example")[2];
    let one = |number: u8| {
        let message = format!("{number}\r\n.\r\n").into_bytes();
        let mut steps = proxy_steps(talk, 0, b"220 hi\r\n");
        for (question, answer) in [
            (&b"EHLO client.example\r\n"[..], &b"250-hi\r\n250 LIMITS MAILMAX=1\r\n"[..]),
            (b"MAIL FROM:<a@x.example>\r\n", b"250 ok\r\n"),
            (b"RCPT TO:<b@y.example>\r\n", b"250 ok\r\n"),
            (b"DATA\r\n", b"354 go\r\n"),
            (&message, b"250 ok\r\n"),
            (b"QUIT\r\n", b"221 bye\r\n"),
        ] {
            steps.extend([expect(question), send(answer)]);
        }
        steps
    };
    let server = Scripted::start([one(1), vec![Step::Accept], one(2), vec![Step::AwaitClose]].concat());
    let client = client(talk.scheme, server.port);
    client.connect_to("mail.example", 2525, 0).expect("connects");
    client.send("a@x.example", "b@y.example", b"1\r\n").expect("sent");
    client.send("a@x.example", "b@y.example", b"2\r\n").expect("sent over another connection");
    client.disconnect().expect("always");
    server.finish().expect("as scripted");
}

/// A SOCKS proxy that connects to one port of this machine, whatever it is asked for.
fn relay(port: u16, injected: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let (mut near, _) = listener.accept().expect("a client");
        let mut buffer = [0; 300];
        near.read_exact(&mut buffer[..3]).expect("greeting");
        near.write_all(&[5, 0]).expect("choice");
        near.read_exact(&mut buffer[..5]).expect("request");
        let rest = usize::from(buffer[4]) + 2;
        near.read_exact(&mut buffer[..rest]).expect("request");
        let reply = [&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0], injected].concat();
        near.write_all(&reply).expect("reply");
        let far = TcpStream::connect(("127.0.0.1", port)).expect("the server");
        let (mut from, mut to) = (near.try_clone().expect("a number"), far.try_clone().expect("a number"));
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
        let (mut from, mut to) = (far, near);
        let _ = std::io::copy(&mut from, &mut to);
    });
    own
}

#[test]
fn tls_is_with_the_server_and_not_with_the_proxy() {
    use tls::Step::{Expect, Send, StartTls};
    let authority = tls::Authority::new("proxy");
    let rest =
        || vec![Expect(b"EHLO client.example\r\n"), Send(b"250 hi\r\n"), Expect(b"QUIT\r\n"), Send(b"221 bye\r\n")];
    let starttls = vec![
        Send(b"220 hi\r\n"),
        Expect(b"EHLO client.example\r\n"),
        Send(b"250-hi\r\n250 STARTTLS\r\n"),
        Expect(b"STARTTLS\r\n"),
        Send(b"220 go\r\n"),
        StartTls,
    ];
    for (script, options) in [
        ([vec![StartTls, Send(b"220 hi\r\n")], rest()].concat(), Options::SECURE_IMPLICIT.0),
        ([starttls, rest()].concat(), Options::SECURE.0),
    ] {
        let (port, server) = tls::start(authority.server(tls::Flaw::None), script);
        let client = client("socks5://", relay(port, b""));
        client.set_text(Property::CaFile, authority.file.to_str().expect("UTF-8"));
        client.connect_to("localhost", 465, options).expect("connects");
        assert_eq!(client.integer(Property::TlsVerified), 1);
        client.disconnect().expect("always");
        server.join().expect("no panic").expect("as scripted");
    }
}

/// Octets in the clear in front of TLS must never be taken for what TLS protects.
#[test]
fn a_proxy_cannot_put_a_greeting_in_front_of_tls() {
    let authority = tls::Authority::new("injection");
    let (port, server) = tls::start(authority.server(tls::Flaw::None), vec![tls::Step::StartTls, tls::Step::Cut]);
    let client = client("socks5://", relay(port, b"220 hi\r\n"));
    client.set_text(Property::CaFile, authority.file.to_str().expect("UTF-8"));
    let failure = client.connect_to("localhost", 465, Options::SECURE_IMPLICIT.0).expect_err("injected");
    assert_eq!((failure.code, failure.phase), (Code::TLS_NOT_TLS, Phase::Tls), "{failure:?}");
    drop(client);
    drop(server);
}

#[test]
fn settings_that_exclude_each_other_and_hosts_that_socks4_has_not() {
    let client = client("socks4a://", 9);
    client.set_text(Property::ConnectAddress, "127.0.0.1");
    let failure = client.connect_to("mail.example", 25, 0).expect_err("both");
    assert_eq!(failure.code, Code::INVALID_PARAMETER);
    assert!(failure.sentence.contains("exclude each other"), "{failure:?}");
    client.set_text(Property::ConnectAddress, "");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    client.set_text(Property::Proxy, &format!("socks4a://127.0.0.1:{port}"));
    let failure = client.connect_to("::1", 25, 0).expect_err("IPv6");
    assert_eq!(failure.code, Code::INVALID_PARAMETER);
    assert!(failure.sentence.contains("use SOCKS5"), "{failure:?}");
}
