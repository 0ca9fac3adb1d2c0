//! The content of a part: where it is, and reading it piece by piece.

use crate::error::{Code, Error, Result};
use parking_lot::Mutex;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::sync::Arc;

/// Where the content of a part is. Copies share it.
#[derive(Clone, Debug)]
pub enum Data {
    /// Some of the octets in memory.
    Memory(Arc<[u8]>, Range<usize>),
    /// A file, of the length that it had when it was named.
    File(Arc<str>, u64),
    /// A function of the program's.
    Reader(Arc<DataReader>),
}

/// Fills a buffer and says how far; 0 is the end.
pub type Read = Box<dyn FnMut(&mut [u8]) -> Result<usize> + Send>;
/// Has the reader begin anew.
pub type Rewind = Box<dyn FnMut() -> Result<()> + Send>;

/// A function that gives content, shared by what is rendered from a message.
pub struct DataReader {
    length: Option<u64>,
    repeatable: bool,
    state: Mutex<ReaderState>,
}

struct ReaderState {
    read: Read,
    rewind: Option<Rewind>,
    used: bool,
}

impl fmt::Debug for DataReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataReader").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Data {
    /// Octets that are in memory.
    #[must_use]
    pub fn memory(octets: impl Into<Arc<[u8]>>) -> Self {
        let octets: Arc<[u8]> = octets.into();
        let all = 0..octets.len();
        Self::Memory(octets, all)
    }

    /// A file, which is read whenever its octets are needed.
    ///
    /// # Errors
    ///
    /// `ATTACHMENT` if there is no such file.
    pub fn file(path: &str) -> Result<Self> {
        let facts = std::fs::metadata(path).map_err(|error| cannot_open(path, &error))?;
        if !facts.is_file() {
            let what = format!("the attachment {path} is a folder, pipe or device, not a file");
            return Err(Error::caller(Code::ATTACHMENT, what));
        }
        // Found out now rather than when a server waits for it.
        File::open(path).map_err(|error| cannot_open(path, &error))?;
        Ok(Self::File(path.into(), facts.len()))
    }

    /// What a function gives; without `rewind`, it gives it once.
    #[must_use]
    pub fn reader(length: Option<u64>, read: Read, rewind: Option<Rewind>) -> Self {
        let repeatable = rewind.is_some();
        let state = Mutex::new(ReaderState { read, rewind, used: false });
        Self::Reader(Arc::new(DataReader { length, repeatable, state }))
    }

    /// How many octets it has, if that is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Memory(_, range) => Some(range.len() as u64),
            Self::File(_, length) => Some(*length),
            Self::Reader(reader) => reader.length,
        }
    }

    /// Whether it can be read more than once.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        match self {
            Self::Memory(..) | Self::File(..) => true,
            Self::Reader(reader) => reader.repeatable,
        }
    }

    /// The octets, if they are in memory.
    #[must_use]
    pub fn in_memory(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(octets, range) => octets.get(range.clone()),
            _ => None,
        }
    }

    /// Begins to read.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened any more, or the reader cannot give its content again.
    pub fn open(&self) -> Result<Opened> {
        let from = match self {
            Self::Memory(octets, range) => From::Memory(Arc::clone(octets), range.clone()),
            Self::File(path, _) => From::File(File::open(&**path).map_err(|error| cannot_open(path, &error))?),
            Self::Reader(reader) => {
                reader.begin()?;
                From::Reader(Arc::clone(reader))
            }
        };
        Ok(Opened { from, name: self.name(), length: self.length(), given: 0 })
    }

    fn name(&self) -> Arc<str> {
        match self {
            Self::File(path, _) => Arc::clone(path),
            _ => "".into(),
        }
    }
}

impl DataReader {
    fn begin(&self) -> Result<()> {
        let mut state = self.state.try_lock().ok_or_else(in_use)?;
        if std::mem::replace(&mut state.used, true) {
            let Some(rewind) = &mut state.rewind else {
                let what = "the reader of an attachment gives its content once, and it was asked for before";
                return Err(Error::caller(Code::ATTACHMENT, what)
                    .with_remedy("Give a function that begins anew, or attach a file or memory."));
            };
            rewind()?;
        }
        Ok(())
    }

    fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        let mut state = self.state.try_lock().ok_or_else(in_use)?;
        let count = (state.read)(buffer)?;
        if count > buffer.len() {
            let what = format!("the reader says it gave {count} octets, but had room for {}", buffer.len());
            return Err(Error::caller(Code::READER, what));
        }
        Ok(count)
    }
}

fn in_use() -> Box<Error> {
    let what = "the reader of an attachment is being asked already, for another rendering of the message";
    Error::caller(Code::ATTACHMENT, what)
        .with_remedy("Send or export one message with a reader one time after the other.")
}

fn cannot_open(path: &str, error: &std::io::Error) -> Box<Error> {
    let what = format!("the attachment {path} cannot be opened ({error})");
    Error::caller(Code::ATTACHMENT, what).with_os(error)
}

enum From {
    Memory(Arc<[u8]>, Range<usize>),
    File(File),
    Reader(Arc<DataReader>),
}

/// Content that is being read.
pub struct Opened {
    from: From,
    name: Arc<str>,
    length: Option<u64>,
    given: u64,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("name", &self.name).field("given", &self.given).finish_non_exhaustive()
    }
}

impl Opened {
    /// Fills a buffer, as far as there is something left. Less than a whole one is the end.
    ///
    /// # Errors
    ///
    /// If the content cannot be read, or is not as long as was said.
    pub fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut count = 0;
        while count < buffer.len() {
            let more = self.read(&mut buffer[count..])?;
            if more == 0 {
                break;
            }
            count += more;
        }
        self.given += count as u64;
        let is_end = count < buffer.len();
        match self.length {
            // The server was told a length, and boundaries are where they are.
            Some(length) if self.given > length || is_end && self.given < length => Err(self.changed(length)),
            _ => Ok(count),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match &mut self.from {
            From::Memory(octets, rest) => {
                let count = rest.len().min(buffer.len());
                let some = rest.start..rest.start + count;
                rest.start += count;
                buffer[..count].copy_from_slice(&octets[some]);
                Ok(count)
            }
            From::File(file) => loop {
                match file.read(buffer) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    read => {
                        return read.map_err(|error| {
                            let what = format!("the attachment {} could not be read to its end ({error})", self.name);
                            Error::caller(Code::ATTACHMENT, what).with_os(&error)
                        });
                    }
                }
            },
            From::Reader(reader) => reader.read(buffer),
        }
    }

    fn changed(&self, length: u64) -> Box<Error> {
        let (what, more) = (&self.name, self.given > length);
        let said = if more { "more" } else { "fewer" };
        let what = match self.from {
            From::Reader(_) => {
                format!("the reader of an attachment gave {said} than the {length} octets that were told")
            }
            _ => format!("the attachment {what} has {said} than the {length} octets that it had when it was attached"),
        };
        Error::caller(Code::ATTACHMENT, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(data: &Data) -> Result<Vec<u8>> {
        let (mut opened, mut all, mut buffer) = (data.open()?, Vec::new(), [0_u8; 7]);
        loop {
            let count = opened.fill(&mut buffer)?;
            all.extend_from_slice(&buffer[..count]);
            if count < buffer.len() {
                return Ok(all);
            }
        }
    }

    fn counting(total: usize) -> Read {
        let mut left = total;
        Box::new(move |buffer| {
            let count = left.min(buffer.len()).min(3);
            buffer[..count].fill(b'x');
            left -= count;
            Ok(count)
        })
    }

    #[test]
    fn memory_and_readers() {
        assert_eq!(read_all(&Data::memory(*b"0123456789")).expect("fine"), b"0123456789");
        let once = Data::reader(Some(10), counting(10), None);
        assert_eq!(read_all(&once).expect("fine"), b"xxxxxxxxxx");
        assert_eq!(read_all(&once).expect_err("once").code, Code::ATTACHMENT);
        for (said, has) in [(9, 10), (11, 10), (14, 7), (7, 14), (0, 1)] {
            let error = read_all(&Data::reader(Some(said), counting(has), None)).expect_err("another length");
            assert_eq!(error.code, Code::ATTACHMENT, "{said} {has}");
        }
        assert_eq!(read_all(&Data::reader(None, counting(5), None)).expect("fine").len(), 5);
    }

    #[test]
    fn a_reader_that_lies_about_its_buffer_is_refused() {
        let liar: Read = Box::new(|buffer| Ok(buffer.len() + 1));
        assert_eq!(read_all(&Data::reader(None, liar, None)).expect_err("lies").code, Code::READER);
    }

    #[test]
    fn files_that_change() {
        let path = std::env::temp_dir().join(format!("smtpclient-data-{}", std::process::id()));
        let name = path.to_str().expect("UTF-8");
        std::fs::write(&path, "0123456789").expect("written");
        let data = Data::file(name).expect("there");
        assert_eq!(read_all(&data).expect("fine"), b"0123456789");
        for changed in ["012345678", "0123456789a", ""] {
            std::fs::write(&path, changed).expect("written");
            assert_eq!(read_all(&data).expect_err("changed").code, Code::ATTACHMENT);
        }
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(read_all(&data).expect_err("gone").code, Code::ATTACHMENT);
        assert_eq!(Data::file(name).expect_err("gone").code, Code::ATTACHMENT);
        assert_eq!(Data::file("/").expect_err("a folder").code, Code::ATTACHMENT);
    }
}
