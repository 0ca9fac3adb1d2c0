//! Composed messages: what somebody else's parser makes of them, and what they cost.

#![allow(clippy::unwrap_used)]

#[path = "support/counting.rs"]
mod counting;

use counting::peak_of;
use mail_parser::{MessageParser, MimeHeaders as _};
use proptest::prelude::*;
use smtpclient::drive::Source as _;
use smtpclient::message::{Attachment, Data, Message, Parts, RenderOptions, TextEncoding};
use std::fs::File;
use std::io::Write as _;

/// "Hello" or thereabouts, in twenty scripts, and what else makes trouble.
const TEXTS: [&str; 26] = [
    "Grüße aus Köln",
    "Привет, мир",
    "Γειά σου Κόσμε",
    "שלום עולם",
    "مرحبا بالعالم",
    "你好，世界",
    "こんにちは世界",
    "안녕하세요 세계",
    "สวัสดีชาวโลก",
    "नमस्ते दुनिया",
    "হ্যালো বিশ্ব",
    "வணக்கம் உலகம்",
    "నమస్కారం ప్రపంచం",
    "ನಮಸ್ಕಾರ ವಿಶ್ವ",
    "ഹലോ വേൾഡ്",
    "გამარჯობა სამყარო",
    "Բարեւ աշխարհ",
    "ሰላም ልዑል",
    "សួស្តីពិភពលោក",
    "မင်္ဂလာပါကမ္ဘာ",
    "ᏏᏲ ᎡᎶᎯ",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪",
    "\u{202e}right to left\u{202c} and back",
    "a\u{301}\u{302}\u{303} combining",
    "=?utf-8?q?not_encoded?= (comment) \"quote\" \\ <a@b>",
    "plain, with: all; the @ signs [of] ASCII!",
];

fn octets_of(message: &mut Message) -> Vec<u8> {
    let rendering = message.render(RenderOptions::default()).unwrap();
    let length = rendering.length().unwrap();
    let octets = rendering.into_octets().unwrap();
    assert_eq!(octets.len() as u64, length);
    for line in octets.split(|octet| *octet == b'\n') {
        assert!(line.len() <= 999, "{}", line.escape_ascii());
    }
    octets
}

fn quoted(name: &str) -> String {
    format!("\"{}\" <user@example.com>", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Composes, and has it read by mail-parser.
fn check(name: &str, subject: &str, text: &str, file_name: &str, encoding: TextEncoding) {
    let mut message = Message::new();
    let (from, html) = (quoted(name), format!("<p>{text}</p>"));
    message
        .compose(&Parts {
            from: Some(&from),
            to: Some(&from),
            subject: Some(subject),
            text: Some(text),
            html: Some(&html),
            ..Parts::default()
        })
        .unwrap();
    message.set_text_encoding(encoding);
    message.attach(Attachment::new(file_name, None, None, Data::memory(text.as_bytes())).unwrap());
    let octets = octets_of(&mut message);
    let read = MessageParser::default().parse(&octets).unwrap();
    let shown = octets.escape_ascii();
    if !name.is_empty() {
        assert_eq!(read.from().unwrap().first().unwrap().name(), Some(name), "{shown}");
    }
    assert_eq!(read.to().unwrap().first().unwrap().address(), Some("user@example.com"), "{shown}");
    if !subject.is_empty() {
        assert_eq!(read.subject(), Some(subject), "{shown}");
    }
    let lines = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n");
    assert_eq!(read.body_text(0).unwrap(), lines(text), "{shown}");
    assert_eq!(read.body_html(0).unwrap(), lines(&html), "{shown}");
    let attached = read.attachment(0).unwrap();
    assert_eq!(attached.contents(), text.as_bytes(), "{shown}");
    if !file_name.is_empty() {
        assert_eq!(attached.attachment_name(), Some(file_name), "{shown}");
    }
    // And by the library itself.
    let again = Message::load(&octets).unwrap();
    assert_eq!(again.header("Subject", 0).as_deref(), Some(subject), "{shown}");
    assert_eq!(again.text().unwrap(), lines(text), "{shown}");
    let part = again.parts().pop().unwrap();
    assert_eq!(
        (part.name.unwrap_or_default(), part.disposition.as_deref()),
        (file_name.to_owned(), Some("attachment"))
    );
}

#[test]
fn every_script_reads_back() {
    for (at, text) in TEXTS.iter().enumerate() {
        let (encoding, ..) = TextEncoding::ALL[at % TextEncoding::ALL.len()];
        check(text, text, text, &format!("{text}.pdf").replace('/', "_"), encoding);
        let long: String = text.chars().cycle().take(10_000).collect::<String>().trim().to_owned();
        check(text, &long, &long, "a.txt", encoding);
    }
}

#[test]
fn file_names_of_all_kinds() {
    for name in [
        "a",
        ".hidden",
        "two.dots.tar.gz",
        "with space.txt",
        "quote\".txt",
        "back\\slash.txt",
        "per%20cent.txt",
        "a;b=c.txt",
        "it's.txt",
        "*star*.txt",
        "=?utf-8?q?x?=.txt",
        "../../etc/passwd",
        "C:\\Users\\x.txt",
        "трудный файл, «кавычки».docx",
        "发票 2024年.pdf",
        "🦀.rs",
        &"long".repeat(60),
        &"ü".repeat(200),
    ] {
        check("Ann", "x", "text", name, TextEncoding::Automatic);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn anything_reads_back(
        name in "\\PC{0,40}",
        subject in "[!-~]{1,9}(( |  )([!-~]{1,20}|\\PC{1,9})){0,20}",
        text in "(\\PC|\r\n|\n|[ .=\t]|From ){0,300}",
        file in "\\PC{1,60}",
        encoding in 0..TextEncoding::ALL.len(),
    ) {
        // Readers differ about blanks at the ends; the library's own tests have them.
        let (name, subject) = (name.trim(), subject.trim());
        let mut message = Message::new();
        prop_assume!(message.set_header("From", &quoted(name)).is_ok());
        let (encoding, ..) = TextEncoding::ALL[encoding];
        let octets = {
            message.set_header("Subject", subject).unwrap();
            message.set_text(Some(&text)).unwrap();
            message.set_text_encoding(encoding);
            message.attach(Attachment::new(&file, None, None, Data::memory(text.as_bytes())).unwrap());
            octets_of(&mut message)
        };
        let again = Message::load(&octets).unwrap();
        prop_assert_eq!(again.header("Subject", 0).unwrap(), subject);
        let lines = text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n");
        prop_assert_eq!(again.text().unwrap(), lines);
        let parts = again.parts();
        let part = parts.last().unwrap();
        prop_assert_eq!(part.name.as_deref(), Some(file.as_str()));
        prop_assert_eq!(part.octets().unwrap(), text.as_bytes());
        let read = MessageParser::default().parse(&octets).unwrap();
        prop_assert_eq!(read.attachment(0).unwrap().contents(), text.as_bytes());
    }
}

/// A file with holes, which takes no room on the disk.
struct Sparse(std::path::PathBuf);

impl Sparse {
    fn new(name: &str, length: u64) -> Self {
        let path = std::env::temp_dir().join(format!("smtpclient-{name}-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        file.write_all(b"beginning").unwrap();
        file.set_len(length).unwrap();
        Self(path)
    }
}

impl Drop for Sparse {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn drained(message: &mut Message) -> u64 {
    let mut rendering = message.render(RenderOptions::default()).unwrap();
    let mut total = 0;
    loop {
        let count = rendering.next().unwrap().len() as u64;
        if count == 0 {
            assert_eq!(rendering.length(), Some(total));
            return total;
        }
        total += count;
    }
}

#[test]
fn the_size_of_an_attachment_costs_no_memory() {
    let measure = |length: u64| {
        let file = Sparse::new(&format!("attachment-{length}"), length);
        let mut message = Message::new();
        message.attach_file(file.0.to_str().unwrap(), Some("a.bin"), None, None).unwrap();
        let (total, peak) = peak_of(|| drained(&mut message));
        (peak, total)
    };
    let (small, _) = measure(100 * 1024);
    let (large, total) = measure(64 * 1024 * 1024);
    assert!(total > 64 * 1024 * 1024 * 4 / 3);
    assert!(large <= small + 64 * 1024, "{small} octets for a small file, {large} for a large one");
    assert!(large < 1024 * 1024, "{large}");
}

/// By hand: `cargo test --release --test compose -- --ignored --nocapture`.
#[test]
#[ignore = "reads a file of 1 GiB; for figures"]
fn one_gibibyte() {
    let file = Sparse::new("gibibyte", 1 << 30);
    let mut message = Message::new();
    message.attach_file(file.0.to_str().unwrap(), Some("a.bin"), None, None).unwrap();
    let begin = std::time::Instant::now();
    let (total, peak) = peak_of(|| drained(&mut message));
    let seconds = begin.elapsed().as_secs_f64();
    println!("1 GiB as {total} octets in {seconds:.2} s, {:.0} MB/s of content; peak {peak} octets", 1073.7 / seconds);
}
