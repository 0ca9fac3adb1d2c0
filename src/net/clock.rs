//! Time, as the drivers need it.

use crate::proto::Moment;
use std::time::{Instant, SystemTime};

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
}

/// The milliseconds since the beginning of 1970, in UTC, by the system's clock.
#[must_use]
pub fn wall_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
