//! Operations that do not wait, through the C interface: what a loop is told in every
//! phase, and what it may do in it. (The transcripts, and what `Makefile` has run twice, play
//! whole conversations in this mode.)

#![allow(unsafe_code)]

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/smtp.rs"]
mod smtp;

use scripted::{Scripted, Step};
use smtp::Smtp;
use smtpclient::client::{EventKind, Property, auth_type_number};
use smtpclient::error::{Code, Phase};
use smtpclient::ffi::*;
use smtpclient::proto::Security;
use smtpclient::proto::sasl::Mechanism;
use socket2::{Domain, Socket, Type};
use std::ffi::{CStr, c_char, c_void};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::ptr::{null, null_mut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ThreadId;

fn nonblocking() -> Smtp {
    let client = Smtp::new();
    client.set(Property::Blocking, 0);
    client
}

fn send(text: &str) -> Step {
    Step::Send(text.as_bytes().to_vec())
}

fn expect(text: &str) -> Step {
    Step::Expect(text.as_bytes().to_vec())
}

fn greeting() -> Vec<Step> {
    vec![send("220 hi\r\n"), expect("EHLO client.example\r\n"), send("250-hi\r\n250 AUTH PLAIN XOAUTH2\r\n")]
}

/// A session up to its beginning, and a server that goes on with these.
fn connected(steps: Vec<Step>) -> (Smtp, Scripted) {
    let server = Scripted::start([greeting(), steps].concat());
    let client = nonblocking();
    client.connect(server.port, 0).expect("connects");
    (client, server)
}

fn port_of_the_server(server: &Scripted) -> u32 {
    u32::from(server.port)
}

fn connect(client: &Smtp, host: &CStr, port: u32) -> i32 {
    // SAFETY: a live string.
    unsafe { SmtpConnect(client.0, host.as_ptr(), port, 20_000, 0) }
}

fn send_message(client: &Smtp, message: &[u8]) -> i32 {
    let (sender, recipient) = (c"a@x.example".as_ptr(), c"b@y.example".as_ptr());
    // SAFETY: live strings and octets.
    unsafe { SmtpSendMessage(client.0, sender, recipient, message.as_ptr().cast(), message.len()) }
}

fn is_readable(descriptor: i64, millis: i32) -> bool {
    let mut fd =
        libc::pollfd { fd: i32::try_from(descriptor).expect("a descriptor"), events: libc::POLLIN, revents: 0 };
    // SAFETY: one live structure.
    unsafe { libc::poll(&raw mut fd, 1, millis) == 1 && fd.revents & libc::POLLNVAL == 0 }
}

/// What a number stands for.
fn open_file(descriptor: i64) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()
}

/// Goes on until the operation waits in this phase.
fn run_to(client: &Smtp, phase: Phase) {
    while client.integer(Property::Phase) != phase as i64 {
        let info = client.poll_info().expect("pending");
        smtp::wait(&info);
        assert_eq!(SmtpProcess(client.0), SMTP_PENDING, "before {}: {}", phase.name(), client.sentence());
    }
}

unsafe extern "C" fn nothing(_: *mut c_void, _: usize, _: *mut c_void) -> i64 {
    0
}

/// Every function that is an operation.
fn operations(client: &Smtp) -> Vec<(&'static str, i32)> {
    let (handle, text) = (client.0, c"a@x.example".as_ptr());
    let size = |octets: usize| u32::try_from(octets).expect("small");
    let message = SmtpMessageInfo {
        size: size(size_of::<SmtpMessageInfo>()),
        reserved: 0,
        sender: text,
        recipients: text,
        message: text.cast(),
        length: 5,
        path: null(),
    };
    let server = SmtpServerInfo {
        size: size(size_of::<SmtpServerInfo>()),
        port: 25,
        host: c"127.0.0.1".as_ptr(),
        user: null(),
        password: null(),
        timeout_ms: 1000,
        options: 0,
    };
    // SAFETY: live strings and structures; no buffers.
    unsafe {
        vec![
            ("SmtpConnect", SmtpConnect(handle, c"127.0.0.1".as_ptr(), 25, 0, 0)),
            ("SmtpAttachSocket", SmtpAttachSocket(handle, 0, c"x.example".as_ptr(), 0)),
            ("SmtpAuthenticate", SmtpAuthenticate(handle, text, text)),
            ("SmtpSendMessage", SmtpSendMessage(handle, text, text, text.cast(), 1)),
            ("SmtpSendFile", SmtpSendFile(handle, text, text, c"/no/such/file".as_ptr())),
            ("SmtpSendStream", SmtpSendStream(handle, text, text, 0, Some(nothing), null_mut())),
            ("SmtpCreateMessage", SmtpCreateMessage(handle, text, 0)),
            ("SmtpAddRecipient", SmtpAddRecipient(handle, text)),
            ("SmtpWrite", SmtpWrite(handle, text.cast(), 1)),
            ("SmtpAppendMessage", SmtpAppendMessage(handle, text.cast(), 1)),
            ("SmtpAppendFile", SmtpAppendFile(handle, c"/no/such/file".as_ptr())),
            ("SmtpAppendStream", SmtpAppendStream(handle, Some(nothing), null_mut())),
            ("SmtpCloseMessage", SmtpCloseMessage(handle)),
            ("SmtpSubmitMessage", SmtpSubmitMessage(handle, &raw const message, &raw const server)),
            ("SmtpCommand", SmtpCommand(handle, c"NOOP".as_ptr(), null())),
            ("SmtpNoop", SmtpNoop(handle)),
            ("SmtpVerifyAddress", SmtpVerifyAddress(handle, text)),
            ("SmtpExpandAddress", SmtpExpandAddress(handle, text, null_mut(), 0, null_mut())),
            ("SmtpHelp", SmtpHelp(handle, null(), null_mut(), 0, null_mut())),
            ("SmtpExtendedTurn", SmtpExtendedTurn(handle, c"x.example".as_ptr())),
            ("SmtpReset", SmtpReset(handle)),
            ("SmtpDisconnect", SmtpDisconnect(handle)),
        ]
    }
}

#[test]
fn an_operation_that_is_pending_comes_first() {
    let (client, server) = connected(vec![expect("NOOP\r\n"), Step::Gate, send("250 ok\r\n"), Step::AwaitClose]);
    assert_eq!(SmtpNoop(client.0), SMTP_PENDING);
    for (name, code) in operations(&client) {
        assert_eq!(Code(code), Code::OPERATION_IN_PROGRESS, "{name}: {}", client.sentence());
    }
    assert_eq!(client.message_outcome(), "NOT_SENT");
    assert_eq!(client.integer(Property::IsConnected), 1);
    server.go_on();
    assert_eq!(client.settle(SMTP_PENDING), 0);
    server_is_left(client, server);
}

fn server_is_left(client: Smtp, server: Scripted) {
    drop(client);
    server.finish().expect("as scripted");
}

#[test]
fn every_operation_can_be_pending() {
    let script = [
        ("VRFY a@x.example\r\n", "250 a\r\n"),
        ("EXPN a@x.example\r\n", "250 b\r\n"),
        ("HELP\r\n", "214 c\r\n"),
        ("ETRN x.example\r\n", "250 d\r\n"),
        ("NOOP\r\n", "250 e\r\n"),
        ("RSET\r\n", "250 f\r\n"),
        ("AUTH PLAIN AHUAcA==\r\n", "235 g\r\n"),
        ("QUIT\r\n", "221 h\r\n"),
    ];
    let steps = script.iter().flat_map(|(asked, said)| [expect(asked), Step::Gate, send(said)]).collect();
    let (client, server) = connected(steps);
    let (handle, text) = (client.0, c"a@x.example".as_ptr());
    // SAFETY: live strings; no buffers.
    let calls: [&dyn Fn() -> i32; 8] = unsafe {
        [
            &|| SmtpVerifyAddress(handle, text),
            &|| SmtpExpandAddress(handle, text, null_mut(), 0, null_mut()),
            &|| SmtpHelp(handle, null(), null_mut(), 0, null_mut()),
            &|| SmtpExtendedTurn(handle, c"x.example".as_ptr()),
            &|| SmtpNoop(handle),
            &|| SmtpReset(handle),
            &|| SmtpAuthenticate(handle, c"u".as_ptr(), c"p".as_ptr()),
            &|| SmtpDisconnect(handle),
        ]
    };
    for (call, (asked, said)) in calls.iter().zip(script) {
        assert_eq!(call(), SMTP_PENDING, "{asked}: {}", client.sentence());
        server.go_on();
        assert_eq!(client.settle(SMTP_PENDING), 0, "{asked}: {}", client.sentence());
        assert_eq!(client.text(Property::ResultString), said[4..said.len() - 2], "{asked}");
        assert!(client.poll_info().is_none());
    }
    server_is_left(client, server);
}

#[test]
fn the_result_is_told_once() {
    let (client, server) = connected(vec![expect("NOOP\r\n"), send("550 5.0.0 no\r\n"), Step::AwaitClose]);
    assert_eq!(Code(SmtpProcess(client.0)), Code::NO_OPERATION);
    assert!(client.poll_info().is_none());
    let code = client.settle(SmtpNoop(client.0));
    assert_eq!(Code(code), Code::COMMAND_REJECTED);
    assert_eq!(client.integer(Property::ErrorResultCode), 550);
    assert_eq!(Code(SmtpProcess(client.0)), Code::NO_OPERATION);
    client.set(Property::Blocking, 1);
    assert_eq!(Code(SmtpProcess(client.0)), Code::NO_OPERATION);
    server_is_left(client, server);
}

#[test]
fn going_on_too_early_does_no_harm() {
    let (client, server) = connected(vec![expect("NOOP\r\n"), Step::Gate, send("250 ok\r\n"), Step::AwaitClose]);
    assert_eq!(SmtpNoop(client.0), SMTP_PENDING);
    let first = client.poll_info().expect("pending");
    assert_eq!(first.events, SMTP_POLL_READ);
    for _ in 0..1000 {
        assert_eq!(SmtpProcess(client.0), SMTP_PENDING);
        assert_eq!(client.poll_info().expect("pending").descriptor, first.descriptor);
    }
    server.go_on();
    assert_eq!(client.settle(SMTP_PENDING), 0);
    assert_eq!(client.text(Property::ResultString), "ok");
    server_is_left(client, server);
}

#[test]
fn the_message_is_copied() {
    for size in [3, 70_000, 3_000_000] {
        let message: Vec<u8> = (b'a'..=b'z').cycle().take(size).collect();
        let steps = vec![
            expect("MAIL FROM:<a@x.example>\r\n"),
            Step::Gate,
            send("250 ok\r\n"),
            expect("RCPT TO:<b@y.example>\r\n"),
            send("250 ok\r\n"),
            expect("DATA\r\n"),
            send("354 go\r\n"),
            Step::Expect([&message[..], b"\r\n.\r\n"].concat()),
            send("250 ok\r\n"),
            Step::AwaitClose,
        ];
        let (client, server) = connected(steps);
        let mut given = message.clone();
        let code = send_message(&client, &given);
        assert_eq!(code, SMTP_PENDING);
        given.fill(b'!');
        drop(given);
        server.go_on();
        assert_eq!(client.settle(code), 0, "{}", client.sentence());
        assert_eq!(client.message_outcome(), "ACCEPTED");
        server_is_left(client, server);
    }
}

#[test]
fn a_name_is_looked_up_meanwhile() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = u32::from(listener.local_addr().expect("an address").port());
    let client = nonblocking();
    assert_eq!(connect(&client, c"localhost", port), SMTP_PENDING);
    // Unless the answer was there at once.
    if client.integer(Property::Phase) == Phase::Resolve as i64 {
        let info = client.poll_info().expect("pending");
        assert_eq!(info.events, SMTP_POLL_READ);
        assert!(is_readable(info.descriptor, 20_000), "the look-up tells through the descriptor");
    }
    run_to(&client, Phase::Greeting);

    let client = nonblocking();
    let code = client.settle(connect(&client, c"no-such-host.invalid", 25));
    assert!([Code::HOST_NOT_FOUND, Code::HOST_LOOKUP_FAILED].contains(&Code(code)), "{}", client.sentence());
}

/// As in networks.rs: its queue is full, so that the next connection gets no answer.
fn black_hole(address: SocketAddr) -> impl Sized {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.bind(&address.into()).expect("a port");
    listener.listen(0).expect("listens");
    let address = listener.local_addr().expect("an address");
    let fillers: Vec<Socket> = (0..3)
        .map(|_| {
            let filler = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            filler.set_nonblocking(true).expect("does not wait");
            let _ = filler.connect(&address);
            filler
        })
        .collect();
    (listener, fillers)
}

#[test]
fn one_descriptor_stands_for_all_that_compete() {
    let server = Scripted::start([greeting(), vec![Step::AwaitClose]].concat());
    let hole = black_hole(SocketAddr::from(([127, 0, 0, 5], server.port)));
    let client = nonblocking();
    client.set_text(Property::ConnectAddress, "127.0.0.5,127.0.0.1");
    let code = connect(&client, c"mail.example", port_of_the_server(&server));
    assert_eq!(code, SMTP_PENDING);
    let info = client.poll_info().expect("pending");
    assert!((0..=250).contains(&info.timeout_ms), "the second is tried soon: {info:?}");
    assert_eq!(client.settle(code), 0, "{}", client.sentence());
    assert_eq!(client.text(Property::PeerAddress), format!("127.0.0.1:{}", server.port));
    drop(hole);
    server_is_left(client, server);
}

#[test]
fn a_cancel_ends_the_race() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let holes = [6, 7].map(|last| black_hole(SocketAddr::from(([127, 0, 0, last], port))));
    let client = nonblocking();
    client.set_text(Property::ConnectAddress, "127.0.0.6,127.0.0.7");
    assert_eq!(connect(&client, c"mail.example", u32::from(port)), SMTP_PENDING);
    // Until both are under way.
    let mut info = client.poll_info().expect("pending");
    while info.timeout_ms <= 250 {
        smtp::wait(&info);
        assert_eq!(SmtpProcess(client.0), SMTP_PENDING);
        info = client.poll_info().expect("pending");
    }
    assert!(!is_readable(info.descriptor, 0));
    client.cancel();
    assert!(is_readable(info.descriptor, 20_000));
    assert_eq!(Code(SmtpProcess(client.0)), Code::CANCELLED);
    drop(holes);
}

/// What brings a client into a phase, where nothing more happens.
struct Still {
    phase: Phase,
    /// What happens before.
    steps: Vec<Step>,
    /// With a connection, or to make one.
    begin: fn(&Smtp, u32) -> i32,
    is_connected: bool,
}

fn still() -> Vec<Still> {
    fn open(client: &Smtp, port: u32) -> i32 {
        connect(client, c"127.0.0.1", port)
    }
    fn message(client: &Smtp, _: u32) -> i32 {
        send_message(client, &[b'x'; 30_000_000])
    }
    fn small_message(client: &Smtp, _: u32) -> i32 {
        send_message(client, b"x")
    }
    let tls = |client: &Smtp, port: u32| {
        client.set(Property::TlsMode, Security::Implicit as i64);
        connect(client, c"127.0.0.1", port)
    };
    let proxy = |client: &Smtp, port: u32| {
        client.set_text(Property::Proxy, &format!("socks5://127.0.0.1:{port}"));
        connect(client, c"mail.example", 25)
    };
    let steps = ["MAIL FROM:<a@x.example>\r\n", "RCPT TO:<b@y.example>\r\n", "DATA\r\n"];
    // The last of the commands is not answered.
    let unanswered = |count: usize| {
        let answered = steps[..count - 1].iter().flat_map(|step| [expect(step), send("250 ok\r\n")]);
        answered.chain([expect(steps[count - 1])]).collect::<Vec<Step>>()
    };
    let content = [unanswered(3), vec![send("354 go\r\n")]].concat();
    let mut still = Vec::new();
    let mut add = |phase, steps, begin, is_connected| still.push(Still { phase, steps, begin, is_connected });
    add(Phase::Tls, vec![], tls as fn(&Smtp, u32) -> i32, false);
    add(Phase::Proxy, vec![Step::ExpectOctets(3)], proxy, false);
    add(Phase::Greeting, vec![], open, false);
    add(Phase::Ehlo, greeting()[..2].to_vec(), open, false);
    add(
        Phase::Auth,
        vec![expect("AUTH PLAIN AHUAcA==\r\n")],
        // SAFETY: live strings.
        |client, _| unsafe { SmtpAuthenticate(client.0, c"u".as_ptr(), c"p".as_ptr()) },
        true,
    );
    add(Phase::Mail, unanswered(1), small_message, true);
    add(Phase::Rcpt, unanswered(2), small_message, true);
    add(Phase::Data, unanswered(3), small_message, true);
    add(Phase::Content, content.clone(), message, true);
    add(Phase::End, [content, vec![expect("x\r\n.\r\n")]].concat(), small_message, true);
    add(Phase::Command, vec![expect("NOOP\r\n")], |client, _| SmtpNoop(client.0), true);
    add(Phase::Reset, vec![expect("RSET\r\n")], |client, _| SmtpReset(client.0), true);
    add(Phase::Quit, vec![expect("QUIT\r\n")], |client, _| SmtpDisconnect(client.0), true);
    still
}

/// Brings a client into a phase.
fn come_to(still: Still, prepare: impl FnOnce(&Smtp)) -> (Smtp, Scripted) {
    let mut steps = still.steps;
    steps.push(match still.phase {
        Phase::Content => Step::Gate,
        Phase::Tls => Step::Drain,
        _ => Step::AwaitClose,
    });
    let (client, server) = if still.is_connected {
        connected(steps)
    } else {
        let server = Scripted::start(steps);
        (nonblocking(), server)
    };
    prepare(&client);
    let code = (still.begin)(&client, port_of_the_server(&server));
    assert_eq!(code, SMTP_PENDING, "{}: {}", still.phase.name(), client.sentence());
    run_to(&client, still.phase);
    (client, server)
}

#[test]
fn a_cancel_makes_the_descriptor_ready_in_every_phase() {
    for still in still() {
        let phase = still.phase;
        let (client, server) = come_to(still, |_| ());
        let info = client.poll_info().expect("pending");
        // TLS has not even begun for the server.
        let (asked, named) = (is_readable(info.descriptor, 0), phase.name());
        assert!(!asked, "{named}");
        std::thread::scope(|scope| scope.spawn(|| client.cancel()).join()).expect("no panic");
        assert!(is_readable(info.descriptor, 20_000), "{named}");
        let code = SmtpProcess(client.0);
        // Saying goodbye never fails.
        let expected = if phase == Phase::Quit { Code(0) } else { Code::CANCELLED };
        assert_eq!(Code(code), expected, "{named}: {}", client.sentence());
        if phase != Phase::Quit {
            assert_eq!(client.integer(Property::ErrorPhase), phase as i64, "{named}");
        }
        let unknown = phase == Phase::End;
        assert_eq!(client.message_outcome(), if unknown { "UNKNOWN" } else { "NOT_SENT" }, "{named}");
        assert_eq!(client.integer(Property::IsConnected), 0, "{named}");
        assert!(client.poll_info().is_none());
        assert_eq!(Code(SmtpProcess(client.0)), Code::NO_OPERATION);
        drop(client);
        server.finish().unwrap_or_else(|problem| panic!("{named}: {problem}"));
    }
}

#[test]
fn a_release_ends_what_is_pending_in_every_phase() {
    for still in still() {
        let named = still.phase.name();
        let (client, server) = come_to(still, |_| ());
        drop(client);
        // The server sees the end.
        server.finish().unwrap_or_else(|problem| panic!("{named}: {problem}"));
    }
}

#[test]
fn a_limit_is_told_and_kept_in_every_phase() {
    const LIMIT: i64 = 200;
    for still in still() {
        let phase = still.phase;
        let named = phase.name();
        let limit = match phase {
            Phase::Tls => Property::TimeoutTls,
            Phase::Proxy => Property::TimeoutProxy,
            Phase::Greeting => Property::TimeoutGreeting,
            Phase::Mail => Property::TimeoutMail,
            Phase::Rcpt => Property::TimeoutRcpt,
            Phase::Data => Property::TimeoutData,
            Phase::Content => Property::TimeoutContent,
            Phase::End => Property::TimeoutEnd,
            Phase::Quit => Property::TimeoutQuit,
            _ => Property::TimeoutCommand,
        };
        let (client, server) = come_to(still, |client| client.set(limit, LIMIT));
        let info = client.poll_info().expect("pending");
        assert!((0..=LIMIT).contains(&info.timeout_ms), "{named}: {info:?}");
        let code = client.settle(SMTP_PENDING);
        if phase == Phase::Quit {
            assert_eq!(code, 0, "{named}: {}", client.sentence());
        } else {
            assert_eq!(Code(code), Code::TIMEOUT, "{named}: {}", client.sentence());
            assert_eq!(client.integer(Property::ErrorPhase), phase as i64, "{named}");
            assert!(client.sentence().contains("200 ms"), "{named}: {}", client.sentence());
        }
        drop(client);
        server.finish().unwrap_or_else(|problem| panic!("{named}: {problem}"));
    }
}

#[test]
fn the_limit_of_the_whole_none_and_one_that_is_over() {
    let steps = vec![expect("NOOP\r\n"), Step::Gate, send("250 ok\r\n"), expect("NOOP\r\n"), Step::AwaitClose];
    let (client, server) = connected(steps);
    client.set(Property::TimeoutCommand, 0);
    client.set(Property::Timeout, 0);
    assert_eq!(SmtpNoop(client.0), SMTP_PENDING);
    assert_eq!(client.poll_info().expect("pending").timeout_ms, -1);
    server.go_on();
    assert_eq!(client.settle(SMTP_PENDING), 0);
    client.set(Property::Timeout, 100);
    assert_eq!(SmtpNoop(client.0), SMTP_PENDING);
    let info = client.poll_info().expect("pending");
    assert!((0..=100).contains(&info.timeout_ms), "{info:?}");
    std::thread::sleep(std::time::Duration::from_millis(120));
    assert_eq!(client.poll_info().expect("still pending").timeout_ms, 0);
    assert_eq!(Code(SmtpProcess(client.0)), Code::TIMEOUT);
    assert!(client.sentence().contains("limit of 100 ms"), "{}", client.sentence());
    server_is_left(client, server);
}

fn submit(client: &Smtp, port: u32, recipients: &CStr) -> i32 {
    let size = |octets: usize| u32::try_from(octets).expect("small");
    let content = SmtpMessageInfo {
        size: size(size_of::<SmtpMessageInfo>()),
        reserved: 0,
        sender: c"a@x.example".as_ptr(),
        recipients: recipients.as_ptr(),
        message: c"x".as_ptr().cast(),
        length: 1,
        path: null(),
    };
    let server = SmtpServerInfo {
        size: size(size_of::<SmtpServerInfo>()),
        port,
        host: c"localhost".as_ptr(),
        user: c"u".as_ptr(),
        password: c"p".as_ptr(),
        timeout_ms: 20_000,
        options: 0,
    };
    // SAFETY: live structures.
    unsafe { SmtpSubmitMessage(client.0, &raw const content, &raw const server) }
}

fn exchange(pairs: &[(&str, &str)]) -> Vec<Step> {
    pairs.iter().flat_map(|(asked, said)| [expect(asked), send(said)]).collect()
}

const MAIL: (&str, &str) = ("MAIL FROM:<a@x.example>\r\n", "250 ok\r\n");
const LOGIN: (&str, &str) = ("AUTH PLAIN AHUAcA==\r\n", "235 ok\r\n");
const QUIT: (&str, &str) = ("QUIT\r\n", "221 bye\r\n");

#[test]
fn a_submission_is_one_operation() {
    let data = [("RCPT TO:<b@y.example>\r\n", "250 ok\r\n"), ("DATA\r\n", "354 go\r\n"), ("x\r\n.\r\n", "250 ok\r\n")];
    let steps = [greeting(), exchange(&[LOGIN, MAIL]), exchange(&data), exchange(&[QUIT]), vec![Step::AwaitClose]];
    let server = Scripted::start(steps.concat());
    let client = nonblocking();
    let code = submit(&client, port_of_the_server(&server), c"b@y.example");
    assert_eq!(code, SMTP_PENDING);
    assert_eq!(client.settle(code), 0, "{}", client.sentence());
    assert_eq!(client.message_outcome(), "ACCEPTED");
    assert_eq!(client.integer(Property::IsConnected), 0);
    server_is_left(client, server);

    // Whoever is refused is told goodbye to all the same, and the refusal is the result.
    let refusal = [("RCPT TO:<b@y.example>\r\n", "550 no\r\n")];
    let steps = [greeting(), exchange(&[LOGIN, MAIL]), exchange(&refusal), exchange(&[QUIT]), vec![Step::AwaitClose]];
    let server = Scripted::start(steps.concat());
    let client = nonblocking();
    let code = client.settle(submit(&client, port_of_the_server(&server), c"b@y.example"));
    assert_eq!(Code(code), Code::RECIPIENTS_REJECTED, "{}", client.sentence());
    assert_eq!(client.message_outcome(), "REJECTED_PERMANENT");
    server_is_left(client, server);
}

/// What callbacks saw, and by which thread.
struct Told {
    lines: Mutex<Vec<(String, ThreadId)>>,
    client: *mut SmtpClient,
}

impl Told {
    fn tell(&self, line: String) {
        self.lines.lock().expect("no panic").push((line, std::thread::current().id()));
        // From inside, nothing can go on.
        assert_eq!(Code(SmtpProcess(self.client)), Code::REENTRANT);
        let size = u32::try_from(size_of::<SmtpPollInfo>()).expect("small");
        let mut info = SmtpPollInfo { size, events: 9, descriptor: 9, timeout_ms: 9 };
        // SAFETY: a live structure that says its size.
        assert_eq!(Code(unsafe { SmtpGetPollInfo(self.client, &raw mut info) }), Code::REENTRANT);
        assert_eq!((info.events, info.descriptor, info.timeout_ms), (9, 9, 9));
    }
}

unsafe extern "C" fn on_event(event: *const SmtpEvent, data: *mut c_void) -> i32 {
    // SAFETY: the library's event, and what the test registered.
    let (told, event) = unsafe { (&*data.cast::<Told>(), &*event) };
    told.tell(format!("event {:#x} {}", event.event, event.result_code));
    0
}

unsafe extern "C" fn on_record(record: *const SmtpTraceRecord, data: *mut c_void) -> i32 {
    // SAFETY: as above.
    let (told, record) = unsafe { (&*data.cast::<Told>(), &*record) };
    told.tell(format!("record {} {}", record.direction, record.result_code));
    0
}

unsafe extern "C" fn on_token(buffer: *mut c_char, capacity: usize, _: u32, data: *mut c_void) -> i64 {
    // SAFETY: as above, and room for so many octets.
    let (told, room) =
        unsafe { (&*data.cast::<Told>(), std::slice::from_raw_parts_mut(buffer.cast::<u8>(), capacity)) };
    told.tell("token".into());
    room[..5].copy_from_slice(b"token");
    5
}

#[test]
fn callbacks_are_called_by_whoever_goes_on() {
    let login = "AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHRva2VuAQE=\r\n";
    let (client, server) = connected([vec![expect(login), Step::Gate, send("235 ok\r\n")], exchange(&[QUIT])].concat());
    let told = Told { lines: Mutex::default(), client: client.0 };
    let data = std::ptr::from_ref(&told).cast_mut().cast::<c_void>();
    client.set(Property::AuthType, auth_type_number(Some(Mechanism::XOauth2)));
    // SAFETY: the client is let go before what it tells.
    unsafe {
        assert_eq!(SmtpRegisterEvent(client.0, EventKind::Reply as u32, Some(on_event), data, None), 0);
        assert_eq!(SmtpRegisterTrace(client.0, Some(on_record), data, None), 0);
        assert_eq!(SmtpRegisterTokenProvider(client.0, Some(on_token), data, None), 0);
        assert_eq!(SmtpAuthenticate(client.0, c"u".as_ptr(), null()), SMTP_PENDING);
    }
    let begun = told.lines.lock().expect("no panic").len();
    assert!(begun > 0, "the token and the command");
    server.go_on();
    let other = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            assert_eq!(client.settle(SMTP_PENDING), 0, "{}", client.sentence());
            std::thread::current().id()
        });
        other.join().expect("no panic")
    });
    client.disconnect().expect("always");
    let lines = std::mem::take(&mut *told.lines.lock().expect("no panic"));
    let reply = lines.iter().position(|(line, _)| line.starts_with("event") && line.ends_with("235")).expect("told");
    assert!(reply >= begun && lines[reply].1 == other);
    assert!(lines.iter().any(|(line, thread)| line.starts_with("record") && *thread == other));
    assert!(lines[..begun].iter().all(|(_, thread)| *thread == std::thread::current().id()));
    assert!(lines.iter().any(|(line, _)| line == "token"));
    server_is_left(client, server);
}

#[test]
fn any_thread_may_go_on_and_one_gets_the_result() {
    let steps = [expect("NOOP\r\n"), Step::Gate, send("250 ok\r\n")].into_iter().cycle().take(60).collect();
    let (client, server) = connected(steps);
    for _ in 0..20 {
        assert_eq!(SmtpNoop(client.0), SMTP_PENDING);
        let results = AtomicUsize::new(0);
        server.go_on();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    loop {
                        match SmtpProcess(client.0) {
                            SMTP_PENDING => drop(client.poll_info()),
                            0 => {
                                results.fetch_add(1, Ordering::SeqCst);
                                return;
                            }
                            code => return assert_eq!(Code(code), Code::NO_OPERATION),
                        }
                    }
                });
            }
        });
        assert_eq!(results.into_inner(), 1);
    }
    server_is_left(client, server);
}

#[test]
fn what_was_begun_goes_on_as_it_was_begun() {
    let steps = vec![expect("NOOP\r\n"), Step::Gate, send("250 one\r\n"), expect("NOOP\r\n"), send("250 two\r\n")];
    let goodbye = vec![expect("QUIT\r\n"), Step::Gate, send("221 bye\r\n")];
    let (client, server) = connected([steps, goodbye].concat());
    assert_eq!(SmtpNoop(client.0), SMTP_PENDING);
    client.set(Property::Blocking, 1);
    assert_eq!(Code(SmtpNoop(client.0)), Code::OPERATION_IN_PROGRESS);
    server.go_on();
    assert_eq!(client.settle(SMTP_PENDING), 0);
    assert_eq!(SmtpNoop(client.0), 0, "this one waits");
    assert_eq!(client.text(Property::ResultString), "two");
    client.set(Property::Blocking, 0);
    assert_eq!(SmtpDisconnect(client.0), SMTP_PENDING);
    server.go_on();
    assert_eq!(client.settle(SMTP_PENDING), 0);
    server_is_left(client, server);
}

/// A number that was told stands for the same until it is asked again, so that a loop
/// that compares numbers notices every change.
#[test]
fn a_descriptor_keeps_its_number_until_it_is_asked_for_again() {
    let session = |limited: bool| {
        let limits = if limited { "250-hi\r\n250 LIMITS MAILMAX=1\r\n" } else { "250 hi\r\n" };
        let mail = [MAIL, ("RCPT TO:<b@y.example>\r\n", "250 ok\r\n"), ("DATA\r\n", "354 go\r\n")];
        let start = vec![send("220 hi\r\n"), expect("EHLO client.example\r\n"), send(limits)];
        [start, exchange(&mail), exchange(&[("x\r\n.\r\n", "250 ok\r\n")])].concat()
    };
    // The second message takes a connection of its own.
    let steps = [session(true), exchange(&[QUIT]), vec![Step::Accept], session(false), vec![Step::AwaitClose]];
    let server = Scripted::start(steps.concat());
    let client = nonblocking();
    let mut changes = 0;
    for call in 0..3 {
        let mut code = match call {
            0 => connect(&client, c"localhost", port_of_the_server(&server)),
            _ => send_message(&client, b"x"),
        };
        let mut told: Option<(i64, PathBuf)> = None;
        while code == SMTP_PENDING {
            if let Some((number, file)) = &told {
                assert_eq!(open_file(*number).as_ref(), Some(file), "closed before it was asked again");
            }
            let info = client.poll_info().expect("pending");
            let file = open_file(info.descriptor).expect("open");
            if let Some((number, before)) = &told {
                assert_eq!(*number == info.descriptor, *before == file, "{before:?} became {file:?}");
                changes += usize::from(*before != file);
            }
            told = Some((info.descriptor, file));
            smtp::wait(&info);
            code = SmtpProcess(client.0);
        }
        assert_eq!(code, 0, "{}", client.sentence());
    }
    assert!(changes > 0, "the look-up has another one than the connection");
    server_is_left(client, server);
}

/// Some loops, such as libuv's, change the mode of what they wait on.
#[test]
fn a_call_waits_whatever_a_loop_has_made_of_the_socket() {
    let waiting = vec![expect("NOOP\r\n"), Step::Pause(50), send("250 two\r\n")];
    let (client, server) = connected([vec![expect("NOOP\r\n"), Step::Gate, send("250 one\r\n")], waiting].concat());
    assert_eq!(SmtpNoop(client.0), SMTP_PENDING);
    let descriptor = i32::try_from(client.poll_info().expect("pending").descriptor).expect("a descriptor");
    // SAFETY: flags of an open descriptor.
    let flags = |set: i32| unsafe {
        libc::fcntl(descriptor, libc::F_SETFL, libc::fcntl(descriptor, libc::F_GETFL) | set);
        libc::fcntl(descriptor, libc::F_GETFL) & libc::O_NONBLOCK
    };
    assert_ne!(flags(libc::O_NONBLOCK), 0);
    server.go_on();
    assert_eq!(client.settle(SMTP_PENDING), 0);
    client.set(Property::Blocking, 1);
    assert_eq!(SmtpNoop(client.0), 0);
    assert_eq!(flags(0), 0, "else it would have asked without a pause");
    server_is_left(client, server);
}
