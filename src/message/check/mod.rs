//! Finds what is wrong with a message before it costs a connection: its octets come
//! in any pieces, and no more of them is kept than the field or line at hand.
//!
//! - `checker`: lines, and whose they are: a header, a part, what is between parts.
//! - `fields`: the fields of the message's own header.
//! - `addresses`: address lists, and look-alikes with the scripts of `scripts`.
//! - `part`: what a part's header says of its content, and whether that is so.

mod addresses;
mod checker;
mod date;
mod fields;
mod finding;
mod injection;
mod part;
mod scripts;

pub use checker::Checker;
pub use finding::{CHECKS, Check, Finding, MOST_FINDINGS, Report, Severity};

use crate::drive::{File, Source as _};
use crate::error::Result;

/// Looks at a message in memory; a limit of 0 is none.
#[must_use]
pub fn check_octets(message: &[u8], limit: u64) -> Report {
    let mut checker = Checker::new(limit);
    checker.push(message);
    checker.finish()
}

impl crate::message::Rendering {
    /// Looks at a rendered message, and begins it anew.
    ///
    /// # Errors
    ///
    /// `READ_ONCE` if it cannot be read again, before it is read; if the content of a part cannot
    /// be read.
    pub fn check(&mut self, limit: u64) -> Result<Report> {
        self.readable_twice("checked")?;
        let mut checker = Checker::new(limit);
        loop {
            let piece = self.next()?;
            if piece.is_empty() {
                self.rewind()?;
                return Ok(checker.finish());
            }
            checker.push(piece);
        }
    }
}

/// Looks at a message in a file.
///
/// # Errors
///
/// `FILE` if it cannot be read.
pub fn check_file(path: &str, limit: u64) -> Result<Report> {
    let mut file = File::open(path)?;
    let mut checker = Checker::new(limit);
    loop {
        let piece = file.next()?;
        if piece.is_empty() {
            return Ok(checker.finish());
        }
        checker.push(piece);
    }
}
