//! What one thread ends the waiting of another by.

use super::sys::{Bell, Watch};
use std::io;

/// Becomes readable once it is woken, and stays so.
#[derive(Debug)]
pub struct Waker(Bell);

impl Waker {
    /// A waker that nobody has woken yet.
    ///
    /// # Errors
    ///
    /// If the process has no descriptors left.
    pub fn new() -> io::Result<Self> {
        Bell::new().map(Self)
    }

    /// Ends the waiting; harmless when repeated.
    pub fn wake(&self) {
        self.0.ring();
    }

    /// What to wait for.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch { socket: self.0.raw(), read: true, write: false }
    }
}
