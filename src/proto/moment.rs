//! Time as the pure layers see it: milliseconds since a start that the driver chose.

use std::ops::{Add, Sub};

/// A point in time, in milliseconds since the driver's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// This moment plus a number of milliseconds; 0 means "no limit" and gives `None`.
    #[must_use]
    pub fn limit(self, millis: u32) -> Option<Self> {
        (millis != 0).then(|| self + u64::from(millis))
    }

    /// The earlier of two limits, where `None` is no limit.
    #[must_use]
    pub fn earlier(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

impl Add<u64> for Moment {
    type Output = Self;

    fn add(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

impl Sub for Moment {
    type Output = u64;

    /// Milliseconds from `earlier` to this moment; 0 if it is later.
    fn sub(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
