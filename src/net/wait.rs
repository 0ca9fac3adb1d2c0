//! Time and waiting, as the drivers need them.

use crate::proto::Moment;
use std::time::Instant;

/// Measures time from a start of its own.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that reads 0 now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    #[must_use]
    pub fn now(self) -> Moment {
        Moment(u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The milliseconds from now to a deadline; `None` if there is no deadline.
    #[must_use]
    pub fn left(self, deadline: Option<Moment>) -> Option<u32> {
        deadline.map(|deadline| u32::try_from(deadline - self.now()).unwrap_or(u32::MAX))
    }
}
