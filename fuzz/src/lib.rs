//! What each fuzz target does with its input. `fuzz_targets` hands these to
//! libFuzzer, and `tests/fuzz.rs` runs them on stable Rust with invented input.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

mod conversation;
mod login;
mod message;

use smtpclient::proto::{
    Capabilities, Command, CommandText, Delivery, DotStuffer, Envelope, HostName, MAX_REPLY_BYTES, Mailbox,
    ParameterList, Reply, ReplyParser, ReversePath, check_envelope_id, queue_id, split_list, to_ascii,
};
use smtpclient::proxy::{MAX_HEADER, Protocol, Proxy, Target as Server, Tunnel};

pub use conversation::play;
pub use login::log_in;
#[allow(unused_imports)]
pub use message::{message, message_address, message_header};

/// A target: its name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 12] = [
    ("reply", reply),
    ("ehlo", ehlo),
    ("address", address),
    ("enhanced_code", enhanced_code),
    ("parameters", parameters),
    ("dot_stuffing", dot_stuffing),
    ("session", session),
    ("proxy", proxy),
    ("sasl", sasl),
    ("message", message::message),
    ("message_header", message::message_header),
    ("message_address", message::message_address),
];

/// A whole session.
pub fn session(data: &[u8]) {
    play(data);
}

/// A login against a server that says whatever it likes.
pub fn sasl(data: &[u8]) {
    log_in(data);
}

/// The first octet, by which a target chooses, and the rest.
fn choice(data: &[u8]) -> (usize, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (usize::from(*first), rest))
}

/// What the parser made of some octets: the replies, and why it stopped.
type Parsed = (Vec<(u16, Vec<u8>)>, Option<String>);

fn parse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Parsed {
    let mut parser = ReplyParser::default();
    let mut replies = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            match parser.feed(piece) {
                Ok((used, complete)) => {
                    assert!(used > 0 && used <= piece.len(), "no progress");
                    assert!(complete || used == piece.len());
                    piece = &piece[used..];
                    if complete {
                        assert!(!parser.is_partial());
                        check_reply(parser.reply());
                        replies.push((parser.reply().code(), parser.reply().text().to_vec()));
                    }
                }
                Err(error) => return (replies, Some(format!("{:?}", error.code))),
            }
        }
    }
    (replies, None)
}

fn check_reply(reply: &Reply) {
    assert!((200..600).contains(&reply.code()), "{}", reply.code());
    assert!(reply.text().len() <= MAX_REPLY_BYTES);
    let record = reply.to_record();
    assert!(!record.text.contains(|c: char| c.is_control() && c != '\n'), "{:?}", record.text);
    if let Some((class, subject, detail)) = reply.enhanced() {
        assert_eq!(u16::from(class), reply.code() / 100);
        assert!(subject <= 999 && detail <= 999);
    }
    if let Some(id) = queue_id(&record.text) {
        assert!(!id.is_empty() && !id.contains(|c: char| c == ' ' || c.is_control()), "{id:?}");
    }
}

/// The reply parser: the same whatever the pieces are.
pub fn reply(data: &[u8]) {
    let (by, text) = choice(data);
    let whole = parse(std::iter::once(text));
    let pieces = parse(text.chunks(by + 1));
    assert_eq!(pieces.0, whole.0);
    assert_eq!(pieces.1, whole.1);
}

/// What the server says that it offers.
pub fn ehlo(data: &[u8]) {
    let mut parser = ReplyParser::default();
    if !matches!(parser.feed(data), Ok((_, true))) {
        return;
    }
    let found = Capabilities::parse(parser.reply());
    assert!(found.lines.len() < parser.reply().lines().count());
    for line in &found.lines {
        assert!(!line.is_empty() && !line.contains(char::is_control), "{line:?}");
    }
    for mechanism in &found.mechanisms {
        assert!(!mechanism.is_empty() && !mechanism.contains(|c: char| c == ' ' || c.is_control()), "{mechanism:?}");
        assert_eq!(found.mechanisms.iter().filter(|other| *other == mechanism).count(), 1, "{mechanism}");
    }
    let limits = [found.limits.mail, found.limits.rcpt, found.limits.rcpt_domain];
    assert!(limits.iter().all(|limit| *limit != Some(0)));
}

/// Addresses, lists of them, and host names: what is taken cannot break out of its command.
pub fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(mailbox) = Mailbox::parse(text) {
        check_mailbox(mailbox.as_str());
        assert_eq!(mailbox.needs_smtputf8(), !mailbox.as_str().is_ascii());
        assert_eq!(Mailbox::parse(mailbox.as_str()).unwrap(), mailbox, "what is taken is taken again");
        if let Ok(ascii) = to_ascii(mailbox.as_str())
            && let Ok(ascii) = Mailbox::parse(&ascii)
        {
            check_mailbox(ascii.as_str());
        }
    }
    match ReversePath::parse(text) {
        Ok(ReversePath::Null) => assert_eq!(text.trim_matches([' ', '\t']), "<>"),
        Ok(ReversePath::Mailbox(mailbox)) => assert_eq!(Mailbox::parse(text).unwrap(), mailbox),
        Err(_) => assert!(Mailbox::parse(text).is_err()),
    }
    let parts: Vec<&str> = split_list(text).collect();
    assert!(parts.iter().all(|part| !part.is_empty() && part.trim_matches([' ', '\t']) == *part));
    assert!(parts.iter().map(|part| part.len()).sum::<usize>() <= text.len());
    if let Ok(name) = HostName::parse(text) {
        assert!(name.as_str().bytes().all(|octet| octet.is_ascii_graphic()), "{name:?}");
    }
}

fn check_mailbox(text: &str) {
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
    // Beyond a quoted local part nothing ends the path early. A literal of a kind
    // that is not known may have any graphic character (RFC 5321 section 4.1.3).
    let domain = &text[text.rfind('@').map_or(0, |at| at + 1)..];
    assert!(!domain.contains(' ') && (domain.starts_with('[') || !domain.contains(['<', '>', '"'])), "{text:?}");
    let mut envelope = Envelope::default();
    envelope.begin(ReversePath::Null);
    envelope.push(Mailbox::parse(text).unwrap());
    let mut line = Vec::new();
    Command::Rcpt(&envelope, 0, &Capabilities { dsn: true, ..Capabilities::default() }).write_to(&mut line);
    check_line(&line);
}

/// One line, and nothing in it that could be taken for its end.
fn check_line(line: &[u8]) {
    let text = line.strip_suffix(b"\r\n").expect("ends with CRLF");
    assert!(!text.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)), "{}", line.escape_ascii());
}

/// The enhanced status code: read back from what it was written as.
pub fn enhanced_code(data: &[u8]) {
    let (class, rest) = choice(data);
    let class = class % 4 + 2;
    let digits: Vec<u16> = rest.chunks(2).map(|pair| u16::from(pair[0]) * 8 + u16::from(pair.len() > 1)).collect();
    let (subject, detail) = (digits.first().copied().unwrap_or(0), digits.get(1).copied().unwrap_or(0));
    let line = format!("{class}50 {class}.{subject}.{detail} text\r\n");
    let mut parser = ReplyParser::default();
    assert!(parser.feed(line.as_bytes()).unwrap().1);
    let fits = class != 3 && subject <= 999 && detail <= 999;
    let expected = fits.then(|| (u8::try_from(class).unwrap(), subject, detail));
    assert_eq!(parser.reply().enhanced(), expected, "{line:?}");
    // And from anything at all.
    let line = [format!("{class}50 ").as_bytes(), rest, b"\r\n"].concat();
    let mut parser = ReplyParser::default();
    if matches!(parser.feed(&line), Ok((_, true))) {
        check_reply(parser.reply());
        if let Some((class, subject, detail)) = parser.reply().enhanced() {
            let first = parser.reply().text().split(|octet| matches!(octet, b' ' | b'\n')).next().unwrap();
            let numbers: Vec<u32> =
                std::str::from_utf8(first).unwrap().split('.').map(|part| part.parse().unwrap()).collect();
            assert_eq!(numbers, [u32::from(class), u32::from(subject), u32::from(detail)]);
        }
    }
}

/// What a caller may put on a command line: parameters, commands, envelope ids.
pub fn parameters(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(list) = ParameterList::parse(text) {
        assert!(list.as_str().bytes().all(|octet| matches!(octet, b' '..=b'~')), "{list:?}");
        assert_eq!(ParameterList::parse(list.as_str()).unwrap(), list, "what is taken is taken again");
        assert_eq!(
            list.as_str().split(' ').filter(|word| !word.is_empty()).count(),
            text.split(' ').filter(|word| !word.is_empty()).count()
        );
    }
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    if let Ok(command) = CommandText::parse(verb, rest) {
        let mut line = Vec::new();
        Command::Other(&command).write_to(&mut line);
        check_line(&line);
        assert!(line.len() <= 512);
        assert_eq!(command.verb(), verb);
    }
    if check_envelope_id(text).is_ok() {
        let mut envelope = Envelope::default();
        envelope.begin(ReversePath::Null);
        envelope.set_delivery(Delivery::default(), text);
        let mut line = Vec::new();
        Command::Mail(&envelope, &Capabilities { dsn: true, ..Capabilities::default() }).write_to(&mut line);
        check_line(&line);
        let line = String::from_utf8(line).unwrap();
        let xtext = line.trim_end().split_once(" ENVID=").map_or("", |(_, xtext)| xtext);
        assert!(xtext.len() <= 100);
        assert_eq!(decoded(xtext), text.as_bytes());
    }
    // Any address may be an original recipient, and has to come back.
    if let Ok(mailbox) = Mailbox::parse(text)
        && !mailbox.needs_smtputf8()
    {
        let mut line = Vec::new();
        Delivery::NOTIFY_SUCCESS.write_recipient_parameters(mailbox.as_str(), None, &mut line);
        let line = String::from_utf8(line).unwrap();
        let (_, xtext) = line.split_once(";").unwrap();
        assert_eq!(decoded(xtext), mailbox.as_str().as_bytes());
    }
}

/// What a server makes of xtext (RFC 3461 section 4).
fn decoded(xtext: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = xtext.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        assert!(matches!(first, b'!'..=b'~') && *first != b'=', "{xtext}");
        if *first == b'+' {
            octets.push(u8::from_str_radix(std::str::from_utf8(&behind[..2]).unwrap(), 16).unwrap());
            rest = &behind[2..];
        } else {
            octets.push(*first);
            rest = behind;
        }
    }
    octets
}

/// Dot-stuffing: the server gets the repaired content back, whatever the pieces are.
pub fn dot_stuffing(data: &[u8]) {
    let (by, content) = choice(data);
    let mut whole = Vec::new();
    let mut stuffer = DotStuffer::default();
    stuffer.push(content, &mut whole);
    stuffer.finish(&mut whole);
    let mut wire = Vec::new();
    let mut stuffer = DotStuffer::default();
    for piece in content.chunks(by + 1) {
        stuffer.push(piece, &mut wire);
        // A piece without octets is not the end.
        stuffer.push(b"", &mut wire);
    }
    stuffer.finish(&mut wire);
    assert_eq!(wire.escape_ascii().to_string(), whole.escape_ascii().to_string());
    assert_eq!(received(&wire).escape_ascii().to_string(), repaired(content).escape_ascii().to_string());
}

/// Proxies: how they are named, and what they answer, which means the same whatever the pieces are.
pub fn proxy(data: &[u8]) {
    let (which, rest) = choice(data);
    let names =
        ["socks4a://me@h", "socks5://h", "socks5://u:hunter2@h", "http://h:1", "http://u:hunter2@h:1", "socks4a://h"];
    let name = names[which % names.len()];
    let single = ask(name, rest.chunks(1));
    let pieces = ask(name, rest.chunks(which / names.len() + 1));
    // An answer to what was not asked yet can be told only if it comes in one piece.
    let is_early = pieces.as_ref().is_err_and(|error| error.contains("answered before it was asked"));
    assert!(pieces == single || is_early, "{pieces:?} {single:?}");
    if let Ok(text) = std::str::from_utf8(rest) {
        check_proxy(text);
    }
}

/// How many octets were the proxy's and whether the connection is there, or what went wrong.
fn ask<'a>(name: &str, pieces: impl Iterator<Item = &'a [u8]>) -> Result<(usize, bool), String> {
    let server = Server { host: "mail.example".to_owned(), port: 25 };
    let mut tunnel = Tunnel::new(&Proxy::parse(name).unwrap(), &server).unwrap();
    let mut used = 0;
    for piece in pieces {
        assert!(!tunnel.is_done() || tunnel.output().is_empty());
        tunnel.handle_written(tunnel.output().len());
        let taken = tunnel.handle_input(piece).map_err(|error| error.to_string());
        if let Err(sentence) = &taken {
            assert!(!sentence.contains("hunter2") && !sentence.contains(char::is_control), "{sentence:?}");
            assert!(sentence.len() < 2000, "{sentence}");
        }
        let taken = taken?;
        assert!(taken == piece.len() || tunnel.is_done());
        used += taken;
    }
    assert!(used <= MAX_HEADER);
    assert!(tunnel.handle_end_of_stream().what.contains("closed the connection"));
    Ok((used, tunnel.is_done()))
}

/// What is taken as a proxy's name means the same when it is read back, and cannot
/// break out of the request.
fn check_proxy(text: &str) {
    let Ok(proxy) = Proxy::parse(text) else { return };
    let masked = proxy.masked();
    match Proxy::parse(&masked) {
        Ok(again) => {
            assert_eq!((again.masked(), again.to_string(), again.port()), (masked, proxy.to_string(), proxy.port()));
        }
        Err(error) => assert!(masked.contains(":********@") && error.what.contains("mask"), "{masked}: {error}"),
    }
    let server = Server { host: "mail.example".to_owned(), port: 25 };
    let request = Tunnel::new(&proxy, &server).unwrap();
    if proxy.protocol() == Protocol::Http {
        let lines: Vec<_> = request.output().split(|octet| *octet == b'\n').collect();
        assert!([4, 5].contains(&lines.len()) && lines[lines.len() - 2] == b"\r");
        assert!(lines[..lines.len() - 1].iter().all(|line| line.iter().filter(|octet| **octet < b' ').count() == 1));
    }
}

/// What a server makes of it, which knows no line end but CRLF.
fn received(wire: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    let mut rest = wire;
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a line end") + 2;
        let (line, behind) = rest.split_at(end);
        assert!(!line[..end - 2].iter().any(|octet| matches!(octet, b'\r' | b'\n')), "a bare CR or LF");
        if line == b".\r\n" {
            assert!(behind.is_empty(), "nothing may follow the end");
            return content;
        }
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        rest = behind;
    }
}

/// The content with CRLF for every line end, a last one included.
fn repaired(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut octets = content.iter().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'\r' => {
                octets.next_if_eq(&&b'\n');
                out.extend_from_slice(b"\r\n");
            }
            b'\n' => out.extend_from_slice(b"\r\n"),
            other => out.push(*other),
        }
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}
