//! A message as octets, piece by piece, in constant memory.

use super::data::{Data, Opened};
use super::part::write_file;
use super::transfer_encoding::{BASE64_BLOCK, base64_length, base64_lines};
use crate::drive::Source;
use crate::error::Result;
use crate::proto::OUTPUT_CHUNK;

/// How to render.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenderOptions {
    /// With Bcc, Received, Return-Path, Status and X400-Received.
    pub all_headers: bool,
    /// Header fields in the order in which they were set or loaded.
    pub keep_order: bool,
    /// The server takes octets beyond ASCII, so texts that were to be 8bit may be.
    pub eight_bit: bool,
}

/// The bits of the C interface, the original's: name, value and meaning.
pub const EXPORT_OPTIONS: &[(&str, u32, &str)] = &[
    ("DEFAULT", 0, "Header fields in the usual order, without Bcc, Received, Return-Path, Status and X400-Received."),
    ("ALLHEADERS", 1, "All header fields, Bcc included."),
    ("KEEPORDER", 2, "Header fields in the order in which they were set or loaded."),
];

/// A part of the plan.
#[derive(Debug)]
pub(super) enum Segment {
    /// These octets.
    Octets(Vec<u8>),
    /// Content as it is, which must be in lines that end with CRLF.
    Plain(Data),
    /// Content in lines of base64.
    Base64(Data),
}

impl Segment {
    fn length(&self) -> Option<u64> {
        match self {
            Self::Octets(octets) => Some(octets.len() as u64),
            Self::Plain(data) => data.length(),
            Self::Base64(data) => data.length().map(base64_length),
        }
    }

    fn is_repeatable(&self) -> bool {
        match self {
            Self::Octets(_) => true,
            Self::Plain(data) | Self::Base64(data) => data.is_repeatable(),
        }
    }
}

/// A rendered message: a source of its octets, which knows how many there are.
#[derive(Debug)]
pub struct Rendering {
    segments: Vec<Segment>,
    length: Option<u64>,
    repeatable: bool,
    eight_bit: bool,
    header_utf8: bool,
    /// The segment that is being given, and how far it is.
    at: usize,
    offset: usize,
    opened: Option<Opened>,
    raw: Vec<u8>,
    buffer: Vec<u8>,
}

impl Rendering {
    pub(super) fn new(segments: Vec<Segment>, header_utf8: bool, eight_bit: bool) -> Self {
        let length = segments.iter().map(Segment::length).sum();
        let repeatable = segments.iter().all(Segment::is_repeatable);
        let is_plain = |segment: &Segment| !matches!(segment, Segment::Octets(octets) if !octets.is_ascii());
        let eight_bit = eight_bit || !segments.iter().all(is_plain);
        Self {
            segments,
            length,
            repeatable,
            eight_bit,
            header_utf8,
            at: 0,
            offset: 0,
            opened: None,
            raw: Vec::new(),
            buffer: Vec::new(),
        }
    }

    pub(super) fn into_segments(self) -> Vec<Segment> {
        self.segments
    }

    /// How many octets it gives, exactly; `None` if a reader's length is not known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether it can be read more than once.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// Whether it has octets beyond ASCII.
    #[must_use]
    pub fn is_eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// Whether its header has characters beyond ASCII, as addresses of other scripts need them (RFC 6532).
    #[must_use]
    pub fn has_utf8_header(&self) -> bool {
        self.header_utf8
    }

    /// Puts octets before all others, as for the header field of a signature. To be
    /// called before anything was read, or after [`Source::rewind`].
    pub fn prepend(&mut self, octets: Vec<u8>) {
        self.length = self.length.and_then(|length| length.checked_add(octets.len() as u64));
        self.segments.insert(0, Segment::Octets(octets));
    }

    /// All octets at once.
    ///
    /// # Errors
    ///
    /// If the content of a part cannot be read.
    pub fn into_octets(mut self) -> Result<Vec<u8>> {
        let mut all = Vec::with_capacity(self.length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0));
        loop {
            let piece = self.next()?;
            if piece.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(piece);
        }
    }

    /// Writes the octets to a file, which is made or emptied.
    ///
    /// # Errors
    ///
    /// `WRITER` if the file cannot be written; if the content of a part cannot be read.
    pub fn write_file(&mut self, path: &str) -> Result<()> {
        write_file(path, |give| {
            loop {
                let piece = self.next()?;
                if piece.is_empty() {
                    return Ok(());
                }
                give(piece)?;
            }
        })
    }

    /// The next piece of a part's content; `false` at its end.
    fn fill(&mut self) -> Result<bool> {
        let (Segment::Plain(data) | Segment::Base64(data)) = &self.segments[self.at] else { return Ok(false) };
        let is_base64 = matches!(self.segments[self.at], Segment::Base64(_));
        let opened = match &mut self.opened {
            Some(opened) => opened,
            None => self.opened.insert(data.open()?),
        };
        let buffer = if is_base64 { &mut self.raw } else { &mut self.buffer };
        buffer.resize(if is_base64 { BASE64_BLOCK } else { OUTPUT_CHUNK }, 0);
        let count = opened.fill(buffer)?;
        if is_base64 {
            self.buffer.clear();
            base64_lines(&self.raw[..count], &mut self.buffer);
        } else {
            self.buffer.truncate(count);
        }
        Ok(count > 0)
    }
}

impl Source for Rendering {
    fn next(&mut self) -> Result<&[u8]> {
        while self.at < self.segments.len() {
            if let Segment::Octets(octets) = &self.segments[self.at] {
                let end = octets.len().min(self.offset + OUTPUT_CHUNK);
                let piece = self.offset..end;
                self.offset = end;
                if !piece.is_empty() {
                    let Segment::Octets(octets) = &self.segments[self.at] else { return Ok(&[]) };
                    return Ok(&octets[piece]);
                }
            } else if self.fill()? {
                return Ok(&self.buffer);
            }
            self.at += 1;
            self.offset = 0;
            self.opened = None;
        }
        Ok(&[])
    }

    fn rewind(&mut self) -> Result<()> {
        self.at = 0;
        self.offset = 0;
        self.opened = None;
        Ok(())
    }

    fn may_wait(&self) -> bool {
        self.segments.iter().any(|segment| match segment {
            Segment::Octets(_) => false,
            Segment::Plain(data) | Segment::Base64(data) => data.in_memory().is_none(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_in_order_and_twice() {
        let data = Data::memory(vec![0xFF_u8; 100_000]);
        let segments = vec![
            Segment::Octets(b"a".to_vec()),
            Segment::Base64(data.clone()),
            Segment::Plain(data),
            Segment::Octets(vec![]),
        ];
        let mut rendering = Rendering::new(segments, false, false);
        rendering.prepend(b"first ".to_vec());
        let length = rendering.length().expect("known");
        let mut passes = Vec::new();
        for _ in 0..2 {
            let mut all = Vec::new();
            loop {
                let piece = rendering.next().expect("memory");
                assert!(piece.len() <= OUTPUT_CHUNK);
                if piece.is_empty() {
                    break;
                }
                all.extend_from_slice(piece);
            }
            rendering.rewind().expect("memory");
            assert_eq!(all.len() as u64, length);
            passes.push(all);
        }
        assert!(passes[0] == passes[1] && passes[0].starts_with(b"first a/////"));
        assert!(!rendering.may_wait() && rendering.is_repeatable());
    }
}
