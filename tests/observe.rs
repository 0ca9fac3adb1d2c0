//! How a program sees what the library does, through the C interface: the trace
//! and its replay, events, states, times and counts, and the record of an error.

#![allow(unsafe_code)]

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/smtp.rs"]
mod smtp;
#[path = "support/transcript.rs"]
mod transcript;

use scripted::{Scripted, Step};
use smtp::Smtp;
use smtpclient::client::{EventKind, Property, State};
use smtpclient::error::{Code, Phase};
use smtpclient::ffi::*;
use smtpclient::proto::RecipientState;
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::Mutex;
use transcript::Action;

const FLAG_HEX: i64 = 4;
const FLAG_CONTENT: i64 = 8;

fn send(text: &str) -> Step {
    Step::Send(text.as_bytes().to_vec())
}

fn expect(text: &str) -> Step {
    Step::Expect(text.as_bytes().to_vec())
}

fn greeting() -> Vec<Step> {
    vec![
        send("220 mail.example ESMTP\r\n"),
        expect("EHLO client.example\r\n"),
        send("250-mail.example\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n"),
    ]
}

/// A session with a login, a refused recipient, a dot, and odd octets.
fn session() -> Vec<Step> {
    let mut steps = greeting();
    steps.extend([
        expect("AUTH PLAIN AHRpbQBodW50ZXIy\r\n"),
        send("235 2.7.0 welcome\\\t\u{e9}\r\n"),
        expect("MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nRCPT TO:<c@y.example>\r\nDATA\r\n"),
        send("250 ok\r\n250 ok\r\n550-5.1.1 no\r\n550 5.1.1 one\r\n354 go\r\n"),
        Step::Expect(b"Subject: hi\r\n\r\n..dot\r\n\t\\ \xff\r\n.\r\n".to_vec()),
        send("250 2.0.0 Ok: queued as ABC\r\n"),
        expect("QUIT\r\n"),
        send("221 bye\r\n"),
        Step::AwaitClose,
    ]);
    steps
}

fn play_session(client: &Smtp, script: Vec<Step>) {
    let server = Scripted::start(script);
    client.connect(server.port, 0).expect("connects");
    client.authenticate("tim", "hunter2").expect("logs in");
    client.send("a@x.example", "b@y.example,c@y.example", b"Subject: hi\r\n\r\n.dot\n\t\\ \xff").expect("sent");
    assert_eq!(client.text(Property::QueueId), "ABC");
    client.disconnect().expect("always");
    server.finish().expect("as scripted");
}

fn path(name: &str) -> String {
    format!("{}/{name}-{}.txt", env!("CARGO_TARGET_TMPDIR"), std::process::id())
}

fn script_of(trace: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for action in transcript::parse(trace.as_ref()).actions {
        steps.push(match action {
            Action::Client(octets) => Step::Expect(octets),
            Action::ClientMasked(beginning) => Step::ExpectLine(beginning),
            Action::ClientOctets(count) => Step::ExpectOctets(count),
            Action::Server(octets) => Step::Send(octets),
            other => panic!("{other:?} is not for a trace"),
        });
    }
    steps.push(Step::AwaitClose);
    steps
}

/// What the library writes is the script of a server with which the same calls
/// go the same way.
#[test]
fn a_trace_file_is_replayed() {
    for (flags, secrets) in [(0, 0), (FLAG_HEX, 0), (FLAG_CONTENT, 0), (FLAG_CONTENT | FLAG_HEX, 1)] {
        let file = path(&format!("trace-{flags}"));
        let _ = std::fs::remove_file(&file);
        let client = Smtp::new();
        client.set_text(Property::TraceFile, &file);
        client.set(Property::TraceFlags, flags);
        client.set(Property::InsecureTraceSecrets, secrets);
        play_session(&client, session());
        client.set_text(Property::TraceFile, "");
        let text = std::fs::read_to_string(&file).expect("written");
        assert_eq!(text.contains("C AUTH PLAIN AHRpbQBodW50ZXIy\n"), secrets == 1, "{text}");
        assert_eq!(text.contains("C AUTH PLAIN ********\n"), secrets == 0, "{text}");
        assert_eq!(text.contains("AHRp"), secrets == 1, "{text}");
        assert_eq!(text.contains("Z C ..dot\n"), flags & FLAG_CONTENT != 0, "{text}");
        assert_eq!(text.contains("Z C# 31\n"), flags & FLAG_CONTENT == 0, "{text}");
        assert_eq!(text.contains("# 00000000  45 48 4c 4f 20"), flags & FLAG_HEX != 0, "{text}");
        for line in ["Z # connected to 127.0.0.1:", "Z S 250-PIPELINING\n", "Z C QUIT\n", "Z # disconnected\n"] {
            assert!(text.contains(line), "{line} in {text}");
        }
        let replayed = Smtp::new();
        play_session(&replayed, script_of(&file));
        std::fs::remove_file(&file).expect("removed");
    }
}

/// A failure without an answer is in the trace, and so is the end of the connection.
#[test]
fn a_trace_tells_of_failures() {
    let mut steps = greeting();
    steps.extend([expect("NOOP\r\n"), send("421 4.3.2 going down\r\n")]);
    let server = Scripted::start(steps);
    let client = Smtp::new();
    client.set(Property::TraceKeep, 3);
    client.connect(server.port, 0).expect("connects");
    client.command("NOOP", "").expect_err("the server closes");
    server.finish().expect("as scripted");
    let text = client.text(Property::TraceText);
    let lines: Vec<&str> = text.lines().map(|line| line.split_once("Z ").expect("a time").1).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0], "S 421 4.3.2 going down");
    assert!(lines[1].starts_with("# failed: the server is closing the connection"), "{text}");
    assert_eq!(lines[2], "# disconnected");
    client.set(Property::TraceKeep, 0);
    assert_eq!(client.text(Property::TraceText), "");
}

#[test]
fn a_file_that_cannot_be_written_to() {
    use std::os::unix::fs::PermissionsExt as _;
    let client = Smtp::new();
    // SAFETY: a live string.
    let set = |value: &CStr| unsafe { SmtpSetString(client.0, Property::TraceFile as u32, value.as_ptr()) };
    for bad in [c"/nonexistent/trace.txt", c"/"] {
        assert_eq!(set(bad), Code::FILE.0);
        assert!(client.sentence().contains(bad.to_str().expect("ASCII")), "{}", client.sentence());
        assert_eq!(client.text(Property::TraceFile), "");
    }
    assert_eq!(set(c"/tmp/a\nb"), Code::INVALID_PARAMETER.0);
    for (property, value) in [
        (Property::TraceKeep, 10_001),
        (Property::TraceKeep, -1),
        (Property::TraceFlags, 1),
        (Property::InsecureTraceSecrets, 2),
    ] {
        assert_eq!(SmtpSetInteger(client.0, property as u32, value), Code::INVALID_PARAMETER.0);
    }
    let file = path("private");
    let _ = std::fs::remove_file(&file);
    client.set_text(Property::TraceFile, &file);
    let mode = std::fs::metadata(&file).expect("made at once").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::remove_file(&file).expect("removed");
    if std::path::Path::new("/dev/full").exists() {
        // Every write to it fails, which costs no message.
        client.set_text(Property::TraceFile, "/dev/full");
        play_session(&client, session());
    }
}

/// What a callback was told: direction or kind, code, text, and more.
#[derive(Debug, Default)]
struct Told {
    lines: Mutex<Vec<String>>,
    times: Mutex<Vec<u64>>,
    /// Cancel when a line begins so.
    cancel_at: Option<&'static str>,
}

unsafe fn text_of(text: *const c_char, length: usize) -> String {
    // SAFETY: the library's text.
    let octets = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
    String::from_utf8_lossy(octets).into_owned()
}

impl Told {
    fn tell(&self, line: String) -> i32 {
        let cancel = self.cancel_at.is_some_and(|beginning| line.starts_with(beginning));
        self.lines.lock().expect("no panic").push(line);
        i32::from(cancel)
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no panic").clone()
    }

    fn register_trace(&self, client: &Smtp) {
        let data = std::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: every test lets the client go before what it tells.
        assert_eq!(unsafe { SmtpRegisterTrace(client.0, Some(on_record), data, None) }, 0);
    }

    fn register_events(&self, client: &Smtp, mask: u32) {
        let data = std::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: as above.
        assert_eq!(unsafe { SmtpRegisterEvent(client.0, mask, Some(on_event), data, None) }, 0);
    }
}

unsafe extern "C" fn on_record(record: *const SmtpTraceRecord, data: *mut c_void) -> i32 {
    // SAFETY: the library's record, and what the test registered.
    unsafe {
        let (told, record) = (&*data.cast::<Told>(), &*record);
        assert!(record.size as usize >= size_of::<SmtpTraceRecord>());
        told.times.lock().expect("no panic").push(record.time_ms);
        told.tell(format!("{} {} {}", record.direction, record.result_code, text_of(record.text, record.text_length)))
    }
}

unsafe extern "C" fn on_event(event: *const SmtpEvent, data: *mut c_void) -> i32 {
    // SAFETY: the library's event, and what the test registered.
    unsafe {
        let (told, event) = (&*data.cast::<Told>(), &*event);
        let text = text_of(event.text, event.text_length);
        let reply = text_of(event.reply, event.reply_length);
        told.tell(format!(
            "{:#x} {} {text} {} {} {reply} {}/{}",
            event.event,
            event.result_code,
            event.recipient,
            event.recipient_state,
            event.bytes_copied,
            event.bytes_total
        ))
    }
}

#[test]
fn a_callback_gets_every_record() {
    let told = Told::default();
    let client = Smtp::new();
    told.register_trace(&client);
    play_session(&client, session());
    drop(client);
    let lines = told.lines();
    assert!(lines[0].starts_with("3 0 connected to 127.0.0.1:"), "{lines:?}");
    assert_eq!(lines[1], "1 220 mail.example ESMTP");
    assert_eq!(lines[2], "0 0 EHLO client.example");
    assert!(lines.contains(&"0 0 AUTH PLAIN ********".to_owned()), "{lines:?}");
    assert!(lines.contains(&"1 550 5.1.1 no\n5.1.1 one".to_owned()), "{lines:?}");
    assert!(lines.contains(&"2 0 31 octets of content".to_owned()), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("3 0 disconnected"));
    let times = told.times.lock().expect("no panic");
    // Later than this was written.
    assert!(times.iter().all(|time| *time > 1_700_000_000_000));
}

#[test]
fn a_callback_for_records_cancels() {
    let server = Scripted::start(greeting());
    let told = Told { cancel_at: Some("0 0 EHLO"), ..Told::default() };
    let client = Smtp::new();
    told.register_trace(&client);
    let failure = client.connect(server.port, 0).expect_err("cancelled");
    assert_eq!(failure.code, Code::CANCELLED);
    // SAFETY: removes the callback.
    assert_eq!(unsafe { SmtpRegisterTrace(client.0, None, std::ptr::null_mut(), None) }, 0);
    let count = told.lines().len();
    assert!(client.connect(1, 0).is_err());
    assert_eq!(told.lines().len(), count, "nobody listens any more");
    drop((client, server.finish()));
}

#[test]
fn each_recipient_is_told_of_when_its_reply_comes() {
    let told = Told::default();
    let client = Smtp::new();
    told.register_events(&client, EventKind::Recipient as u32);
    play_session(&client, session());
    drop(client);
    let [accepted, refused] = [RecipientState::Accepted as u32, RecipientState::RefusedPermanent as u32];
    assert_eq!(
        told.lines(),
        [
            format!("0x400 250 b@y.example 0 {accepted} ok 0/0"),
            format!("0x400 550 c@y.example 1 {refused} 5.1.1 no\n5.1.1 one 0/0"),
        ]
    );
}

#[test]
fn the_end_of_the_connection_is_told_also_when_the_server_closes() {
    let mut steps = greeting();
    steps.push(expect("NOOP\r\n"));
    let server = Scripted::start(steps);
    let told = Told::default();
    let client = Smtp::new();
    told.register_events(&client, EventKind::Disconnect as u32 | EventKind::Error as u32);
    client.connect(server.port, 0).expect("connects");
    client.command("NOOP", "").expect_err("closed");
    client.disconnect().expect("nothing left to do");
    drop((client, server.finish()));
    let lines = told.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("0x200 ") && lines[1].starts_with("0x2 "), "{lines:?}");
}

/// At the beginning and at the end, and at most a hundred times in between,
/// wherever the message comes from.
#[test]
fn progress_of_every_kind_of_source() {
    const SIZE: usize = 3_000_000;
    let content = b"0123456789abcdef0123456789abcd\r\n".repeat(SIZE / 32);
    let file = path("progress");
    std::fs::write(&file, &content).expect("written");
    for kind in 0..3 {
        let mut steps = greeting();
        steps.extend([
            expect("MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n"),
            send("250 ok\r\n250 ok\r\n354 go\r\n"),
            Step::Expect([&content[..], b".\r\n"].concat()),
            send("250 ok\r\n"),
        ]);
        let server = Scripted::start(steps);
        let told = Told::default();
        let client = Smtp::new();
        told.register_events(&client, EventKind::Progress as u32);
        client.connect(server.port, 0).expect("connects");
        let mut rest = &content[..];
        let mut read = |buffer: &mut [u8]| {
            let count = rest.len().min(buffer.len()).min(1000);
            buffer[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            i64::try_from(count).expect("short")
        };
        let total = if kind == 2 { 0 } else { content.len() };
        match kind {
            0 => client.send("a@x.example", "b@y.example", &content),
            1 => client.send_file("a@x.example", "b@y.example", &file),
            _ => client.send_stream(u64::MAX, &mut read),
        }
        .expect("sent");
        assert_eq!(client.integer(Property::TransferBytes), i64::try_from(content.len()).expect("fits"));
        drop(client);
        server.finish().expect("as scripted");
        let lines = told.lines();
        let copied: Vec<usize> = lines
            .iter()
            .map(|line| {
                let (_, counts) = line.rsplit_once(' ').expect("counts");
                let (copied, of) = counts.split_once('/').expect("two");
                assert_eq!(of, total.to_string());
                copied.parse().expect("a number")
            })
            .collect();
        assert_eq!((copied.first(), copied.last()), (Some(&0), Some(&content.len())), "{kind}");
        // A quarter of a megabyte apart, but for the end.
        let inner = &copied[..copied.len() - 1];
        assert!(inner.windows(2).all(|pair| pair[1] - pair[0] >= 256 * 1024), "{kind}: {copied:?}");
        assert!(copied.len() >= 10, "{kind}: {copied:?}");
    }
    std::fs::remove_file(&file).expect("removed");
}

/// What another thread sees of a call that waits for ever.
#[test]
fn states_are_read_from_any_thread() {
    let server = Scripted::start(vec![Step::AwaitClose]);
    let client = Smtp::new();
    let seen = || [Property::State, Property::Phase, Property::IsBlocked].map(|property| client.integer(property));
    assert_eq!(seen(), [State::Unused as i64, Phase::Argument as i64, 0]);
    let wanted = [State::Read as i64, Phase::Greeting as i64, 1];
    std::thread::scope(|scope| {
        let call = scope.spawn(|| client.connect(server.port, 0));
        while seen() != wanted && !call.is_finished() {
            std::thread::yield_now();
        }
        assert_eq!(SmtpGetStatus(client.0), State::Read as i32);
        assert_eq!(SmtpCancel(client.0), 0);
        assert_eq!(call.join().expect("no panic").expect_err("cancelled").code, Code::CANCELLED);
    });
    assert_eq!(seen(), [State::Unused as i64, Phase::Argument as i64, 0]);
    server.finish().expect("as scripted");
    let server = Scripted::start(greeting());
    client.connect(server.port, 0).expect("connects");
    assert_eq!(seen(), [State::Idle as i64, Phase::Idle as i64, 0]);
    assert_eq!(SmtpIsConnected(client.0), 1);
    server.finish().expect("as scripted");
}

fn transfer(client: &Smtp) -> SmtpTransferStatus {
    let size = u32::try_from(size_of::<SmtpTransferStatus>()).expect("small");
    let mut status = SmtpTransferStatus {
        size,
        active: 9,
        bytes_total: 9,
        bytes_copied: 9,
        bytes_per_second: 9,
        time_elapsed_ms: 9,
        time_estimated_ms: 9,
    };
    // SAFETY: a live structure that says its size.
    assert_eq!(unsafe { SmtpGetTransferStatus(client.0, &raw mut status) }, 0);
    status
}

#[test]
fn the_transfer_is_seen_from_inside_the_reader() {
    let mut steps = greeting();
    steps.extend([
        expect("MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n"),
        send("250 ok\r\n250 ok\r\n354 go\r\n"),
        expect("0123456789\r\n.\r\n"),
        send("250 ok\r\n"),
    ]);
    let server = Scripted::start(steps);
    let client = Smtp::new();
    client.connect(server.port, 0).expect("connects");
    assert_eq!((transfer(&client).active, transfer(&client).bytes_copied), (0, 0));
    let mut pieces = [&b"01234"[..], b"56789"].into_iter();
    let mut seen = Vec::new();
    let mut read = |buffer: &mut [u8]| {
        let status = transfer(&client);
        seen.push((status.active, status.bytes_total, status.bytes_copied));
        assert_eq!(client.integer(Property::Phase), Phase::Content as i64);
        assert_eq!(client.integer(Property::IsBlocked), 1);
        let piece = pieces.next().unwrap_or_default();
        buffer[..piece.len()].copy_from_slice(piece);
        i64::try_from(piece.len()).expect("short")
    };
    client.send_stream(10, &mut read).expect("sent");
    assert_eq!(seen, [(1, 10, 0), (1, 10, 5), (1, 10, 10)]);
    let status = transfer(&client);
    assert_eq!((status.active, status.bytes_total, status.bytes_copied, status.time_estimated_ms), (0, 10, 10, 0));
    assert!(status.bytes_per_second > 0);
    let mut short = SmtpTransferStatus { size: 8, ..status };
    // SAFETY: a live structure.
    let code = unsafe { SmtpGetTransferStatus(client.0, &raw mut short) };
    assert_eq!(code, Code::INVALID_PARAMETER.0);
    server.finish().expect("as scripted");
}

#[test]
fn times_and_octets_are_counted() {
    const PAUSE: u64 = 60;
    let mut script = Vec::new();
    let (mut sent, mut received) = (0, 0);
    for step in session() {
        match &step {
            Step::Expect(octets) => sent += octets.len(),
            Step::Send(octets) => {
                received += octets.len();
                script.push(Step::Pause(PAUSE));
            }
            _ => {}
        }
        script.push(step);
    }
    let client = Smtp::new();
    play_session(&client, script);
    let count = |property| usize::try_from(client.integer(property)).expect("not negative");
    assert_eq!((count(Property::BytesSent), count(Property::BytesReceived)), (sent, received));
    let least = i64::try_from(PAUSE).expect("small") - 10;
    for property in [Property::TimeAuth, Property::TimeEnvelope, Property::TimeEnd, Property::TimeTotal] {
        assert!(client.integer(property) >= least, "{property:?}");
    }
    assert!(client.integer(Property::TimeGreeting) >= 2 * least);
    assert_eq!((client.integer(Property::TimeResolve), client.integer(Property::TimeTls)), (0, 0));
    assert_eq!(client.integer(Property::TransferTime), client.integer(Property::TimeContent));
}

#[test]
fn the_record_of_a_failed_message_tells_its_outcome() {
    let mut steps = greeting();
    steps.extend([
        expect("VRFY a\r\n"),
        send("550 no\r\n"),
        expect("MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n"),
        send("250 ok\r\n550 5.1.1 no\r\n503 none\r\n"),
        expect("RSET\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n"),
        send("250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"),
        expect("x\r\n.\r\n"),
    ]);
    let server = Scripted::start(steps);
    let client = Smtp::new();
    let facts = || {
        let numbers = [Property::ErrorOutcome, Property::ErrorSafeToRetry].map(|property| client.integer(property));
        (numbers, client.text(Property::ErrorCommand))
    };
    assert_eq!(facts(), ([-1, 1], String::new()));
    client.send("a@x.example", "b@y.example", b"x").expect_err("not connected");
    assert_eq!(facts(), ([0, 1], String::new()));
    client.connect(server.port, 0).expect("connects");
    client.command("VRFY", "a").expect_err("refused");
    assert_eq!(facts(), ([-1, 1], "VRFY".into()));
    client.send("a@x.example", "b@y.example", b"x").expect_err("refused");
    assert_eq!(facts(), ([3, 1], "RCPT".into()));
    client.send("a@x.example", "b@y.example", b"x").expect_err("no answer");
    assert_eq!(facts(), ([4, 0], String::new()));
    let json = client.text(Property::ErrorJson);
    assert!(json.ends_with(",\"outcome\":\"UNKNOWN\",\"safe_to_retry\":false}"), "{json}");
    server.finish().expect("as scripted");
}

fn copied(copy: impl Fn(*mut c_char, usize, *mut usize) -> i32) -> Result<String, i32> {
    let mut buffer = vec![0_u8; 1000];
    let mut length = 0;
    let code = copy(buffer.as_mut_ptr().cast(), buffer.len(), &raw mut length);
    if code != 0 { Err(code) } else { Ok(String::from_utf8(buffer[..length].to_vec()).expect("UTF-8")) }
}

#[test]
fn the_short_functions() {
    let client = Smtp::new();
    // SAFETY: live buffers.
    unsafe {
        let text = copied(|buffer, size, length| SmtpGetErrorString(Code::TIMEOUT.0, buffer, size, length));
        let text = text.expect("known");
        assert!(text.ends_with('.') && text.len() > 20, "{text}");
        let none = copied(|buffer, size, length| SmtpGetErrorString(7, buffer, size, length));
        assert_eq!(none, Err(Code::INVALID_PARAMETER.0));
        let date = copied(|buffer, size, length| SmtpGetCurrentDate(buffer, size, length)).expect("always");
        assert_eq!(date.len(), 31, "{date}");
        let text = copied(|buffer, size, length| SmtpGetResultString(client.0, buffer, size, length));
        assert_eq!(text.as_deref(), Ok(""));
    }
    assert_eq!(client.text(Property::Version), env!("CARGO_PKG_VERSION"));
    assert_eq!((SmtpSetTimeout(client.0, 1500), SmtpGetTimeout(client.0)), (0, 1500));
    assert_eq!(SmtpSetTimeout(client.0, u32::MAX), Code::INVALID_PARAMETER.0);
    assert_eq!((SmtpIsConnected(client.0), SmtpGetResultCode(client.0), SmtpGetStatus(client.0)), (0, 0, 0));
    assert_eq!((SmtpSetDeliveryOptions(client.0, 0x10_0000), SmtpGetDeliveryOptions(client.0)), (0, 0x10_0000));
    assert_eq!(SmtpSetDeliveryOptions(client.0, 1), Code::INVALID_PARAMETER.0);
    assert_eq!(SmtpGetLastError(client.0), Code::INVALID_PARAMETER.0);
    assert_eq!(SmtpSetLastError(client.0, 5), Code::INVALID_PARAMETER.0);
    assert_eq!((SmtpSetLastError(client.0, 0), SmtpGetLastError(client.0)), (0, 0));
    let nobody = std::ptr::null_mut();
    assert_eq!(SmtpSetLastError(nobody, 5), Code::INVALID_PARAMETER.0);
    assert_eq!(SmtpGetLastError(nobody), Code::INVALID_PARAMETER.0);
    assert_eq!((SmtpSetLastError(nobody, 0), SmtpGetLastError(nobody)), (0, 0));
}

#[test]
fn the_thin_forms_change_what_their_properties_tell() {
    let file = std::env::temp_dir().join(format!("smtpclient-thin-{}.txt", std::process::id()));
    let path = CString::new(file.to_str().expect("UTF-8")).expect("no NUL");
    let empty = CString::new("").expect("no NUL");
    let nowhere = CString::new("/nowhere/trace.txt").expect("no NUL");
    let client = Smtp::new();
    let enable = |path: &CStr, flags| {
        // SAFETY: a live string.
        unsafe { SmtpEnableTrace(client.0, path.as_ptr(), flags) }
    };
    let traced = || (client.text(Property::TraceFile), client.integer(Property::TraceFlags));
    assert_eq!(enable(&empty, 0), Code::INVALID_PARAMETER.0);
    assert_eq!(enable(&nowhere, 8), Code::FILE.0);
    assert_eq!(enable(&path, 1), Code::INVALID_PARAMETER.0);
    assert_eq!((traced(), file.exists()), ((String::new(), 0), false), "all or nothing");
    assert_eq!(enable(&path, 4), 0);
    assert_eq!(traced(), (path.to_str().expect("UTF-8").to_owned(), 4));

    let mut steps = greeting();
    steps.extend([expect("QUIT\r\n"), send("221 bye\r\n")]);
    let server = Scripted::start(steps);
    let mut calls = 0_u32;
    let data = (&raw mut calls).cast();
    // SAFETY: counted while this function runs, and removed before it ends.
    assert_eq!(unsafe { SmtpRegisterEvent(client.0, 0x80, Some(count_event), data, None) }, 0);
    client.connect(server.port, 0).expect("connects");
    let mut options = 0_u64;
    // SAFETY: a live number.
    assert_eq!(unsafe { SmtpGetExtendedOptions(client.0, &raw mut options) }, 0);
    assert_eq!(i64::try_from(options), Ok(client.integer(Property::ExtendedOptions)));
    assert_eq!(options, 0x100);
    assert_eq!((SmtpDisableEvents(client.0), SmtpDisableTrace(client.0)), (0, 0));
    let before = std::fs::read_to_string(&file).expect("made");
    assert!(before.contains("C EHLO client.example") && !before.contains("QUIT"), "{before}");
    client.disconnect().expect("always");
    assert_eq!((calls, traced()), (1, (String::new(), 4)));
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), before);
    std::fs::remove_file(&file).expect("made here");
    server.finish().expect("as scripted");
}

unsafe extern "C" fn count_event(_event: *const SmtpEvent, user_data: *mut c_void) -> i32 {
    // SAFETY: the number that was given with this function.
    unsafe { *user_data.cast::<u32>() += 1 };
    0
}
