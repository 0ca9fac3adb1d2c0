//! What went wrong: the table of codes and the record of one failure.
//!
//! Lies below every other layer and names none of them. Errors come in three
//! families that are never mixed (see [`Class`]): the caller misused the
//! library, the server refused or broke the protocol, the wire failed.

#![forbid(unsafe_code)]

mod code;
mod outcome;
mod record;

pub use code::{Class, Code, Entry, TABLE};
pub use outcome::Outcome;
pub(crate) use record::quoted as json_quoted;
pub use record::{Error, Phase, ServerReply};

/// The result of anything that can fail here. The record is boxed: it is large and rare.
pub type Result<T> = std::result::Result<T, Box<Error>>;
