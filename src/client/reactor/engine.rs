//! Many clients on one thread: who is ready, who is due, and going on with them.

use super::alarms::Alarms;
use crate::client::core::{Client, Progress};
use crate::drive::Held;
use crate::error::{Code, Error, Phase, Result};
use crate::net::clock::Clock;
use crate::net::poller::{Poller, Ready, Registration};
use crate::net::wire_error;
use crate::proto::Moment;
use std::sync::Arc;

/// Runs its argument, and tells whether that ended without a panic; keeps what a panic
/// says from the program's output.
pub type Guard = fn(&mut dyn FnMut()) -> bool;

/// See the module.
pub(in crate::client) struct Engine {
    poller: Arc<Poller>,
    clock: Clock,
    now: Moment,
    guard: Guard,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    alarms: Alarms,
    ready: Ready,
    due: Vec<usize>,
}

struct Slot {
    client: Arc<Client>,
    /// An operation was begun and is not over.
    busy: bool,
    registration: Option<Registration<Held>>,
}

impl Engine {
    pub(in crate::client) fn new(guard: Guard) -> Result<Self> {
        let poller = Poller::new().map_err(|error| wire_error(&error, Phase::Argument))?;
        let clock = Clock::start();
        Ok(Self {
            poller: Arc::new(poller),
            clock,
            now: clock.now(),
            guard,
            slots: Vec::new(),
            free: Vec::new(),
            alarms: Alarms::default(),
            ready: Ready::new(),
            due: Vec::new(),
        })
    }

    /// What ends the waiting.
    pub(in crate::client) fn poller(&self) -> Arc<Poller> {
        Arc::clone(&self.poller)
    }

    /// When the last wait ended.
    pub(in crate::client) fn now(&self) -> Moment {
        self.now
    }

    /// Takes a client in, and gives the key by which it is known.
    pub(in crate::client) fn insert(&mut self, client: Arc<Client>) -> usize {
        let slot = Some(Slot { client, busy: false, registration: None });
        match self.free.pop() {
            Some(key) => {
                self.slots[key] = slot;
                key
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        }
    }

    /// Lets a client go.
    pub(in crate::client) fn remove(&mut self, key: usize) -> Option<Arc<Client>> {
        let slot = self.slots.get_mut(key)?.take()?;
        self.free.push(key);
        self.alarms.set(key, None);
        Some(slot.client)
    }

    /// The client of a key.
    pub(in crate::client) fn client(&self, key: usize) -> Option<&Arc<Client>> {
        self.slots.get(key)?.as_ref().map(|slot| &slot.client)
    }

    /// An operation was begun, and has to wait.
    pub(in crate::client) fn begin(&mut self, key: usize) {
        if let Some(Some(slot)) = self.slots.get_mut(key) {
            slot.busy = true;
            self.follow(key);
        }
    }

    pub(in crate::client) fn is_busy(&self, key: usize) -> bool {
        matches!(self.slots.get(key), Some(Some(slot)) if slot.busy)
    }

    /// Waits until somebody is ready or due, but not beyond a moment.
    pub(in crate::client) fn wait(&mut self, until: Option<Moment>) {
        let until = Moment::earlier(until, self.alarms.next());
        self.now = self.clock.now();
        let millis = until.map(|until| until - self.now);
        let due = &mut self.due;
        let waited = self.poller.wait(&mut self.ready, millis);
        // If the system cannot wait, the alarms still can.
        if let Ok(keys) = waited {
            due.extend(keys);
        }
        self.now = self.clock.now();
        while let Some(key) = self.alarms.pop(self.now) {
            due.push(key);
        }
    }

    /// One of those that are ready or due.
    pub(in crate::client) fn next(&mut self) -> Option<usize> {
        self.due.pop()
    }

    /// Goes on with an operation; `Some` if that ended it.
    pub(in crate::client) fn advance(&mut self, key: usize) -> Option<Result<()>> {
        let Some(Some(slot)) = self.slots.get_mut(key) else { return None };
        if !slot.busy {
            return None;
        }
        let client = Arc::clone(&slot.client);
        match guarded(self.guard, &client, || client.go_on()) {
            Ok(Progress::Pending) => {
                self.follow(key);
                self.unless_failed(key)
            }
            Ok(Progress::Done(())) => Some(self.end(key, Ok(()))),
            Err(error) => Some(self.end(key, Err(error))),
        }
    }

    /// Ends whatever runs, and gives what came of it.
    pub(in crate::client) fn cancel(&mut self, key: usize) -> Option<Result<()>> {
        let client = Arc::clone(self.client(key)?);
        if !self.is_busy(key) {
            return None;
        }
        client.cancel();
        self.advance(key).or_else(|| {
            let what = "the operation was cancelled";
            Some(self.end(key, Err(Error::caller(Code::CANCELLED, what))))
        })
    }

    /// Waits for what an idle connection brings, until that is told by [`Self::next`].
    pub(in crate::client) fn follow_idle(&mut self, key: usize) {
        self.follow(key);
    }

    /// No longer waits for anything of a client: what is closed is closed at once.
    pub(in crate::client) fn forget(&mut self, key: usize) {
        if let Some(Some(slot)) = self.slots.get_mut(key) {
            slot.registration = None;
            self.alarms.set(key, None);
        }
    }

    fn end(&mut self, key: usize, result: Result<()>) -> Result<()> {
        if let Some(Some(slot)) = self.slots.get_mut(key) {
            slot.busy = false;
            self.alarms.set(key, None);
            if !slot.client.is_connected() {
                slot.registration = None;
            }
        }
        result
    }

    /// Without a descriptor there is nothing to wait for: such an operation ends here.
    fn unless_failed(&mut self, key: usize) -> Option<Result<()>> {
        let Some(Some(slot)) = self.slots.get(key) else { return None };
        if slot.registration.is_some() {
            return None;
        }
        slot.client.cancel();
        let client = Arc::clone(&slot.client);
        let result = match guarded(self.guard, &client, || client.go_on()) {
            Ok(Progress::Done(())) => Ok(()),
            Ok(Progress::Pending) => Err(unwatchable()),
            Err(error) if error.code == Code::CANCELLED => Err(unwatchable()),
            Err(error) => Err(error),
        };
        Some(self.end(key, result))
    }

    /// Waits for what the client waits for now.
    fn follow(&mut self, key: usize) {
        let Some(Some(slot)) = self.slots.get_mut(key) else { return };
        let client = Arc::clone(&slot.client);
        let Ok(Some((watch, held, millis))) = guarded(self.guard, &client, || client.watch()) else {
            slot.registration = None;
            // It is looked at once more, which finds out why.
            self.alarms.set(key, slot.busy.then_some(self.now));
            return;
        };
        // The time told counts from now, not from when the last wait ended.
        self.alarms.set(key, millis.map(|millis| self.clock.now() + millis));
        let same = slot.registration.as_mut().filter(|registration| registration.socket() == watch.socket);
        let registered = match same {
            Some(registration) => registration.set(watch),
            None => {
                slot.registration = None;
                self.poller.register(watch, key, held).map(|registration| slot.registration = Some(registration))
            }
        };
        if registered.is_err() {
            slot.registration = None;
            self.alarms.set(key, slot.busy.then_some(self.now));
        }
    }
}

/// What a panic in a client leaves is an error of that client alone.
fn guarded<T>(guard: Guard, client: &Client, mut action: impl FnMut() -> Result<T>) -> Result<T> {
    let mut result = None;
    guard(&mut || result = Some(action()));
    result.unwrap_or_else(|| {
        client.poison();
        Err(Error::new(Code::INTERNAL, Phase::Argument, "internal error: a panic on the event thread"))
    })
}

fn unwatchable() -> Box<Error> {
    let what = "the system cannot wait for one descriptor more";
    Error::new(Code::NETWORK, Phase::Idle, what).with_remedy("Raise the process's limit of descriptors.")
}
