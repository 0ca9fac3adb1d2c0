//! The strict reading of line ends: CRLF and nothing else (RFC 5321 section 2.3.8).

use crate::error::{Code, Error, Result};
use memchr::memchr2;

/// Finds the first bare CR or LF, in any pieces.
#[derive(Clone, Debug)]
pub struct LineEndCheck {
    line: u64,
    after_cr: bool,
}

impl Default for LineEndCheck {
    fn default() -> Self {
        Self { line: 1, after_cr: false }
    }
}

impl LineEndCheck {
    /// Looks at the next piece.
    ///
    /// # Errors
    ///
    /// `LINE_END` with the number of the line, from 1.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<()> {
        while let Some((first, rest)) = piece.split_first() {
            match (self.after_cr, first) {
                (true, b'\n') => {
                    self.line += 1;
                    self.after_cr = false;
                    piece = rest;
                }
                (true, _) => return Err(self.bare("CR")),
                (false, b'\n') => return Err(self.bare("LF")),
                (false, _) => {
                    let found = memchr2(b'\r', b'\n', piece).unwrap_or(piece.len());
                    self.after_cr = piece.get(found) == Some(&b'\r');
                    piece = &piece[(found + usize::from(self.after_cr)).min(piece.len())..];
                }
            }
        }
        Ok(())
    }

    /// Looks at the end.
    ///
    /// # Errors
    ///
    /// As [`Self::push`].
    pub fn finish(&self) -> Result<()> {
        if self.after_cr { Err(self.bare("CR")) } else { Ok(()) }
    }

    fn bare(&self, name: &str) -> Box<Error> {
        Error::caller(Code::LINE_END, format!("line {} of the message has a bare {name}", self.line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(pieces: &[&str]) -> std::result::Result<(), String> {
        let mut check = LineEndCheck::default();
        let pushed = pieces.iter().try_for_each(|piece| check.push(piece.as_bytes()));
        pushed.and_then(|()| check.finish()).map_err(|error| error.what)
    }

    #[test]
    fn only_crlf_will_do_in_any_pieces() {
        assert_eq!(verdict(&["a\r\n\r\nb"]), Ok(()));
        assert_eq!(verdict(&["a\r", "\n", "", "b\r\n"]), Ok(()));
        assert_eq!(verdict(&[]), Ok(()));
        for (pieces, line, name) in [
            (&["a\nb"][..], 1, "LF"),
            (&["a\r\nb\n"][..], 2, "LF"),
            (&["a\r\nb\rc"][..], 2, "CR"),
            (&["a\r\n", "\r", "x"][..], 2, "CR"),
            (&["a\r"][..], 1, "CR"),
            (&["\r\r\n"][..], 1, "CR"),
            (&["\n"][..], 1, "LF"),
        ] {
            assert_eq!(verdict(pieces), Err(format!("line {line} of the message has a bare {name}")), "{pieces:?}");
        }
    }
}
