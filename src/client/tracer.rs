//! Where the records of the conversation go: a file, a callback, and the last
//! ones in memory. The form is told in docs/tracing.md; tests replay it.

use crate::error::{Code, Error, Result};
use crate::net::clock::wall_millis;
use crate::net::date::stamp;
use crate::net::sys::open_log;
use crate::proto::{Direction, Record};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Each record is followed by its octets in hexadecimal (the original's value).
pub(super) const HEX: u32 = 0x4;
/// The content of messages is shown.
pub(super) const CONTENT: u32 = 0x8;
/// Somebody wants records.
const ON: u32 = 0x100;
/// Secrets are shown.
const SECRETS: u32 = 0x200;

/// The bits of the property: name behind `SMTP_TRACE_`, value, what it does.
pub const TRACE_FLAGS: &[(&str, u32, &str)] = &[
    ("HEX", HEX, "Each record is followed by a dump of its octets in hexadecimal."),
    ("CONTENT", CONTENT, "The content of messages is written; without it, one line tells how many octets there were."),
];

/// The directions of a record: name behind `SMTP_DIRECTION_`, value, what it means.
pub const DIRECTIONS: &[(&str, u32, &str)] = &[
    ("CLIENT", 0, "A command of the client's; text is its line, secrets masked."),
    ("SERVER", 1, "A reply; result_code and text are the server's, a login's challenges masked."),
    ("CONTENT", 2, "Content of a message: its octets with SMTP_TRACE_CONTENT, else a text that says how many."),
    ("NOTE", 3, "A remark: connected, TLS is up, failed, disconnected."),
];

/// More text than this is not kept, whatever the number of records: a server's
/// reply may have half a million octets.
const MOST_KEPT: usize = 16 << 20;

/// What a callback is told of a record.
#[derive(Clone, Copy, Debug)]
pub struct TraceEntry<'a> {
    /// See [`DIRECTIONS`].
    pub direction: u32,
    /// Milliseconds since 1970.
    pub time: u64,
    /// The server's reply code, or 0.
    pub result_code: u16,
    /// Any octets.
    pub text: &'a [u8],
}

/// A callback for records; it returns true to cancel the running call.
pub struct TraceSink(pub Box<dyn Fn(&TraceEntry<'_>) -> bool + Send + Sync>);

impl fmt::Debug for TraceSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceSink")
    }
}

/// The values of the properties about tracing.
#[derive(Clone, Debug, Default)]
pub(super) struct TraceSettings {
    pub(super) file: String,
    pub(super) keep: u32,
    pub(super) flags: u32,
    pub(super) secrets: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tracer {
    /// What is wanted, so that nothing is locked when nothing is.
    bits: AtomicU32,
    places: Mutex<Places>,
}

/// What is wanted of the session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switches {
    pub(super) on: bool,
    pub(super) content: bool,
    pub(super) secrets: bool,
}

#[derive(Debug, Default)]
struct Places {
    file: Option<File>,
    keep: usize,
    kept: VecDeque<String>,
    kept_octets: usize,
    callback: Option<Arc<TraceSink>>,
}

impl Tracer {
    pub(super) fn is_on(&self) -> bool {
        self.bits.load(Relaxed) & ON != 0
    }

    pub(super) fn switches(&self) -> Switches {
        let bits = self.bits.load(Relaxed);
        Switches { on: bits & ON != 0, content: bits & CONTENT != 0, secrets: bits & SECRETS != 0 }
    }

    /// Has records appended to a file from now on; to none with an empty path.
    pub(super) fn open(&self, path: &str) -> Result<()> {
        let file = if path.is_empty() { None } else { Some(open(path)?) };
        let mut places = self.places.lock();
        places.file = file;
        self.settle(&places, None);
        Ok(())
    }

    /// Takes the other properties over.
    pub(super) fn configure(&self, settings: &TraceSettings) {
        let mut places = self.places.lock();
        places.keep = settings.keep as usize;
        places.make_room();
        self.settle(&places, Some(settings));
    }

    /// Sets the callback, and gives back the one before.
    pub(super) fn set_callback(&self, callback: Option<TraceSink>) -> Option<Arc<TraceSink>> {
        let mut places = self.places.lock();
        let before = std::mem::replace(&mut places.callback, callback.map(Arc::new));
        self.settle(&places, None);
        before
    }

    fn settle(&self, places: &Places, settings: Option<&TraceSettings>) {
        let mut bits = match settings {
            Some(settings) => settings.flags | if settings.secrets { SECRETS } else { 0 },
            None => self.bits.load(Relaxed) & !ON,
        };
        if places.file.is_some() || places.keep > 0 || places.callback.is_some() {
            bits |= ON;
        }
        self.bits.store(bits, Relaxed);
    }

    /// The records that were kept.
    pub(super) fn text(&self) -> String {
        self.places.lock().kept.iter().map(String::as_str).collect()
    }

    /// Puts a record wherever it is wanted; true if the call is to be cancelled.
    pub(super) fn record(&self, record: &Record) -> bool {
        let direction = match record.direction {
            Direction::Client => 0,
            Direction::Server => 1,
            Direction::Content => 2,
            Direction::Note => 3,
            // The reply itself has its own record.
            Direction::Recipient(_) => return false,
        };
        let time = wall_millis();
        let callback = {
            let mut places = self.places.lock();
            if places.file.is_some() || places.keep > 0 {
                places.put(transcript(record, time, self.bits.load(Relaxed) & HEX != 0));
            }
            places.callback.clone()
        };
        let Some(callback) = callback else { return false };
        let hidden = (record.direction == Direction::Content && record.text.is_empty())
            .then(|| format!("{} octets of content", record.number));
        let text = hidden.as_ref().map_or(&*record.text, |text| text.as_bytes());
        (callback.0)(&TraceEntry { direction, time, result_code: record.code, text })
    }
}

impl Places {
    fn put(&mut self, text: String) {
        if let Some(file) = &mut self.file {
            // A full disk must not cost a message.
            let _ = file.write_all(text.as_bytes());
        }
        if self.keep > 0 {
            self.kept_octets += text.len();
            self.kept.push_back(text);
            self.make_room();
        }
    }

    fn make_room(&mut self) {
        while self.kept.len() > self.keep || self.kept_octets > MOST_KEPT {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.kept_octets -= oldest.len();
        }
    }
}

fn open(path: &str) -> Result<File> {
    let failed = |error: std::io::Error| {
        let what = format!("the trace file {path} cannot be opened ({error})");
        let remedy = "Name a file that can be written to, in a folder that exists.";
        Error::caller(Code::FILE, what).with_os(&error).with_remedy(remedy)
    };
    open_log(path).map_err(failed)
}

/// A record as lines of a transcript.
fn transcript(record: &Record, time: u64, hex: bool) -> String {
    let stamp = stamp(time);
    let mut out = String::new();
    let mut dumped = Vec::new();
    match record.direction {
        Direction::Client => {
            put_line(&mut out, &stamp, 'C', &record.text);
            dumped = [&record.text[..], b"\r\n"].concat();
        }
        Direction::Server => {
            let mut lines = record.text.split(|octet| *octet == b'\n').peekable();
            while let Some(line) = lines.next() {
                let separator = if lines.peek().is_some() { '-' } else { ' ' };
                let line = [format!("{}{separator}", record.code).as_bytes(), line].concat();
                put_line(&mut out, &stamp, 'S', &line);
                dumped.extend_from_slice(&line);
                dumped.extend_from_slice(b"\r\n");
            }
        }
        Direction::Content if record.text.is_empty() => {
            let _ = writeln!(out, "{stamp} C# {}", record.number);
        }
        Direction::Content => {
            for line in record.text.split_inclusive(|octet| *octet == b'\n') {
                match line.strip_suffix(b"\r\n") {
                    Some(line) => put_line(&mut out, &stamp, 'C', line),
                    None => put_escaped(&mut out, &stamp, 'C', line, ""),
                }
            }
            dumped.clone_from(&record.text);
        }
        Direction::Note => {
            let text = String::from_utf8_lossy(&record.text);
            let _ = writeln!(out, "{stamp} # {}", text.replace(char::is_control, " "));
        }
        Direction::Recipient(_) => {}
    }
    if hex {
        dump(&mut out, &dumped);
    }
    out
}

/// A line that ends with CRLF: as it is if it can be read, else with escapes.
fn put_line(out: &mut String, stamp: &str, who: char, line: &[u8]) {
    match std::str::from_utf8(line) {
        Ok(text) if !text.contains(char::is_control) => {
            let _ = writeln!(out, "{stamp} {who} {text}");
        }
        _ => put_escaped(out, stamp, who, line, "\\r\\n"),
    }
}

fn put_escaped(out: &mut String, stamp: &str, who: char, octets: &[u8], end: &str) {
    let _ = write!(out, "{stamp} {who}= ");
    for octet in octets {
        let _ = match octet {
            b'\r' => out.write_str("\\r"),
            b'\n' => out.write_str("\\n"),
            b'\t' => out.write_str("\\t"),
            b'\\' => out.write_str("\\\\"),
            b' '..=b'~' => out.write_char(char::from(*octet)),
            _ => write!(out, "\\x{octet:02x}"),
        };
    }
    let _ = writeln!(out, "{end}");
}

/// Sixteen octets a line, as remarks.
fn dump(out: &mut String, octets: &[u8]) {
    for (number, row) in octets.chunks(16).enumerate() {
        let _ = write!(out, "# {:08x} ", number * 16);
        for place in 0..16 {
            let _ = match row.get(place) {
                Some(octet) => write!(out, " {octet:02x}"),
                None => out.write_str("   "),
            };
        }
        let shown = row.iter().map(|octet| if matches!(octet, b' '..=b'~') { char::from(*octet) } else { '.' });
        let _ = writeln!(out, "  |{}|", shown.collect::<String>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(direction: Direction, code: u16, text: &[u8], hex: bool) -> String {
        transcript(&Record::new(direction, code, text.to_vec()), 0, hex).replace("1970-01-01T00:00:00.000Z ", "")
    }

    #[test]
    fn records_become_lines() {
        assert_eq!(made(Direction::Client, 0, b"EHLO a", false), "C EHLO a\n");
        assert_eq!(made(Direction::Server, 250, b"one\ntwo", false), "S 250-one\nS 250 two\n");
        assert_eq!(made(Direction::Server, 250, b"", false), "S 250 \n");
        assert_eq!(made(Direction::Server, 250, b"a\tb\\\xff", false), "S= 250 a\\tb\\\\\\xff\\r\\n\n");
        assert_eq!(made(Direction::Content, 0, b"x\\\r\ny\n\r\nz", false), "C x\\\nC= y\\n\nC \nC= z\n");
        assert_eq!(made(Direction::Content, 0, b"", false), "C# 0\n");
        assert_eq!(made(Direction::Note, 0, b"a\r\nC QUIT", false), "# a  C QUIT\n");
        assert_eq!(
            made(Direction::Client, 0, b"NOOP 0123456789", true),
            "C NOOP 0123456789\n\
             # 00000000  4e 4f 4f 50 20 30 31 32 33 34 35 36 37 38 39 0d  |NOOP 0123456789.|\n\
             # 00000010  0a                                               |.|\n"
        );
    }

    #[test]
    fn the_last_records_are_kept() {
        let tracer = Tracer::default();
        assert!(!tracer.is_on());
        tracer.configure(&TraceSettings { keep: 2, ..TraceSettings::default() });
        assert!(tracer.is_on());
        for text in ["one", "two", "three"] {
            assert!(!tracer.record(&Record::note(text)));
        }
        let kept = tracer.text();
        assert!(!kept.contains("# one") && kept.contains("# two\n") && kept.ends_with("# three\n"), "{kept}");
        let huge = "x".repeat(MOST_KEPT / 2 + 1);
        tracer.record(&Record::note(huge.clone()));
        tracer.record(&Record::note(huge));
        assert!(tracer.text().len() <= MOST_KEPT);
        tracer.configure(&TraceSettings::default());
        assert!(!tracer.is_on() && tracer.text().is_empty());
    }
}
