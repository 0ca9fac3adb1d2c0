//! What the time of a call was spent on.

use crate::error::Phase;

/// Milliseconds by phase.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent([u64; Phase::ALL.len()]);

impl Spent {
    /// Adds time to a phase.
    pub fn add(&mut self, phase: Phase, millis: u64) {
        let sum = &mut self.0[phase as usize];
        *sum = sum.wrapping_add(millis);
    }

    /// Adds what another call has spent.
    pub fn add_all(&mut self, other: &Self) {
        for (sum, millis) in self.0.iter_mut().zip(&other.0) {
            *sum = sum.wrapping_add(*millis);
        }
    }

    /// Forgets what was spent on some phases.
    pub fn forget(&mut self, phases: &[Phase]) {
        for phase in phases {
            self.0[*phase as usize] = 0;
        }
    }

    /// The milliseconds of some phases together.
    #[must_use]
    pub fn on(&self, phases: &[Phase]) -> u64 {
        phases.iter().map(|phase| self.0[*phase as usize]).fold(0, u64::wrapping_add)
    }

    /// The milliseconds of all phases together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.on(&Phase::ALL)
    }
}
