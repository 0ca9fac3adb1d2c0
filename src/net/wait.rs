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
        let elapsed = self.0.elapsed();
        Moment(elapsed.as_secs() * 1000 + u64::from(elapsed.subsec_millis()))
    }

    /// The milliseconds from now to a deadline; `None` if there is no deadline.
    #[must_use]
    pub fn left(self, deadline: Option<Moment>) -> Option<u32> {
        deadline.map(|deadline| u32::try_from(deadline - self.now()).unwrap_or(u32::MAX))
    }
}
