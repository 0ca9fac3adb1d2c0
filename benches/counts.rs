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

use smtpclient::ffi::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CString;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

/// The limits for a message of 1 KiB with DATA on a warm connection.
const MOST_INSTRUCTIONS: f64 = 8000.0;
const MOST_SYSTEM_CALLS: f64 = 4.0;
const MOST_ROUND_TRIPS: f64 = 2.1;
const MOST_ALLOCATIONS: f64 = 0.0;

/// The limits for the same message to so many recipients. The aim is 500,000
/// instructions; the limit keeps what is reached. The allocations are the output
/// buffer, which an idle client does not keep at that size.
const MANY: usize = 1000;
const MOST_INSTRUCTIONS_MANY: f64 = 800_000.0;
const MOST_ROUND_TRIPS_MANY: f64 = 7.0;
const MOST_ALLOCATIONS_MANY: f64 = 2.0;

/// The limits for the same message in a batch: instructions, system calls, round trips,
/// allocations. With BDAT a window of 32 is one round trip.
const MOST_BATCH: [f64; 4] = [11_000.0, 2.0, 1.05, 0.0];
const MOST_CHUNKS: [f64; 4] = [11_000.0, 0.2, 0.05, 0.0];

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as our caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as our caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as our caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, way, port, messages, recipients] = arguments.as_slice()
        && let Some(way) = [Way::Single, Way::Batch, Way::Chunks].into_iter().find(|known| known.name() == way)
    {
        return child(way, port.parse().unwrap(), messages.parse().unwrap(), recipients.parse().unwrap());
    }
    parent();
}

/// How the messages are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Each with a call of its own.
    Single,
    /// In one call, with DATA.
    Batch,
    /// In one call, with BDAT.
    Chunks,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Single => "--child-single",
            Self::Batch => "--child-batch",
            Self::Chunks => "--child-chunks",
        }
    }
}

/// Sends messages over one connection and prints the allocations of all but the first ten.
fn child(way: Way, port: u32, messages: usize, recipients: usize) {
    let message = message();
    let recipients = (0..recipients).map(|number| format!("rcpt{number}@example.net")).collect::<Vec<_>>().join(",");
    let (host, sender, recipient) = (text("127.0.0.1"), text("sender@example.com"), text(&recipients));
    let client = SmtpClientCreate();
    // SAFETY: live strings, a live message, a live client.
    unsafe {
        assert_eq!(SmtpConnect(client, host.as_ptr(), port, 0, 0), 0);
        let mut before = 0;
        let messages = if way == Way::Single {
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

/// Counts a thing for a number of messages to a number of recipients each.
type Count<'a> = &'a dyn Fn(Way, usize, usize) -> Result<f64, String>;

/// What is counted, its limit and how it is counted.
type Row<'a> = (&'a str, f64, Count<'a>);

fn parent() {
    println!("per message of 1 KiB, DATA, one warm connection:");
    let mut failed = table(
        Way::Single,
        1,
        100,
        600,
        &[
            ("user instructions", MOST_INSTRUCTIONS, &instructions),
            ("system calls", MOST_SYSTEM_CALLS, &system_calls),
            ("round trips", MOST_ROUND_TRIPS, &round_trips),
            ("allocations", MOST_ALLOCATIONS, &allocations),
        ],
    );
    println!("the same to {MANY} recipients:");
    failed |= table(
        Way::Single,
        MANY,
        20,
        60,
        &[
            ("user instructions", MOST_INSTRUCTIONS_MANY, &instructions),
            ("round trips", MOST_ROUND_TRIPS_MANY, &round_trips),
            ("allocations", MOST_ALLOCATIONS_MANY, &allocations),
        ],
    );
    for (way, name, limits) in [(Way::Batch, "DATA", MOST_BATCH), (Way::Chunks, "CHUNKING", MOST_CHUNKS)] {
        println!("per message of 1 KiB in a batch, {name}, filling it included but for allocations:");
        let [instructions_most, calls_most, trips_most, allocations_most] = limits;
        failed |= table(
            way,
            1,
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
fn table(way: Way, recipients: usize, few: usize, many: usize, rows: &[Row<'_>]) -> bool {
    let mut failed = false;
    for (name, most, count) in rows {
        match (count(way, few, recipients), count(way, many, recipients)) {
            (Ok(short), Ok(long)) => {
                let slope = (long - short) / (many - few) as f64;
                // The runs differ by a few calls of the loader's and the like.
                let slack = if *most < 1.1 { 0.01 } else { 0.05 };
                let verdict = if slope > most + slack { "ABOVE THE LIMIT" } else { "ok" };
                failed |= verdict != "ok";
                println!("  {name:<20} {slope:>9.2}   limit {most:>8.1}   {verdict}");
            }
            (Err(reason), _) | (_, Err(reason)) => println!("  {name:<20} not counted: {reason}"),
        }
    }
    failed
}

fn instructions(way: Way, messages: usize, recipients: usize) -> Result<f64, String> {
    let (printed, _) =
        run(&["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"], way, messages, recipients)?;
    let line = printed.lines().find_map(|line| line.split_once("Collected : ")).ok_or("valgrind printed no count")?;
    line.1.trim().parse().map_err(|error| format!("{error}"))
}

fn system_calls(way: Way, messages: usize, recipients: usize) -> Result<f64, String> {
    let (printed, _) = run(&["strace", "-f", "-c"], way, messages, recipients)?;
    let line = printed.lines().rfind(|line| line.ends_with("total")).ok_or("strace printed no total")?;
    line.split_whitespace().nth(3).and_then(|count| count.parse().ok()).ok_or_else(|| format!("not understood: {line}"))
}

fn round_trips(way: Way, messages: usize, recipients: usize) -> Result<f64, String> {
    run(&[], way, messages, recipients).map(|(_, turns)| turns as f64)
}

fn allocations(way: Way, messages: usize, recipients: usize) -> Result<f64, String> {
    let (printed, _) = run(&[], way, messages, recipients)?;
    printed.lines().next().and_then(|count| count.parse().ok()).ok_or_else(|| "no count".to_owned())
}

/// Runs a child under a tool against a sink of its own; gives what was printed
/// and how many turns the sink counted.
fn run(tool: &[&str], way: Way, messages: usize, recipients: usize) -> Result<(String, u64), String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let sink = std::thread::spawn(move || sink(&listener.accept().unwrap().0, way == Way::Chunks));
    let own = std::env::current_exe().unwrap();
    let mut words: Vec<String> = tool.iter().map(|word| (*word).to_owned()).collect();
    words.push(own.to_string_lossy().into_owned());
    words.extend([way.name().to_owned(), port.to_string(), messages.to_string(), recipients.to_string()]);
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
fn sink(mut stream: &TcpStream, chunking: bool) -> u64 {
    let _ = stream.set_nodelay(true);
    let _ = stream.write_all(b"220 sink\r\n");
    let (mut turns, mut in_message) = (0, false);
    let mut chunk = 0;
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
            if chunk > input.len() {
                break;
            }
            if chunk > 0 {
                input.drain(..chunk);
                chunk = 0;
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
                b"QUIT\r\n" => b"221 bye\r\n",
                line if line.starts_with(b"BDAT") => {
                    let length = String::from_utf8_lossy(&line[5..]);
                    chunk = length.split(' ').next().unwrap().parse().unwrap();
                    continue;
                }
                line if line.starts_with(b"EHLO") && chunking => {
                    b"250-sink\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 SIZE 100000\r\n"
                }
                line if line.starts_with(b"EHLO") => b"250-sink\r\n250-PIPELINING\r\n250 SIZE 100000\r\n",
                _ => b"250 2.1.0 Ok\r\n",
            };
            replies.extend_from_slice(reply);
        }
        let _ = stream.write_all(&replies);
    }
}
