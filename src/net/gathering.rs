//! One descriptor that stands for several, for event loops that wait on one: ready
//! when any of them is.

use super::sys::{self, RawSocket, Watch};
use std::io;

/// Several things to wait for, behind one descriptor.
#[derive(Debug)]
pub struct Gathering {
    watches: Vec<Watch>,
    set: sys::Set,
}

impl Gathering {
    /// Gathers these.
    ///
    /// # Errors
    ///
    /// If the process has no descriptors left, or the system has nothing of the kind.
    pub fn new(watches: Vec<Watch>) -> io::Result<Self> {
        let set = sys::Set::new(&watches)?;
        Ok(Self { watches, set })
    }

    /// Whether it stands for these.
    #[must_use]
    pub fn is_of(&self, watches: &[Watch]) -> bool {
        self.watches == watches
    }

    /// What to wait for.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch { socket: self.raw(), read: true, write: false }
    }

    fn raw(&self) -> RawSocket {
        self.set.raw()
    }
}

#[cfg(test)]
mod tests {
    use super::super::waker::Waker;
    use super::*;

    #[test]
    fn any_of_them_makes_it_ready() {
        let wakers = [Waker::new().expect("descriptors"), Waker::new().expect("descriptors")];
        let watches: Vec<Watch> = wakers.iter().map(Waker::watch).collect();
        let gathering = Gathering::new(watches.clone()).expect("descriptors");
        assert!(gathering.is_of(&watches) && !gathering.is_of(&watches[1..]));
        assert!(!sys::is_ready(gathering.watch()).expect("poll"));
        wakers[1].wake();
        assert!(sys::is_ready(gathering.watch()).expect("poll"));
    }
}
