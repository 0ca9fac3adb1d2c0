//! Parameters of Content-Type and Content-Disposition (RFC 2045 section 5.1, RFC 2231).

use super::charset::to_text;
use super::encoded_word::decode_words;
use super::fold::{Folder, LINE};
use super::transfer_encoding::hex;

/// A value with parameters, such as `text/plain; charset=utf-8`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// The value before the first semicolon, in lower case.
    pub value: String,
    parameters: Vec<(String, String)>,
}

/// More than any program writes.
const MOST: usize = 100;

impl Parameters {
    /// Reads a header field's octets. Whatever makes no sense is left out.
    #[must_use]
    pub fn parse(octets: &[u8]) -> Self {
        let unfolded: Vec<u8> = octets.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
        let text = to_text("", &unfolded);
        let mut parts = split(&text).into_iter();
        let value = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut pieces: Vec<Piece> = parts.filter_map(|part| Piece::parse(&part)).take(MOST).collect();
        // Pieces of one value may come in any order (RFC 2231 section 3).
        pieces.sort_by(|one, other| (&one.name, one.number).cmp(&(&other.name, other.number)));
        let mut parameters: Vec<(String, String)> = Vec::new();
        let mut rest = pieces.as_slice();
        while let Some(first) = rest.first() {
            let count = rest.iter().take_while(|piece| piece.name == first.name).count();
            let (same, behind) = rest.split_at(count);
            rest = behind;
            parameters.push((first.name.clone(), joined(same)));
        }
        Self { value, parameters }
    }

    pub(super) fn count(&self) -> usize {
        self.parameters.len()
    }

    /// A parameter by its name in lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// The parts between semicolons, comments taken out; quotes stay.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut escaped, mut depth) = (false, false, 0_usize);
    for c in text.chars() {
        let was_escaped = std::mem::take(&mut escaped);
        if depth > 0 {
            match c {
                _ if was_escaped => {}
                '\\' => escaped = true,
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            continue;
        }
        match c {
            _ if was_escaped => {}
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => {
                depth = 1;
                continue;
            }
            ';' if !quoted => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

/// One `name=value`, or a piece of it.
struct Piece {
    name: String,
    /// Before all pieces with numbers: the value as a whole, the extended one first.
    number: Option<u32>,
    extended: bool,
    value: String,
}

impl Piece {
    fn parse(part: &str) -> Option<Self> {
        let (name, value) = part.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        let value = value.trim();
        let value = match value.strip_prefix('"') {
            Some(inner) => unescaped(inner.strip_suffix('"').unwrap_or(inner)),
            None => value.to_owned(),
        };
        let (name, extended) = match name.strip_suffix('*') {
            Some(name) => (name.to_owned(), true),
            None => (name, false),
        };
        let (name, number) = match name.split_once('*') {
            Some((name, number)) => (name.to_owned(), Some(number.parse().ok()?)),
            None => (name, None),
        };
        (!name.is_empty()).then_some(Self { name, number, extended, value })
    }
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            out.push(c);
        }
    }
    out
}

/// The value of the pieces of one name, in order.
fn joined(pieces: &[Piece]) -> String {
    let numbered: Vec<&Piece> = pieces.iter().filter(|piece| piece.number.is_some()).collect();
    let whole = |extended| pieces.iter().find(|piece| piece.number.is_none() && piece.extended == extended);
    // What says its charset is better than what guesses, and pieces better than a copy for old programs.
    let chosen: Vec<&Piece> = match (whole(true), numbered.is_empty(), whole(false)) {
        (Some(extended), _, _) => vec![extended],
        (None, false, _) => numbered,
        (None, true, Some(plain)) if plain.value.contains("=?") => return decode_words(plain.value.as_bytes()),
        (None, true, plain) => plain.into_iter().collect(),
    };
    let mut charset = "";
    let mut octets = Vec::new();
    for (at, piece) in chosen.iter().enumerate() {
        let mut value = piece.value.as_str();
        if piece.extended {
            if at == 0
                && let Some((label, behind)) = value.split_once('\'')
                && let Some((_, behind)) = behind.split_once('\'')
            {
                (charset, value) = (label, behind);
            }
            percent_decode(value, &mut octets);
        } else {
            octets.extend_from_slice(value.as_bytes());
        }
    }
    to_text(charset, &octets)
}

fn percent_decode(text: &str, out: &mut Vec<u8>) {
    let octets = text.as_bytes();
    let mut at = 0;
    while at < octets.len() {
        let digits = octets.get(at + 1..at + 3).and_then(|pair| Some((hex(pair[0])?, hex(pair[1])?)));
        match (octets[at], digits) {
            (b'%', Some((high, low))) => {
                out.push(high << 4 | low);
                at += 3;
            }
            (octet, _) => {
                out.push(octet);
                at += 1;
            }
        }
    }
}

/// Appends a parameter to a field: plain, in quotes, or as RFC 2231 wants what is
/// beyond ASCII or long.
pub(super) fn write_parameter(folder: &mut Folder<'_>, name: &str, value: &str) {
    folder.word("", ";");
    let room = LINE - 4 - name.len();
    let is_printable = value.bytes().all(|octet| (b' '..=b'~').contains(&octet));
    if is_printable && !value.contains("=?") {
        let quoted = if is_token(value) { value.to_owned() } else { quote(value) };
        if quoted.len() <= room {
            return folder.word(" ", &format!("{name}={quoted}"));
        }
    }
    // Room for the number of the piece, its signs, and the next semicolon.
    let room = room - 8;
    let mut pieces = vec![String::from("utf-8''")];
    for c in value.chars() {
        let mut octets = [0; 4];
        let encoded: String = c.encode_utf8(&mut octets).bytes().map(percent).collect();
        match pieces.last_mut() {
            Some(last) if last.len() + encoded.len() <= room => last.push_str(&encoded),
            _ => pieces.push(encoded),
        }
    }
    if let [single] = pieces.as_slice() {
        return folder.word(" ", &format!("{name}*={single}"));
    }
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            folder.word("", ";");
        }
        folder.word(" ", &format!("{name}*{number}*={piece}"));
    }
}

fn percent(octet: u8) -> String {
    // attribute-char of RFC 2231 section 7.
    let is_plain = octet.is_ascii_alphanumeric() || b"!#$&+-.^_`{|}~".contains(&octet);
    if is_plain { char::from(octet).to_string() } else { format!("%{octet:02X}") }
}

/// A token of RFC 2045 section 5.1.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&octet))
}

/// In quotes, as it needs them.
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(value: &str) -> String {
        let mut out = Vec::new();
        let mut folder = Folder::begin("Content-Disposition", &mut out);
        folder.word(" ", "attachment");
        write_parameter(&mut folder, "filename", value);
        folder.end();
        String::from_utf8(out).expect("ASCII")
    }

    fn read(line: &str) -> Option<String> {
        let parsed = Parameters::parse(line.trim_end_matches("\r\n").split_once(':').expect("a name").1.as_bytes());
        assert_eq!(parsed.value, "attachment");
        parsed.get("filename").map(str::to_owned)
    }

    #[test]
    fn as_little_as_needed_is_encoded() {
        assert_eq!(written("a.pdf"), "Content-Disposition: attachment; filename=a.pdf\r\n");
        assert_eq!(written("a b.pdf"), "Content-Disposition: attachment; filename=\"a b.pdf\"\r\n");
        assert_eq!(written("\u{fc}.pdf"), "Content-Disposition: attachment; filename*=utf-8''%C3%BC.pdf\r\n");
    }

    #[test]
    fn what_others_write_is_read() {
        for (raw, expected) in [
            ("attachment; filename=a.pdf", "a.pdf"),
            ("attachment; FILENAME = \"a \\\"b\\\".pdf\" ; x=y", "a \"b\".pdf"),
            ("attachment (a; filename=no); filename=a(b)c", "ac"),
            ("attachment; filename*1*=%BC; filename*0*=utf-8''%C3; filename*2=.pdf", "\u{fc}.pdf"),
            ("attachment; filename=plain; filename*=iso-8859-1'de'%FC", "\u{fc}"),
            ("attachment; filename=\"=?utf-8?q?=C3=BC?=\"", "\u{fc}"),
            ("attachment; filename=\"unended", "unended"),
            ("attachment; filename*=%zz", "%zz"),
        ] {
            assert_eq!(Parameters::parse(raw.as_bytes()).get("filename"), Some(expected), "{raw}");
        }
        assert_eq!(Parameters::parse(b"text/plain; ;=; x").get("x"), None);
        assert_eq!(Parameters::parse(b"TEXT/Plain;charset=UTF-8").value, "text/plain");
    }

    proptest! {
        #[test]
        fn names_read_back(name in "(\\PC|[\"\\\\%'*; =?]){1,150}") {
            let line = written(&name);
            prop_assert!(line.split("\r\n").all(|line| line.len() <= 78), "{}", line);
            prop_assert_eq!(read(&line), Some(name));
        }

        #[test]
        fn anything_is_parsed(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Parameters::parse(&octets);
            let text: String = octets.iter().map(|octet| [";", "a", "*", "=", "0", "\"", "'", "("][usize::from(octet % 8)]).collect();
            let _ = Parameters::parse(text.as_bytes());
        }
    }
}
