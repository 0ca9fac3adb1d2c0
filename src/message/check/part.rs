//! A part: what its header says of its content, and whether the content is so.

use super::injection::without_comments;

/// How content is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    SevenBit,
    EightBit,
    Binary,
    QuotedPrintable,
    Base64,
    Unknown,
}

impl Encoding {
    pub(super) fn parse(value: &str) -> Self {
        match without_comments(value).trim().to_ascii_lowercase().as_str() {
            "7bit" => Self::SevenBit,
            "8bit" => Self::EightBit,
            "binary" => Self::Binary,
            "quoted-printable" => Self::QuotedPrintable,
            "base64" => Self::Base64,
            _ => Self::Unknown,
        }
    }
}

/// What is known of the part at hand.
#[derive(Debug)]
pub(super) struct Part {
    /// In lower case, such as `text/plain`.
    pub(super) kind: String,
    pub(super) encoding: Encoding,
    /// In lower case; empty if it is not said.
    pub(super) charset: String,
    pub(super) attached: bool,
    /// Whether there is more in it than white space.
    pub(super) any: bool,
    pub(super) eight_bit: bool,
    /// The line that its content begins at.
    pub(super) line: u64,
    /// What base64 had at its end.
    padded: bool,
    sextets: u64,
}

impl Part {
    pub(super) fn new() -> Self {
        Self {
            kind: "text/plain".to_owned(),
            encoding: Encoding::SevenBit,
            charset: String::new(),
            attached: false,
            any: false,
            eight_bit: false,
            line: 0,
            padded: false,
            sextets: 0,
        }
    }

    pub(super) fn is_text(&self) -> bool {
        self.kind.starts_with("text/") && !self.attached
    }

    /// Whether a line is what the encoding says.
    pub(super) fn takes(&mut self, line: &[u8]) -> Result<(), &'static str> {
        match self.encoding {
            Encoding::Base64 => self.takes_base64(line),
            Encoding::QuotedPrintable => takes_quoted_printable(line),
            _ => Ok(()),
        }
    }

    fn takes_base64(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let line = line.trim_ascii();
        let letters = line.len() - line.iter().rev().take_while(|octet| **octet == b'=').count();
        if !line[..letters].iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/')) {
            return Err("base64 has a character that is none of its own");
        }
        if self.padded && !line.is_empty() {
            return Err("base64 goes on behind its end");
        }
        self.sextets += line.len() as u64;
        self.padded |= letters < line.len();
        if line.len() - letters > 2 || self.padded && !self.sextets.is_multiple_of(4) {
            return Err("base64 has the wrong number of characters at its end");
        }
        Ok(())
    }

    /// Whether the end may be here.
    pub(super) fn ends_well(&self) -> bool {
        self.encoding != Encoding::Base64 || self.sextets.is_multiple_of(4)
    }
}

fn takes_quoted_printable(line: &[u8]) -> Result<(), &'static str> {
    if line.len() > 76 {
        return Err("quoted-printable has a line of more than 76 characters");
    }
    let mut rest = line;
    while let Some(at) = memchr::memchr(b'=', rest) {
        rest = &rest[at + 1..];
        match rest {
            [one, two, ..] if one.is_ascii_hexdigit() && two.is_ascii_hexdigit() => rest = &rest[2..],
            // White space at the end of a line is dropped on the way.
            _ if rest.trim_ascii().is_empty() => return Ok(()),
            _ => return Err("quoted-printable has a = without two hexadecimal digits"),
        }
    }
    Ok(())
}

/// A parameter of a field such as Content-Type, unquoted. RFC 2231 has further ways to
/// write it, which boundaries and charsets do not need; the first piece is taken.
pub(super) fn parameter(value: &str, name: &str) -> Option<String> {
    let text = without_comments(value);
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|c: char| {
        let was_escaped = std::mem::take(&mut escaped);
        match c {
            _ if was_escaped => {}
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return c == ';' && !quoted,
        }
        false
    });
    parts.skip(1).find_map(|part| {
        let (found, value) = part.split_once('=')?;
        let found = found.trim().trim_end_matches('*').trim_end_matches("*0");
        if !found.eq_ignore_ascii_case(name) {
            return None;
        }
        let value = value.trim();
        let Some(inner) = value.strip_prefix('"').map(|inner| inner.strip_suffix('"').unwrap_or(inner)) else {
            return Some(value.to_owned());
        };
        let mut escaped = false;
        Some(
            inner
                .chars()
                .filter(|c| {
                    escaped = *c == '\\' && !escaped;
                    !escaped
                })
                .collect(),
        )
    })
}

/// The type, in lower case, if it is one.
pub(super) fn media_type(value: &str) -> Option<String> {
    let text = without_comments(value);
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let token = |part: &str| {
        let allowed = |c: char| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(c);
        !part.is_empty() && part.chars().all(allowed)
    };
    let (main, sub) = kind.split_once('/')?;
    (token(main) && token(sub)).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_parameters() {
        assert_eq!(media_type("Text/HTML (x); charset=utf-8").as_deref(), Some("text/html"));
        for bad in ["", "text", "text/", "/plain", "text/plain/x", "a b/c"] {
            assert_eq!(media_type(bad), None, "{bad}");
        }
        let value = "multipart/mixed; a=\"x;boundary=no\\\"\"; Boundary = \"a b\\\\c\" ; charset*=utf-8";
        assert_eq!(parameter(value, "boundary").as_deref(), Some("a b\\c"));
        assert_eq!(parameter(value, "charset").as_deref(), Some("utf-8"));
        assert_eq!(parameter(value, "b"), None);
    }

    #[test]
    fn base64() {
        let whole = |lines: &[&str]| {
            let mut part = Part { encoding: Encoding::Base64, ..Part::new() };
            lines.iter().all(|line| part.takes(line.as_bytes()).is_ok()) && part.ends_well()
        };
        assert!(whole(&["YWJj", "YQ==", ""]) && whole(&[]) && whole(&["YW", "Jj"]) && whole(&["YWI="]));
        assert!(
            !whole(&["YQ="]) && !whole(&["YQ"]) && !whole(&["YQ==", "YWJj"]) && !whole(&["a b-"]) && !whole(&["Y==="])
        );
    }

    #[test]
    fn quoted_printable() {
        for good in ["abc", "a=3D=", "=C3=a4", "x= \t", ""] {
            assert!(takes_quoted_printable(good.as_bytes()).is_ok(), "{good}");
        }
        let long = "x".repeat(77);
        for bad in ["a=b", "=", "=4", "=XY", &long] {
            assert_eq!(takes_quoted_printable(bad.as_bytes()).is_err(), bad != "=", "{bad}");
        }
    }
}
