//! The mailbox of the kind that nearly all are, recognised in one pass: a
//! dot-string, an `@` and a domain name, in ASCII and short. For all others the
//! rules in `address` decide, and say what is wrong; a test compares the two.

/// No part of an ordinary mailbox is too long if the whole is no longer than this.
const MAX_ORDINARY: usize = 63;

/// Letters and digits.
const PLAIN: u8 = 1;
/// What an atom may have besides.
const OTHER: u8 = 2;

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut octet: u8 = 0;
    while octet < 0x80 {
        if octet.is_ascii_alphanumeric() {
            classes[octet as usize] = PLAIN;
        } else if is_atom(octet) {
            classes[octet as usize] = OTHER;
        }
        octet += 1;
    }
    classes
};

/// The end of the ordinary mailbox that a text, or a list, begins with, if it is one.
pub(super) fn ordinary_end(text: &[u8]) -> Option<usize> {
    let within = &text[..text.len().min(MAX_ORDINARY + 1)];
    let mut start = 0;
    loop {
        let end = run_end(within, start, PLAIN | OTHER)?;
        start = end + 1;
        match within.get(end) {
            Some(b'.') => {}
            Some(b'@') => break,
            _ => return None,
        }
    }
    loop {
        let end = run_end(within, start, PLAIN)?;
        start = end + 1;
        match within.get(end) {
            Some(b'.' | b'-') => {}
            Some(b',') => return Some(end),
            None if end <= MAX_ORDINARY => return Some(end),
            _ => return None,
        }
    }
}

/// Where the octets of some classes end, of which there is at least one.
fn run_end(text: &[u8], start: usize, classes: u8) -> Option<usize> {
    let mut end = start;
    while end < text.len() && CLASSES[usize::from(text[end])] & classes != 0 {
        end += 1;
    }
    (end > start).then_some(end)
}

/// Whether an octet may be in an atom (RFC 5322 section 3.2.3).
pub(super) const fn is_atom(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(octet, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~')
}

#[cfg(test)]
mod tests {
    use super::ordinary_end;

    #[test]
    fn up_to_the_comma_or_the_end() {
        let table = [
            ("a@b", Some(3)),
            ("a.b-c!@d-e.f,rest", Some(12)),
            ("a@b,", Some(3)),
            ("", None),
            ("a", None),
            ("a@", None),
            ("a@b.", None),
            ("a@b-", None),
            (".a@b", None),
            ("a..b@c", None),
            ("a@b c", None),
            ("a@b ,c@d", None),
            ("a@b@c", None),
            ("a,b@c", None),
            ("a@b_c", None),
            ("a@\u{fc}", None),
        ];
        for (text, end) in table {
            assert_eq!(ordinary_end(text.as_bytes()), end, "{text}");
        }
        let long = format!("{}@b", "a".repeat(61));
        assert_eq!(ordinary_end(long.as_bytes()), Some(63));
        assert_eq!(ordinary_end(format!("a{long}").as_bytes()), None);
        assert_eq!(ordinary_end(format!("{long},x").as_bytes()), Some(63));
    }
}
