//! The mailbox of the kind that nearly all are, recognised in one pass: a
//! dot-string, an `@` and a domain name, in ASCII and short. For all others the
//! rules in `address` decide, and say what is wrong; a test compares the two.

/// No part of an ordinary mailbox is too long if the whole is no longer than this.
const MAX_ORDINARY: usize = 63;

/// What may come next; each of the first four is the beginning of its row in [`NEXT`].
const LOCAL_PART: u16 = 0;
const IN_LOCAL: u16 = 0x100;
const LABEL: u16 = 0x200;
const IN_LABEL: u16 = 0x300;
/// The comma of a list.
const END: u16 = 0x400;
const NOT_ORDINARY: u16 = 0x500;

/// The state behind each octet in each state.
static NEXT: [u16; 0x400] = {
    let mut next = [NOT_ORDINARY; 0x400];
    let mut octet: u8 = 0;
    while octet < 0x80 {
        let at = octet as usize;
        if is_atom(octet) {
            next[LOCAL_PART as usize + at] = IN_LOCAL;
            next[IN_LOCAL as usize + at] = IN_LOCAL;
        }
        if octet.is_ascii_alphanumeric() {
            next[LABEL as usize + at] = IN_LABEL;
            next[IN_LABEL as usize + at] = IN_LABEL;
        }
        octet += 1;
    }
    next[IN_LOCAL as usize + b'.' as usize] = LOCAL_PART;
    next[IN_LOCAL as usize + b'@' as usize] = LABEL;
    next[IN_LABEL as usize + b'.' as usize] = LABEL;
    next[IN_LABEL as usize + b'-' as usize] = LABEL;
    next[IN_LABEL as usize + b',' as usize] = END;
    next
};

/// The end of the ordinary mailbox that a text, or a list, begins with, if it is one.
pub(super) fn ordinary_end(text: &[u8]) -> Option<usize> {
    let within = &text[..text.len().min(MAX_ORDINARY + 1)];
    let mut state = LOCAL_PART;
    for (at, octet) in within.iter().enumerate() {
        // The mask spares a check of the bounds.
        state = NEXT[usize::from(state | u16::from(*octet)) & 0x3FF];
        if state >= END {
            return (state == END).then_some(at);
        }
    }
    (state == IN_LABEL && text.len() <= MAX_ORDINARY).then_some(text.len())
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
