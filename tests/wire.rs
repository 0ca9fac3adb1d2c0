//! The transcripts over a socket, through the C interface: the server's octets
//! whole, one by one, line by line, and cut off at every octet, with calls that wait and
//! with calls that do not; and what a connection can meet besides.

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/smtp.rs"]
mod smtp;
#[path = "support/transcript.rs"]
mod transcript;

use scripted::{Scripted, Step};
use smtp::{Failure, Smtp};
use smtpclient::client::{Options, Property, auth_type_number};
use smtpclient::error::{Class, Code, Phase};
use std::time::{Duration, Instant};
use transcript::{Action, Transcript};

fn pieces(octets: &[u8], by: usize) -> Vec<Step> {
    match by {
        0 => vec![Step::Send(octets.to_vec())],
        1 => octets.chunks(1).map(|octet| Step::Send(octet.to_vec())).collect(),
        _ => octets.split_inclusive(|octet| *octet == b'\n').map(|line| Step::Send(line.to_vec())).collect(),
    }
}

fn script(transcript: &Transcript, by: usize) -> Vec<Step> {
    let mut script = Vec::new();
    for action in &transcript.actions {
        match action {
            Action::Client(octets) => script.push(Step::Expect(octets.clone())),
            Action::ClientMasked(beginning) => script.push(Step::ExpectLine(beginning.clone())),
            Action::ClientOctets(count) => script.push(Step::ExpectOctets(*count)),
            Action::Server(octets) => script.extend(pieces(octets, by)),
            Action::Reconnect => script.push(Step::Accept),
            _ => {}
        }
    }
    script.push(Step::AwaitClose);
    script
}

/// Whether calls wait, or the test does.
#[derive(Clone, Copy, Debug)]
enum Mode {
    Blocking,
    NonBlocking,
}

const MODES: [Mode; 2] = [Mode::Blocking, Mode::NonBlocking];

fn client(transcript: &Transcript, mode: Mode) -> Smtp {
    let client = Smtp::new();
    client.set(Property::Blocking, i64::from(matches!(mode, Mode::Blocking)));
    client.set(Property::TlsMode, transcript.security as i64);
    client.set(Property::AllOrNothing, i64::from(transcript.all_or_nothing));
    client.set(Property::DeliveryOptions, i64::from(transcript.delivery));
    client.set_text(Property::EnvelopeId, &transcript.envelope_id);
    client.set(Property::LeaveOut, i64::from(transcript.leave_out));
    client.set_text(Property::MailParameters, &transcript.parameters);
    client.set_text(Property::DeliverBy, &transcript.deliver_by);
    client.set(Property::HoldFor, i64::from(transcript.hold_for));
    client.set_text(Property::HoldUntil, &transcript.hold_until);
    client.set(Property::MtPriority, i64::from(transcript.priority));
    client.set(Property::RequireTls, i64::from(transcript.require_tls));
    client.set_text(Property::AuthSender, &transcript.auth_sender);
    client.set_text(Property::DisabledExtensions, &transcript.disabled);
    client.set(Property::AuthType, auth_type_number(transcript.mechanism));
    client.set_text(Property::BearerToken, &transcript.token);
    client.set_text(Property::AuthIdentity, &transcript.identity);
    let methods: Vec<&str> = transcript.methods.iter().map(|method| method.name()).collect();
    client.set_text(Property::AuthMethods, &methods.join(" "));
    for (address, bits, original) in &transcript.recipients {
        client.set_recipient_delivery(Some(address), *bits, original.as_deref()).expect("a good wish");
    }
    client.set(Property::Chunking, transcript.chunking);
    client.set(Property::Binary, i64::from(transcript.binary));
    let lmtp = if transcript.lmtp { Options::LMTP.0 } else { 0 };
    let basic = if transcript.extended { 0 } else { Options::BASIC.0 };
    client.set(Property::Options, i64::from(basic | lmtp));
    client
}

fn command(client: &Smtp, port: u16, action: &Action) -> Option<Result<(), Failure>> {
    Some(match action {
        Action::Open => client.connect(port, 0),
        Action::Auth(user, password) => client.authenticate(user, password),
        Action::Send { sender, recipients, content } => client.send(sender, recipients, content),
        Action::Create { sender, size } => client.create(sender, *size),
        Action::Recipient(address) => client.add_recipient(address),
        Action::Write(content) => client.write(content),
        Action::Close => client.close_message(),
        Action::Reset => client.reset(),
        Action::Command(verb, parameters) => client.command(verb, parameters),
        Action::Ask(verb, address) if verb == "VRFY" => client.verify(address),
        Action::Ask(_, address) => client.expand(address).map(|_| ()),
        Action::Turn(node) => client.turn(node),
        Action::Quit => client.disconnect(),
        _ => return None,
    })
}

fn play(transcript: &Transcript, by: usize, mode: Mode) {
    let server = Scripted::start(script(transcript, by));
    let client = client(transcript, mode);
    let mut result: Option<Result<(), Failure>> = None;
    for action in &transcript.actions {
        let at = format!("{} {mode:?} by {by}: {action:?}", transcript.name);
        match action {
            Action::Ok => result.take().expect(&at).unwrap_or_else(|failure| panic!("{at}: {failure:?}")),
            Action::Fail { code, phase } => {
                let failure = result.take().expect(&at).expect_err(&at);
                assert_eq!(
                    (failure.code.name(), failure.phase.name()),
                    (code.as_str(), phase.as_str()),
                    "{at}: {failure:?}"
                );
            }
            Action::Outcome(name) => assert_eq!(client.message_outcome(), name, "{at}"),
            Action::Recipients(names) => assert_eq!(client.states(), *names, "{at}"),
            other => {
                if let Some(done) = command(&client, server.port, other) {
                    result = Some(done);
                }
            }
        }
    }
    drop(client);
    server.finish().unwrap_or_else(|problem| panic!("{} {mode:?} by {by}: {problem}", transcript.name));
}

#[test]
fn transcripts_whole_by_octets_and_by_lines() {
    for transcript in transcript::all().iter().filter(|transcript| transcript.is_plain()) {
        for by in 0..3 {
            // See the test of the same name in session.rs.
            let together = transcript.name == "starttls_injection" || transcript.name.starts_with("early_");
            if by == 0 || !together {
                MODES.iter().for_each(|mode| play(transcript, by, *mode));
            }
        }
    }
}

#[test]
fn transcripts_cut_at_every_octet() {
    for transcript in transcript::all().iter().filter(|transcript| transcript.is_plain()) {
        for cut in 0..transcript.server_octets() {
            MODES.iter().for_each(|mode| play_cut(transcript, cut, *mode));
        }
    }
}

/// Ends the stream after so many octets of the server's.
fn play_cut(transcript: &Transcript, cut: usize, mode: Mode) {
    let mut left = cut;
    let mut script = Vec::new();
    for step in self::script(transcript, 0) {
        match step {
            Step::Send(octets) if octets.len() > left => {
                script.push(Step::Send(octets[..left].to_vec()));
                break;
            }
            Step::Send(octets) => {
                left -= octets.len();
                script.push(Step::Send(octets));
            }
            other => script.push(other),
        }
    }
    let server = Scripted::start(script);
    let client = client(transcript, mode);
    let at = format!("{} {mode:?} cut after {cut}", transcript.name);
    let mut failed = false;
    for action in &transcript.actions {
        let Some(result) = command(&client, server.port, action) else { continue };
        if let Err(failure) = result {
            failed = true;
            assert_ne!(failure.code, Code::INTERNAL, "{at}: {failure:?}");
            if failure.code.class() == Class::Wire {
                // Refused is the connection that takes over from another; the handshake's is for a script that leaves TLS out.
                let known =
                    [Code::CONNECTION_CLOSED, Code::CONNECTION_RESET, Code::CONNECTION_REFUSED, Code::TLS_HANDSHAKE];
                assert!(known.contains(&failure.code), "{at}: {failure:?}");
                // Without a recipient the end is that of a message for nobody: no harm.
                let in_vain = ["data_accepted", "chunks_in_vain", "chunks_lying_size"]
                    .iter()
                    .any(|name| transcript.name.contains(name));
                if failure.phase == Phase::End && !in_vain {
                    assert_eq!(client.message_outcome(), "UNKNOWN", "{at}: {failure:?}");
                }
            }
        } else if matches!(action, Action::Send { .. }) {
            assert_eq!(client.message_outcome(), "ACCEPTED", "{at}");
        }
    }
    assert!(failed || cut > 0 && transcript.actions.contains(&Action::Quit), "{at}");
    drop(client);
    server.finish().unwrap_or_else(|problem| panic!("{at}: {problem}"));
}

fn greeting() -> Vec<Step> {
    vec![
        Step::Send(b"220 hi\r\n".to_vec()),
        Step::Expect(b"EHLO client.example\r\n".to_vec()),
        Step::Send(b"250-mail.example\r\n250 PIPELINING\r\n".to_vec()),
    ]
}

fn envelope(content_goes: bool) -> Vec<Step> {
    let mut steps = greeting();
    steps.push(Step::Expect(b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n".to_vec()));
    if content_goes {
        steps.push(Step::Send(b"250 ok\r\n250 ok\r\n354 go\r\n".to_vec()));
    }
    steps
}

#[test]
fn properties_tell_of_the_session() {
    let mut steps = envelope(true);
    steps.push(Step::Expect(b"x\r\n.\r\n".to_vec()));
    steps.push(Step::Send(b"250 2.0.0 Ok: queued as XYZ\r\n".to_vec()));
    let server = Scripted::start(steps);
    let client = Smtp::new();
    assert_eq!(client.integer(Property::IsConnected), 0);
    client.connect(server.port, 0).expect("connects");
    assert_eq!(client.integer(Property::IsConnected), 1);
    assert_eq!(client.integer(Property::IsExtended), 1);
    assert_eq!(client.text(Property::Extensions), "PIPELINING");
    assert_eq!(client.text(Property::PeerAddress), format!("127.0.0.1:{}", server.port));
    client.send("a@x.example", "b@y.example", b"x").expect("sent");
    assert_eq!(client.integer(Property::ResultCode), 250);
    assert_eq!(client.text(Property::EnhancedCode), "2.0.0");
    assert_eq!(client.text(Property::FinalReply), "250 2.0.0 Ok: queued as XYZ");
    assert_eq!(client.text(Property::QueueId), "XYZ");
    assert_eq!(client.integer(Property::SafeToRetry), 0);
    client.disconnect().expect("always");
    assert_eq!(client.integer(Property::IsConnected), 0);
    assert_eq!(client.text(Property::QueueId), "XYZ", "outlives the connection");
    server.finish().expect("as scripted");
}

#[test]
fn the_greeting_name_is_the_address_if_the_machine_has_no_full_name() {
    let server = Scripted::start(vec![
        Step::Send(b"220 hi\r\n".to_vec()),
        Step::Expect(b"EHLO ".to_vec()),
        Step::Pause(50),
        Step::Send(b"250 ok\r\n".to_vec()),
    ]);
    let client = Smtp::new();
    client.set_text(Property::LocalName, "");
    client.connect(server.port, 0).expect("connects");
    server.finish().expect("as scripted");
}

#[test]
fn a_reset_in_every_phase() {
    let cases = [
        (vec![], Phase::Greeting, "NOT_SENT"),
        (greeting()[..2].to_vec(), Phase::Ehlo, "NOT_SENT"),
        (envelope(false), Phase::Mail, "NOT_SENT"),
    ];
    for (mut script, phase, outcome) in cases {
        script.extend([Step::Pause(50), Step::Reset]);
        let server = Scripted::start(script);
        let client = Smtp::new();
        let sent = client.connect(server.port, 0).and_then(|()| client.send("a@x.example", "b@y.example", b"x"));
        let failure = sent.expect_err("the connection was cut off");
        assert!([Code::CONNECTION_RESET, Code::CONNECTION_CLOSED].contains(&failure.code), "{failure:?}");
        assert_eq!(failure.phase, phase, "{failure:?}");
        assert_eq!(client.message_outcome(), outcome);
        server.finish().expect("as scripted");
    }
    let mut script = envelope(true);
    script.extend([Step::Expect(b"x\r\n.\r\n".to_vec()), Step::Reset]);
    let server = Scripted::start(script);
    let client = Smtp::new();
    client.connect(server.port, 0).expect("connects");
    let failure = client.send("a@x.example", "b@y.example", b"x").expect_err("cut off");
    assert_eq!((failure.code, failure.phase), (Code::CONNECTION_RESET, Phase::End));
    assert!(failure.sentence.contains("may have been delivered"), "{failure:?}");
    assert_eq!(client.message_outcome(), "UNKNOWN");
    assert_eq!(client.integer(Property::SafeToRetry), 0);
    server.finish().expect("as scripted");
}

/// The server says why it refuses and hangs up while megabytes are under way:
/// its words are the error, not the broken pipe.
#[test]
fn the_servers_words_win_over_the_broken_pipe() {
    let mut script = envelope(true);
    let size = 8_000_000;
    script[3] = Step::Expect(b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n".to_vec());
    script.push(Step::Pause(200));
    script.push(Step::Send(b"552 5.3.4 too big\r\n".to_vec()));
    script.push(Step::Pause(200));
    let server = Scripted::start(script);
    let client = Smtp::new();
    client.connect(server.port, 0).expect("connects");
    let failure = client.send("a@x.example", "b@y.example", &vec![b'x'; size]).expect_err("refused");
    assert_eq!(failure.code, Code::MESSAGE_REJECTED, "{failure:?}");
    assert!(failure.sentence.contains("552 5.3.4 too big"), "{failure:?}");
    assert_eq!(client.message_outcome(), "REJECTED_PERMANENT");
    server.finish().expect("as scripted");
}

#[test]
fn the_limit_of_a_call_and_of_a_phase() {
    let server = Scripted::start(vec![Step::AwaitClose]);
    let client = Smtp::new();
    client.set(Property::TimeoutGreeting, 150);
    let begun = Instant::now();
    let failure = client.connect(server.port, 0).expect_err("silent");
    assert_eq!((failure.code, failure.phase), (Code::TIMEOUT, Phase::Greeting));
    assert!(failure.sentence.contains("150 ms") && begun.elapsed() < Duration::from_secs(5), "{failure:?}");
    server.finish().expect("as scripted");
    let mut script = envelope(true);
    script.extend([Step::Expect(b"x\r\n.\r\n".to_vec()), Step::AwaitClose]);
    let server = Scripted::start(script);
    client.set(Property::TimeoutGreeting, 0);
    client.connect(server.port, 0).expect("connects");
    client.set(Property::Timeout, 200);
    let failure = client.send("a@x.example", "b@y.example", b"x").expect_err("silent");
    assert_eq!((failure.code, failure.phase), (Code::TIMEOUT, Phase::End));
    assert!(failure.sentence.contains("200 ms"), "{failure:?}");
    assert_eq!(client.message_outcome(), "UNKNOWN");
    server.finish().expect("as scripted");
}

/// QUIT that is not answered takes two seconds at most and is no failure.
#[test]
fn quit_is_bounded_and_never_fails() {
    let mut script = greeting();
    script.extend([Step::Expect(b"QUIT\r\n".to_vec()), Step::AwaitClose]);
    let server = Scripted::start(script);
    let client = Smtp::new();
    client.set(Property::TimeoutQuit, 100);
    client.connect(server.port, 0).expect("connects");
    let begun = Instant::now();
    client.disconnect().expect("never fails");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(client.disconnect().expect_err("twice").code, Code::NOT_CONNECTED);
    server.finish().expect("as scripted");
}

/// 12,000 recipients against a server that answers each at once and reads no
/// further until its answer was taken: nobody waits for the other for ever.
#[test]
fn a_long_list_does_not_deadlock() {
    const MANY: usize = 12_000;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Write};
        let (stream, _) = listener.accept().expect("a client");
        let socket = socket2::SockRef::from(&stream);
        socket.set_send_buffer_size(16384).expect("small windows");
        socket.set_recv_buffer_size(16384).expect("small windows");
        let mut writer = stream.try_clone().expect("a second handle");
        writer.write_all(b"220 hi\r\n").expect("sent");
        let mut recipients = 0;
        for line in BufReader::new(stream).lines() {
            let line = line.expect("a line");
            let reply = match line.split(' ').next().unwrap_or_default() {
                "EHLO" => "250-hi\r\n250 PIPELINING\r\n".to_owned(),
                "RCPT" => {
                    recipients += 1;
                    format!("250 2.1.5 {} ok\r\n", "long answer ".repeat(10))
                }
                "DATA" => "354 go\r\n".to_owned(),
                "QUIT" => break,
                "x" => continue,
                _ => "250 ok\r\n".to_owned(),
            };
            writer.write_all(reply.as_bytes()).expect("sent");
        }
        recipients
    });
    let client = Smtp::new();
    client.connect(port, 0).expect("connects");
    let recipients = (0..MANY).map(|number| format!("r{number}@y.example")).collect::<Vec<_>>().join(",");
    client.send("a@x.example", &recipients, b"x\r\n").expect("sent");
    assert_eq!(client.integer(Property::RecipientsAccepted), i64::try_from(MANY).expect("fits"));
    client.disconnect().expect("always");
    assert_eq!(server.join().expect("no panic"), MANY);
}

#[test]
fn nobody_listens_and_no_such_name() {
    let client = Smtp::new();
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound").port()
    };
    let failure = client.connect(port, 0).expect_err("nobody listens");
    assert_eq!((failure.code, failure.phase), (Code::CONNECTION_REFUSED, Phase::Connect));
    assert!(failure.sentence.contains(&format!("127.0.0.1:{port}")), "{failure:?}");
    assert_ne!(client.integer(Property::ErrorOs), 0);
    let failure = client.connect_to("no-such-host.invalid", 25, 0).expect_err("no such name");
    assert!([Code::HOST_NOT_FOUND, Code::HOST_LOOKUP_FAILED].contains(&failure.code), "{failure:?}");
    assert_eq!(failure.phase, Phase::Resolve);
}

#[test]
fn reading_about_a_failure_does_not_change_it() {
    let client = Smtp::new();
    let failure = client.connect_to("127.0.0.1:25", 25, 0).expect_err("the port is in the wrong place");
    assert_eq!(failure.code, Code::INVALID_PARAMETER);
    assert!(failure.sentence.contains("port as a parameter"), "{failure:?}");
    let mut small = [0_u8; 4];
    for property in [Property::ErrorRemedy as u32, 9999] {
        // SAFETY: a live buffer of that size.
        #[allow(unsafe_code)]
        let code = unsafe {
            smtpclient::ffi::SmtpGetString(client.0, property, small.as_mut_ptr().cast(), 4, std::ptr::null_mut())
        };
        assert!(code < 0);
        assert_eq!(client.integer(Property::LastError), i64::from(Code::INVALID_PARAMETER.0));
    }
    for host in ["a..b", "-", "a b", "", "x\r\ny", &"a".repeat(300)] {
        let failure = client.connect_to(host, 25, 0).expect_err(host);
        assert_eq!((failure.code, failure.phase), (Code::INVALID_PARAMETER, Phase::Argument), "{failure:?}");
    }
}

/// The outcome is that of the last call, also if its arguments were no good.
#[test]
fn bad_arguments_do_not_leave_the_outcome_of_the_message_before() {
    let mut steps = envelope(true);
    steps.push(Step::Expect(b"x\r\n.\r\n".to_vec()));
    steps.push(Step::Send(b"250 ok\r\n".to_vec()));
    let server = Scripted::start(steps);
    let client = Smtp::new();
    client.connect(server.port, 0).expect("connects");
    client.send("a@x.example", "b@y.example", b"x").expect("sent");
    assert_eq!(client.message_outcome(), "ACCEPTED");
    // SAFETY: null is refused.
    #[allow(unsafe_code)]
    let code =
        unsafe { smtpclient::ffi::SmtpSendMessage(client.0, std::ptr::null(), c"b@y".as_ptr(), std::ptr::null(), 0) };
    assert_eq!(code, Code::NULL_POINTER.0);
    assert_eq!(client.message_outcome(), "NOT_SENT");
    assert_eq!(client.text(Property::FinalReply), "");
    server.finish().expect("as scripted");
}

#[test]
fn each_recipients_fate_is_told_also_after_the_connection() {
    let mut steps = greeting();
    steps.push(Step::Expect(
        b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nRCPT TO:<c@y.example>\r\nRCPT TO:<d@y.example>\r\nDATA\r\n".to_vec(),
    ));
    steps.push(Step::Send(b"250 ok\r\n250 ok\r\n550-5.1.1 no\r\n550 5.1.1 one\r\n452 later\r\n354 go\r\n".to_vec()));
    steps.push(Step::Expect(b"x\r\n.\r\n".to_vec()));
    steps.push(Step::Send(b"250 ok\r\n".to_vec()));
    let server = Scripted::start(steps);
    let client = Smtp::new();
    client.connect(server.port, 0).expect("connects");
    client.send("a@x.example", "Bee <b@y.example>, c@y.example,d@y.example", b"x").expect("one was accepted");
    drop(server.finish());
    client.disconnect().expect("always");
    let mut count = 0;
    // SAFETY: a live integer.
    #[allow(unsafe_code)]
    let code = unsafe { smtpclient::ffi::SmtpGetRecipientCount(client.0, &raw mut count) };
    assert_eq!((code, count), (0, 3));
    assert_eq!(client.recipient(0), (1, 0, [0, 0, 0], "b@y.example".into(), String::new()));
    assert_eq!(client.recipient(1), (3, 550, [5, 1, 1], "c@y.example".into(), "5.1.1 no\n5.1.1 one".into()));
    assert_eq!(client.recipient(2), (2, 452, [0, 0, 0], "d@y.example".into(), "later".into()));
    assert_eq!(client.integer(Property::RecipientsAccepted), 1);
    assert_eq!(client.integer(Property::RecipientsRefused), 2);
    let list = "c@y.example: 550 5.1.1 no / 5.1.1 one\nd@y.example: 452 later";
    assert_eq!(client.text(Property::RefusedRecipients), list);
}

#[test]
fn a_message_from_a_file() {
    let path = format!("{}/message-{}.eml", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let line = b"0123456789abcdef0123456789abcdef\r\n";
    let content = line.repeat(10_000);
    std::fs::write(&path, &content).expect("written");
    let mut steps = envelope(true);
    steps.push(Step::Expect([&content[..], b".\r\n"].concat()));
    steps.push(Step::Send(b"250 ok\r\n".to_vec()));
    let server = Scripted::start(steps);
    let client = Smtp::new();
    client.connect(server.port, 0).expect("connects");
    for missing in ["/nonexistent/message.eml", "/"] {
        let failure = client.send_file("a@x.example", "b@y.example", missing).expect_err("cannot be read");
        assert_eq!((failure.code, failure.phase), (Code::FILE, Phase::Argument), "{failure:?}");
        assert!(failure.sentence.contains(missing), "{failure:?}");
        assert_eq!(client.message_outcome(), "NOT_SENT");
    }
    client.send_file("a@x.example", "b@y.example", &path).expect("sent");
    assert_eq!(client.message_outcome(), "ACCEPTED");
    server.finish().expect("as scripted");
    std::fs::remove_file(&path).expect("removed");
}

#[test]
fn a_message_from_a_reader_piece_by_piece() {
    let mut steps = envelope(true);
    steps.push(Step::Expect(b"one\r\n..two\r\n.\r\n".to_vec()));
    steps.push(Step::Send(b"250 ok\r\n".to_vec()));
    let server = Scripted::start(steps);
    let client = Smtp::new();
    client.connect(server.port, 0).expect("connects");
    let mut pieces = [&b"one\r"[..], b"\n", b".two"].into_iter();
    let mut read = |buffer: &mut [u8]| {
        let Some(piece) = pieces.next() else { return 0 };
        buffer[..piece.len()].copy_from_slice(piece);
        i64::try_from(piece.len()).expect("short")
    };
    client.send_stream(u64::MAX, &mut read).expect("sent");
    server.finish().expect("as scripted");
}

/// A reader that gives up leaves the message incomplete: nothing of it may be
/// taken for the whole.
#[test]
fn a_reader_that_gives_up() {
    for answer in [-1_i64, i64::MIN, 1 << 40] {
        let mut steps = envelope(true);
        steps.push(Step::Expect(b"half".to_vec()));
        let server = Scripted::start(steps);
        let client = Smtp::new();
        client.connect(server.port, 0).expect("connects");
        let mut calls = 0;
        let mut read = |buffer: &mut [u8]| {
            calls += 1;
            buffer[..4].copy_from_slice(b"half");
            if calls == 1 { 4 } else { answer }
        };
        let failure = client.send_stream(u64::MAX, &mut read).expect_err("gave up");
        assert_eq!((failure.code, failure.phase), (Code::READER, Phase::Content), "{failure:?}");
        assert_eq!(client.message_outcome(), "NOT_SENT");
        assert_eq!(client.integer(Property::IsConnected), 0);
        // What was queued need not have left.
        drop(server.finish());
    }
}

#[test]
fn asking_about_addresses() {
    let mut steps = greeting();
    steps.extend([
        Step::Expect(b"VRFY alice@x.example\r\n".to_vec()),
        Step::Send(b"250 <alice@x.example>\r\n".to_vec()),
        Step::Expect(b"EXPN team\r\n".to_vec()),
        Step::Send(b"250-<a@x.example>\r\n250 <b@x.example>\r\n".to_vec()),
        Step::Expect(b"EXPN nobody\r\n".to_vec()),
        Step::Send(b"550 5.1.1 no such list\r\n".to_vec()),
    ]);
    let server = Scripted::start(steps);
    let client = Smtp::new();
    client.connect(server.port, 0).expect("connects");
    client.verify("Alice <alice@x.example>").expect("known");
    assert_eq!(client.expand("team").expect("a list"), "<a@x.example>\n<b@x.example>");
    let failure = client.expand("nobody").expect_err("no list");
    assert_eq!((failure.code, failure.phase), (Code::COMMAND_REJECTED, Phase::Command), "{failure:?}");
    let failure = client.verify("a@x.example\r\nQUIT").expect_err("injection");
    assert_eq!(failure.code, Code::INVALID_ADDRESS);
    server.finish().expect("as scripted");
}

#[test]
fn domains_go_out_in_ascii_and_need_no_smtputf8() {
    let mut steps = greeting();
    steps.push(Step::Expect(
        "MAIL FROM:<a@xn--bcher-kva.example>\r\nRCPT TO:<b@xn--hxajbheg2az3al.test>\r\nDATA\r\n".as_bytes().to_vec(),
    ));
    steps.push(Step::Send(b"250 ok\r\n250 ok\r\n354 go\r\n".to_vec()));
    steps.push(Step::Expect(b"x\r\n.\r\n".to_vec()));
    steps.push(Step::Send(b"250 ok\r\n".to_vec()));
    let server = Scripted::start(steps);
    let client = Smtp::new();
    client.connect(server.port, 0).expect("connects");
    client.send("a@bücher.example", "Name <b@παράδειγμα.test>", b"x").expect("sent");
    let failure = client.send("a@x.example", "b@é_\u{fffd}.test", b"x").expect_err("no such domain");
    assert_eq!(failure.code, Code::INVALID_ADDRESS, "{failure:?}");
    server.finish().expect("as scripted");
}

#[test]
fn properties_of_every_message_are_checked_when_they_are_set() {
    use smtpclient::ffi::{SmtpSetInteger, SmtpSetString};
    let client = Smtp::new();
    for bits in [1, 0x18000, 0x18_0000, -1] {
        assert_eq!(SmtpSetInteger(client.0, Property::DeliveryOptions as u32, bits), Code::INVALID_PARAMETER.0);
    }
    for (property, value, code) in [
        (Property::EnvelopeId, c"a\r\nb".to_owned(), Code::INVALID_PARAMETER),
        (Property::EnvelopeId, std::ffi::CString::new("x".repeat(101)).expect("no NUL"), Code::TOO_LONG),
        (Property::MailParameters, c"A=b=c".to_owned(), Code::INVALID_PARAMETER),
        (Property::MailParameters, c"A\r\nRCPT".to_owned(), Code::INVALID_PARAMETER),
    ] {
        // SAFETY: a live string.
        #[allow(unsafe_code)]
        let set = unsafe { SmtpSetString(client.0, property as u32, value.as_ptr()) };
        assert_eq!(set, code.0, "{value:?}");
    }
}

/// Every event that a callback was told, with its progress.
#[allow(unsafe_code)]
unsafe extern "C" fn remember(event: *const smtpclient::ffi::SmtpEvent, data: *mut std::ffi::c_void) -> i32 {
    // SAFETY: the library's event, and the list that the test passed.
    unsafe {
        let list = &*data.cast::<std::sync::Mutex<Vec<(u32, u64, u64)>>>();
        list.lock().expect("no panic").push(((*event).event, (*event).bytes_copied, (*event).bytes_total));
    }
    0
}

#[test]
fn progress_is_told_at_the_beginning_at_the_end_and_seldom_in_between() {
    use smtpclient::client::EventKind;
    for (size, most) in [(0_usize, 2_usize), (100, 3), (20_000_000, 103)] {
        let content = vec![b'x'; size];
        let mut wire = content.clone();
        wire.extend_from_slice(if size == 0 { b".\r\n" } else { b"\r\n.\r\n" });
        let mut steps = envelope(true);
        steps.extend([Step::Expect(wire), Step::Send(b"250 ok\r\n".to_vec())]);
        let server = Scripted::start(steps);
        let client = Smtp::new();
        let list = std::sync::Mutex::new(Vec::<(u32, u64, u64)>::new());
        // SAFETY: the list outlives the client's use of it, which ends below.
        #[allow(unsafe_code)]
        let register = |callback| unsafe {
            let data = (&raw const list).cast_mut().cast();
            smtpclient::ffi::SmtpRegisterEvent(client.0, EventKind::Progress as u32, callback, data, None)
        };
        assert_eq!(register(Some(remember)), 0);
        client.connect(server.port, 0).expect("connects");
        client.send("a@x.example", "b@y.example", &content).expect("sent");
        assert_eq!(register(None), 0);
        server.finish().expect("as scripted");
        let told = list.into_inner().expect("no panic");
        let total = size as u64;
        assert!(told.iter().all(|(event, _, of)| *event == EventKind::Progress as u32 && *of == total));
        assert_eq!(told.first().map(|event| event.1), Some(0));
        assert_eq!(told.last().map(|event| event.1), Some(total));
        assert!(told.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        assert!(told.len() <= most, "{} events for {size} octets", told.len());
    }
}

#[test]
fn a_connection_that_was_not_made_keeps_no_reply_of_the_one_before() {
    let mut steps = greeting();
    steps.extend([Step::Expect(b"QUIT\r\n".to_vec()), Step::Send(b"221 bye\r\n".to_vec())]);
    let server = Scripted::start(steps);
    let client = Smtp::new();
    client.connect(server.port, 0).expect("connects");
    client.disconnect().expect("always");
    assert_eq!(client.integer(Property::ResultCode), 221);
    server.finish().expect("as scripted");
    let failure = client.connect(1, 0).expect_err("nobody listens");
    assert_eq!(failure.code, Code::CONNECTION_REFUSED);
    assert_eq!((client.integer(Property::ResultCode), client.text(Property::ResultString)), (0, String::new()));
    assert!(client.text(Property::ErrorJson).contains("\"name\":\"SMTP_ERROR_CONNECTION_REFUSED\""));
}

/// Thousands of messages on one connection to a server that answers at once:
/// whenever its answer is read, it must be known that the end of the message had left.
#[test]
fn answers_that_come_at_once_are_not_taken_for_early_ones() {
    use std::io::{Read, Write};
    const MESSAGES: usize = 3000;
    const LENGTH: usize = 60_000;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.set_nodelay(true).expect("set");
        let mut buffer = vec![0; 256 * 1024];
        let mut take = |stream: &mut std::net::TcpStream, count: usize| {
            let mut left = count;
            while left > 0 {
                let most = left.min(buffer.len());
                match stream.read(&mut buffer[..most]) {
                    Ok(0) | Err(_) => return false,
                    Ok(read) => left -= read,
                }
            }
            true
        };
        stream.write_all(b"220 hi\r\n").expect("sent");
        take(&mut stream, b"EHLO client.example\r\n".len());
        stream.write_all(b"250-hi\r\n250 PIPELINING\r\n").expect("sent");
        let envelope = "MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n".len();
        for _ in 0..MESSAGES {
            let taken = take(&mut stream, envelope)
                && stream.write_all(b"250 ok\r\n250 ok\r\n354 go\r\n").is_ok()
                && take(&mut stream, LENGTH + 5)
                && stream.write_all(b"250 ok\r\n").is_ok();
            if !taken {
                return;
            }
        }
    });
    let client = Smtp::new();
    client.connect(port, 0).expect("connects");
    let message = vec![b'x'; LENGTH];
    for number in 0..MESSAGES {
        client
            .send("a@x.example", "b@y.example", &message)
            .unwrap_or_else(|failure| panic!("message {number}: {failure:?}"));
        assert_eq!(client.message_outcome(), "ACCEPTED", "message {number}");
    }
    drop(client);
    server.join().expect("no panic");
}

#[test]
fn extensions_one_by_one_and_as_bits() {
    let steps = vec![
        Step::Send(b"220 hi\r\n".to_vec()),
        Step::Expect(b"EHLO client.example\r\n".to_vec()),
        Step::Send(
            b"250-mail.example\r\n250-Size 1000\r\n250-dsn\r\n250-AUTH PLAIN LOGIN\r\n250-HELP\r\n250 X-OWN a b\r\n"
                .to_vec(),
        ),
        Step::Expect(b"HELP\r\n".to_vec()),
        Step::Send(b"214-one\r\n214 two\r\n".to_vec()),
        Step::Expect(b"HELP MAIL\r\n".to_vec()),
        Step::Send(b"504 no\r\n".to_vec()),
    ];
    let server = Scripted::start(steps);
    let client = Smtp::new();
    assert_eq!(client.capability("SIZE"), Err(Code::EXTENSION_UNAVAILABLE), "not connected");
    client.set_text(Property::DisabledExtensions, "dsn STARTTLS");
    client.connect(server.port, 0).expect("connects");
    assert_eq!(client.capability("size").as_deref(), Ok("1000"));
    assert_eq!(client.capability("AUTH").as_deref(), Ok("PLAIN LOGIN"));
    assert_eq!(client.capability("Help").as_deref(), Ok(""));
    assert_eq!(client.capability("x-own").as_deref(), Ok("a b"));
    assert_eq!(client.capability("DSN"), Err(Code::EXTENSION_UNAVAILABLE));
    assert_eq!(client.capability("ETRN"), Err(Code::EXTENSION_UNAVAILABLE));
    for keyword in ["", "SIZE 1000", "A=B", "-A", "\u{e9}", "A\r\nB"] {
        assert_eq!(client.capability(keyword), Err(Code::INVALID_PARAMETER), "{keyword:?}");
    }
    assert_eq!(client.text(Property::Extensions), "Size 1000\ndsn\nAUTH PLAIN LOGIN\nHELP\nX-OWN a b");
    assert_eq!(client.integer(Property::ExtendedOptions), 0x8 | 0x40 | 0x40000);
    let reason = "DSN: switched off by SMTP_PROPERTY_DISABLED_EXTENSIONS";
    assert_eq!(client.text(Property::LeftOutExtensions), reason);
    client.set(Property::DeliveryOptions, 0x8000);
    let failure = client.send("a@x.example", "b@y.example", b"x").expect_err("switched off");
    assert_eq!(failure.code, Code::EXTENSION_UNAVAILABLE);
    assert!(failure.sentence.contains("DSN (RFC 3461) is left out: switched off by"), "{failure:?}");
    assert_eq!(client.text(Property::ErrorOffered), client.text(Property::Extensions));
    assert_eq!(client.text(Property::ErrorSkipped), reason);
    assert!(client.text(Property::ErrorJson).contains("\"skipped\":[{\"name\":\"DSN\",\"reason\":\"switched off by"));
    assert_eq!(client.help(None).expect("told"), "one\ntwo");
    let failure = client.help(Some("MAIL")).expect_err("refused");
    assert_eq!((failure.code, failure.phase), (Code::COMMAND_REJECTED, Phase::Command));
    assert_eq!(client.text(Property::ErrorOffered), "");
    server.finish().expect("as scripted");
}

/// What a server was found not to understand is not tried with it again.
#[test]
fn a_liar_is_remembered_by_host_and_port() {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = std::thread::spawn(move || {
        let mut mails = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut lines = BufReader::new(stream.try_clone().expect("a copy")).lines();
            stream.write_all(b"220 hi\r\n").expect("sent");
            while let Some(Ok(line)) = lines.next() {
                let reply: &[u8] = match line.get(..4).unwrap_or(line.as_str()) {
                    "EHLO" => b"250-hi\r\n250-SIZE 1000\r\n250 X\r\n",
                    "MAIL" if line.contains("SIZE=") => b"555 5.5.4 what is SIZE\r\n",
                    "DATA" => b"354 go\r\n",
                    "x" => continue,
                    _ => b"250 ok\r\n",
                };
                if line.starts_with("MAIL") {
                    mails.push(line.clone());
                }
                stream.write_all(reply).expect("sent");
                if line == "QUIT" {
                    break;
                }
            }
        }
        mails
    });
    let client = Smtp::new();
    client.set(Property::Timeout, 20_000);
    let reason = "SIZE: the server offered it and refused its parameter (555 5.5.4 what is SIZE)";
    for round in 0..2 {
        client.connect(port, 0).expect("connects");
        assert_eq!(client.text(Property::LeftOutExtensions), if round == 0 { "" } else { reason });
        for _ in 0..2 {
            client.send("a@x.example", "b@y.example", b"x\r\n").expect("sent");
            assert_eq!(client.message_outcome(), "ACCEPTED");
            assert_eq!(client.text(Property::LeftOutExtensions), reason);
        }
        assert_eq!(client.capability("SIZE"), Err(Code::EXTENSION_UNAVAILABLE));
        assert_eq!(client.text(Property::Extensions), "SIZE 1000\nX");
        client.disconnect().expect("always");
        assert_eq!(client.text(Property::LeftOutExtensions), "", "of the connection there is");
    }
    let mails = server.join().expect("no panic");
    let plain = "MAIL FROM:<a@x.example>";
    assert_eq!(mails, ["MAIL FROM:<a@x.example> SIZE=3", plain, plain, plain, plain]);
}

#[test]
fn wishes_are_checked_when_they_are_set() {
    use smtpclient::ffi::{SmtpSetInteger, SmtpSetString};
    let client = Smtp::new();
    for (property, value, code) in [
        (Property::DeliverBy, c"0;R", Code::INVALID_PARAMETER),
        (Property::HoldUntil, c"tomorrow", Code::INVALID_PARAMETER),
        (Property::AuthSender, c"a@b@c", Code::INVALID_ADDRESS),
        (Property::DisabledExtensions, c"A=B", Code::INVALID_PARAMETER),
        (Property::LeftOutExtensions, c"", Code::READ_ONLY_PROPERTY),
    ] {
        // SAFETY: a live string.
        #[allow(unsafe_code)]
        let set = unsafe { SmtpSetString(client.0, property as u32, value.as_ptr()) };
        assert_eq!(set, code.0, "{value:?}");
    }
    for (property, value) in [
        (Property::HoldFor, 1_000_000_000),
        (Property::HoldFor, -1),
        (Property::MtPriority, 10),
        (Property::MtPriority, -10),
        (Property::RequireTls, 2),
    ] {
        assert_eq!(SmtpSetInteger(client.0, property as u32, value), Code::INVALID_PARAMETER.0);
    }
    let own = |options, original| client.set_recipient_delivery(Some("b@y.example"), options, original);
    assert_eq!(own(0x80000, None).expect_err("RET is the message's").code, Code::INVALID_PARAMETER);
    assert_eq!(own(0x8000 | 0x10000, None).expect_err("NEVER alone").code, Code::INVALID_PARAMETER);
    assert_eq!(own(0, Some("a@b@c")).expect_err("no address").code, Code::INVALID_ADDRESS);
    assert_eq!(own(0, Some(&format!("x400;{}", "x".repeat(500)))).expect_err("long").code, Code::TOO_LONG);
    let nobody = client.set_recipient_delivery(Some("a@b@c"), 0, None);
    assert_eq!(nobody.expect_err("no address").code, Code::INVALID_ADDRESS);
    client.set_recipient_delivery(None, 0, None).expect("clears");
}
