//! What other threads may see of a call while it runs: single numbers, each
//! written and read as a whole, with no lock and in no order among them.

use crate::drive::Activity;
use crate::error::Phase;
use crate::proto::Moment;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// What a client is doing, with the original's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not connected.
    Unused = 0,
    /// Connected, and no call runs.
    Idle = 1,
    /// A connection is being made.
    Connect = 2,
    /// A call waits for the server.
    Read = 3,
    /// A call sends.
    Write = 4,
    /// The client says good-bye.
    Disconnect = 5,
}

/// Every state: value, name behind `SMTP_STATUS_`, what it means.
pub const STATES: &[(State, &str, &str)] = &[
    (State::Unused, "UNUSED", "Not connected."),
    (State::Idle, "IDLE", "Connected, and no call runs."),
    (State::Connect, "CONNECT", "The name is looked up, or the TCP connection made."),
    (State::Read, "READ", "A call waits for the server."),
    (State::Write, "WRITE", "A call sends."),
    (State::Disconnect, "DISCONNECT", "The client says good-bye."),
];

/// How far the content of a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Whether it is on its way just now.
    pub active: bool,
    /// Its length in octets; 0 if it is not known.
    pub total: u64,
    /// The octets taken from its source.
    pub copied: u64,
    /// The milliseconds since the first was taken, or that it took.
    pub elapsed: u64,
}

impl Transfer {
    /// The octets in a second; a time below a millisecond counts as one.
    #[must_use]
    pub fn rate(&self) -> u64 {
        self.copied.saturating_mul(1000) / self.elapsed.max(1)
    }

    /// The milliseconds it is likely to take yet; 0 if that cannot be told.
    #[must_use]
    pub fn estimated(&self) -> u64 {
        let left = self.total.saturating_sub(self.copied);
        left.saturating_mul(self.elapsed).checked_div(self.copied).unwrap_or(0)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Live {
    running: AtomicBool,
    phase: AtomicU32,
    state: AtomicU32,
    transferring: AtomicBool,
    begun: AtomicU64,
    total: AtomicU64,
    copied: AtomicU64,
}

impl Live {
    pub(super) fn begin_call(&self) {
        self.phase.store(Phase::Argument as u32, Relaxed);
        self.state.store(State::Unused as u32, Relaxed);
        self.running.store(true, Relaxed);
    }

    pub(super) fn end_call(&self) {
        self.running.store(false, Relaxed);
        self.transferring.store(false, Relaxed);
    }

    pub(super) fn doing(&self, phase: Phase, activity: Activity) {
        let state = match (phase, activity) {
            (Phase::Quit, _) => State::Disconnect,
            (_, Activity::Connect) => State::Connect,
            (_, Activity::Read) => State::Read,
            (_, Activity::Write) => State::Write,
        };
        self.phase.store(phase as u32, Relaxed);
        self.state.store(state as u32, Relaxed);
    }

    pub(super) fn begin_message(&self) {
        self.total.store(0, Relaxed);
        self.copied.store(0, Relaxed);
    }

    pub(super) fn progress(&self, octets: u64, total: u64, now: Moment) {
        if octets == 0 {
            self.doing(Phase::Content, Activity::Write);
            self.transferring.store(true, Relaxed);
            self.begun.store(now.0, Relaxed);
            self.total.store(total, Relaxed);
        }
        self.copied.store(octets, Relaxed);
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.load(Relaxed)
    }

    /// What a client is doing that is connected or is not.
    pub(super) fn state(&self, connected: bool) -> u32 {
        let state = self.state.load(Relaxed);
        if self.is_running() && state != State::Unused as u32 {
            return state;
        }
        if connected { State::Idle as u32 } else { State::Unused as u32 }
    }

    pub(super) fn phase(&self, connected: bool) -> u32 {
        if self.is_running() {
            return self.phase.load(Relaxed);
        }
        if connected { Phase::Idle as u32 } else { Phase::Argument as u32 }
    }

    /// The transfer under way, its time by a clock that reads `now`; or the
    /// last one, which took `spent`.
    pub(super) fn transfer(&self, now: Option<Moment>, spent: u64) -> Transfer {
        let active = self.transferring.load(Relaxed);
        let elapsed = match now {
            Some(now) if active => now - Moment(self.begun.load(Relaxed)),
            _ => spent,
        };
        Transfer { active, total: self.total.load(Relaxed), copied: self.copied.load(Relaxed), elapsed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_estimate() {
        let transfer = Transfer { active: true, total: 3000, copied: 1000, elapsed: 500 };
        assert_eq!((transfer.rate(), transfer.estimated()), (2000, 1000));
        assert_eq!(Transfer { elapsed: 0, ..transfer }.rate(), 1_000_000);
        assert_eq!(Transfer { total: 0, ..transfer }.estimated(), 0, "a length that is not known");
        assert_eq!(Transfer::default().estimated(), 0);
    }

    #[test]
    fn a_client_at_rest_is_idle_or_unused() {
        let live = Live::default();
        assert_eq!((live.state(false), live.phase(false)), (0, Phase::Argument as u32));
        live.begin_call();
        assert_eq!((live.state(true), live.phase(true)), (1, Phase::Argument as u32));
        live.doing(Phase::Content, Activity::Write);
        assert_eq!((live.state(true), live.phase(true)), (4, Phase::Content as u32));
        live.progress(0, 10, Moment(5));
        live.progress(7, 10, Moment(6));
        let expected = Transfer { active: true, total: 10, copied: 7, elapsed: 15 };
        assert_eq!(live.transfer(Some(Moment(20)), 0), expected);
        live.end_call();
        assert_eq!((live.state(true), live.phase(true)), (1, Phase::Idle as u32));
        assert_eq!(live.transfer(Some(Moment(99)), 3), Transfer { active: false, elapsed: 3, ..expected });
    }
}
