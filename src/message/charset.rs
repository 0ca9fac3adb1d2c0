//! Character sets of loaded messages, as text.

use encoding_rs::{Encoding, WINDOWS_1252};

/// Octets of a character set as text. Without a known one they are UTF-8 if they
/// can be, and otherwise what old programs meant: Western European.
pub(super) fn to_text(charset: &str, octets: &[u8]) -> String {
    let known = Encoding::for_label(charset.trim().as_bytes());
    match (known, std::str::from_utf8(octets)) {
        // ASCII is a label of Windows-1252, and UTF-8 under it is a frequent mistake.
        (None, Ok(text)) => text.to_owned(),
        (Some(encoding), Ok(text)) if encoding == WINDOWS_1252 && is_ascii_label(charset) => text.to_owned(),
        (found, _) => found.unwrap_or(WINDOWS_1252).decode_without_bom_handling(octets).0.into_owned(),
    }
}

fn is_ascii_label(charset: &str) -> bool {
    ["us-ascii", "ascii"].iter().any(|label| charset.trim().eq_ignore_ascii_case(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_unknown() {
        assert_eq!(to_text("ISO-8859-1", b"Gr\xFC\xDFe"), "Gr\u{fc}\u{df}e");
        assert_eq!(to_text("koi8-r", b"\xF0\xD2\xC9"), "\u{41f}\u{440}\u{438}");
        assert_eq!(to_text("Shift_JIS", b"\x93\xFA\x96\x7B"), "\u{65e5}\u{672c}");
        assert_eq!(to_text("us-ascii", "\u{e9}".as_bytes()), "\u{e9}");
        assert_eq!(to_text("nonsense", b"\xE9"), "\u{e9}");
        assert_eq!(to_text("", "\u{4f60}".as_bytes()), "\u{4f60}");
        assert_eq!(to_text("utf-8", b"a\xFFb"), "a\u{fffd}b");
    }
}
