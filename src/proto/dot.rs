//! Dot-stuffing and line-end repair, streaming (RFC 5321 sections 4.5.2 and 2.3.8).
//!
//! Policy: a line end is CRLF; a bare CR and a bare LF each become one, so that
//! nothing in a message can be taken for the end of the data (SMTP smuggling). A
//! dot at the beginning of a line is doubled. A message that does not end with
//! a line end gets one. Everything else goes out as it came in.

use memchr::memchr2;

/// Where the last octet left off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// At the beginning of a line.
    #[default]
    LineStart,
    /// Somewhere in a line.
    InLine,
    /// Behind a CR that was sent and whose LF is still to come.
    AfterCr,
}

/// Turns content into what stands between DATA and its reply, in any pieces.
#[derive(Clone, Debug, Default)]
pub struct DotStuffer {
    at: At,
    /// The last line was a long one, so that the next is likely to be, too.
    long_lines: bool,
}

impl DotStuffer {
    /// Appends the next piece of content, ready for the wire.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        // What is before `copied` is in `out`; octets go over in runs as long as
        // nothing has to be put between them.
        let (mut copied, mut next) = (0, 0);
        let Self { mut at, mut long_lines } = *self;
        while next < input.len() {
            match at {
                At::LineStart => {
                    if input[next] == b'.' {
                        out.extend_from_slice(&input[copied..next]);
                        out.push(b'.');
                        copied = next;
                    }
                    at = At::InLine;
                }
                At::AfterCr => {
                    if input[next] == b'\n' {
                        next += 1;
                    } else {
                        out.extend_from_slice(&input[copied..next]);
                        out.push(b'\n');
                        copied = next;
                    }
                    at = At::LineStart;
                }
                At::InLine => {
                    let rest = &input[next..];
                    let Some(found) = find_line_end(rest, long_lines) else { break };
                    long_lines = found >= NEAR;
                    next += found;
                    match rest[found..] {
                        // Most lines end so, and the next begins with no dot.
                        [b'\r', b'\n', first, ..] if first != b'.' => next += 2,
                        [b'\r', ..] => {
                            at = At::AfterCr;
                            next += 1;
                        }
                        _ => {
                            out.extend_from_slice(&input[copied..next]);
                            out.push(b'\r');
                            copied = next;
                            at = At::LineStart;
                            next += 1;
                        }
                    }
                }
            }
        }
        *self = Self { at, long_lines };
        out.extend_from_slice(&input[copied..]);
    }

    /// Appends the end: what is missing of the last line end, and `.` CRLF.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self.at {
            At::LineStart => b".\r\n",
            At::InLine => b"\r\n.\r\n",
            At::AfterCr => b"\n.\r\n",
        });
        self.at = At::LineStart;
    }
}

/// A line shorter than this is found octet by octet.
const NEAR: usize = 8;

/// The first CR or LF. Lines of a few octets are the worst case for a search
/// that sets vectors up, so behind a short line octets are looked at one by one.
fn find_line_end(input: &[u8], after_long_line: bool) -> Option<usize> {
    let near = if after_long_line { 0 } else { input.len().min(NEAR) };
    let is_end = |octet: &u8| *octet == b'\r' || *octet == b'\n';
    if let Some(found) = input[..near].iter().position(is_end) {
        return Some(found);
    }
    memchr2(b'\r', b'\n', &input[near..]).map(|found| near + found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stuffed(pieces: &[&[u8]]) -> Vec<u8> {
        let mut stuffer = DotStuffer::default();
        let mut out = Vec::new();
        for piece in pieces {
            stuffer.push(piece, &mut out);
        }
        stuffer.finish(&mut out);
        out
    }

    /// What a server makes of it: the content up to the first line that is a dot alone.
    fn received(wire: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        let mut rest = wire;
        loop {
            let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a line end") + 2;
            let (line, behind) = rest.split_at(end);
            if line == b".\r\n" {
                assert!(behind.is_empty(), "nothing may follow the end");
                return content;
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            rest = behind;
        }
    }

    /// The same policy, an octet at a time.
    fn repaired(input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut octets = input.iter().peekable();
        while let Some(octet) = octets.next() {
            match octet {
                b'\r' => {
                    out.extend_from_slice(b"\r\n");
                    octets.next_if_eq(&&b'\n');
                }
                b'\n' => out.extend_from_slice(b"\r\n"),
                other => out.push(*other),
            }
        }
        if !out.is_empty() && !out.ends_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    #[test]
    fn exact_octets() {
        let table: &[(&[u8], &[u8])] = &[
            (b"", b".\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r", b"a\r\n.\r\n"),
            (b"a\n", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b"..\r\n", b"...\r\n.\r\n"),
            (b".\r\n.\r\n", b"..\r\n..\r\n.\r\n"),
            (b"a.b\r\n", b"a.b\r\n.\r\n"),
            (b"\r\n", b"\r\n.\r\n"),
            (b"\r\r\n", b"\r\n\r\n.\r\n"),
            (b"\n\r", b"\r\n\r\n.\r\n"),
            (b"\n.\n", b"\r\n..\r\n.\r\n"),
            (b"a\rb", b"a\r\nb\r\n.\r\n"),
            (b"a\0b\xff\r\n", b"a\0b\xff\r\n.\r\n"),
        ];
        for (input, expected) in table {
            assert_eq!(stuffed(&[input]), *expected, "{:?}", input.escape_ascii().to_string());
        }
    }

    /// The forms by which a message was made to end early on some server.
    #[test]
    fn nothing_in_a_message_ends_it() {
        for end in [
            "\n.\n",
            "\n.\r\n",
            "\r\n.\n",
            "\r.\r",
            "\r\n.\r",
            "\r.\r\n",
            "\n.\r",
            "\r.\n",
            "\r\n\0.\r\n",
            "\r\r\n.\r\r\n",
        ] {
            let message = format!("one{end}MAIL FROM:<evil@example.com>\r\n");
            let wire = stuffed(&[message.as_bytes()]);
            let content = received(&wire);
            assert_eq!(content, repaired(message.as_bytes()));
            for (at, octet) in wire.iter().enumerate() {
                assert!(*octet != b'\n' || wire[at - 1] == b'\r', "no bare LF");
                assert!(*octet != b'\r' || wire[at + 1] == b'\n', "no bare CR");
            }
        }
    }

    #[test]
    fn every_split_point_gives_the_same_octets() {
        let input = b".a\r\n..\r\n\r\r\n\n.\rb\n\r\n.";
        let whole = stuffed(&[input]);
        for first in 0..=input.len() {
            for second in first..=input.len() {
                let pieces = [&input[..first], &input[first..second], &input[second..]];
                assert_eq!(stuffed(&pieces), whole, "split at {first} and {second}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_server_gets_the_repaired_message(
            input in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), any::<u8>()], 0..200),
            split in 0_usize..200,
        ) {
            let split = split.min(input.len());
            let wire = stuffed(&[&input[..split], &input[split..]]);
            prop_assert_eq!(&wire, &stuffed(&[&input]));
            let content = repaired(&input);
            prop_assert_eq!(received(&wire), content.clone());
            let lines_with_dot = content.split_inclusive(|octet| *octet == b'\n').filter(|line| line.starts_with(b".")).count();
            prop_assert_eq!(wire.len(), content.len() + lines_with_dot + 3, "not an octet more than needed");
        }
    }
}
