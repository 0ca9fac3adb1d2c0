//! The content that a call gives, for as long as the call runs.

use crate::drive::{Kept, Memory, NoContent, Source};

/// Where a call's content comes from.
pub(super) enum Feed<'a> {
    Nothing(NoContent),
    /// The caller's memory.
    Memory(Memory<'a>),
    /// A copy of it, for a call that goes on when the caller's memory may be gone.
    Kept(Kept),
    Other(Box<dyn Source + Send>),
}

impl Feed<'_> {
    pub(super) fn nothing() -> Self {
        Self::Nothing(NoContent)
    }

    pub(super) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Nothing(source) => source,
            Self::Memory(source) => source,
            Self::Kept(source) => source,
            Self::Other(source) => &mut **source,
        }
    }

    /// The same without the caller's memory; what is copied goes to `spare`.
    pub(super) fn keep(self, spare: Vec<u8>) -> Feed<'static> {
        match self {
            Self::Nothing(source) => Feed::Nothing(source),
            Self::Memory(source) => Feed::Kept(source.keep(spare)),
            Self::Kept(source) => Feed::Kept(source),
            Self::Other(source) => Feed::Other(source),
        }
    }

    /// The memory of a copy, to be used again.
    pub(super) fn into_spare(self) -> Option<Vec<u8>> {
        match self {
            Self::Kept(source) => Some(source.into_octets()),
            _ => None,
        }
    }
}
