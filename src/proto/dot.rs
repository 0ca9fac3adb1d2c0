//! Dot-stuffing and line-end repair, streaming (RFC 5321 sections 4.5.2 and 2.3.8).
//!
//! Policy: a line end is CRLF; a bare CR and a bare LF each become one, so that
//! nothing in a message can be taken for the end of the data (SMTP smuggling). A
//! dot at the beginning of a line is doubled. A message that does not end with
//! a line end gets one. Everything else goes out as it came in.

use memchr::{memchr_iter, memchr2};
use std::ops::Range;

/// Takes what goes over the wire.
trait Out {
    fn run(&mut self, octets: &[u8]);
    fn octet(&mut self, octet: u8);
}

impl Out for Vec<u8> {
    fn run(&mut self, octets: &[u8]) {
        self.extend_from_slice(octets);
    }

    fn octet(&mut self, octet: u8) {
        self.push(octet);
    }
}

/// Takes only their number.
#[derive(Debug, Default)]
struct Count(u64);

impl Out for Count {
    fn run(&mut self, octets: &[u8]) {
        self.0 += octets.len() as u64;
    }

    fn octet(&mut self, _: u8) {
        self.0 += 1;
    }
}

/// What a message will be on the wire with BDAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// So many octets.
    pub octets: u64,
    /// They are those of the message, with nothing to repair.
    pub as_is: bool,
}

impl Measure {
    /// That of a message that goes out octet for octet.
    #[must_use]
    pub fn of_binary(octets: u64) -> Self {
        // RFC 3030 allows an empty last chunk, but not all servers do.
        Self { octets: if octets == 0 { 2 } else { octets }, as_is: octets != 0 }
    }
}

/// Measures a message in any pieces.
#[derive(Debug)]
pub struct Measurer {
    stuffer: DotStuffer,
    given: u64,
    count: Count,
}

impl Default for Measurer {
    fn default() -> Self {
        Self { stuffer: DotStuffer::without_dots(), given: 0, count: Count::default() }
    }
}

impl Measurer {
    /// Looks at the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.given += piece.len() as u64;
        self.stuffer.push_to(piece, &mut self.count);
    }

    /// Looks at the end.
    #[must_use]
    pub fn finish(mut self) -> Measure {
        self.stuffer.finish_to(&mut self.count);
        match self.count.0 {
            0 => Measure::of_binary(0),
            octets => Measure { octets, as_is: octets == self.given },
        }
    }
}

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
    /// Dots are left alone, and the end has no dot: for BDAT (RFC 3030).
    plain: bool,
}

impl DotStuffer {
    /// One that repairs line ends only.
    #[must_use]
    pub fn without_dots() -> Self {
        Self { plain: true, ..Self::default() }
    }

    /// Appends the next piece of content, ready for the wire.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.push_to(input, out);
    }

    fn push_to(&mut self, input: &[u8], out: &mut impl Out) {
        // What is before `copied` is in `out`; octets go over in runs as long as
        // nothing has to be put between them.
        let mut copied = 0;
        let mut next = 0;
        while next < input.len() {
            let end = input.len().min(next + BLOCK);
            let block = &input[next..end];
            match self.look(block) {
                Look::AsIs => {}
                Look::Dots(count) => {
                    out.run(&input[copied..next]);
                    self.stuff(block, count, out);
                    copied = end;
                }
                Look::Bare => copied = self.repair(input, next..end, copied, out),
            }
            if !block.is_empty() {
                self.at = At::behind(block[block.len() - 1]);
            }
            next = end;
        }
        out.run(&input[copied..]);
    }

    /// What has to be put into a block. One pass without a branch, so that the compiler
    /// looks at many octets at once; nearly all blocks go as they are.
    fn look(&self, block: &[u8]) -> Look {
        let is_bare = match self.at {
            At::LineStart | At::InLine => block[0] == b'\n',
            At::AfterCr => block[0] != b'\n',
        };
        if is_bare {
            return Look::Bare;
        }
        let (bare, dots) = if self.plain { misfits::<false>(block) } else { misfits::<true>(block) };
        let first = self.at == At::LineStart && block[0] == b'.' && !self.plain;
        match (bare, dots + usize::from(first)) {
            (true, _) => Look::Bare,
            (false, 0) => Look::AsIs,
            (false, count) => Look::Dots(count),
        }
    }

    /// Copies a block in which only dots have to be doubled.
    fn stuff(&self, block: &[u8], count: usize, out: &mut impl Out) {
        /// From so many on, going from dot to dot costs more than going by octets.
        const MANY: usize = 32;
        let starts_line = self.at == At::LineStart;
        if count >= MANY {
            return stuff_all(block, starts_line, out);
        }
        let mut copied = 0;
        for dot in memchr_iter(b'.', block) {
            if dot.checked_sub(1).map_or(starts_line, |before| block[before] == b'\n') {
                // With the dot, which the next run begins with again.
                out.run(&block[copied..=dot]);
                copied = dot;
            }
        }
        out.run(&block[copied..]);
    }

    /// Copies a part of the input up to the last place where something had to be
    /// put in, and gives that place; `copied` is the last one before the part.
    fn repair(&mut self, input: &[u8], part: Range<usize>, mut copied: usize, out: &mut impl Out) -> usize {
        let mut next = part.start;
        while next < part.end {
            match self.at {
                At::LineStart => {
                    if input[next] == b'.' && !self.plain {
                        copy(&input[copied..next], out);
                        out.octet(b'.');
                        copied = next;
                    }
                    self.at = At::InLine;
                }
                At::AfterCr => {
                    if input[next] == b'\n' {
                        next += 1;
                    } else {
                        out.run(&input[copied..next]);
                        out.octet(b'\n');
                        copied = next;
                    }
                    self.at = At::LineStart;
                }
                At::InLine => {
                    let Some(found) = find_line_end(&input[next..part.end]) else { break };
                    next += found;
                    if input[next] == b'\r' {
                        self.at = At::AfterCr;
                    } else {
                        out.run(&input[copied..next]);
                        out.octet(b'\r');
                        copied = next;
                        self.at = At::LineStart;
                    }
                    next += 1;
                }
            }
        }
        copied
    }

    /// Appends the end: what is missing of the last line end, and `.` CRLF.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.finish_to(out);
    }

    fn finish_to(&mut self, out: &mut impl Out) {
        out.run(match self.at {
            At::LineStart => b"",
            At::InLine => b"\r\n",
            At::AfterCr => b"\n",
        });
        if !self.plain {
            out.run(b".\r\n");
        }
        self.at = At::LineStart;
    }
}

/// Whether a CR or LF behind the first octet is bare, and about how many dots there
/// begin a line. Lanes that do not depend on each other have the compiler look at many
/// octets at once; the last ones may be counted twice.
fn misfits<const DOTS: bool>(block: &[u8]) -> (bool, usize) {
    const LANES: usize = 32;
    // What a comparison of lanes gives, so that nothing has to be made of it.
    let mask = |yes: bool| 0_u8.wrapping_sub(u8::from(yes));
    let (before, behind) = (&block[..block.len() - 1], &block[1..]);
    let mut bare = [0_u8; LANES];
    let mut dots = [0_u8; LANES];
    let mut add = |before: &[u8; LANES], behind: &[u8; LANES]| {
        for lane in 0..LANES {
            bare[lane] |= mask((behind[lane] == b'\n') ^ (before[lane] == b'\r'));
            if DOTS {
                dots[lane] = dots[lane].wrapping_sub(mask((behind[lane] == b'.') & (before[lane] == b'\n')));
            }
        }
    };
    if let (Some(last_before), Some(last_behind)) = (before.last_chunk(), behind.last_chunk()) {
        let (pieces, others) = (before.as_chunks().0, behind.as_chunks().0);
        pieces.iter().zip(others).for_each(|(before, behind)| add(before, behind));
        if !before.len().is_multiple_of(LANES) {
            add(last_before, last_behind);
        }
    } else {
        // Zeros are neither bare nor dots.
        let (mut short_before, mut short_behind) = ([0; LANES], [0; LANES]);
        short_before[..before.len()].copy_from_slice(before);
        short_behind[..behind.len()].copy_from_slice(behind);
        add(&short_before, &short_behind);
    }
    let has_any = |lanes: &[u8; LANES]| lanes.iter().fold(0, |all, lane| all | lane) != 0;
    let count = if has_any(&dots) { dots.iter().map(|lane| usize::from(*lane)).sum() } else { 0 };
    (has_any(&bare), count)
}

/// Copies a block octet by octet and doubles the dots that begin a line; without a
/// branch, which would mostly be foretold wrongly.
fn stuff_all(block: &[u8], starts_line: bool, out: &mut impl Out) {
    const ROOM: usize = (2 * BLOCK).next_power_of_two();
    let mut room = [0_u8; ROOM];
    let mut end = 0_usize;
    let mut before = if starts_line { b'\n' } else { b'\r' };
    for octet in block {
        room[end % ROOM] = b'.';
        end = end.wrapping_add(usize::from((*octet == b'.') & (before == b'\n')));
        room[end % ROOM] = *octet;
        end = end.wrapping_add(1);
        before = *octet;
    }
    out.run(&room[..end.min(ROOM)]);
}

/// Appends a run of octets. Of a few, copying costs less than the call to copy.
fn copy(run: &[u8], out: &mut impl Out) {
    const FEW: usize = 8;
    if run.len() <= FEW {
        run.iter().for_each(|octet| out.octet(*octet));
    } else {
        out.run(run);
    }
}

/// What has to be put into a block.
#[derive(Clone, Copy, Debug)]
enum Look {
    AsIs,
    /// About so many dots.
    Dots(usize),
    /// There is a bare CR or LF.
    Bare,
}

impl At {
    /// Where an octet leaves off that nothing had to be put behind.
    fn behind(octet: u8) -> Self {
        match octet {
            b'\r' => Self::AfterCr,
            b'\n' => Self::LineStart,
            _ => Self::InLine,
        }
    }
}

/// How much is looked at in one go: so that each octet but the first, with the one
/// before it, is in a lane, and few enough that a lane can count its dots.
const BLOCK: usize = 1 + 1024;

/// The first CR or LF. Lines of a few octets are the worst case for a search
/// that sets vectors up, so the first octets are looked at one by one.
fn find_line_end(input: &[u8]) -> Option<usize> {
    const NEAR: usize = 8;
    let (near, far) = input.split_at(input.len().min(NEAR));
    match near.iter().position(|octet| matches!(octet, b'\r' | b'\n')) {
        Some(found) => Some(found),
        None => memchr2(b'\r', b'\n', far).map(|found| NEAR + found),
    }
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

    #[test]
    fn every_place_in_and_between_blocks_is_repaired() {
        let line = [&[b'x'; 62][..], b"\r\n"].concat();
        let clean = line.repeat(4 * BLOCK / line.len());
        for at in 0..clean.len() {
            for put in [&b"."[..], b"\n", b"\r", b"\n.", b"\r\n.\r\n"] {
                let message = [&clean[..at], put, &clean[at..]].concat();
                assert_eq!(received(&stuffed(&[&message])), repaired(&message), "{} at {at}", put.escape_ascii());
            }
        }
        assert_eq!(stuffed(&[&clean]).len(), clean.len() + 3, "nothing more than needed");
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
