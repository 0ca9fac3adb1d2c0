//! Transfer encodings of bodies (RFC 2045 section 6): chosen, made, and undone.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use memchr::{memchr, memchr2};

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is: ASCII in lines of at most 998 octets.
    SevenBit,
    /// As it is: any octets but NUL in lines of at most 998 octets.
    EightBit,
    /// As it is, whatever it is; only met in loaded messages.
    Binary,
    /// ASCII as it is, the rest as =XX.
    QuotedPrintable,
    /// Four characters for three octets.
    Base64,
}

impl Encoding {
    /// The value of Content-Transfer-Encoding.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SevenBit => "7bit",
            Self::EightBit => "8bit",
            Self::Binary => "binary",
            Self::QuotedPrintable => "quoted-printable",
            Self::Base64 => "base64",
        }
    }

    /// The encoding of that name. An unknown one cannot be undone, so it is as binary.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        let known = [Self::SevenBit, Self::EightBit, Self::QuotedPrintable, Self::Base64];
        known.into_iter().find(|encoding| name.eq_ignore_ascii_case(encoding.name())).unwrap_or(Self::Binary)
    }
}

/// Octets of a whole line of base64.
const LINE: usize = 57;
/// Its characters.
const LINE_OUT: usize = 76;
/// Octets that are encoded at a time: whole lines, less than 64 KiB of them.
pub(super) const BASE64_BLOCK: usize = LINE * 800;
/// The longest line without its end (RFC 5322 section 2.1.1).
pub(super) const MAX_LINE: usize = 998;

/// How many octets the lines of base64 have that are made of `length` octets.
pub(super) fn base64_length(length: u64) -> u64 {
    let characters = length.div_ceil(3) * 4;
    characters + characters.div_ceil(LINE_OUT as u64) * 2
}

/// Appends lines of base64; all but the last call must give whole lines.
pub(super) fn base64_lines(octets: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let characters = octets.len().div_ceil(3) * 4;
    let lines = characters.div_ceil(LINE_OUT);
    out.resize(start + characters + lines * 2, 0);
    let room = &mut out[start..];
    // As one run, which is fast, and then apart into lines, from the last to the first.
    let count = BASE64_STANDARD.encode_slice(octets, room).unwrap_or(0);
    debug_assert_eq!(count, characters);
    for line in (0..lines).rev() {
        let from = line * LINE_OUT;
        let length = LINE_OUT.min(characters - from);
        let to = line * (LINE_OUT + 2);
        room.copy_within(from..from + length, to);
        room[to + length..to + length + 2].copy_from_slice(b"\r\n");
    }
}

/// Undoes base64, leaving out what is none of it (RFC 2045 section 6.8).
pub(super) fn base64_decode(text: &[u8]) -> Vec<u8> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let is_base64 = |octet: &&u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/');
    let mut kept = Vec::with_capacity(text.len());
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    // Padding ends one run; some programs write several behind each other.
    for run in text.split(|octet| *octet == b'=') {
        kept.clear();
        kept.extend(run.iter().filter(is_base64));
        if kept.len() % 4 == 1 {
            // Six bits make no octet.
            kept.pop();
        }
        let _ = LENIENT.decode_vec(&kept, &mut out);
    }
    out
}

/// A text as quoted-printable. Its lines must end with CRLF.
pub(super) fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 8);
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, behind) = rest.split_at(end);
        rest = behind;
        match line.strip_suffix(b"\r\n") {
            Some(line) => {
                quoted_line(line, &mut out);
                out.extend_from_slice(b"\r\n");
            }
            None => quoted_line(line, &mut out),
        }
    }
    out
}

fn quoted_line(line: &[u8], out: &mut Vec<u8>) {
    let mut column = 0;
    for (at, octet) in line.iter().enumerate() {
        let is_last = at + 1 == line.len();
        let is_plain = match octet {
            // What stands at an end of a line might be taken away.
            b' ' | b'\t' => !is_last,
            // A lone dot would be stuffed, and From be quoted in a mailbox file.
            b'.' | b'F' => column > 0,
            b'!'..=b'~' => *octet != b'=',
            _ => false,
        };
        let width = if is_plain { 1 } else { 3 };
        // One column is kept for the = that says that the line goes on.
        if column + width > if is_last { LINE_OUT } else { LINE_OUT - 1 } {
            out.extend_from_slice(b"=\r\n");
            column = 0;
            // At the beginning of a line the same rules hold again.
            if matches!(octet, b'.' | b'F') {
                push_quoted(*octet, out);
                column += 3;
                continue;
            }
        }
        if is_plain {
            out.push(*octet);
        } else {
            push_quoted(*octet, out);
        }
        column += width;
    }
}

fn push_quoted(octet: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'=', DIGITS[usize::from(octet >> 4)], DIGITS[usize::from(octet & 15)]]);
}

/// Undoes quoted-printable; what is not well formed stays as it is.
pub(super) fn quoted_printable_decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, behind) = rest.split_at(end);
        rest = behind;
        let ending = if line.ends_with(b"\r\n") { 2 } else { usize::from(line.ends_with(b"\n")) };
        let (line, ending) = line.split_at(line.len() - ending);
        // Blanks at an end of a line were added on the way (RFC 2045 section 6.7, rule 3).
        let line = line.trim_ascii_end();
        let (line, goes_on) = match line.strip_suffix(b"=") {
            Some(line) => (line, true),
            None => (line, false),
        };
        unquote(line, &mut out);
        if !goes_on {
            out.extend_from_slice(ending);
        }
    }
    out
}

pub(super) fn unquote(line: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while at < line.len() {
        let digits = line.get(at + 1..at + 3).and_then(|pair| Some((hex(pair[0])?, hex(pair[1])?)));
        match (line[at], digits) {
            (b'=', Some((high, low))) => {
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

/// The value of a hexadecimal digit.
pub(super) fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Undoes an encoding.
#[must_use]
pub(super) fn decode(encoding: Encoding, content: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Base64 => base64_decode(content),
        Encoding::QuotedPrintable => quoted_printable_decode(content),
        _ => content.to_vec(),
    }
}

/// Octets with every line end as CRLF, bare CR and LF included.
#[must_use]
pub(super) fn with_crlf(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 32);
    let mut rest = octets;
    while let Some(at) = memchr2(b'\r', b'\n', rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(b"\r\n");
        let is_pair = rest[at] == b'\r' && rest.get(at + 1) == Some(&b'\n');
        rest = &rest[at + 1 + usize::from(is_pair)..];
    }
    out.extend_from_slice(rest);
    out
}

/// What a text is like, as far as it matters for its encoding.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    /// Octets that quoted-printable writes as three.
    quoted: usize,
    length: usize,
    longest_line: usize,
    beyond_ascii: bool,
    /// NUL or another control character that has no place in a text.
    controls: bool,
    /// A line that begins with From, or is a dot alone: some mail systems change those.
    fragile: bool,
}

impl Look {
    /// Looks at a text whose lines end with CRLF.
    pub(super) fn at(text: &[u8]) -> Self {
        let mut look = Self { length: text.len(), ..Self::default() };
        for line in text.split(|octet| *octet == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            look.longest_line = look.longest_line.max(line.len());
            look.fragile |= line.starts_with(b"From ") || line == b".";
            for octet in line {
                look.beyond_ascii |= *octet >= 0x80;
                let is_control = *octet < b' ' && *octet != b'\t' || *octet == 0x7F;
                look.controls |= is_control;
                look.quoted += usize::from(*octet >= 0x80 || is_control || *octet == b'=');
            }
        }
        look
    }

    /// What works everywhere, and takes the least room.
    pub(super) fn safest(self) -> Encoding {
        let plain = !self.beyond_ascii && !self.controls && !self.fragile && self.longest_line <= MAX_LINE;
        if plain {
            return Encoding::SevenBit;
        }
        // Each of them takes two octets more; base64 a third of the whole.
        if self.quoted.saturating_mul(6) <= self.length { Encoding::QuotedPrintable } else { Encoding::Base64 }
    }

    /// Whether it can go as it is where octets beyond ASCII are taken.
    pub(super) fn fits_eight_bit(self) -> bool {
        !self.controls && self.longest_line <= MAX_LINE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_base64() {
        for length in [0, 1, 2, 3, 56, 57, 58, 114, 115, 1000] {
            let mut out = Vec::new();
            base64_lines(&vec![7; length], &mut out);
            assert_eq!(out.len() as u64, base64_length(length as u64), "{length}");
            assert!(out.is_empty() || out.ends_with(b"\r\n"));
            assert!(out.split(|octet| *octet == b'\n').all(|line| line.len() <= LINE_OUT + 1));
            assert_eq!(base64_decode(&out), vec![7; length]);
        }
        assert_eq!(base64_length(1 << 30), 1_469_330_920);
        const { assert!(BASE64_BLOCK / LINE * (LINE_OUT + 2) <= 64 * 1024) };
    }

    #[test]
    fn base64_that_is_broken_gives_what_it_has() {
        assert_eq!(base64_decode(b"YW Jj\r\n!ZGVm"), b"abcdef");
        assert_eq!(base64_decode(b"YQ==Yg=="), b"ab");
        assert_eq!(base64_decode(b"YWJjZ"), b"abc");
        assert_eq!(base64_decode(b"===="), b"");
    }

    #[test]
    fn quoted_printable_as_known() {
        let quoted = |text: &str| String::from_utf8(quoted_printable(text.as_bytes())).expect("ASCII");
        assert_eq!(quoted("a=b \r\n.x\r\nFrom me\r\n\tx\t"), "a=3Db=20\r\n=2Ex\r\n=46rom me\r\n\tx=09");
        assert_eq!(quoted(&"x".repeat(76)), "x".repeat(76));
        assert_eq!(quoted(&"x".repeat(77)), format!("{}=\r\nxx", "x".repeat(75)));
        assert_eq!(quoted_printable_decode(b"a=3Db=20  \r\nsoft=  \r\nend=\r\n"), b"a=b \r\nsoftend");
        assert_eq!(quoted_printable_decode(b"=3 =ZZ =3d="), b"=3 =ZZ =");
    }

    #[test]
    fn the_encoding_is_chosen_by_what_is_there() {
        let choice = |text: &str| Look::at(text.as_bytes()).safest();
        assert_eq!(choice("plain\r\n"), Encoding::SevenBit);
        assert_eq!(choice(&"x".repeat(998)), Encoding::SevenBit);
        assert_eq!(choice(&"x".repeat(999)), Encoding::QuotedPrintable);
        assert_eq!(choice("Gr\u{fc}\u{df}e aus Berlin, wo es heute regnet\r\n"), Encoding::QuotedPrintable);
        assert_eq!(choice("\u{4f60}\u{597d}"), Encoding::Base64);
        assert_eq!(choice("From here on\r\n"), Encoding::QuotedPrintable);
        assert_eq!(choice("a NUL \0 in a rather long line"), Encoding::QuotedPrintable);
        assert!(!Look::at(b"\0").fits_eight_bit() && Look::at("\u{fc}".as_bytes()).fits_eight_bit());
    }

    proptest! {
        #[test]
        fn quoted_printable_reads_back(text in "(\\PC|[ \t=.F\u{0}\u{7f}]|\r\n){0,200}") {
            let quoted = quoted_printable(text.as_bytes());
            for line in quoted.split(|octet| *octet == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                prop_assert!(line.len() <= 76 && line.is_ascii() && !line.ends_with(b" ") && line != b".");
                prop_assert!(!line.starts_with(b"From "));
            }
            prop_assert_eq!(quoted_printable_decode(&quoted), text.as_bytes());
        }

        #[test]
        fn decoding_takes_anything(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(base64_decode(&octets).len() <= octets.len());
            prop_assert!(quoted_printable_decode(&octets).len() <= octets.len());
            let crlf = with_crlf(&octets);
            prop_assert_eq!(with_crlf(&crlf), crlf);
        }
    }
}
