//! When what is due: the earliest first, with no more than one place each that counts.

use crate::proto::Moment;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Moments with the keys of what is due then. A key that is put off stays where it is
/// and is looked at early once, which costs less than moving it with every step.
#[derive(Debug, Default)]
pub(in crate::client) struct Alarms {
    heap: BinaryHeap<Reverse<(Moment, usize)>>,
    /// For each key when it is due, and the earliest place that it has in the heap.
    due: Vec<(Option<Moment>, Option<Moment>)>,
}

impl Alarms {
    /// Sets when a key is due, in place of what was set before.
    pub(in crate::client) fn set(&mut self, key: usize, due: Option<Moment>) {
        if self.due.len() <= key {
            self.due.resize(key + 1, (None, None));
        }
        let entry = &mut self.due[key];
        entry.0 = due;
        if let Some(due) = due
            && entry.1.is_none_or(|placed| due < placed)
        {
            entry.1 = Some(due);
            self.heap.push(Reverse((due, key)));
        }
    }

    /// When to look next.
    pub(in crate::client) fn next(&self) -> Option<Moment> {
        self.heap.peek().map(|Reverse((moment, _))| *moment)
    }

    /// A key that is due, which it then no longer is.
    pub(in crate::client) fn pop(&mut self, now: Moment) -> Option<usize> {
        while let Some(Reverse((moment, key))) = self.heap.peek().copied() {
            if moment > now {
                return None;
            }
            self.heap.pop();
            let entry = &mut self.due[key];
            if entry.1 != Some(moment) {
                // An earlier place has been there since.
                continue;
            }
            entry.1 = None;
            match entry.0 {
                Some(due) if due <= now => {
                    entry.0 = None;
                    return Some(key);
                }
                due => self.set(key, due),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn earliest_first_and_the_last_word_counts() {
        let mut alarms = Alarms::default();
        alarms.set(3, Some(Moment(30)));
        alarms.set(1, Some(Moment(10)));
        alarms.set(2, Some(Moment(20)));
        alarms.set(1, Some(Moment(25)));
        alarms.set(2, None);
        assert_eq!(alarms.next(), Some(Moment(10)));
        assert_eq!(alarms.pop(Moment(24)), None);
        assert_eq!(alarms.next(), Some(Moment(25)));
        assert_eq!(alarms.pop(Moment(100)), Some(1));
        assert_eq!(alarms.pop(Moment(100)), Some(3));
        assert_eq!((alarms.pop(Moment(100)), alarms.next()), (None, None));
    }

    proptest! {
        #[test]
        fn each_key_is_told_when_it_is_due_and_once(
            sets in proptest::collection::vec((0_usize..8, proptest::option::of(0_u64..50), 0_u64..3), 1..200)
        ) {
            let mut alarms = Alarms::default();
            let mut model = [None; 8];
            let mut now = 0;
            for (key, after, pass) in sets {
                let due = after.map(|after| Moment(now + after));
                alarms.set(key, due);
                model[key] = due;
                now += pass;
                while let Some(key) = alarms.pop(Moment(now)) {
                    prop_assert!(model[key].is_some_and(|due| due <= Moment(now)));
                    model[key] = None;
                }
                prop_assert!(model.iter().flatten().all(|due| *due > Moment(now)));
                let first = model.iter().flatten().min();
                prop_assert!(first.is_none() || alarms.next().is_some_and(|next| next <= *first.expect("some")));
            }
            prop_assert!(alarms.heap.len() <= 8 * 51, "no more places than moments");
        }
    }
}
