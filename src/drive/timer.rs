//! The time of a connection: read no more often than needed, and the end of the
//! present call.

use super::spent::Spent;
use crate::error::{Code, Error, Phase};
use crate::net::clock::Clock;
use crate::proto::Moment;

/// A clock with its last reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer {
    clock: Clock,
    /// The last reading: when the last wait ended.
    pub(super) now: Moment,
    /// What the time until the next reading is spent on.
    pub(super) phase: Phase,
    /// What the present call has spent its time on.
    pub(super) spent: Spent,
    /// When the present call has had its time, and how many milliseconds that was.
    limit: Option<(Moment, u32)>,
}

impl Timer {
    pub(super) fn start() -> Self {
        let clock = Clock::start();
        Self { clock, now: clock.now(), phase: Phase::Idle, spent: Spent::default(), limit: None }
    }

    /// Reads the clock.
    pub(super) fn read(&mut self) {
        let before = self.now;
        self.now = self.clock.now();
        self.spent.add(self.phase, self.now - before);
    }

    /// Reads the clock for a call that begins now.
    pub(super) fn begin(&mut self) {
        self.now = self.clock.now();
        self.phase = Phase::Idle;
        self.spent.clear();
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Bounds what begins now; 0 is no limit.
    pub(super) fn set_limit(&mut self, millis: u32) {
        self.limit = self.now.limit(millis).map(|end| (end, millis));
    }

    /// When the present call has had its time.
    pub(super) fn end(&self) -> Option<Moment> {
        self.limit.map(|(end, _)| end)
    }

    /// The milliseconds from now to a deadline.
    pub(super) fn left(&self, deadline: Option<Moment>) -> Option<u32> {
        deadline.map(|deadline| u32::try_from(deadline - self.now).unwrap_or(u32::MAX))
    }

    /// The error if the present call has had its time.
    pub(super) fn over_limit(&self, phase: Phase) -> Option<Box<Error>> {
        let (_, millis) = self.limit.filter(|(end, _)| self.now >= *end)?;
        let what = format!("the call's limit of {millis} ms ran out while {}", phase.doing());
        Some(Error::new(Code::TIMEOUT, phase, what))
    }
}
