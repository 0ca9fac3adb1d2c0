//! An event thread of the library's own: goes on with the operations of the clients that
//! are attached to it, and tells how each of them ended.

mod alarms;
mod engine;

pub(super) use alarms::Alarms;
pub(super) use engine::Engine;
pub use engine::Guard;

use super::core::{Client, released};
use super::property::Property;
use crate::error::{Code, Error, Phase, Result};
use crate::net::poller::Poller;
use crate::net::sys::{process_epoch, without_signals};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{JoinHandle, ThreadId};

/// What is called with the code of an operation that is over.
pub type Completion = dyn Fn(i32) + Send + Sync;

/// See the module.
pub struct Reactor {
    desk: Arc<Desk>,
    thread: Mutex<Option<JoinHandle<()>>>,
    id: ThreadId,
    epoch: u64,
}

/// Where other threads leave what the event thread is to do.
pub(super) struct Desk {
    poller: Arc<Poller>,
    orders: Mutex<Orders>,
}

#[derive(Default)]
struct Orders {
    list: Vec<Order>,
    /// Nothing more is taken.
    closed: bool,
}

enum Order {
    Attach(Arc<Client>, Arc<Link>),
    Begun(Arc<Link>),
    /// The client is released, or no longer attached.
    Gone(Arc<Link>),
}

/// What ties a client to a reactor.
pub(super) struct Link {
    desk: Arc<Desk>,
    thread: ThreadId,
    /// Its key, known to the event thread.
    key: AtomicUsize,
    /// How many operations were begun whose end was not told.
    untold: Mutex<u32>,
    told: Condvar,
    completion: Box<Completion>,
}

impl std::fmt::Debug for Reactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reactor").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Reactor {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If the system is out of descriptors or threads.
    pub fn start(guard: Guard) -> Result<Self> {
        let engine = Engine::new(guard)?;
        let desk = Arc::new(Desk { poller: engine.poller(), orders: Mutex::default() });
        let mut worker = Worker { engine, desk: Arc::clone(&desk), guard, links: Vec::new(), ended: Vec::new() };
        let thread = spawn("smtp-reactor", move || worker.run())?;
        let id = thread.thread().id();
        Ok(Self { desk, thread: Mutex::new(Some(thread)), id, epoch: process_epoch() })
    }

    /// Has the reactor go on with what a client begins from now on, none of which waits.
    ///
    /// # Errors
    ///
    /// `ATTACHED`, `OPERATION_IN_PROGRESS`, `REENTRANT`; `RELEASED` if the reactor ends.
    pub fn attach(&self, client: &Arc<Client>, completion: Box<Completion>) -> Result<()> {
        let link = Arc::new(Link {
            desk: Arc::clone(&self.desk),
            thread: self.id,
            key: AtomicUsize::new(usize::MAX),
            untold: Mutex::new(0),
            told: Condvar::new(),
            completion,
        });
        client.when_free(|inner| {
            client.expect_no_link()?;
            inner.pending.expect_none()?;
            client.shared.lock().settings.set_integer(Property::Blocking, "BLOCKING", 0)?;
            let mut place = client.link.lock();
            if client.is_released() {
                return Err(released());
            }
            if !self.desk.leave(Order::Attach(Arc::clone(client), Arc::clone(&link))) {
                return Err(Error::caller(Code::RELEASED, "the reactor was released"));
            }
            *place = Some(link);
            Ok(())
        })
    }

    /// Ends the thread: what is under way is cancelled, and told; then waits for it.
    pub fn release(&self) {
        self.desk.close();
        if let Some(thread) = self.thread.lock().take() {
            // A panic of its own has been dealt with.
            let _ = thread.join();
        }
    }

    /// Whether the calling thread is not the event thread, which cannot wait for itself.
    ///
    /// # Errors
    ///
    /// `REENTRANT` if it is.
    pub fn check_reentry(&self) -> Result<()> {
        if std::thread::current().id() != self.id {
            return Ok(());
        }
        Err(Error::caller(Code::REENTRANT, "the reactor was to be released from within one of its own callbacks")
            .with_remedy("Release it from another thread."))
    }

    /// Whether the reactor belongs to this process.
    ///
    /// # Errors
    ///
    /// `FORKED` in a child of the process that made it.
    pub fn check_process(&self) -> Result<()> {
        check_epoch(self.epoch)
    }
}

/// Whether what was made then was made in this process.
pub(super) fn check_epoch(epoch: u64) -> Result<()> {
    if epoch == process_epoch() {
        return Ok(());
    }
    Err(Error::caller(Code::FORKED, "the handle was made before this process was forked"))
}

/// Starts an event thread, on which no signal handler of the program runs.
pub(super) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    without_signals(|| builder.spawn(run)).map_err(|error| {
        let what = format!("the event thread could not be started (system: {error})");
        Error::new(Code::NETWORK, Phase::Argument, what).with_os(&error)
    })
}

impl Desk {
    /// Leaves an order; false if nobody would see to it.
    fn leave(&self, order: Order) -> bool {
        let mut orders = self.orders.lock();
        if orders.closed {
            return false;
        }
        orders.list.push(order);
        let first = orders.list.len() == 1;
        drop(orders);
        if first {
            self.poller.wake();
        }
        true
    }

    fn close(&self) {
        self.orders.lock().closed = true;
        self.poller.wake();
    }
}

impl Client {
    /// Leaves the operation that has to wait to whoever goes on with it; false if there
    /// was somebody and is not any more.
    pub(super) fn hand_over(&self) -> bool {
        let place = self.link.lock();
        match &*place {
            Some(link) => {
                *link.untold.lock() += 1;
                let left = link.desk.leave(Order::Begun(Arc::clone(link)));
                if !left {
                    *link.untold.lock() -= 1;
                }
                left
            }
            // A release takes the link away after it has marked the client.
            None => !self.is_released(),
        }
    }

    /// Parts the client from its reactor, at its release.
    pub(super) fn unlink(&self) {
        let mut place = self.link.lock();
        if let Some(link) = place.take() {
            link.desk.leave(Order::Gone(Arc::clone(&link)));
        }
    }

    /// Parts the client from its reactor. No completion is told any more when this is over,
    /// unless it is called from within one.
    ///
    /// # Errors
    ///
    /// `OPERATION_IN_PROGRESS`, `REENTRANT`.
    pub fn detach(&self) -> Result<()> {
        let link = self.when_free(|inner| {
            inner.pending.expect_none()?;
            Ok(self.link.lock().take())
        })?;
        let Some(link) = link else { return Ok(()) };
        link.desk.leave(Order::Gone(Arc::clone(&link)));
        if std::thread::current().id() != link.thread {
            let mut untold = link.untold.lock();
            while *untold != 0 {
                link.told.wait(&mut untold);
            }
        }
        Ok(())
    }

    pub(super) fn expect_no_link(&self) -> Result<()> {
        if self.link.lock().is_none() {
            return Ok(());
        }
        Err(Error::caller(Code::ATTACHED, "the client is attached to a reactor, which goes on with its operations"))
    }

    pub(super) fn is_connected(&self) -> bool {
        self.shared.lock().status.is_connected()
    }

    /// The code of a result, whose failure becomes the client's last one.
    pub(super) fn settle(&self, result: Result<()>) -> i32 {
        let Err(error) = result else { return 0 };
        let error: Arc<Error> = Arc::from(error);
        self.remember(&error);
        error.code.0
    }
}

/// The event thread.
struct Worker {
    engine: Engine,
    desk: Arc<Desk>,
    guard: Guard,
    /// By key.
    links: Vec<Option<Arc<Link>>>,
    /// Whose last operation is over, so that nothing may be left to wait for.
    ended: Vec<usize>,
}

impl Worker {
    fn run(&mut self) {
        let guard = self.guard;
        loop {
            let mut closed = false;
            // Each client has a guard of its own; this one is for all else.
            guard(&mut || closed = self.turn());
            if closed {
                break;
            }
        }
        guard(&mut || self.finish());
    }

    /// Does what there is to do, and waits once; true if the reactor is to end.
    fn turn(&mut self) -> bool {
        if self.take_orders() {
            return true;
        }
        while let Some(key) = self.ended.pop() {
            if !self.engine.is_busy(key) {
                self.engine.forget(key);
            }
        }
        self.engine.wait(None);
        while let Some(key) = self.engine.next() {
            if let Some(result) = self.engine.advance(key) {
                self.complete(key, result);
            }
        }
        false
    }

    fn take_orders(&mut self) -> bool {
        loop {
            let (orders, closed) = {
                let mut orders = self.desk.orders.lock();
                (std::mem::take(&mut orders.list), orders.closed)
            };
            if orders.is_empty() {
                return closed;
            }
            for order in orders {
                self.obey(order);
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Attach(client, link) => {
                let key = self.engine.insert(client);
                link.key.store(key, Ordering::Relaxed);
                if self.links.len() <= key {
                    self.links.resize_with(key + 1, || None);
                }
                self.links[key] = Some(link);
            }
            Order::Begun(link) => self.engine.begin(link.key.load(Ordering::Relaxed)),
            Order::Gone(link) => {
                let key = link.key.load(Ordering::Relaxed);
                if let Some(result) = self.engine.cancel(key) {
                    self.complete(key, result);
                }
                self.part(key);
            }
        }
    }

    fn complete(&mut self, key: usize, result: Result<()>) {
        let (Some(client), Some(Some(link))) = (self.engine.client(key), self.links.get(key)) else { return };
        let link = Arc::clone(link);
        let code = client.settle(result);
        self.ended.push(key);
        (self.guard)(&mut || (link.completion)(code));
        *link.untold.lock() -= 1;
        link.told.notify_all();
    }

    fn part(&mut self, key: usize) {
        drop(self.engine.remove(key));
        if let Some(link) = self.links.get_mut(key) {
            *link = None;
        }
    }

    /// Nothing more is taken: what is under way is cancelled.
    fn finish(&mut self) {
        for key in 0..self.links.len() {
            if let Some(result) = self.engine.cancel(key) {
                self.complete(key, result);
            }
            if let (Some(client), Some(Some(link))) = (self.engine.client(key), self.links.get(key)) {
                let mut place = client.link.lock();
                if place.as_ref().is_some_and(|present| Arc::ptr_eq(present, link)) {
                    *place = None;
                }
            }
            self.part(key);
        }
    }
}
