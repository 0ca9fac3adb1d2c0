//! Loaded messages: their header fields and parts.
//!
//! Nothing is copied or decoded before it is asked for, and what is hostile stays
//! cheap: parts lie in each other and beside each other up to a limit, beyond which
//! they count as content.

use super::data::Data;
use super::field::{Field, Value};
use super::message::Message;
use super::parameter::Parameters;
use super::part::{Content, Part};
use super::transfer_encoding::Encoding;
use crate::error::{Code, Error, Result};
use memchr::memchr;
use memchr::memmem::Finder;
use std::ops::Range;
use std::sync::Arc;

/// Parts in parts. Real messages have five or so; each level is searched anew.
const MAX_DEPTH: usize = 30;
/// Parts altogether.
const MAX_PARTS: usize = 10_000;
/// Header fields of a message or part.
const MAX_FIELDS: usize = 10_000;

/// What was loaded.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    octets: Arc<[u8]>,
    body: Range<usize>,
}

/// Makes a message of octets whose lines end with CRLF.
pub(super) fn load(octets: Vec<u8>) -> Result<Message> {
    let not_one = |why: &str| Err(Error::caller(Code::NOT_A_MESSAGE, format!("this is not a message: {why}")));
    if octets.is_empty() {
        return not_one("it is empty");
    }
    // A mailbox file has a line of its own before each message.
    let start = if octets.starts_with(b"From ") { line_end(&octets, 0) } else { 0 };
    let (fields, body) = header(&octets, start);
    if fields.is_empty() {
        return not_one("it does not begin with header fields");
    }
    if fields.len() > MAX_FIELDS {
        return not_one(&format!("it has more than {MAX_FIELDS} header fields"));
    }
    let body = body..octets.len();
    Ok(Message { fields, loaded: Some(Loaded { octets: octets.into(), body }), ..Message::default() })
}

/// Behind the line end of the line that begins at `from`.
fn line_end(octets: &[u8], from: usize) -> usize {
    memchr(b'\n', &octets[from..]).map_or(octets.len(), |at| from + at + 1)
}

/// The fields from `start` on, and where the body begins.
fn header(octets: &[u8], start: usize) -> (Vec<Field>, usize) {
    let mut fields: Vec<Field> = Vec::new();
    let mut at = start;
    while at < octets.len() && fields.len() <= MAX_FIELDS {
        let mut end = line_end(octets, at);
        let line = &octets[at..end];
        if line == b"\r\n" {
            return (fields, end);
        }
        let colon = memchr(b':', line).filter(|colon| {
            let name = line[..*colon].trim_ascii_end();
            !name.is_empty() && name.iter().all(|octet| octet.is_ascii_graphic())
        });
        let Some(colon) = colon else {
            // What is no field begins the body, though the empty line is missing.
            return (fields, at);
        };
        // What follows and begins with a blank belongs to it; a line of blanks alone does not.
        while let Some(b' ' | b'\t') = octets.get(end) {
            let next = line_end(octets, end);
            if octets[end..next].trim_ascii().is_empty() {
                break;
            }
            end = next;
        }
        let name = String::from_utf8_lossy(line[..colon].trim_ascii_end()).into_owned();
        let value = &octets[at + colon + 1..end];
        fields.push(Field { name, value: Value::Raw(value.strip_suffix(b"\r\n").unwrap_or(value).to_vec()) });
        if octets.get(end).is_some_and(|octet| matches!(octet, b' ' | b'\t')) {
            // A line of blanks was meant to be the empty one.
            return (fields, line_end(octets, end));
        }
        at = end;
    }
    (fields, at)
}

impl Loaded {
    /// The octets behind the header.
    pub(super) fn body(&self) -> Data {
        Data::Memory(Arc::clone(&self.octets), self.body.clone())
    }

    pub(super) fn parts(&self, fields: &[Field]) -> Vec<Part> {
        parts_of(fields, &self.body(), 0)
    }
}

/// What is to be looked into.
struct Job {
    parent: Option<usize>,
    depth: usize,
    in_digest: bool,
    /// Header and body, if they are not those of the whole.
    range: Range<usize>,
}

/// The parts of a body, each before those in it.
pub(super) fn parts_of(fields: &[Field], body: &Data, depth: usize) -> Vec<Part> {
    let Data::Memory(octets, range) = body else { return Vec::new() };
    let mut parts = Vec::new();
    let mut jobs = Vec::new();
    look_into(fields, octets, range.clone(), (None, depth, false), &mut parts, &mut jobs);
    while let Some(job) = jobs.pop() {
        if parts.len() >= MAX_PARTS {
            break;
        }
        let (fields, start) = header(&octets[..job.range.end], job.range.start);
        let body = start.min(job.range.end)..job.range.end;
        look_into(&fields, octets, body, (job.parent, job.depth, job.in_digest), &mut parts, &mut jobs);
    }
    parts
}

fn look_into(
    fields: &[Field],
    octets: &Arc<[u8]>,
    body: Range<usize>,
    (parent, depth, in_digest): (Option<usize>, usize, bool),
    parts: &mut Vec<Part>,
    jobs: &mut Vec<Job>,
) {
    let raw = |name: &str| {
        fields.iter().find(|field| field.is(name)).and_then(|field| match &field.value {
            Value::Raw(raw) => Some(raw.as_slice()),
            Value::Text(_) => None,
        })
    };
    let text = |name: &str| fields.iter().find(|field| field.is(name)).map(|field| field.text().trim().to_owned());
    let mut content_type = raw("Content-Type").map(Parameters::parse).unwrap_or_default();
    let is_type = content_type.value.split_once('/').is_some_and(|(kind, sub)| !kind.is_empty() && !sub.is_empty());
    if !is_type {
        content_type.value = if in_digest { "message/rfc822" } else { "text/plain" }.to_owned();
    }
    let disposition = raw("Content-Disposition").map(Parameters::parse).unwrap_or_default();
    let name = disposition.get("filename").or_else(|| content_type.get("name"));
    let encoding = text("Content-Transfer-Encoding").map_or(Encoding::SevenBit, |name| Encoding::parse(&name));
    let is_plain = !matches!(encoding, Encoding::Base64 | Encoding::QuotedPrintable);
    let may_go_deeper = depth < MAX_DEPTH;
    let at = parts.len();
    let job = |range, in_digest| Job { parent: Some(at), depth: depth + 1, in_digest, range };
    let mut inner = Vec::new();
    let mut content = Content::Loaded(Data::Memory(Arc::clone(octets), body.clone()));
    if let Some(boundary) = content_type.get("boundary")
        && content_type.value.starts_with("multipart/")
        && may_go_deeper
        && !boundary.is_empty()
    {
        let is_digest = content_type.value == "multipart/digest";
        let room = MAX_PARTS.saturating_sub(at + jobs.len());
        inner = split(octets, body, boundary.as_bytes(), room).into_iter().map(|range| job(range, is_digest)).collect();
        if !inner.is_empty() {
            content = Content::Parts;
        }
    } else if matches!(content_type.value.as_str(), "message/rfc822" | "message/global") && is_plain && may_go_deeper {
        inner.push(job(body, false));
    }
    parts.push(Part {
        parent,
        depth,
        name: name.map(shown).filter(|name| !name.is_empty()),
        disposition: Some(disposition.value).filter(|value| !value.is_empty()),
        content_id: text("Content-ID")
            .map(|id| id.trim_matches(['<', '>', ' ']).to_owned())
            .filter(|id| !id.is_empty()),
        charset: content_type.get("charset").map(str::to_owned),
        media_type: content_type.value,
        encoding,
        content,
    });
    // The first of them is to be taken first.
    jobs.extend(inner.into_iter().rev());
}

/// A name without what could break lines or end a path where it is used.
fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The ranges between the delimiters of a boundary.
fn split(octets: &[u8], body: Range<usize>, boundary: &[u8], most: usize) -> Vec<Range<usize>> {
    let delimiter = [b"--", boundary].concat();
    let finder = Finder::new(&delimiter);
    let mut found = Vec::new();
    let mut open: Option<usize> = None;
    let mut from = body.start;
    while let Some(hit) = finder.find(&octets[from..body.end]) {
        let start = from + hit;
        let behind = start + delimiter.len();
        from = behind;
        let at_line_start = start == body.start || octets[start - 1] == b'\n';
        let rest = &octets[behind..line_end(&octets[..body.end], behind)];
        let (is_last, rest) = match rest.strip_prefix(b"--") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        if !at_line_start || !rest.trim_ascii().is_empty() {
            continue;
        }
        if let Some(begin) = open.take() {
            // The line end before a delimiter belongs to it.
            let end = if start >= begin + 2 { start - 2 } else { begin };
            found.push(begin..end);
        }
        if is_last || found.len() >= most {
            return found;
        }
        from = line_end(&octets[..body.end], behind);
        open = Some(from);
    }
    if let Some(begin) = open {
        // The last delimiter is missing: the message was cut off.
        found.push(begin..body.end);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::render::RenderOptions;

    fn loaded(text: &str) -> Message {
        Message::load(text.as_bytes()).expect("a message")
    }

    fn outline(message: &Message) -> Vec<(Option<usize>, usize, String, String)> {
        let describe =
            |part: &Part| part.octets().map_or("-".to_owned(), |octets| String::from_utf8_lossy(&octets).into_owned());
        message.parts().iter().map(|part| (part.parent, part.depth, part.media_type.clone(), describe(part))).collect()
    }

    const NESTED: &str = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nContent-Type: multipart/mixed; boundary=\"b 1\"\n\npreamble\n\
        --b 1\n\nfirst\n--b 1 \nContent-Type: multipart/alternative;\n boundary=b2\n\n--b2\n\
        Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n=FC\n--b2--\nepilogue\n\
        --b 1\nContent-Type: message/rfc822\nContent-Disposition: attachment; filename=x.eml\n\nSubject: inner\n\ninner text\n--b 1--\nend\n";

    #[test]
    fn parts_in_parts() {
        let message = loaded(NESTED);
        assert_eq!(message.header("subject", 0).as_deref(), Some("Gr\u{fc}\u{df}e"));
        let row =
            |parent, depth, media_type: &str, content: &str| (parent, depth, media_type.to_owned(), content.to_owned());
        assert_eq!(
            outline(&message),
            [
                row(None, 0, "multipart/mixed", "-"),
                row(Some(0), 1, "text/plain", "first"),
                row(Some(0), 1, "multipart/alternative", "-"),
                row(Some(2), 2, "text/html", "\u{fffd}"),
                row(Some(0), 1, "message/rfc822", "Subject: inner\r\n\r\ninner text"),
                row(Some(4), 2, "text/plain", "inner text"),
            ]
        );
        assert_eq!(message.html().as_deref(), Some("\u{fc}"));
        assert_eq!(message.text().as_deref(), Some("first"));
        assert_eq!(message.parts()[4].name.as_deref(), Some("x.eml"));
    }

    #[test]
    fn it_comes_out_as_it_went_in() {
        let all = RenderOptions { all_headers: true, keep_order: true, eight_bit: true };
        let text = format!("Received: x\nDate: d\nMessage-ID: <a@b>\nBcc: c@d\n{NESTED}");
        let rendering = loaded(&text).render(all).expect("rendered");
        assert_eq!(
            String::from_utf8(rendering.into_octets().expect("memory")).expect("UTF-8"),
            text.replace('\n', "\r\n")
        );
        let mut message = loaded(&text);
        let plain =
            message.render(RenderOptions::default()).and_then(super::super::Rendering::into_octets).expect("fine");
        assert!(!plain.windows(4).any(|some| some == b"Bcc:") && !plain.windows(9).any(|some| some == b"Received:"));
    }

    #[test]
    fn what_is_attached_goes_around_what_was_loaded() {
        let mut message = loaded(NESTED);
        message.attach(super::super::Attachment::new("a.txt", None, None, Data::memory(*b"more")).expect("fine"));
        assert_eq!(message.set_text(Some("x")).expect_err("loaded").code, Code::LOADED_BODY);
        let octets =
            message.render(RenderOptions::default()).and_then(super::super::Rendering::into_octets).expect("fine");
        let again = Message::load(&octets).expect("a message");
        let (before, after) = (outline(&loaded(NESTED)), outline(&again));
        assert_eq!(outline(&message), after);
        assert_eq!(after[0].2, "multipart/mixed");
        let moved: Vec<_> = before
            .into_iter()
            .map(|(parent, depth, kind, text)| (Some(parent.map_or(0, |at| at + 1)), depth + 1, kind, text))
            .collect();
        assert_eq!(after[1..=6], moved);
        assert_eq!(after[7], (Some(0), 1, "text/plain".to_owned(), "more".to_owned()));
    }

    #[test]
    fn the_list_of_parts_is_kept_until_something_changes() {
        let mut message = loaded(NESTED);
        let first = message.listed_parts();
        assert!(Arc::ptr_eq(&first, &message.listed_parts()));
        message.remove_header("Content-Type");
        assert_eq!((first.len(), message.listed_parts().len()), (6, 1));
    }

    #[test]
    fn odd_headers() {
        assert_eq!(Message::load(b"").expect_err("empty").code, Code::NOT_A_MESSAGE);
        assert_eq!(Message::load(b"\r\n\r\ntext").expect_err("no header").code, Code::NOT_A_MESSAGE);
        assert_eq!(Message::load(b"just text").expect_err("no header").code, Code::NOT_A_MESSAGE);
        assert_eq!(Message::load(&b"a:\n".repeat(20_000)).expect_err("too many").code, Code::NOT_A_MESSAGE);
        let message = loaded("From me Thu\nSubject : a\n b\n \nbody");
        assert_eq!(message.header("Subject", 0).as_deref(), Some("a b"));
        assert_eq!(message.text().as_deref(), Some("body"));
        // Anything that could begin a field is one, and so is shown and left out as one.
        let message = loaded("A: b\rBcc: c@d\r\rtext");
        assert_eq!(message.header("Bcc", 0).as_deref(), Some("c@d"));
        assert_eq!(loaded("A: b\nno field\n").text().as_deref(), Some("no field\r\n"));
    }

    #[test]
    fn hostile_nesting_is_cheap() {
        let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(200_000);
        assert_eq!(loaded(&deep).parts().len(), MAX_DEPTH + 1);
        let wide = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n\r\n".repeat(100_000));
        let count = loaded(&wide).parts().len();
        assert!((2..=MAX_PARTS + 1).contains(&count), "{count}");
        let same = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".repeat(20_000);
        assert!(loaded(&same).parts().len() <= MAX_PARTS + 1);
    }
}
