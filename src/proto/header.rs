//! The header of a message, as far as sending it needs to know: messages are
//! composed elsewhere.

/// Whether the header has characters beyond ASCII, which only SMTPUTF8 allows
/// (RFC 6532 section 3). Octets that are not UTF-8 are not characters: SMTPUTF8 would
/// not make them right.
#[must_use]
pub fn header_needs_smtputf8(message: &[u8]) -> bool {
    let header = &message[..header_length(message)];
    !header.is_ascii()
        && match std::str::from_utf8(header) {
            Ok(_) => true,
            // Cut in the middle of the last character.
            Err(error) => error.error_len().is_none() && !header[..error.valid_up_to()].is_ascii(),
        }
}

/// Where the empty line begins that ends the header, or all if there is none.
fn header_length(message: &[u8]) -> usize {
    let mut start = 0;
    while let Some(found) = memchr::memchr(b'\n', &message[start..]) {
        let line = &message[start..start + found];
        if matches!(line, b"" | b"\r") {
            return start;
        }
        start += found + 1;
    }
    message.len()
}

#[cfg(test)]
mod tests {
    use super::header_needs_smtputf8;

    #[test]
    fn only_utf8_in_the_header_counts() {
        assert!(header_needs_smtputf8("Subject: gr\u{fc}n\r\n\r\nx".as_bytes()));
        assert!(header_needs_smtputf8("A: b\nSubject: gr\u{fc}n".as_bytes()));
        assert!(!header_needs_smtputf8("Subject: x\r\n\r\ngr\u{fc}n".as_bytes()));
        assert!(!header_needs_smtputf8("Subject: x\n\ngr\u{fc}n".as_bytes()));
        assert!(!header_needs_smtputf8(b"Subject: gr\xfcn\r\n\r\n"));
        assert!(!header_needs_smtputf8(b""));
        assert!(header_needs_smtputf8(b"Subject: \xc3\xbc\xc3"), "cut in the middle of a character");
    }
}
