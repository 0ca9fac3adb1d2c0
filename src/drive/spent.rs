//! What the time of a call was spent on.

use crate::error::Phase;

/// Milliseconds by phase.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    phases: [u64; Phase::ALL.len()],
    /// Kept apart, so that nothing is added up where everything is 0: most
    /// messages take less than a millisecond.
    total: u64,
}

impl Spent {
    /// Adds time to a phase.
    pub fn add(&mut self, phase: Phase, millis: u64) {
        if millis != 0 {
            let sum = &mut self.phases[phase as usize];
            *sum = sum.wrapping_add(millis);
            self.total = self.total.wrapping_add(millis);
        }
    }

    /// Adds what another call has spent.
    pub fn add_all(&mut self, other: &Self) {
        if other.total != 0 {
            Phase::ALL.iter().for_each(|phase| self.add(*phase, other.phases[*phase as usize]));
        }
    }

    /// Forgets what was spent on some phases.
    pub fn forget(&mut self, phases: &[Phase]) {
        if self.total != 0 {
            for phase in phases {
                let millis = std::mem::take(&mut self.phases[*phase as usize]);
                self.total = self.total.wrapping_sub(millis);
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        if self.total != 0 {
            *self = Self::default();
        }
    }

    /// The milliseconds of some phases together.
    #[must_use]
    pub fn on(&self, phases: &[Phase]) -> u64 {
        phases.iter().map(|phase| self.phases[*phase as usize]).fold(0, u64::wrapping_add)
    }

    /// The milliseconds of all phases together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_that_of_all_phases() {
        let mut spent = Spent::default();
        spent.add(Phase::Mail, 3);
        spent.add(Phase::End, 4);
        let mut sum = spent;
        sum.add_all(&spent);
        assert_eq!((sum.total(), sum.on(&[Phase::Mail]), sum.on(&Phase::ALL)), (14, 6, 14));
        sum.forget(&[Phase::Mail]);
        assert_eq!((sum.total(), sum.on(&Phase::ALL)), (8, 8));
        sum.clear();
        assert_eq!((sum.total(), sum.on(&Phase::ALL)), (0, 0));
    }
}
