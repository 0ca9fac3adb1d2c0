//! Traces of header injection: somebody's input that was put into a value as it was.

use base64::prelude::{BASE64_STANDARD, Engine as _};

/// Fields that are worth putting in.
const WANTED: [&str; 9] =
    ["bcc", "cc", "to", "from", "subject", "reply-to", "content-type", "mime-version", "content-transfer-encoding"];

/// Whether a text begins with the name of a field that is worth putting in.
fn is_wanted(text: &[u8]) -> bool {
    let name = text.split(|octet| *octet == b':').next().unwrap_or_default().trim_ascii();
    name.len() < text.len() && WANTED.iter().any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// What looks like an injection in a value, in words.
pub(super) fn trace(value: &[u8]) -> Option<&'static str> {
    let lower = value.to_ascii_lowercase();
    for mark in [&b"%0d%0a"[..], b"%0a", b"%0d", b"\\r\\n", b"\\n"] {
        let found =
            memchr::memmem::find_iter(&lower, mark).any(|at| is_wanted(lower[at + mark.len()..].trim_ascii_start()));
        if found {
            return Some("has an escaped line end before the name of a field");
        }
    }
    let mut rest = value;
    while let Some(at) = memchr::memmem::find(rest, b"=?") {
        rest = &rest[at + 2..];
        let mut parts = rest.splitn(4, |octet| *octet == b'?');
        if let (Some(_), Some([encoding]), Some(text)) = (parts.next(), parts.next(), parts.next())
            && decodes_to_line_end(*encoding, text)
        {
            return Some("has an encoded word with a line end or NUL in it");
        }
    }
    None
}

fn decodes_to_line_end(encoding: u8, text: &[u8]) -> bool {
    let bad = |octet: u8| matches!(octet, b'\r' | b'\n' | 0);
    match encoding {
        b'B' | b'b' => BASE64_STANDARD.decode(text).is_ok_and(|octets| octets.into_iter().any(bad)),
        b'Q' | b'q' => text.windows(3).any(|three| {
            three[0] == b'=' && matches!(three[1..].to_ascii_lowercase().as_slice(), b"0d" | b"0a" | b"00")
        }),
        _ => false,
    }
}

/// Whether the first line behind a header is such a field that the header seems to have
/// ended too early.
pub(super) fn is_stray_field(line: &[u8]) -> bool {
    let name = line.split(|octet| *octet == b':').next().unwrap_or_default();
    name.len() < line.len()
        && ["bcc", "mime-version", "content-type", "content-transfer-encoding"]
            .iter()
            .any(|stray| name.eq_ignore_ascii_case(stray.as_bytes()))
}

/// A value without its comments; those in quotes are none.
pub(super) fn without_comments(text: &str) -> String {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let mut out = String::new();
    for c in text.chars() {
        let was_escaped = std::mem::take(&mut escaped);
        match c {
            _ if was_escaped => {}
            '\\' if quoted || depth > 0 => escaped = true,
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if depth > 0 => {
                depth -= 1;
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces() {
        for bad in [
            "x%0ABcc: a@b",
            "x %0d%0a to:a@b",
            "x\\nSubject: y",
            "=?utf-8?Q?x=0d=0aBcc:_a@b?=",
            "=?utf-8?b?eA0KQmNjOiBh?=",
            "y =?a?q?=00?= z",
        ] {
            assert!(trace(bad.as_bytes()).is_some(), "{bad}");
        }
        for good in ["100%0a day", "C:\\new: x", "=?utf-8?Q?x=20y?=", "=?utf-8?B?eA==?=", "=?", "=??=", "=?a?b", ""] {
            assert_eq!(trace(good.as_bytes()), None, "{good}");
        }
        assert!(is_stray_field(b"Content-Type: text/html") && !is_stray_field(b"To: you") && !is_stray_field(b"bcc"));
    }

    #[test]
    fn comments() {
        assert_eq!(without_comments("a (b (c) \\) d) e \"(f)\" g"), "a  e \"(f)\" g");
        assert_eq!(without_comments("a) (b"), "a) ");
    }
}
