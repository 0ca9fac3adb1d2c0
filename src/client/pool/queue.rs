//! Between the threads that submit and take results, and the pool's own.

use super::limits::Limits;
use super::result::PoolResult;
use super::statistics::Statistics;
use crate::client::core::Client;
use crate::client::options::Options;
use crate::error::{Code, Error, Outcome, Result};
use crate::net::poller::Poller;
use crate::proto::Secret;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where a message goes.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: Secret,
    pub(super) options: Options,
    pub(super) timeout: u32,
}

impl Target {
    /// Whether the same connections serve both.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.host, self.port, &self.user, self.options) == (&other.host, other.port, &other.user, other.options)
            && self.password.expose() == other.password.expose()
    }
}

/// The content of a message.
pub(super) enum Text {
    Memory(Arc<[u8]>),
    File(String),
}

/// A message on its way.
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) tag: usize,
    pub(super) target: Arc<Target>,
    pub(super) sender: String,
    pub(super) recipients: String,
    pub(super) text: Text,
    pub(super) attempts: u32,
}

impl Job {
    pub(super) fn octets(&self) -> u64 {
        match &self.text {
            Text::Memory(octets) => octets.len() as u64,
            Text::File(_) => 0,
        }
    }
}

/// Called with every result.
pub type Teller = dyn Fn(&PoolResult) + Send + Sync;

/// See the module.
pub(super) struct Desk {
    pub(super) poller: Arc<Poller>,
    pub(super) template: Client,
    state: Mutex<State>,
    /// There is room in the queue, or never will be.
    room: Condvar,
    /// There is a result, or never will be.
    told: Condvar,
    /// Every message is over.
    settled: Condvar,
    teller: Mutex<Option<Arc<Teller>>>,
}

#[derive(Default)]
struct State {
    limits: Limits,
    /// Rises with every change of a client's properties.
    generation: u64,
    incoming: Vec<Job>,
    next_id: u64,
    queued: u64,
    queued_octets: u64,
    /// Submitted and not told.
    outstanding: u64,
    results: VecDeque<PoolResult>,
    statistics: Statistics,
    /// Something is to be looked at anew.
    changed: bool,
    closed: bool,
    aborting: bool,
    released: bool,
}

/// What the pool's thread has to look at.
pub(super) struct News {
    pub(super) limits: Limits,
    pub(super) generation: u64,
    pub(super) jobs: Vec<Job>,
    pub(super) changed: bool,
    pub(super) aborting: bool,
    pub(super) released: bool,
}

impl Desk {
    pub(super) fn new(poller: Arc<Poller>) -> Self {
        Self {
            poller,
            template: Client::new(),
            state: Mutex::default(),
            room: Condvar::new(),
            told: Condvar::new(),
            settled: Condvar::new(),
            teller: Mutex::default(),
        }
    }

    /// Puts a message into the queue, and waits for room if there is none; gives its number.
    pub(super) fn submit(&self, mut job: Job, wait: u32, may_wait: bool) -> Result<u64> {
        let end = Instant::now() + Duration::from_millis(u64::from(wait));
        let octets = job.octets();
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Err(closed("takes no more messages"));
            }
            let most = u64::from(state.limits.queue_octets);
            let fits = most == 0 || state.queued == 0 || state.queued_octets + octets <= most;
            if state.queued < u64::from(state.limits.queue) && fits {
                break;
            }
            if wait != 0 && !may_wait {
                let what = "the queue is full, and waiting on the pool's own thread would never end";
                return Err(Error::caller(Code::REENTRANT, what));
            }
            if wait == 0 || self.room.wait_until(&mut state, end).timed_out() {
                let what = format!("{} messages with {} octets wait already", state.queued, state.queued_octets);
                return Err(Error::caller(Code::QUEUE_FULL, what));
            }
        }
        state.next_id += 1;
        job.id = state.next_id;
        state.queued += 1;
        state.queued_octets += octets;
        state.outstanding += 1;
        let first = state.incoming.is_empty();
        state.incoming.push(job);
        let id = state.next_id;
        drop(state);
        if first {
            self.poller.wake();
        }
        Ok(id)
    }

    pub(super) fn news(&self) -> News {
        let mut state = self.state.lock();
        News {
            limits: state.limits,
            generation: state.generation,
            jobs: std::mem::take(&mut state.incoming),
            changed: std::mem::take(&mut state.changed),
            aborting: state.aborting,
            released: state.released,
        }
    }

    /// A message no longer waits; `again` if it is a repetition, which did not.
    pub(super) fn begin(&self, job: &Job) {
        let mut state = self.state.lock();
        state.statistics.in_flight += 1;
        if job.attempts == 0 {
            state.unqueue(job.octets());
            drop(state);
            self.room.notify_all();
        }
    }

    /// A message is to be repeated.
    pub(super) fn put_back(&self) {
        self.state.lock().statistics.in_flight -= 1;
    }

    /// A message is over.
    pub(super) fn finish(&self, octets: u64, was_sent: bool, result: PoolResult) {
        {
            let mut state = self.state.lock();
            if was_sent {
                state.statistics.in_flight -= 1;
            } else if result.attempts == 0 {
                state.unqueue(octets);
                self.room.notify_all();
            }
            let count = match result.outcome {
                Outcome::Accepted => &mut state.statistics.accepted,
                Outcome::RejectedTemporary | Outcome::RejectedPermanent => &mut state.statistics.rejected,
                Outcome::Unknown => &mut state.statistics.unknown,
                Outcome::NotSent => &mut state.statistics.not_sent,
            };
            *count += 1;
        }
        let teller = self.teller.lock().clone();
        if let Some(teller) = &teller {
            teller(&result);
        }
        let mut state = self.state.lock();
        if teller.is_none() {
            state.results.push_back(result);
        }
        state.outstanding -= 1;
        let settled = state.outstanding == 0;
        drop(state);
        if settled {
            self.settled.notify_all();
            self.told.notify_all();
        } else if teller.is_none() {
            self.told.notify_one();
        }
    }

    /// The next result; `None` if there is none in time.
    pub(super) fn take(&self, timeout: u32) -> Result<Option<PoolResult>> {
        let end = Instant::now() + Duration::from_millis(u64::from(timeout));
        let mut state = self.state.lock();
        loop {
            if let Some(result) = state.results.pop_front() {
                return Ok(Some(result));
            }
            if state.closed && state.outstanding == 0 {
                return Err(closed("has told of every message"));
            }
            if timeout == 0 || self.told.wait_until(&mut state, end).timed_out() {
                return Ok(state.results.pop_front());
            }
        }
    }

    /// Takes no more messages; true once all are over, false if that takes longer.
    pub(super) fn drain(&self, timeout: u32) -> bool {
        let end = Instant::now() + Duration::from_millis(u64::from(timeout));
        let mut state = self.state.lock();
        state.closed = true;
        self.room.notify_all();
        self.told.notify_all();
        while state.outstanding != 0 {
            if timeout == 0 {
                self.settled.wait(&mut state);
            } else if self.settled.wait_until(&mut state, end).timed_out() {
                return state.outstanding == 0;
            }
        }
        true
    }

    /// Gives up what is not over; waits until it was told.
    pub(super) fn abort(&self) {
        self.state.lock().aborting = true;
        self.poller.wake();
        self.drain(0);
    }

    /// Ends the thread.
    pub(super) fn release(&self) {
        self.state.lock().released = true;
        self.poller.wake();
    }

    pub(super) fn set_teller(&self, teller: Option<Arc<Teller>>) -> Option<Arc<Teller>> {
        std::mem::replace(&mut *self.teller.lock(), teller)
    }

    pub(super) fn limits(&self) -> Limits {
        self.state.lock().limits
    }

    pub(super) fn set_limit(&self, id: u32, value: i64) -> Option<Result<()>> {
        let set = {
            let mut state = self.state.lock();
            state.changed = true;
            state.limits.set(id, value)
        };
        self.room.notify_all();
        self.poller.wake();
        set
    }

    /// The settings of connections to be made have changed.
    pub(super) fn renew(&self) {
        let mut state = self.state.lock();
        state.generation += 1;
        state.changed = true;
        drop(state);
        self.poller.wake();
    }

    pub(super) fn statistics(&self) -> Statistics {
        let state = self.state.lock();
        Statistics { queued: state.queued, results: state.results.len() as u64, ..state.statistics }
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Statistics)) {
        change(&mut self.state.lock().statistics);
    }
}

impl State {
    fn unqueue(&mut self, octets: u64) {
        self.queued -= 1;
        self.queued_octets -= octets;
    }
}

pub(super) fn closed(what: &str) -> Box<Error> {
    Error::caller(Code::POOL_CLOSED, format!("the pool {what}, as it was drained or aborted"))
}
