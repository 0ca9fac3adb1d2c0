//! Where the content of a message comes from.

use crate::error::{Code, Error, Phase, Result};
use crate::proto::{Envelope, LineEndCheck, OUTPUT_CHUNK, Settled};
use std::fs::File as SystemFile;
use std::io::{Read as _, Seek as _};

/// Gives content piece by piece.
pub trait Source {
    /// The next piece; an empty one is the end.
    ///
    /// # Errors
    ///
    /// If the content cannot be had; nothing more is sent then, and the message
    /// is not completed.
    fn next(&mut self) -> Result<&[u8]>;

    /// Begins anew, for a further transaction.
    ///
    /// # Errors
    ///
    /// If the content cannot be had again.
    fn rewind(&mut self) -> Result<()>;

    /// What is left, if it can go to a stream without being read piece by piece.
    fn rest(&self) -> Rest<'_> {
        Rest::Pieces
    }

    /// Takes note that so many octets of [`Self::rest`] have gone to the stream.
    fn skip(&mut self, count: usize) {
        let _ = count;
    }

    /// Whether getting a piece may take time.
    fn may_wait(&self) -> bool {
        true
    }

    /// In a batch: fills an envelope with the next message and gives its number, or
    /// `None` if there are no more.
    fn next_message(&mut self, _envelope: &mut Envelope) -> Option<u32> {
        None
    }

    /// Begins a message's content, in a batch that of the message of this number.
    ///
    /// # Errors
    ///
    /// If it cannot be had, or not again.
    fn select(&mut self, _number: u32) -> Result<()> {
        self.rewind()
    }

    /// In a batch: what became of a message.
    fn settled(&mut self, _settled: &Settled) {}
}

/// See [`Source::rest`].
#[derive(Clone, Copy, Debug)]
pub enum Rest<'a> {
    /// It has to be read.
    Pieces,
    /// It lies in memory.
    Memory(&'a [u8]),
    /// It is in a file, from its present position on.
    File(&'a SystemFile),
}

/// For operations that send no content.
#[derive(Debug)]
pub struct NoContent;

impl Source for NoContent {
    fn next(&mut self) -> Result<&[u8]> {
        Ok(&[])
    }

    fn rewind(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Content in memory, given in pieces without a copy of its own.
#[derive(Debug)]
pub struct Memory<'a> {
    all: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Memory<'a> {
    /// Content that lies in memory as a whole.
    #[must_use]
    pub fn new(content: &'a [u8]) -> Self {
        Self { all: content, rest: content }
    }
}

impl Memory<'_> {
    /// A copy of the content, in memory that is at hand, with as much of it given.
    #[must_use]
    pub fn keep(&self, mut spare: Vec<u8>) -> Kept {
        spare.clear();
        spare.extend_from_slice(self.all);
        Kept { octets: spare, given: self.all.len() - self.rest.len() }
    }
}

impl Source for Memory<'_> {
    fn next(&mut self) -> Result<&[u8]> {
        let (piece, rest) = self.rest.split_at(self.rest.len().min(OUTPUT_CHUNK));
        self.rest = rest;
        Ok(piece)
    }

    fn rewind(&mut self) -> Result<()> {
        self.rest = self.all;
        Ok(())
    }

    fn rest(&self) -> Rest<'_> {
        Rest::Memory(self.rest)
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn may_wait(&self) -> bool {
        false
    }
}

/// Content in memory of its own.
#[derive(Debug, Default)]
pub struct Kept {
    octets: Vec<u8>,
    given: usize,
}

impl Kept {
    /// Its memory.
    #[must_use]
    pub fn into_octets(self) -> Vec<u8> {
        self.octets
    }
}

impl Source for Kept {
    fn next(&mut self) -> Result<&[u8]> {
        let from = self.given;
        self.given = self.octets.len().min(from + OUTPUT_CHUNK);
        Ok(&self.octets[from..self.given])
    }

    fn rewind(&mut self) -> Result<()> {
        self.given = 0;
        Ok(())
    }

    fn rest(&self) -> Rest<'_> {
        Rest::Memory(&self.octets[self.given..])
    }

    fn skip(&mut self, count: usize) {
        self.given = self.octets.len().min(self.given + count);
    }

    fn may_wait(&self) -> bool {
        false
    }
}

/// Content of another source whose line ends must be right.
pub struct Checked<'a> {
    source: &'a mut dyn Source,
    check: &'a mut LineEndCheck,
    /// The end of the source is the end of the message.
    ends: bool,
}

impl<'a> Checked<'a> {
    /// The content of a source, with what is known of its line ends so far.
    pub fn new(source: &'a mut dyn Source, check: &'a mut LineEndCheck, ends: bool) -> Self {
        Self { source, check, ends }
    }
}

impl Source for Checked<'_> {
    fn next(&mut self) -> Result<&[u8]> {
        let piece = self.source.next()?;
        if piece.is_empty() && self.ends {
            self.check.finish()?;
        }
        self.check.push(piece)?;
        Ok(piece)
    }

    fn rewind(&mut self) -> Result<()> {
        *self.check = LineEndCheck::default();
        self.source.rewind()
    }

    fn may_wait(&self) -> bool {
        self.source.may_wait()
    }
}

/// Content of a file, read as it is sent.
#[derive(Debug)]
pub struct File {
    file: SystemFile,
    path: String,
    length: Option<u64>,
    buffer: Vec<u8>,
}

impl File {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// `FILE`, with the path and the system's reason.
    pub fn open(path: &str) -> Result<Self> {
        let failed = |error: std::io::Error| {
            let what = format!("the message file {path} cannot be opened ({error})");
            Error::caller(Code::FILE, what).with_os(&error)
        };
        // Looked at first: opening a pipe would wait for its other end, and no
        // cancel could end that.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            let what = format!("the message file {path} is a folder, pipe or device, not a file");
            return Err(Error::caller(Code::FILE, what));
        }
        let file = SystemFile::open(path).map_err(failed)?;
        // Files that the system makes up as they are read say they have none.
        let length = Some(file.metadata().map_err(failed)?.len()).filter(|length| *length > 0);
        Ok(Self { file, path: path.to_owned(), length, buffer: Vec::new() })
    }

    /// Its length in octets, if the system knows it.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }
}

impl Source for File {
    fn next(&mut self) -> Result<&[u8]> {
        self.buffer.resize(OUTPUT_CHUNK, 0);
        loop {
            match self.file.read(&mut self.buffer) {
                Ok(count) => return Ok(&self.buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let what = format!("the message file {} could not be read to its end ({error})", self.path);
                    return Err(Error::new(Code::FILE, Phase::Content, what).with_os(&error));
                }
            }
        }
    }

    fn rewind(&mut self) -> Result<()> {
        self.file.rewind().map_err(|error| {
            let what = format!("the message file {} could not be read again ({error})", self.path);
            Error::new(Code::FILE, Phase::Content, what).with_os(&error)
        })
    }

    fn rest(&self) -> Rest<'_> {
        Rest::File(&self.file)
    }
}

/// Content that a function gives, called until it gives nothing.
pub struct Reader {
    read: Box<Read>,
    buffer: Vec<u8>,
}

/// Fills a buffer and says how far; 0 is the end.
pub type Read = dyn FnMut(&mut [u8]) -> Result<usize> + Send;

impl Reader {
    /// Content from a function that fills a buffer and says how far.
    #[must_use]
    pub fn new(read: Box<Read>) -> Self {
        Self { read, buffer: Vec::new() }
    }
}

impl Source for Reader {
    fn next(&mut self) -> Result<&[u8]> {
        self.buffer.resize(OUTPUT_CHUNK, 0);
        let count = (self.read)(&mut self.buffer)?;
        self.buffer.get(..count).ok_or_else(|| {
            let what = format!("the reader says it gave {count} octets, but had room for {OUTPUT_CHUNK}");
            Error::new(Code::READER, Phase::Content, what)
        })
    }

    fn rewind(&mut self) -> Result<()> {
        // The session asks only for what was said to be repeatable.
        Err(Error::new(Code::READER, Phase::Content, "a reader gives its content once"))
    }
}
