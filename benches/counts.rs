//! What one message costs in things that can be counted and repeat on any
//! machine: user instructions (valgrind), system calls (strace), round trips (the
//! server's own count) and allocations (a counting allocator), each as the slope
//! between a short and a long run on one warm connection.
//!
//! ```sh
//! cargo bench --bench counts
//! ```
//!
//! Fails if a count is above its limit. Nothing here is timed.

#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

#[path = "../tests/support/tls.rs"]
mod tls;

use smtpclient::client::{Chunking, Property};
use smtpclient::ffi::*;
use smtpclient::proto::Security;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CString;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The limits for a message of 1 KiB with DATA on a warm connection.
const MOST_INSTRUCTIONS: f64 = 8000.0;
const MOST_SYSTEM_CALLS: f64 = 4.0;
const MOST_ROUND_TRIPS: f64 = 2.1;
const MOST_ALLOCATIONS: f64 = 0.0;

/// The limits for the same with BDAT.
const MOST_INSTRUCTIONS_CHUNKING: f64 = 8000.0;
const MOST_SYSTEM_CALLS_CHUNKING: f64 = 2.0;
const MOST_ROUND_TRIPS_CHUNKING: f64 = 1.1;

/// What an idle connection may hold above the handle of its client, in octets.
const MOST_IDLE: f64 = 4096.0;
const MOST_IDLE_TLS: f64 = 16_384.0;

/// The limits for the same message to so many recipients. The allocations are the
/// buffers, which an idle client does not keep at that size.
const MANY: usize = 1000;
const MOST_INSTRUCTIONS_MANY: f64 = 500_000.0;
const MOST_ROUND_TRIPS_MANY: f64 = 7.0;
const MOST_ALLOCATIONS_MANY: f64 = 4.0;

/// The limits for the same message in a batch: instructions, system calls, round trips,
/// allocations. With BDAT a window of 32 is one round trip.
const MOST_BATCH: [f64; 4] = [11_000.0, 2.0, 1.05, 0.0];
const MOST_CHUNKS: [f64; 4] = [11_000.0, 0.2, 0.05, 0.0];

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// The octets that are allocated.
static LIVE: AtomicI64 = AtomicI64::new(0);

fn grow(by: usize) {
    LIVE.fetch_add(i64::try_from(by).unwrap_or(0), Ordering::Relaxed);
}

fn shrink(by: usize) {
    LIVE.fetch_sub(i64::try_from(by).unwrap_or(0), Ordering::Relaxed);
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        grow(layout.size());
        // SAFETY: as our caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrink(layout.size());
        // SAFETY: as our caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        grow(size);
        shrink(layout.size());
        // SAFETY: as our caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.as_slice() {
        [_, mode, port, messages, recipients, way] if mode == "--child" => {
            let way = Way::ALL.into_iter().find(|known| known.name() == way).unwrap();
            let kind = Kind { way, recipients: recipients.parse().unwrap() };
            return child(port.parse().unwrap(), messages.parse().unwrap(), kind);
        }
        [_, mode, port, clients, authority] if mode == "--idle" => {
            return idle(port.parse().unwrap(), clients.parse().unwrap(), authority);
        }
        _ => {}
    }
    parent();
}

/// How the messages are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Each with a call of its own, with DATA.
    Lines,
    /// The same with BDAT.
    Chunk,
    /// In one call, with DATA.
    Batch,
    /// The same with BDAT.
    Flight,
}

impl Way {
    const ALL: [Self; 4] = [Self::Lines, Self::Chunk, Self::Batch, Self::Flight];

    fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Chunk => "chunk",
            Self::Batch => "batch",
            Self::Flight => "flight",
        }
    }
}

/// How a message goes, and to how many recipients.
#[derive(Clone, Copy)]
struct Kind {
    way: Way,
    recipients: usize,
}

/// Sends messages over one connection and prints the allocations of all but the first ten.
fn child(port: u32, messages: usize, Kind { way, recipients }: Kind) {
    let message = message();
    let recipients = (0..recipients).map(|number| format!("rcpt{number}@example.net")).collect::<Vec<_>>().join(",");
    let (host, sender, recipient) = (text("127.0.0.1"), text("sender@example.com"), text(&recipients));
    let client = SmtpClientCreate();
    // SAFETY: live strings, a live message, a live client.
    unsafe {
        let chunking = if matches!(way, Way::Chunk | Way::Flight) { Chunking::Always } else { Chunking::Never };
        assert_eq!(SmtpSetInteger(client, Property::Chunking as u32, chunking as i64), 0);
        assert_eq!(SmtpConnect(client, host.as_ptr(), port, 0, 0), 0);
        let mut before = 0;
        let messages = if matches!(way, Way::Lines | Way::Chunk) {
            messages
        } else {
            let batch = SmtpBatchCreate();
            for _ in 0..messages {
                let (content, length) = (message.as_ptr().cast(), message.len());
                assert_eq!(SmtpBatchAdd(batch, sender.as_ptr(), recipient.as_ptr(), content, length), 0);
            }
            before = ALLOCATIONS.load(Ordering::Relaxed);
            assert_eq!(SmtpSendBatch(client, batch), 0);
            0
        };
        for number in 0..messages {
            if number == 10 {
                before = ALLOCATIONS.load(Ordering::Relaxed);
            }
            let sent =
                SmtpSendMessage(client, sender.as_ptr(), recipient.as_ptr(), message.as_ptr().cast(), message.len());
            if sent != 0 {
                panic!("message {number}: {:?}", std::ffi::CStr::from_ptr(SmtpGetLastErrorString(client)));
            }
        }
        println!("{}", ALLOCATIONS.load(Ordering::Relaxed) - before);
    }
    assert_eq!(SmtpDisconnect(client), 0);
    assert_eq!(SmtpClientRelease(client), 0);
}

/// Prints how many octets each connection holds that has sent a message and is idle.
fn idle(port: u32, clients: usize, authority: &str) {
    let message = message();
    let (host, sender, recipient) = (text("localhost"), text("sender@example.com"), text("rcpt0@example.net"));
    let (address, authority) = (text("127.0.0.1"), text(authority));
    let all: Vec<_> = (0..=clients).map(|_| SmtpClientCreate()).collect();
    let mut before = 0;
    // SAFETY: live strings, a live message, live clients.
    unsafe {
        for client in &all {
            assert_eq!(SmtpSetString(*client, Property::ConnectAddress as u32, address.as_ptr()), 0);
            let security = if authority.is_empty() { Security::None } else { Security::Implicit };
            assert_eq!(SmtpSetInteger(*client, Property::TlsMode as u32, security as i64), 0);
            assert_eq!(SmtpSetString(*client, Property::CaFile as u32, authority.as_ptr()), 0);
        }
        for (number, client) in all.iter().enumerate() {
            let connected = SmtpConnect(*client, host.as_ptr(), port, 0, 0);
            assert_eq!(connected, 0, "{:?}", std::ffi::CStr::from_ptr(SmtpGetLastErrorString(*client)));
            let (octets, length) = (message.as_ptr().cast(), message.len());
            assert_eq!(SmtpSendMessage(*client, sender.as_ptr(), recipient.as_ptr(), octets, length), 0);
            if number == 0 {
                // What a process has once, such as trusted certificates, is there now.
                before = LIVE.load(Ordering::Relaxed);
            }
        }
    }
    println!("{}", LIVE.load(Ordering::Relaxed) - before);
    for client in all {
        assert_eq!(SmtpClientRelease(client), 0);
    }
}

fn text(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// 1 KiB: a header, and lines of 76 octets as an encoded attachment has them.
fn message() -> Vec<u8> {
    let mut message = b"From: sender@example.com\r\nTo: rcpt0@example.net\r\nSubject: bench\r\n\
        Date: Mon, 01 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@bench.example>\r\n\r\n"
        .to_vec();
    let line = [&[b'A'; 76][..], b"\r\n"].concat();
    while message.len() < 1022 {
        message.extend_from_slice(&line[..line.len().min(1022 - message.len())]);
    }
    message.extend_from_slice(b"\r\n");
    message
}

/// Counts a thing for a number of messages of a kind.
type Count<'a> = &'a dyn Fn(usize, Kind) -> Result<f64, String>;

/// What is counted, its limit and how it is counted.
type Row<'a> = (&'a str, f64, Count<'a>);

fn parent() {
    println!("per message of 1 KiB, DATA, one warm connection:");
    let mut failed = table(
        Kind { way: Way::Lines, recipients: 1 },
        100,
        600,
        &[
            ("user instructions", MOST_INSTRUCTIONS, &instructions),
            ("system calls", MOST_SYSTEM_CALLS, &system_calls),
            ("round trips", MOST_ROUND_TRIPS, &round_trips),
            ("allocations", MOST_ALLOCATIONS, &allocations),
        ],
    );
    println!("the same with BDAT:");
    failed |= table(
        Kind { way: Way::Chunk, recipients: 1 },
        100,
        600,
        &[
            ("user instructions", MOST_INSTRUCTIONS_CHUNKING, &instructions),
            ("system calls", MOST_SYSTEM_CALLS_CHUNKING, &system_calls),
            ("round trips", MOST_ROUND_TRIPS_CHUNKING, &round_trips),
            ("allocations", MOST_ALLOCATIONS, &allocations),
        ],
    );
    println!("per idle connection, above the handle:");
    failed |= verdict("octets, plain", idle_octets(None), MOST_IDLE);
    let authority = tls::Authority::new("counts");
    failed |= verdict("octets, TLS", idle_octets(Some(&authority)), MOST_IDLE_TLS);
    println!("the same to {MANY} recipients:");
    failed |= table(
        Kind { way: Way::Lines, recipients: MANY },
        20,
        60,
        &[
            ("user instructions", MOST_INSTRUCTIONS_MANY, &instructions),
            ("round trips", MOST_ROUND_TRIPS_MANY, &round_trips),
            ("allocations", MOST_ALLOCATIONS_MANY, &allocations),
        ],
    );
    for (way, name, limits) in [(Way::Batch, "DATA", MOST_BATCH), (Way::Flight, "CHUNKING", MOST_CHUNKS)] {
        println!("per message of 1 KiB in a batch, {name}, filling it included but for allocations:");
        let [instructions_most, calls_most, trips_most, allocations_most] = limits;
        failed |= table(
            Kind { way, recipients: 1 },
            320,
            3520,
            &[
                ("user instructions", instructions_most, &instructions),
                ("system calls", calls_most, &system_calls),
                ("round trips", trips_most, &round_trips),
                ("allocations", allocations_most, &allocations),
            ],
        );
    }
    if failed {
        std::process::exit(1);
    }
}

/// Counts with a few messages and with many; true if the slope of a row is above its limit.
fn table(kind: Kind, few: usize, many: usize, rows: &[Row<'_>]) -> bool {
    let mut failed = false;
    for (name, most, count) in rows {
        let slope =
            count(few, kind).and_then(|short| count(many, kind).map(|long| (long - short) / (many - few) as f64));
        failed |= verdict(name, slope, *most);
    }
    failed
}

/// Tells of a count; true if it is above its limit.
fn verdict(name: &str, count: Result<f64, String>, most: f64) -> bool {
    let count = match count {
        Ok(count) => count,
        Err(reason) => {
            println!("  {name:<20} not counted: {reason}");
            return false;
        }
    };
    // The runs differ by a few calls of the loader's and the like.
    let failed = count > most + if most < 1.1 { 0.01 } else { 0.05 };
    let verdict = if failed { "ABOVE THE LIMIT" } else { "ok" };
    println!("  {name:<20} {count:>9.2}   limit {most:>8.1}   {verdict}");
    failed
}

/// The octets that an idle connection holds, with TLS or without.
fn idle_octets(authority: Option<&tls::Authority>) -> Result<f64, String> {
    const CLIENTS: usize = 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = authority.map(|authority| authority.server(tls::Flaw::None));
    std::thread::spawn(move || {
        for stream in listener.incoming().take(CLIENTS + 1) {
            let (stream, config) = (stream.unwrap(), config.clone());
            std::thread::spawn(move || match config {
                Some(config) => {
                    let connection = rustls::ServerConnection::new(config).unwrap();
                    sink(rustls::StreamOwned::new(connection, stream))
                }
                None => sink(stream),
            });
        }
    });
    let file = authority.map(|authority| authority.file.to_string_lossy().into_owned()).unwrap_or_default();
    let own = std::env::current_exe().unwrap();
    let words = ["--idle".to_owned(), port.to_string(), CLIENTS.to_string(), file];
    let output = Command::new(own).args(words).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let octets: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().map_err(|error| format!("{error}"))?;
    Ok(octets / CLIENTS as f64)
}

fn instructions(messages: usize, kind: Kind) -> Result<f64, String> {
    let (printed, _) = run(&["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"], messages, kind)?;
    let line = printed.lines().find_map(|line| line.split_once("Collected : ")).ok_or("valgrind printed no count")?;
    line.1.trim().parse().map_err(|error| format!("{error}"))
}

fn system_calls(messages: usize, kind: Kind) -> Result<f64, String> {
    let (printed, _) = run(&["strace", "-f", "-c"], messages, kind)?;
    let line = printed.lines().rfind(|line| line.ends_with("total")).ok_or("strace printed no total")?;
    line.split_whitespace().nth(3).and_then(|count| count.parse().ok()).ok_or_else(|| format!("not understood: {line}"))
}

fn round_trips(messages: usize, kind: Kind) -> Result<f64, String> {
    run(&[], messages, kind).map(|(_, turns)| turns as f64)
}

fn allocations(messages: usize, kind: Kind) -> Result<f64, String> {
    let (printed, _) = run(&[], messages, kind)?;
    printed.lines().next().and_then(|count| count.parse().ok()).ok_or_else(|| "no count".to_owned())
}

/// Runs a child under a tool against a sink of its own; gives what was printed
/// and how many turns the sink counted.
fn run(tool: &[&str], messages: usize, kind: Kind) -> Result<(String, u64), String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let sink = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let _ = stream.set_nodelay(true);
        sink(stream)
    });
    let own = std::env::current_exe().unwrap();
    let mut words: Vec<String> = tool.iter().map(|word| (*word).to_owned()).collect();
    words.push(own.to_string_lossy().into_owned());
    words.extend(["--child".to_owned(), port.to_string(), messages.to_string(), kind.recipients.to_string()]);
    words.push(kind.way.name().to_owned());
    let output = match Command::new(&words[0]).args(&words[1..]).output() {
        Ok(output) => output,
        Err(error) => {
            // Lets the sink go.
            drop(TcpStream::connect(("127.0.0.1", port)));
            return Err(format!("{} cannot be run ({error})", words[0]));
        }
    };
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    if !output.status.success() {
        drop(TcpStream::connect(("127.0.0.1", port)));
        return Err(printed);
    }
    Ok((printed, sink.join().unwrap()))
}

/// Accepts everything; gives the number of times it had to wait for the client.
fn sink(mut stream: impl Read + Write) -> u64 {
    let _ = stream.write_all(b"220 sink\r\n");
    let (mut turns, mut in_message, mut chunk) = (0, false, 0);
    let mut input = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return turns,
            Ok(count) => count,
        };
        turns += 1;
        input.extend_from_slice(&buffer[..count]);
        let mut replies = Vec::new();
        loop {
            if chunk > 0 {
                let here = chunk.min(input.len());
                input.drain(..here);
                chunk -= here;
                if chunk > 0 {
                    break;
                }
                replies.extend_from_slice(b"250 2.0.0 Ok: queued as 4F1B2C3D4E\r\n");
            }
            let Some(end) = input.iter().position(|octet| *octet == b'\n') else { break };
            let line: Vec<u8> = input.drain(..=end).collect();
            let reply: &[u8] = match line.as_slice() {
                b".\r\n" if in_message => {
                    in_message = false;
                    b"250 2.0.0 Ok: queued as 4F1B2C3D4E\r\n"
                }
                _ if in_message => continue,
                b"DATA\r\n" => {
                    in_message = true;
                    b"354 go on\r\n"
                }
                line if line.starts_with(b"BDAT ") => {
                    let size = String::from_utf8_lossy(&line[5..]).split(' ').next().map(str::parse);
                    chunk = size.unwrap().unwrap();
                    continue;
                }
                b"QUIT\r\n" => b"221 bye\r\n",
                line if line.starts_with(b"EHLO") => {
                    b"250-sink\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 SIZE 100000\r\n"
                }
                _ => b"250 2.1.0 Ok\r\n",
            };
            replies.extend_from_slice(reply);
        }
        let _ = stream.write_all(&replies);
    }
}
