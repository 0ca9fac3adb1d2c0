//! A socket pair by which one thread ends the waiting of another.

use super::sys::{self, Watch};
use socket2::{Domain, Socket, Type};
use std::io;
use std::os::fd::AsRawFd;

/// Becomes readable once it is woken, and stays so.
#[derive(Debug)]
pub struct Waker {
    waiting: Socket,
    waking: Socket,
}

impl Waker {
    /// A waker that nobody has woken yet.
    ///
    /// # Errors
    ///
    /// If the process has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let (waiting, waking) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
        Ok(Self { waiting, waking })
    }

    /// Ends the waiting; harmless when repeated.
    pub fn wake(&self) {
        // Only fails when the buffer is full of earlier wake-ups.
        let _ = self.waking.send_with_flags(b"!", sys::send_flags());
    }

    /// What to wait for.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch { socket: self.waiting.as_raw_fd(), read: true, write: false }
    }
}
