//! What became of a message: it is part of an error's record, and therefore
//! belongs to the layer below.

pub use crate::error::Outcome;
