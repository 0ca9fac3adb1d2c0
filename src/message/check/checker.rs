//! Takes a message in any pieces, line by line.

use super::fields::{Fields, Found};
use super::finding::quoted;
use super::injection::{is_stray_field, trace};
use super::part::{Encoding, Part, media_type, parameter};
use super::scripts::is_invisible;
use super::{Check, Finding, Report, Severity};
use memchr::{memchr, memchr2};

/// RFC 5322 section 2.1.1.
const LONGEST_LINE: u64 = 998;
const LONG_LINE: u64 = 78;

/// The most of a field, or of a line elsewhere, that is kept to be looked at.
const MOST_FIELD: usize = 64 * 1024;
const MOST_LINE: usize = 1024;

/// How deep parts may be within parts.
const DEEPEST: usize = 16;

/// RFC 2046 section 5.1.1.
const LONGEST_BOUNDARY: usize = 70;

/// A multipart type that has not ended yet.
#[derive(Debug)]
struct Multipart {
    boundary: Vec<u8>,
    part: u32,
    line: u64,
    begun: bool,
}

/// Whose lines come.
#[derive(Debug, PartialEq, Eq)]
enum At {
    Header,
    Content,
    /// Before the first part, or behind the last one.
    Between,
}

/// Finds what is wrong with a message.
#[derive(Debug)]
pub struct Checker {
    limit: u64,
    report: Report,
    /// With line ends as they are sent.
    octets: u64,
    line: u64,
    after_cr: bool,
    /// What is kept of the line, and how long it is.
    kept: Vec<u8>,
    length: u64,
    /// Whether the line has a NUL.
    nul: bool,
    at: At,
    /// The field at hand, its lines joined, and where it began.
    field: Vec<u8>,
    field_line: u64,
    field_cut: bool,
    /// Lines of the header that end with CRLF, and others.
    ends: [u64; 2],
    fields: Fields,
    part_number: u32,
    parts: u32,
    part: Part,
    boundary: Option<String>,
    seen_type: bool,
    multiparts: Vec<Multipart>,
    first_of_content: bool,
}

impl Checker {
    /// Looks out for a message of more than `limit` octets, if that is not 0.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            report: Report::default(),
            octets: 0,
            line: 1,
            after_cr: false,
            kept: Vec::new(),
            length: 0,
            nul: false,
            at: At::Header,
            field: Vec::new(),
            field_line: 0,
            field_cut: false,
            ends: [0; 2],
            fields: Fields::default(),
            part_number: 0,
            parts: 0,
            part: Part::new(),
            boundary: None,
            seen_type: false,
            multiparts: Vec::new(),
            first_of_content: false,
        }
    }

    /// Takes the next piece.
    pub fn push(&mut self, mut piece: &[u8]) {
        while let Some(first) = piece.first() {
            if std::mem::take(&mut self.after_cr) {
                self.end_line(*first == b'\n');
                if *first == b'\n' {
                    piece = &piece[1..];
                }
                continue;
            }
            let found = memchr2(b'\r', b'\n', piece);
            let (text, rest) = piece.split_at(found.unwrap_or(piece.len()));
            self.text(text);
            match rest.first() {
                Some(b'\r') => self.after_cr = true,
                Some(_) => self.end_line(false),
                None => {}
            }
            piece = rest.get(1..).unwrap_or_default();
        }
    }

    /// Takes the end, and gives all that was found.
    #[must_use]
    pub fn finish(mut self) -> Report {
        if self.after_cr {
            self.end_line(false);
        } else if self.length > 0 {
            self.octets += 2;
            self.whole_line();
        }
        if self.at == At::Header {
            self.end_header();
        }
        self.end_part();
        while let Some(multipart) = self.multiparts.pop() {
            self.left_open(&multipart);
        }
        if self.limit > 0 && self.octets > self.limit {
            let what = format!("the message has {} octets, and the limit is {}", self.octets, self.limit);
            self.add(Check::Oversize, Severity::Error, 0, "", what);
        }
        self.report
    }

    #[inline(never)]
    fn add(&mut self, check: Check, severity: Severity, line: u64, header: &str, what: String) {
        self.add_found((check, severity, header.to_owned(), what, false), line);
    }

    fn add_found(&mut self, (check, severity, header, what, distinct): Found, line: u64) {
        self.report.add(Finding { check, severity, line, part: self.part_number, count: 1, header, what }, distinct);
    }

    /// A piece of a line.
    fn text(&mut self, text: &[u8]) {
        self.octets += text.len() as u64;
        self.length += text.len() as u64;
        self.nul |= memchr(0, text).is_some();
        match self.at {
            At::Header => {
                self.field_cut |= keep(&mut self.kept, text, MOST_FIELD);
            }
            At::Content => {
                if !self.part.eight_bit && !text.is_ascii() {
                    self.part.eight_bit = true;
                    self.eight_bit();
                }
                keep(&mut self.kept, text, MOST_LINE);
            }
            At::Between => {
                keep(&mut self.kept, text, MOST_LINE);
            }
        }
    }

    fn eight_bit(&mut self) {
        let line = self.line;
        match self.part.encoding {
            Encoding::EightBit => {
                let what = format!("line {line} has octets beyond ASCII");
                self.add(Check::EightBit, Severity::Hint, line, "", what);
            }
            Encoding::Binary | Encoding::Unknown => {}
            Encoding::SevenBit | Encoding::QuotedPrintable | Encoding::Base64 => {
                let what = format!("line {line} has octets beyond ASCII, and the transfer encoding has none");
                self.add(Check::EightBitUndeclared, Severity::Error, line, "Content-Transfer-Encoding", what);
            }
        }
        if self.part.kind.starts_with("text/") && ["", "us-ascii"].contains(&self.part.charset.as_str()) {
            let what = "the text has octets beyond ASCII, and no charset that says what they are".to_owned();
            self.add(Check::Charset, Severity::Warning, line, "Content-Type", what);
        }
    }

    fn end_line(&mut self, crlf: bool) {
        self.octets += 2;
        if !crlf {
            let what = format!("line {} does not end with CRLF", self.line);
            self.add(Check::BareLineEnd, Severity::Warning, self.line, "", what);
        }
        if self.at == At::Header {
            self.ends[usize::from(!crlf)] += 1;
        }
        self.whole_line();
        self.line += 1;
    }

    fn whole_line(&mut self) {
        let line = self.line;
        if self.length > LONGEST_LINE {
            let what = format!("line {line} has {} octets", self.length);
            self.add(Check::LineTooLong, Severity::Error, line, "", what);
        } else if self.length > LONG_LINE {
            let what = format!("line {line} has {} octets", self.length);
            self.add(Check::LineLong, Severity::Hint, line, "", what);
        }
        if std::mem::take(&mut self.nul) {
            self.add(Check::Nul, Severity::Error, line, "", format!("line {line} has a NUL octet"));
        }
        let kept = std::mem::take(&mut self.kept);
        match self.at {
            At::Header => self.header_line(&kept),
            At::Content | At::Between => self.content_line(&kept),
        }
        self.kept = kept;
        self.kept.clear();
        self.length = 0;
    }

    fn header_line(&mut self, line: &[u8]) {
        if line.is_empty() && self.length == 0 {
            self.end_header();
        } else if line.starts_with(b" ") || line.starts_with(b"\t") {
            if line.trim_ascii().is_empty() {
                let what = format!("line {} is a continued line of white space", self.line);
                self.add(Check::BlankFold, Severity::Warning, self.line, "", what);
            }
            if self.field_line == 0 {
                let what = format!("line {} continues a field, and there is none before it", self.line);
                self.add(Check::HeaderLine, Severity::Error, self.line, "", what);
            } else {
                self.field_cut |= keep(&mut self.field, line, MOST_FIELD);
            }
        } else {
            self.end_field();
            self.field_line = self.line;
            self.field.extend_from_slice(line);
        }
    }

    /// A field is complete.
    fn end_field(&mut self) {
        let line = std::mem::take(&mut self.field_line);
        if line == 0 {
            return;
        }
        let field = std::mem::take(&mut self.field);
        let cut = std::mem::take(&mut self.field_cut);
        self.look_at_field(&field, line, cut);
        self.field = field;
        self.field.clear();
    }

    fn look_at_field(&mut self, field: &[u8], line: u64, cut: bool) {
        let Some(colon) = memchr(b':', field) else {
            let what = format!("line {line} has no colon: {}", quoted(field));
            return self.add(Check::HeaderLine, Severity::Error, line, "", what);
        };
        let (name, value) = (&field[..colon], &field[colon + 1..]);
        if name.is_empty() || !name.iter().all(|octet| matches!(octet, 33..=126)) {
            let what = format!("the name of the field in line {line} is not one: {}", quoted(name));
            self.add(Check::HeaderName, Severity::Error, line, "", what);
        }
        let name =
            String::from_utf8_lossy(name.trim_ascii()).chars().filter(|c| !c.is_control()).take(80).collect::<String>();
        if cut {
            let what = format!("the field {name} has more than {MOST_FIELD} octets");
            return self.add(Check::HeaderLong, Severity::Warning, line, &name, what);
        }
        let value = match std::str::from_utf8(value) {
            Ok(value) => {
                if !value.is_ascii() {
                    let what = format!("the field {name} has characters beyond ASCII");
                    self.add(Check::HeaderEightBit, Severity::Warning, line, &name, what);
                }
                value.into()
            }
            Err(_) => {
                let what = format!("the field {name} has octets that are not UTF-8");
                self.add(Check::HeaderCharset, Severity::Error, line, &name, what);
                String::from_utf8_lossy(value)
            }
        };
        if let Some(what) = trace(value.as_bytes()) {
            self.add(Check::Injection, Severity::Warning, line, &name, format!("the field {name} {what}"));
        }
        if name.eq_ignore_ascii_case("Subject") && value.chars().any(is_invisible) {
            let what = format!("the field {name} has characters that cannot be seen");
            self.add(Check::Invisible, Severity::Warning, line, &name, what);
        }
        if self.part_number == 0 {
            let mut found = Vec::new();
            self.fields.look(&name, &value, &mut found);
            found.into_iter().for_each(|found| self.add_found(found, line));
        }
        self.look_at_mime(&name, &value, line);
    }

    #[inline(never)]
    fn look_at_mime(&mut self, name: &str, value: &str, line: u64) {
        if name.eq_ignore_ascii_case("Content-Type") && !std::mem::replace(&mut self.seen_type, true) {
            match media_type(value) {
                Some(kind) => self.part.kind = kind,
                None => {
                    let what = format!("the type {} cannot be read", quoted(value.as_bytes()));
                    self.add(Check::ContentType, Severity::Error, line, name, what);
                    self.part.kind = "application/octet-stream".to_owned();
                }
            }
            self.part.charset = parameter(value, "charset").unwrap_or_default().to_ascii_lowercase();
            self.boundary = parameter(value, "boundary");
        } else if name.eq_ignore_ascii_case("Content-Transfer-Encoding") {
            self.part.encoding = Encoding::parse(value);
            match self.part.encoding {
                Encoding::Unknown => {
                    let what = format!("the transfer encoding {} is not known", quoted(value.as_bytes()));
                    self.add(Check::TransferEncoding, Severity::Error, line, name, what);
                }
                Encoding::Binary => {
                    let what = "the part is binary".to_owned();
                    self.add(Check::Binary, Severity::Warning, line, name, what);
                }
                _ => {}
            }
        } else if name.eq_ignore_ascii_case("Content-Disposition") {
            self.part.attached = value.trim_start().to_ascii_lowercase().starts_with("attachment");
        }
    }

    fn end_header(&mut self) {
        self.end_field();
        let line = self.line;
        if self.part_number == 0 {
            let mut found = Vec::new();
            self.fields.finish(&mut found);
            found.into_iter().for_each(|found| self.add_found(found, 0));
            if self.ends[0] > 0 && self.ends[1] > 0 {
                let what = "some lines of the header end with CRLF and some with a CR or LF alone".to_owned();
                self.add(Check::Injection, Severity::Warning, 0, "", what);
            }
            self.first_of_content = true;
        }
        self.part.line = line + 1;
        self.at = At::Content;
        let composite = self.part.kind.starts_with("multipart/") || self.part.kind == "message/rfc822";
        if composite && matches!(self.part.encoding, Encoding::QuotedPrintable | Encoding::Base64) {
            let what = format!("the type {} may not be encoded", quoted(self.part.kind.as_bytes()));
            self.add(Check::TransferEncoding, Severity::Error, line, "Content-Transfer-Encoding", what);
        }
        if !self.part.kind.starts_with("multipart/") {
            return;
        }
        let boundary = self.boundary.take().unwrap_or_default();
        if boundary.is_empty() || boundary.len() > LONGEST_BOUNDARY || boundary.ends_with(' ') {
            let what = format!("the type {} has no boundary that may be one", quoted(self.part.kind.as_bytes()));
            self.add(Check::BoundaryMissing, Severity::Error, line, "Content-Type", what);
        } else if self.multiparts.len() == DEEPEST {
            let what = format!("line {line} begins a part that is {DEEPEST} parts deep");
            self.add(Check::TooDeep, Severity::Hint, line, "", what);
        } else {
            let part = self.part_number;
            self.multiparts.push(Multipart { boundary: boundary.into_bytes(), part, line, begun: false });
            self.at = At::Between;
        }
    }

    fn content_line(&mut self, line: &[u8]) {
        if std::mem::take(&mut self.first_of_content) && is_stray_field(line) {
            let what = format!("the text begins with what looks like a field: {}", quoted(line));
            self.add(Check::Injection, Severity::Warning, self.line, "", what);
        }
        if line.starts_with(b"--") && self.length < MOST_LINE as u64 && self.is_boundary(line) {
            return;
        }
        if !self.part.any {
            self.part.any = line.iter().any(|octet| !octet.is_ascii_whitespace());
        }
        if self.at == At::Content
            && self.length <= MOST_LINE as u64
            && let Err(what) = self.part.takes(line)
        {
            let what = format!("line {}: {what}", self.line);
            self.add(Check::EncodedBody, Severity::Error, self.line, "Content-Transfer-Encoding", what);
        }
    }

    /// Takes a line that begins or ends a part.
    fn is_boundary(&mut self, line: &[u8]) -> bool {
        let text = line[2..].trim_ascii_end();
        let matches = |multipart: &Multipart| {
            text.strip_prefix(multipart.boundary.as_slice()).filter(|rest| matches!(*rest, b"" | b"--"))
        };
        let Some((depth, ends)) = self
            .multiparts
            .iter()
            .enumerate()
            .rev()
            .find_map(|(depth, multipart)| matches(multipart).map(|rest| (depth, !rest.is_empty())))
        else {
            return false;
        };
        self.end_part();
        while self.multiparts.len() > depth + 1 {
            if let Some(multipart) = self.multiparts.pop() {
                self.left_open(&multipart);
            }
        }
        if ends {
            if let Some(multipart) = self.multiparts.pop()
                && !multipart.begun
            {
                self.never_begun(&multipart);
            }
            self.at = At::Between;
            return true;
        }
        self.multiparts[depth].begun = true;
        self.parts = self.parts.saturating_add(1);
        self.part_number = self.parts;
        self.part = Part::new();
        self.boundary = None;
        self.seen_type = false;
        self.at = At::Header;
        true
    }

    fn end_part(&mut self) {
        if self.at == At::Content {
            let line = self.part.line;
            if self.part.is_text() && !self.part.any {
                let what = format!("the part of type {} is empty", quoted(self.part.kind.as_bytes()));
                self.add(Check::TextEmpty, Severity::Warning, line, "", what);
            }
            if !self.part.ends_well() {
                let what = format!("base64 that begins in line {line} is cut off");
                self.add(Check::EncodedBody, Severity::Error, line, "Content-Transfer-Encoding", what);
            }
        } else if self.at == At::Header && self.part_number > 0 {
            self.end_field();
        }
        self.at = At::Between;
    }

    fn left_open(&mut self, multipart: &Multipart) {
        if !multipart.begun {
            return self.never_begun(multipart);
        }
        self.part_number = multipart.part;
        let what = format!("the boundary {} does not come again at the end", quoted(&multipart.boundary));
        self.add(Check::BoundaryOpen, Severity::Error, multipart.line, "Content-Type", what);
    }

    fn never_begun(&mut self, multipart: &Multipart) {
        self.part_number = multipart.part;
        let what = format!("the boundary {} does not come in the text", quoted(&multipart.boundary));
        self.add(Check::BoundaryUnused, Severity::Error, multipart.line, "Content-Type", what);
    }
}

/// Appends what there is room for, and says whether something was left out.
fn keep(kept: &mut Vec<u8>, text: &[u8], most: usize) -> bool {
    let room = most.saturating_sub(kept.len());
    kept.extend_from_slice(&text[..text.len().min(room)]);
    text.len() > room
}

#[cfg(test)]
mod tests;
