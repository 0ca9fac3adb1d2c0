//! Waiting for any number of descriptors at once, on one thread.

use super::sys::{RawSocket, Watch};
use polling::{Event, Events, PollMode};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// Descriptors to wait for; stays ready as long as one of them is.
#[derive(Debug)]
pub struct Poller(polling::Poller);

/// What was found ready, to be used again for the next wait.
pub type Ready = Events;

/// A descriptor that is waited for, kept open by `H` as long as this lives.
#[derive(Debug)]
pub struct Registration<H> {
    poller: Arc<Poller>,
    watch: Watch,
    key: usize,
    _held: H,
}

impl Poller {
    /// One that waits for nothing yet.
    ///
    /// # Errors
    ///
    /// If the process has no descriptors left.
    pub fn new() -> io::Result<Self> {
        polling::Poller::new().map(Self)
    }

    /// Waits for one descriptor more, which `held` keeps open.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn register<H>(self: &Arc<Self>, watch: Watch, key: usize, held: H) -> io::Result<Registration<H>> {
        // SAFETY: the registration takes it out again before `held` lets it be closed.
        unsafe { self.0.add_with_mode(watch.socket, event(watch, key), PollMode::Level) }?;
        Ok(Registration { poller: Arc::clone(self), watch, key, _held: held })
    }

    /// Waits until something is ready, somebody wakes, or the time is over; `None` waits
    /// for ever. Gives the keys of what is ready.
    ///
    /// # Errors
    ///
    /// What the system says, an interruption by a signal apart.
    pub fn wait<'a>(
        &self,
        ready: &'a mut Ready,
        millis: Option<u64>,
    ) -> io::Result<impl Iterator<Item = usize> + use<'a>> {
        ready.clear();
        match self.0.wait(ready, millis.map(Duration::from_millis)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(ready.iter().map(|event| event.key)),
        }
    }

    /// Ends the waiting; if nobody waits, the next one ends at once.
    pub fn wake(&self) {
        // Only fails when it is woken already.
        let _ = self.0.notify();
    }
}

impl<H> Registration<H> {
    /// The number of the descriptor.
    #[must_use]
    pub fn socket(&self) -> RawSocket {
        self.watch.socket
    }

    /// Waits for these directions from now on.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set(&mut self, watch: Watch) -> io::Result<()> {
        if watch == self.watch {
            return Ok(());
        }
        // SAFETY: `_held` keeps it open.
        let socket = unsafe { BorrowedFd::borrow_raw(self.watch.socket) };
        self.poller.0.modify_with_mode(socket, event(watch, self.key), PollMode::Level)?;
        self.watch = watch;
        Ok(())
    }
}

impl<H> Drop for Registration<H> {
    fn drop(&mut self) {
        // SAFETY: `_held`, which is dropped after this, keeps it open.
        let socket = unsafe { BorrowedFd::borrow_raw(self.watch.socket) };
        let _ = self.poller.0.delete(socket);
    }
}

fn event(watch: Watch, key: usize) -> Event {
    Event::new(key, watch.read, watch.write)
}

#[cfg(test)]
mod tests {
    use super::super::waker::Waker;
    use super::*;

    fn keys(poller: &Poller, millis: u64) -> Vec<usize> {
        poller.wait(&mut Ready::new(), Some(millis)).expect("polls").collect()
    }

    #[test]
    fn what_is_registered_is_waited_for_until_it_is_dropped() {
        let poller = Arc::new(Poller::new().expect("descriptors"));
        let waker = Arc::new(Waker::new().expect("descriptors"));
        let watch = waker.watch();
        let registration = poller.register(watch, 7, Arc::clone(&waker)).expect("room");
        assert_eq!(registration.socket(), watch.socket);
        assert!(keys(&poller, 0).is_empty());
        waker.wake();
        assert_eq!(keys(&poller, 10_000), [7]);
        assert_eq!(keys(&poller, 10_000), [7], "as long as it is ready");
        drop(registration);
        assert!(keys(&poller, 0).is_empty());
        let mut again = poller.register(Watch { read: false, ..watch }, 8, Arc::clone(&waker)).expect("room");
        assert!(keys(&poller, 0).is_empty(), "nobody asked to read");
        again.set(watch).expect("still open");
        assert_eq!(keys(&poller, 10_000), [8]);
    }

    #[test]
    fn a_wake_up_ends_one_wait() {
        let poller = Poller::new().expect("descriptors");
        poller.wake();
        assert!(keys(&poller, 100_000).is_empty());
    }
}
