//! The parts of a message as a program reads them.

use super::charset::to_text;
use super::data::Data;
use super::transfer_encoding::{Encoding, decode};
use crate::drive::Source as _;
use crate::error::{Code, Error, Result};
use std::io::Write as _;

/// One part: a text, an attachment, or what holds others.
#[derive(Clone, Debug)]
pub struct Part {
    /// The part that it is in; `None` for the outermost.
    pub parent: Option<usize>,
    /// How many parts it is in.
    pub depth: usize,
    /// Its type in lower case, without parameters.
    pub media_type: String,
    /// Its file name.
    pub name: Option<String>,
    /// `attachment` or `inline`, if it says so.
    pub disposition: Option<String>,
    /// By which others refer to it, without brackets.
    pub content_id: Option<String>,
    /// The character set that it says it has.
    pub charset: Option<String>,
    /// How it is, or will be, encoded.
    pub encoding: Encoding,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Other parts.
    Parts,
    /// Encoded octets, as they were loaded.
    Loaded(Data),
    /// What is to be encoded.
    Plain(Data),
    /// A message that is rendered when it is asked for.
    Message(Box<super::message::Message>),
}

/// What is read at a time.
const PIECE: usize = 64 * 1024;

impl Part {
    /// Whether it is more than a holder of other parts.
    #[must_use]
    pub fn has_content(&self) -> bool {
        !matches!(self.content, Content::Parts)
    }

    /// Gives the decoded content piece by piece.
    ///
    /// # Errors
    ///
    /// `NO_CONTENT` if it only holds others; what the content's source says, or `give`.
    pub fn read(&self, give: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match &self.content {
            Content::Parts => {
                let what = format!("a part of the type {} has no content but other parts", self.media_type);
                Err(Error::caller(Code::NO_CONTENT, what))
            }
            Content::Loaded(data) => {
                decode(self.encoding, data.in_memory().unwrap_or_default()).chunks(PIECE).try_for_each(give)
            }
            Content::Plain(data) => {
                let mut opened = data.open()?;
                let mut buffer = vec![0; PIECE];
                loop {
                    let count = opened.fill(&mut buffer)?;
                    if count > 0 {
                        give(&buffer[..count])?;
                    }
                    if count < buffer.len() {
                        return Ok(());
                    }
                }
            }
            Content::Message(message) => {
                let mut rendering = message.clone().render(super::render::RenderOptions::default())?;
                loop {
                    let piece = rendering.next()?;
                    if piece.is_empty() {
                        return Ok(());
                    }
                    give(piece)?;
                }
            }
        }
    }

    /// The decoded content.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn octets(&self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        self.read(&mut |piece| {
            all.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(all)
    }

    /// The decoded content as text, from its character set.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn text(&self) -> Result<String> {
        Ok(to_text(self.charset.as_deref().unwrap_or_default(), &self.octets()?))
    }

    /// Writes the decoded content to a file, which is made or emptied.
    ///
    /// # Errors
    ///
    /// `WRITER` if the file cannot be written; as [`Self::read`].
    pub fn save(&self, path: &str) -> Result<()> {
        if let Content::Parts = self.content {
            return self.read(&mut |_| Ok(()));
        }
        write_file(path, |give| self.read(give))
    }
}

/// Makes a file of what `fill` gives.
pub(super) fn write_file(
    path: &str,
    fill: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
) -> Result<()> {
    let failed = |error: std::io::Error| {
        let what = format!("the file {path} cannot be written ({error})");
        Error::caller(Code::WRITER, what)
            .with_os(&error)
            .with_remedy("Check the path, the permissions and the room on the disk.")
    };
    let mut file = std::fs::File::create(path).map_err(failed)?;
    fill(&mut |piece| file.write_all(piece).map_err(failed))
}
