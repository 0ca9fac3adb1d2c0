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
    ordinary_end_at(text, b"")
}

/// The same where a domain is known that is ordinary, if it is not empty: the next one
/// of a list is mostly the same.
pub(super) fn ordinary_end_at(text: &[u8], known: &[u8]) -> Option<usize> {
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
    if !known.is_empty()
        && let Some(behind) = within[start..].strip_prefix(known)
        && matches!(behind.first(), Some(b',') | None)
        && start + known.len() <= MAX_ORDINARY
    {
        return Some(start + known.len());
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
    let rest = text.get(start..)?;
    let is_other = |octet: &u8| CLASSES[usize::from(*octet)] & classes == 0;
    let length = rest.iter().position(is_other).unwrap_or(rest.len());
    (length > 0).then_some(start + length)
}

/// Whether an octet may be in an atom (RFC 5322 section 3.2.3).
pub(super) const fn is_atom(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(octet, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~')
}

#[cfg(test)]
mod tests {
    use super::{ordinary_end, ordinary_end_at};

    #[test]
    fn a_known_domain_changes_nothing() {
        let long = format!("{}@b.c,x@y", "a".repeat(59));
        let longer = format!("{}@b.c", "a".repeat(61));
        for text in
            ["a@b.c", "a@b.c,d", "a@b.cc", "a@b.c-d,e", "a@b.c.", "a@b.c ", "a@x.b.c", "@b.c", "a@b", &long, &longer]
        {
            assert_eq!(ordinary_end_at(text.as_bytes(), b"b.c"), ordinary_end(text.as_bytes()), "{text}");
        }
    }

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
