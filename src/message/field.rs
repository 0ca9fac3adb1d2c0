//! Header fields: what may be in them, how they are written, how they are read.

use super::address::{self, Address, parse_addresses};
use super::encoded_word::{decode_words, write_text};
use super::fold::{Folder, words};
use super::transfer_encoding::MAX_LINE;
use crate::error::{Code, Error, Result};

/// A header field.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// As the program gave it.
    Text(String),
    /// As it was loaded, from behind the colon to before its last line end.
    Raw(Vec<u8>),
}

/// What the value of a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A list of addresses.
    Addresses,
    /// Words of ASCII with a meaning of their own: identifiers, dates, addresses of pages.
    Structured,
    /// Text of any script.
    Text,
    /// What the library makes from the parts.
    Made,
}

impl Kind {
    fn of(name: &str) -> Self {
        const ADDRESSES: [&str; 15] = [
            "from",
            "sender",
            "reply-to",
            "to",
            "cc",
            "bcc",
            "resent-from",
            "resent-sender",
            "resent-to",
            "resent-cc",
            "resent-bcc",
            "disposition-notification-to",
            "return-receipt-to",
            "errors-to",
            "mail-followup-to",
        ];
        const STRUCTURED: [&str; 17] = [
            "date",
            "resent-date",
            "message-id",
            "resent-message-id",
            "in-reply-to",
            "references",
            "return-path",
            "received",
            "dkim-signature",
            "authentication-results",
            "list-unsubscribe",
            "list-unsubscribe-post",
            "list-subscribe",
            "list-post",
            "list-help",
            "list-owner",
            "list-archive",
        ];
        const MADE: [&str; 5] =
            ["mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-id"];
        let is_in = |list: &[&str]| list.iter().any(|other| other.eq_ignore_ascii_case(name));
        if is_in(&ADDRESSES) {
            Self::Addresses
        } else if is_in(&STRUCTURED)
            || name.len() > 4 && name.is_char_boundary(4) && name[..4].eq_ignore_ascii_case("arc-")
        {
            Self::Structured
        } else if is_in(&MADE) {
            Self::Made
        } else {
            Self::Text
        }
    }
}

/// The longest name of a field; a line must have room for it and a word.
const MAX_NAME: usize = 200;

/// Whether this can be the name of a header field (RFC 5322 section 2.2).
///
/// # Errors
///
/// `HEADER` with the character that cannot be in it.
pub fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME {
        let what = format!("the name of a header field has {} characters, not 1 to {MAX_NAME}", name.len());
        return Err(Error::caller(Code::HEADER, what));
    }
    match name.chars().find(|c| !c.is_ascii_graphic() || *c == ':') {
        Some(bad) => {
            let what = format!(
                "the name of a header field, \"{}\", has {bad:?}; it may have ASCII letters, digits and signs, and no colon",
                name.escape_debug()
            );
            Err(Error::caller(Code::HEADER, what))
        }
        None => Ok(()),
    }
}

/// Whether this can be the value of a header field of the program's.
///
/// # Errors
///
/// `HEADER` or `INVALID_ADDRESS` with what is wrong.
pub fn check_value(name: &str, value: &str) -> Result<()> {
    if let Some((at, bad)) = value.chars().enumerate().find(|(_, c)| c.is_control() && *c != '\t') {
        let what = format!("the header field {name} has the control character U+{:04X} at {at}", u32::from(bad));
        let error = Error::caller(Code::HEADER, what);
        return Err(match bad {
            '\r' | '\n' => error.with_remedy("Take line ends out of the value; the library makes its lines itself."),
            _ => error,
        });
    }
    match Kind::of(name) {
        Kind::Text => Ok(()),
        Kind::Addresses => parse_addresses(value).map(drop),
        Kind::Made => {
            let what = format!("the header field {name} is made by the library from the parts of the message");
            Err(Error::caller(Code::HEADER, what).with_remedy("Set the text, or attach parts, instead."))
        }
        Kind::Structured => check_structured(name, value),
    }
}

fn check_structured(name: &str, value: &str) -> Result<()> {
    if let Some((at, bad)) = value.chars().enumerate().find(|(_, c)| !c.is_ascii()) {
        let what = format!("the header field {name} takes ASCII only, and has {bad:?} at {at}");
        return Err(Error::caller(Code::HEADER, what));
    }
    match words(value).find(|(blank, word)| blank.len() + word.len() > MAX_LINE - 1) {
        Some((_, word)) => {
            let what =
                format!("a word in the header field {name} has {} characters, and a line at most 998", word.len());
            Err(Error::caller(Code::HEADER, what))
        }
        None => Ok(()),
    }
}

impl Field {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Whether it tells of a body, and belongs to the part that it is of.
    pub(super) fn is_of_content(&self) -> bool {
        self.name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("content-"))
    }

    /// The value, decoded.
    pub(super) fn text(&self) -> String {
        match &self.value {
            Value::Text(text) => text.clone(),
            Value::Raw(raw) => {
                if Kind::of(&self.name) == Kind::Addresses
                    && let Some(list) = self.addresses()
                {
                    return address::to_text(&list);
                }
                let text = decode_words(raw);
                let text = text.strip_prefix(' ').unwrap_or(&text);
                // What somebody encoded must not break into lines where it is shown or set again.
                text.chars().map(shown).collect()
            }
        }
    }

    /// Its list of addresses, names decoded; `None` if it has none that can be read.
    pub(super) fn addresses(&self) -> Option<Vec<Address>> {
        match &self.value {
            Value::Text(text) => parse_addresses(text).ok(),
            Value::Raw(raw) => {
                let unfolded: Vec<u8> = raw.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
                let mut list = parse_addresses(&String::from_utf8_lossy(&unfolded)).ok()?;
                for address in &mut list {
                    match address {
                        Address::Mailbox(mailbox) => decode_name(&mut mailbox.name),
                        Address::Group(name, members) => {
                            decode_name(name);
                            members.iter_mut().for_each(|member| decode_name(&mut member.name));
                        }
                    }
                }
                Some(list)
            }
        }
    }

    /// Appends it. Returns whether it has characters beyond ASCII.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<bool> {
        let text = match &self.value {
            Value::Raw(raw) => {
                out.extend_from_slice(self.name.as_bytes());
                out.push(b':');
                out.extend_from_slice(raw);
                out.extend_from_slice(b"\r\n");
                // Octets of an old character set are no reason to ask for SMTPUTF8.
                return Ok(!raw.is_ascii() && std::str::from_utf8(raw).is_ok());
            }
            Value::Text(text) => text,
        };
        let mut folder = Folder::begin(&self.name, out);
        let mut beyond_ascii = false;
        match Kind::of(&self.name) {
            Kind::Addresses => beyond_ascii = address::write_list(&mut folder, &parse_addresses(text)?)?,
            Kind::Structured => {
                for (blank, word) in words(text.trim_matches([' ', '\t'])) {
                    folder.word(if blank.is_empty() { " " } else { blank }, word);
                }
            }
            Kind::Text | Kind::Made => write_text(&mut folder, text),
        }
        folder.end();
        Ok(beyond_ascii)
    }
}

/// A character as it may stand in a line.
fn shown(c: char) -> char {
    if c.is_control() && c != '\t' { ' ' } else { c }
}

fn decode_name(name: &mut String) {
    if name.contains("=?") {
        *name = decode_words(name.as_bytes()).chars().map(shown).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_values_are_checked() {
        for bad in ["", "a b", "a:b", "a\r\nb", "\u{e9}", &"x".repeat(201)] {
            assert_eq!(check_name(bad).expect_err(bad).code, Code::HEADER);
        }
        assert!(check_name("X-Any_Thing.1").is_ok());
        for (name, bad) in [
            ("Subject", "a\r\nBcc: b@c"),
            ("Subject", "a\nb"),
            ("Subject", "a\rb"),
            ("Subject", "a\0b"),
            ("Subject", "a\u{85}b"),
            ("Message-ID", "<\u{e9}@b>"),
            ("References", &"x".repeat(1000)),
            ("Content-Type", "text/plain"),
            ("mime-version", "1.0"),
        ] {
            assert_eq!(check_value(name, bad).expect_err(name).code, Code::HEADER);
        }
        assert_eq!(check_value("To", "nobody").expect_err("no @").code, Code::INVALID_ADDRESS);
        assert!(check_value("Subject", "a\tb \u{e9} =?").is_ok());
    }

    proptest! {
        /// Whatever the name and the value are, what is written is one field.
        #[test]
        fn nothing_makes_a_second_field(name in "\\PC{0,20}|[!-9;-~]{1,12}|[a-z\r\n: ]{1,8}", value in "([a-z@<>,;:\" ]|\r|\n|\\PC|\u{85}|\u{0}){0,60}") {
            if check_name(&name).is_ok() && check_value(&name, &value).is_ok() {
                let mut out = Vec::new();
                let field = Field { name: name.clone(), value: Value::Text(value) };
                if field.write(&mut out).is_ok() {
                    let text = out.strip_suffix(b"\r\n").expect("an end");
                    for (at, octet) in text.iter().enumerate() {
                        match octet {
                            b'\n' => prop_assert!(text[at - 1] == b'\r' && matches!(text.get(at + 1), Some(b' ' | b'\t'))),
                            b'\r' => prop_assert_eq!(text.get(at + 1), Some(&b'\n')),
                            0 => prop_assert!(false),
                            _ => {}
                        }
                    }
                }
            }
        }
    }
}
