//! Which reply answers which command: commands are entered in the order they
//! are queued, and each reply strikes out the oldest (RFC 2920 section 3.1).

use crate::error::Phase;
use std::collections::VecDeque;

/// A command whose reply is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    /// No command: the server speaks first.
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Auth,
    /// The `*` that ends an exchange.
    AuthCancel,
    Mail,
    Rcpt(u32),
    Data,
    /// A chunk that is not the last one.
    Chunk,
    /// The end of the content.
    End,
    /// The end of the content, of which LMTP tells for each recipient.
    EndFor(u32),
    /// The `.` that ends a DATA which ought not to have been accepted.
    EmptyEnd,
    Reset,
    Quit,
    /// Any other command.
    Other,
}

impl Pending {
    pub(super) fn phase(self) -> Phase {
        match self {
            Self::Greeting => Phase::Greeting,
            Self::Ehlo | Self::Helo => Phase::Ehlo,
            Self::StartTls => Phase::StartTls,
            Self::Auth | Self::AuthCancel => Phase::Auth,
            Self::Mail => Phase::Mail,
            Self::Rcpt(_) => Phase::Rcpt,
            Self::Data => Phase::Data,
            Self::Chunk => Phase::Content,
            Self::End | Self::EndFor(_) | Self::EmptyEnd => Phase::End,
            Self::Reset => Phase::Reset,
            Self::Quit => Phase::Quit,
            Self::Other => Phase::Command,
        }
    }
}

/// The commands whose replies are awaited, oldest first, each with where it ends
/// among all octets of the session: it cannot be answered before those have left.
#[derive(Debug, Default)]
pub(super) struct Ledger(VecDeque<(Pending, u64)>);

impl Ledger {
    pub(super) fn enter(&mut self, pending: Pending, end: u64) {
        self.0.push_back((pending, end));
    }

    pub(super) fn strike(&mut self) -> Option<Pending> {
        self.0.pop_front().map(|(pending, _)| pending)
    }

    /// Strikes out the oldest if it is a recipient's and may be answered; gives whose.
    pub(super) fn strike_recipient(&mut self, written: u64) -> Option<u32> {
        let (Pending::Rcpt(index), end) = *self.0.front()? else { return None };
        if end > written {
            return None;
        }
        self.0.pop_front();
        Some(index)
    }

    pub(super) fn oldest(&self) -> Option<Pending> {
        self.0.front().map(|(pending, _)| *pending)
    }

    /// Whether a reply may have come for the oldest, when so many octets have left.
    pub(super) fn may_be_answered(&self, written: u64) -> bool {
        self.0.front().is_none_or(|(_, end)| *end <= written)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
