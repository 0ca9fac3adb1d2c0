//! Ends a running operation from another thread, in any phase.
//!
//! While names are looked up, and several connections are tried, the operation waits on a
//! [`Waker`] too; afterwards it waits in the socket itself, and shutting the socket
//! down ends that, with no descriptor spent on it and no call made to ask. The same
//! goes for a single connection being made, where the system knows it so.

use super::waker::Waker;
use parking_lot::Mutex;
use socket2::Socket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// No operation is running.
const IDLE: u8 = 0;
/// One is running.
const RUNNING: u8 = 1;
/// One is running and was cancelled.
const CANCELLED: u8 = 2;

/// Shared by a client, the operation that runs on it, and whoever may cancel.
///
/// A cancel interrupts with `target` locked, so that it is over before the
/// operation lets go of what it waits on, and never meets the next one's.
#[derive(Debug, Default)]
pub struct Canceller {
    state: AtomicU8,
    target: Mutex<Option<Target>>,
}

/// What an operation waits on.
#[derive(Clone, Debug)]
pub enum Target {
    /// See [`Waker`].
    Waker(Arc<Waker>),
    /// A connection, or the only one that is being made; after its shutdown it is of no more use.
    Socket(Arc<Socket>),
}

impl Target {
    fn interrupt(&self) {
        match self {
            Self::Waker(waker) => waker.wake(),
            Self::Socket(socket) => {
                // It may have been shut by the other side already.
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
        }
    }
}

impl Canceller {
    /// Marks the beginning of an operation; what was cancelled before is forgotten.
    pub fn begin(&self) {
        self.state.store(RUNNING, Ordering::SeqCst);
    }

    /// Marks the end of an operation, which nobody can cancel any more; true if
    /// somebody did before.
    pub fn end(&self) -> bool {
        self.state.swap(IDLE, Ordering::SeqCst) == CANCELLED
    }

    /// Says what the operation waits on from now on.
    pub fn set_target(&self, target: Option<Target>) {
        let mut present = self.target.lock();
        if self.is_cancelled()
            && let Some(target) = &target
        {
            target.interrupt();
        }
        *present = target;
    }

    /// Cancels the running operation; without one, does nothing. Never waits.
    pub fn cancel(&self) {
        let target = self.target.lock();
        let running = self.state.compare_exchange(RUNNING, CANCELLED, Ordering::SeqCst, Ordering::SeqCst);
        if let (Ok(_), Some(target)) = (running, &*target) {
            target.interrupt();
        }
    }

    /// Whether the running operation was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.state.load(Ordering::SeqCst) == CANCELLED
    }
}
