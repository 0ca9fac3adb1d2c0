//! Ends a running operation from another thread, in any phase.
//!
//! While names are looked up and connections are made, the operation waits on a
//! [`Waker`]; afterwards it waits in the socket itself, and shutting the socket
//! down ends that, with no descriptor spent on it and no call made to ask.

use super::waker::Waker;
use parking_lot::Mutex;
use socket2::Socket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by a client, the operation that runs on it, and whoever may cancel.
#[derive(Debug, Default)]
pub struct Canceller {
    cancelled: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    target: Option<Target>,
}

/// What an operation waits on.
#[derive(Clone, Debug)]
pub enum Target {
    /// See [`Waker`].
    Waker(Arc<Waker>),
    /// An established connection; after its shutdown it is of no more use.
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
        let mut state = self.state.lock();
        state.running = true;
        self.cancelled.store(false, Ordering::Relaxed);
    }

    /// Marks the end of an operation.
    pub fn end(&self) {
        self.state.lock().running = false;
    }

    /// Says what the operation waits on from now on.
    pub fn set_target(&self, target: Option<Target>) {
        let mut state = self.state.lock();
        if self.is_cancelled()
            && let Some(target) = &target
        {
            target.interrupt();
        }
        state.target = target;
    }

    /// Cancels the running operation; without one, does nothing. Never waits.
    pub fn cancel(&self) {
        let state = self.state.lock();
        if !state.running {
            return;
        }
        self.cancelled.store(true, Ordering::Relaxed);
        if let Some(target) = &state.target {
            target.interrupt();
        }
    }

    /// Whether the running operation was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}
