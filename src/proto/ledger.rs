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
    /// The end of the content.
    End,
    /// The `.` that ends a DATA which ought not to have been accepted.
    EmptyEnd,
    Reset,
    Quit,
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
            Self::End | Self::EmptyEnd => Phase::End,
            Self::Reset => Phase::Reset,
            Self::Quit => Phase::Quit,
        }
    }
}

/// The commands whose replies are awaited, oldest first.
#[derive(Debug, Default)]
pub(super) struct Ledger(VecDeque<Pending>);

impl Ledger {
    pub(super) fn enter(&mut self, pending: Pending) {
        self.0.push_back(pending);
    }

    pub(super) fn strike(&mut self) -> Option<Pending> {
        self.0.pop_front()
    }

    pub(super) fn oldest(&self) -> Option<Pending> {
        self.0.front().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
