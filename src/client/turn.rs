//! Whose turn it is: calls on one client queue up in the order they came, and a
//! call from within a callback of the same client is recognised.

use crate::error::{Code, Error, Result};
use parking_lot::{Condvar, Mutex};

/// A queue of calls.
#[derive(Debug, Default)]
pub(super) struct Turn {
    state: Mutex<State>,
    moved_on: Condvar,
}

#[derive(Debug, Default)]
struct State {
    next_ticket: u64,
    serving: u64,
    /// The mark of the thread whose turn it is; 0 if it is nobody's.
    owner: usize,
}

/// Held as long as it is the holder's turn.
#[derive(Debug)]
pub(super) struct Held<'a>(&'a Turn);

impl Turn {
    /// Waits for the caller's turn.
    ///
    /// # Errors
    ///
    /// `REENTRANT` if it is this thread's turn already: it would wait for itself.
    pub(super) fn wait(&self) -> Result<Held<'_>> {
        let me = thread_mark();
        let mut state = self.state.lock();
        if state.owner == me {
            return Err(reentrant());
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        while state.serving != ticket {
            self.moved_on.wait(&mut state);
        }
        state.owner = me;
        Ok(Held(self))
    }
}

impl Turn {
    /// Whether it is this thread's turn already.
    ///
    /// # Errors
    ///
    /// `REENTRANT` if it is.
    pub(super) fn check(&self) -> Result<()> {
        if self.state.lock().owner == thread_mark() { Err(reentrant()) } else { Ok(()) }
    }
}

fn reentrant() -> Box<Error> {
    Error::caller(Code::REENTRANT, "the client was called from within its own callback")
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.owner = 0;
        state.serving += 1;
        if state.serving != state.next_ticket {
            self.0.moved_on.notify_all();
        }
    }
}

/// A number that no other living thread has, and that costs no call to get.
fn thread_mark() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn one_at_a_time_in_order_and_never_twice() {
        let turn = Arc::new(Turn::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let held = turn.wait().expect("nobody else");
        assert_eq!(turn.wait().expect_err("this thread has it").code, Code::REENTRANT);
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let (waiting, order) = (Arc::clone(&turn), Arc::clone(&order));
                let thread = std::thread::spawn(move || {
                    let _held = waiting.wait().expect("its turn comes");
                    order.lock().push(number);
                });
                while turn.state.lock().next_ticket != number + 2 {
                    std::thread::yield_now();
                }
                thread
            })
            .collect();
        assert!(order.lock().is_empty());
        drop(held);
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert_eq!(*order.lock(), [0, 1, 2, 3]);
    }
}
