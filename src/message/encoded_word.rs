//! Encoded words (RFC 2047): characters beyond ASCII in header fields.

use super::charset::to_text;
use super::fold::{Folder, words};
use super::transfer_encoding::{base64_decode, unquote};
use base64::prelude::{BASE64_STANDARD, Engine as _};

/// The longest encoded word (RFC 2047 section 2).
const MAX_WORD: usize = 75;
/// `=?utf-8?q?` and `?=`.
const AROUND: usize = 12;
/// A word that is longer than this is cut up; so are longer blanks.
const MAX_PLAIN: usize = 900;

/// Writes a text, encoded as far as it needs to be.
pub(super) fn write_text(folder: &mut Folder<'_>, text: &str) {
    let is_blank = |c: char| c == ' ' || c == '\t';
    if text.starts_with(is_blank) || text.ends_with(is_blank) {
        // Readers take blanks at the ends away.
        return write_encoded(folder, " ", text);
    }
    let needs = |(blank, word): &(&str, &str)| needs_encoding(word) || blank.len() > LONGEST_BLANK;
    let all: Vec<_> = words(text).collect();
    let first = all.iter().position(needs).unwrap_or(all.len());
    let last = all.iter().rposition(needs).map_or(first, |at| at + 1);
    let end_of = |count: usize| all[..count].iter().map(|(blank, word)| blank.len() + word.len()).sum::<usize>();
    write_plain(folder, &all[..first]);
    if first < last {
        // Whatever is between two words that need it is encoded with them.
        let (start, blank) = (end_of(first), all[first].0);
        let kept = if blank.len() > LONGEST_BLANK { &blank[..1] } else { blank };
        let shown = if kept.is_empty() { " " } else { kept };
        write_encoded(folder, shown, &text[start + kept.len()..end_of(last)]);
    }
    write_plain(folder, &all[last..]);
}

fn write_plain(folder: &mut Folder<'_>, some: &[(&str, &str)]) {
    for (blank, word) in some {
        folder.word(if blank.is_empty() { " " } else { blank }, word);
    }
}

/// More blanks in a row are encoded, since a line must not be of blanks alone, nor too long.
const LONGEST_BLANK: usize = 40;

/// Whether a word cannot stand as it is.
pub(super) fn needs_encoding(word: &str) -> bool {
    word.len() > MAX_PLAIN
        || word.contains("=?")
        || !word.bytes().all(|octet| (b' '..=b'~').contains(&octet) || octet == b'\t')
}

/// Writes a text in encoded words, the first of them behind the blank.
pub(super) fn write_encoded(folder: &mut Folder<'_>, blank: &str, text: &str) {
    let quoted: usize = text.bytes().map(quoted_width).sum();
    let by_base64 = quoted > text.len().div_ceil(3) * 4;
    let mut rest = text;
    let mut blank = blank;
    while !rest.is_empty() {
        // The first word takes what is left of its line, if that is worth it.
        let room = folder.room();
        let room = if room < AROUND + 12 { MAX_WORD } else { room.min(MAX_WORD) };
        let (piece, behind) = rest.split_at(fitting(rest, room - AROUND, by_base64));
        rest = behind;
        folder.word(blank, &encoded(piece, by_base64));
        blank = " ";
    }
}

/// How many octets of the text fit into so many characters: whole characters, at least one.
fn fitting(text: &str, room: usize, by_base64: bool) -> usize {
    let (mut count, mut width) = (0, 0);
    for c in text.chars() {
        let next = count + c.len_utf8();
        width = if by_base64 {
            next.div_ceil(3) * 4
        } else {
            width + text[count..next].bytes().map(quoted_width).sum::<usize>()
        };
        if width > room && count > 0 {
            break;
        }
        count = next;
    }
    count
}

fn encoded(text: &str, by_base64: bool) -> String {
    if by_base64 {
        return format!("=?utf-8?b?{}?=", BASE64_STANDARD.encode(text));
    }
    let mut out = String::from("=?utf-8?q?");
    for octet in text.bytes() {
        match octet {
            b' ' => out.push('_'),
            _ if quoted_width(octet) == 1 => out.push(char::from(octet)),
            _ => out.push_str(&format!("={octet:02X}")),
        }
    }
    out + "?="
}

/// What is allowed everywhere, names before addresses included (RFC 2047 section 5, rule 3).
fn quoted_width(octet: u8) -> usize {
    let is_plain = octet.is_ascii_alphanumeric() || matches!(octet, b' ' | b'!' | b'*' | b'+' | b'-' | b'/');
    if is_plain { 1 } else { 3 }
}

/// A header field's octets as text: encoded words undone, lines joined.
#[must_use]
pub fn decode_words(octets: &[u8]) -> String {
    let unfolded: Vec<u8> = octets.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
    let text = to_text("", &unfolded);
    if !text.contains("=?") {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    // The charset and octets of words that stand behind each other: a character may be
    // split between them.
    let mut waiting: Option<(String, Vec<u8>)> = None;
    let mut rest = text.as_str();
    while let Some(at) = rest.find("=?") {
        let (before, from) = rest.split_at(at);
        let Some((charset, octets, behind)) = parse_word(from) else {
            flush(&mut waiting, &mut out);
            out.push_str(before);
            out.push_str("=?");
            rest = &from[2..];
            continue;
        };
        let is_apart = !before.chars().all(|c| c == ' ' || c == '\t');
        match &mut waiting {
            Some((same, so_far)) if !is_apart && same.eq_ignore_ascii_case(charset) => {
                so_far.extend_from_slice(&octets)
            }
            found => {
                let was_word = found.is_some();
                flush(found, &mut out);
                if is_apart || !was_word {
                    out.push_str(before);
                }
                waiting = Some((charset.to_owned(), octets));
            }
        }
        rest = behind;
    }
    flush(&mut waiting, &mut out);
    out.push_str(rest);
    out
}

fn flush(waiting: &mut Option<(String, Vec<u8>)>, out: &mut String) {
    if let Some((charset, octets)) = waiting.take() {
        out.push_str(&to_text(&charset, &octets));
    }
}

/// The charset, octets and what is behind of the encoded word that the text begins with.
fn parse_word(text: &str) -> Option<(&str, Vec<u8>, &str)> {
    /// Longer than any that is right; keeps the search for its end short.
    const MAX_LENGTH: usize = 20_000;
    const MAX_CHARSET: usize = 60;
    let inner = text.strip_prefix("=?")?;
    let charset_end = inner.bytes().take(MAX_CHARSET).position(|octet| octet == b'?')?;
    let (charset, rest) = (&inner[..charset_end], &inner[charset_end + 1..]);
    let (kind, rest) = rest.split_at_checked(2)?;
    let end = rest.bytes().take(MAX_LENGTH).position(|octet| octet == b'?')?;
    let behind = rest[end..].strip_prefix("?=")?;
    let content = &rest.as_bytes()[..end];
    let octets = match kind {
        "b?" | "B?" => base64_decode(content),
        "q?" | "Q?" => {
            let spaced: Vec<u8> = content.iter().map(|octet| if *octet == b'_' { b' ' } else { *octet }).collect();
            let mut octets = Vec::with_capacity(spaced.len());
            unquote(&spaced, &mut octets);
            octets
        }
        _ => return None,
    };
    // A language may follow (RFC 2231 section 5).
    let charset = charset.split('*').next().unwrap_or_default();
    let is_token = !charset.is_empty() && charset.bytes().all(|octet| octet.is_ascii_graphic());
    is_token.then_some((charset, octets, behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        let mut folder = Folder::begin("Subject", &mut out);
        write_text(&mut folder, text);
        folder.end();
        String::from_utf8(out).expect("ASCII")
    }

    fn read(line: &str) -> String {
        decode_words(line.strip_prefix("Subject: ").or(line.strip_prefix("Subject:\r\n ")).expect("a name").as_bytes())
    }

    #[test]
    fn as_little_as_needed_is_encoded() {
        assert_eq!(written("plain text"), "Subject: plain text\r\n");
        assert_eq!(written("one Gr\u{fc}\u{df}e two"), "Subject: one =?utf-8?b?R3LDvMOfZQ==?= two\r\n");
        assert_eq!(written("caf\u{e9}teria and more"), "Subject: =?utf-8?q?caf=C3=A9teria?= and more\r\n");
        assert_eq!(written("\u{4f60}\u{597d}"), "Subject: =?utf-8?b?5L2g5aW9?=\r\n");
        assert_eq!(written("a =?utf-8?q?b?="), "Subject: a =?utf-8?b?PT91dGYtOD9xP2I/PQ==?=\r\n");
    }

    #[test]
    fn what_others_write_is_read() {
        for (raw, expected) in [
            ("=?ISO-8859-1?Q?a?=", "a"),
            ("=?ISO-8859-1?Q?a?= b", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a?=\r\n  =?utf-8?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a_b?=", "a b"),
            ("=?utf-8*de?b?w7w=?=", "\u{fc}"),
            // A character split between two words.
            ("=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "\u{fc}"),
            ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
            ("=?utf-8?q?a", "=?utf-8?q?a"),
            ("a=?=?utf-8?q?b?=", "a=?b"),
            ("plain\r\n folded", "plain folded"),
        ] {
            assert_eq!(decode_words(raw.as_bytes()), expected, "{raw}");
        }
        assert_eq!(decode_words(b"Gr\xFC\xDFe"), "Gr\u{fc}\u{df}e");
    }

    #[test]
    fn ten_thousand_characters() {
        for text in
            ["x".repeat(10_000), "\u{1f600}".repeat(10_000), "word ".repeat(2000) + "\u{fc}", " ".repeat(10_000) + "x"]
        {
            let line = written(&text);
            assert!(line.lines().all(|line| line.len() <= 78), "{line}");
            assert_eq!(read(line.trim_end_matches("\r\n")), text);
        }
    }

    proptest! {
        #[test]
        fn texts_read_back(text in "([a-z=?_ ]|\\PC|\t){0,120}") {
            let line = written(&text);
            let bare = line.strip_suffix("\r\n").expect("an end");
            for piece in bare.split("\r\n") {
                prop_assert!(piece.len() <= 998 && !piece.contains(['\r', '\n']) && piece.is_ascii());
            }
            prop_assert!(bare.split("\r\n").skip(1).all(|piece| piece.starts_with([' ', '\t']) && !piece.trim().is_empty()));
            if !text.is_empty() {
                prop_assert_eq!(read(bare), text);
            }
        }

        #[test]
        fn anything_is_decoded(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_words(&octets);
            let text: String = octets.iter().map(|octet| ["=?", "?=", "utf-8", "?q?", "?b?", " ", "a", "=C3"][usize::from(octet % 8)]).collect();
            prop_assert!(decode_words(text.as_bytes()).len() <= 3 * text.len());
        }
    }
}
