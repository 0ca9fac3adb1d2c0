//! The header as signing sees it: its fields, in order.

use super::Canonical;
use crate::error::{Code, Error, Result};

/// The longest header that is signed: it is kept until the body's end is known.
/// Servers take far less (postfix 100 KiB, exim 1 MiB).
pub const MAX_SIGNED_HEADER: usize = 1024 * 1024;

/// The most fields of a header that is signed, and the most names in a signature: each name is
/// looked for among the fields.
const MAX_FIELDS: usize = 10_000;
pub(super) const MAX_NAMES: usize = 1000;

/// The octets of a header, and where its fields are.
#[derive(Clone, Debug, Default)]
pub struct HeaderFields {
    octets: Vec<u8>,
    /// The octets before it were looked at: no end of the header in them.
    looked: usize,
    fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    start: usize,
    /// The length of its name.
    name: usize,
    end: usize,
}

impl HeaderFields {
    /// Takes the next octets, with CRLF for line ends; gives what is behind the empty line
    /// that ends the header, once that has come.
    ///
    /// # Errors
    ///
    /// `DKIM_HEADER` if it becomes too long.
    pub fn push<'a>(&mut self, piece: &'a [u8]) -> Result<Option<&'a [u8]>> {
        let before = self.octets.len();
        self.octets.extend_from_slice(piece);
        // The empty line may begin in what is there already.
        let from = self.looked.saturating_sub(3);
        let end = if self.octets.starts_with(b"\r\n") {
            Some(0)
        } else {
            memchr::memmem::find(&self.octets[from..], b"\r\n\r\n").map(|at| from + at + 2)
        };
        if let Some(end) = end {
            self.octets.truncate(end);
            // What was there before had no end in it, so it lies in this piece.
            return Ok(piece.get((end + 2).saturating_sub(before)..));
        }
        self.looked = self.octets.len();
        if self.looked > MAX_SIGNED_HEADER {
            let what = format!("the message's header is longer than {MAX_SIGNED_HEADER} octets");
            return Err(
                Error::caller(Code::DKIM_HEADER, what).with_remedy("Check that its header ends with an empty line.")
            );
        }
        Ok(None)
    }

    /// Finds the fields, once the header is complete.
    ///
    /// # Errors
    ///
    /// `DKIM_HEADER` with the line that is no field, since who verifies would see another
    /// header than who signs.
    pub fn divide(&mut self) -> Result<()> {
        let mut start = 0;
        for (number, line) in self.octets.split_inclusive(|octet| *octet == b'\n').enumerate() {
            let end = start + line.len();
            let bad = |why: &str| {
                let text = String::from_utf8_lossy(&line[..line.len().min(60)]);
                let what = format!("line {} of the message's header {why}: \"{}\"", number + 1, text.trim_end());
                Err(Error::caller(Code::DKIM_HEADER, what))
            };
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                match self.fields.last_mut() {
                    Some(field) => field.end = end,
                    None => return bad("continues a field, and there is none before it"),
                }
            } else {
                let Some(name) = memchr::memchr(b':', line) else { return bad("has no colon") };
                if name == 0 || !line[..name].iter().all(|octet| matches!(octet, 33..=126)) {
                    return bad(
                        "has a field name that is empty, or has a space or another character that may not be there",
                    );
                }
                if self.fields.len() == MAX_FIELDS {
                    let what = format!("the message's header has more than {MAX_FIELDS} fields");
                    return Err(Error::caller(Code::DKIM_HEADER, what));
                }
                self.fields.push(Field { start, name, end });
            }
            start = end;
        }
        Ok(())
    }

    /// How many fields have a name.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.named(name).count()
    }

    fn named<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let fields = self.fields.iter().map(|field| (&self.octets[field.start..field.end], field.name));
        fields
            .filter(move |(field, length)| field[..*length].eq_ignore_ascii_case(name.as_bytes()))
            .map(|(field, _)| field)
    }

    /// The fields that names stand for (RFC 6376 section 5.4.2): a name that is there
    /// again is the field before the last one; one that is not there is nothing.
    #[must_use]
    pub fn canonical(&self, names: &[String], canonical: Canonical) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, name) in names.iter().enumerate() {
            let before = names[..at].iter().filter(|other| other.eq_ignore_ascii_case(name)).count();
            if let Some(field) = self.named(name).rev().nth(before) {
                match canonical {
                    Canonical::Simple => out.extend_from_slice(field),
                    Canonical::Relaxed => relaxed_field(field, &mut out),
                }
            }
        }
        out
    }
}

/// Appends a field in its relaxed form (RFC 6376 section 3.4.2).
pub fn relaxed_field(field: &[u8], out: &mut Vec<u8>) {
    let colon = memchr::memchr(b':', field).unwrap_or(field.len());
    let (name, value) = field.split_at(colon);
    out.extend(name.trim_ascii_end().iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let blank = |octet: &u8| matches!(octet, b' ' | b'\t' | b'\r' | b'\n');
    let words = value.get(1..).unwrap_or_default().split(blank).filter(|word| !word.is_empty());
    for (number, word) in words.enumerate() {
        if number > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &[u8], cut: usize) -> (HeaderFields, Vec<u8>) {
        let mut fields = HeaderFields::default();
        let mut body = Vec::new();
        let mut ended = false;
        for piece in header.chunks(cut) {
            if ended {
                body.extend_from_slice(piece);
            } else if let Some(rest) = fields.push(piece).expect("short") {
                ended = true;
                body.extend_from_slice(rest);
            }
        }
        fields.divide().expect("good");
        (fields, body)
    }

    /// RFC 6376 section 3.4.5.
    #[test]
    fn the_example_of_the_standard() {
        let message = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\n";
        let mut out = Vec::new();
        relaxed_field(b"A: X\r\n", &mut out);
        relaxed_field(b"B : Y\t\r\n\tZ  \r\n", &mut out);
        assert_eq!(out, b"a:X\r\nb:Y Z\r\n");
        // A space before the colon is left alone by nobody else's reader.
        let mut fields = HeaderFields::default();
        fields.push(message).expect("short");
        assert_eq!(fields.divide().expect_err("a space").code, Code::DKIM_HEADER);
    }

    #[test]
    fn fields_come_from_the_bottom_whatever_the_pieces_are() {
        let message = b"To: 1\r\nX: a\r\n b\r\nto: 2\r\nTO: 3\r\n\r\nbody\r\n\r\n";
        for cut in 1..=message.len() {
            let (fields, body) = read(message, cut);
            assert_eq!(body, b"body\r\n\r\n", "{cut}");
            let names: Vec<String> = ["to", "x", "To", "none", "to", "to"].map(str::to_owned).to_vec();
            let simple = fields.canonical(&names, Canonical::Simple);
            assert_eq!(simple, b"TO: 3\r\nX: a\r\n b\r\nto: 2\r\nTo: 1\r\n");
            let relaxed = fields.canonical(&names, Canonical::Relaxed);
            assert_eq!(relaxed, b"to:3\r\nx:a b\r\nto:2\r\nto:1\r\n");
        }
    }

    #[test]
    fn headers_without_a_body_and_without_fields() {
        let (fields, body) = read(b"To: 1\r\n", 3);
        assert_eq!((fields.count("to"), body.len()), (1, 0));
        for cut in 1..4 {
            let (fields, body) = read(b"\r\nTo: 1\r\n", cut);
            assert_eq!((fields.count("to"), body.as_slice()), (0, &b"To: 1\r\n"[..]));
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for header in
            [&b" a: b\r\n"[..], b"From a@b\r\n", b"a: b\r\nc\r\n", b": b\r\n", b"a b: c\r\n", b"\xC3\xA9: c\r\n"]
        {
            let mut fields = HeaderFields::default();
            fields.push(header).expect("short");
            assert_eq!(fields.divide().expect_err("no field").code, Code::DKIM_HEADER);
        }
        let mut fields = HeaderFields::default();
        let mut many = HeaderFields::default();
        many.push(&b"a: b\r\n".repeat(MAX_FIELDS + 1)).expect("short");
        assert_eq!(many.divide().expect_err("too many").code, Code::DKIM_HEADER);
        let endless = b"a: b\r\n".repeat(10_000);
        let error = (0..1000).find_map(|_| fields.push(&endless).err()).expect("too long");
        assert_eq!(error.code, Code::DKIM_HEADER);
    }
}
