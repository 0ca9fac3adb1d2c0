//! Many messages to any number of servers, over connections that are kept: see [`Pool`].
//!
//! One thread drives all connections (`worker.rs`). What is sent over which of them when
//! is decided for each destination by itself (`destination.rs`), and other threads meet the
//! pool's at a desk (`queue.rs`).

mod destination;
mod limits;
mod queue;
mod result;
mod statistics;
mod worker;

pub use limits::{POOL_TABLE, PoolRow};
pub use queue::Teller;
pub use result::PoolResult;
pub use statistics::Statistics;

use self::queue::{Desk, Job, Target, Text};
use self::worker::Worker;
use super::arguments::{Arguments, Content};
use super::core::Client;
use super::property::Property;
use super::reactor::{Engine, Guard, check_epoch, spawn};
use super::submit::Server;
use crate::error::{Code, Error, Result};
use crate::net::sys::process_epoch;
use parking_lot::Mutex;
use std::sync::Arc;
use std::thread::{JoinHandle, ThreadId};

/// A pool of connections, with a thread of its own.
pub struct Pool {
    desk: Arc<Desk>,
    thread: Mutex<Option<JoinHandle<()>>>,
    id: ThreadId,
    epoch: u64,
    /// The target of the properties, made once for all messages that go there.
    target: Mutex<Option<Arc<Target>>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If the system is out of descriptors or threads.
    pub fn start(guard: Guard) -> Result<Self> {
        let engine = Engine::new(guard)?;
        let desk = Arc::new(Desk::new(engine.poller()));
        let mut worker = Worker::new(engine, Arc::clone(&desk));
        let thread = spawn("smtp-pool", move || {
            let mut is_over = false;
            while !is_over {
                // Each client has a guard of its own; this one is for all else.
                guard(&mut || is_over = worker.turn());
            }
        })?;
        let id = thread.thread().id();
        let thread = Mutex::new(Some(thread));
        Ok(Self { desk, thread, id, epoch: process_epoch(), target: Mutex::default() })
    }

    /// Sets a text of the connections to come.
    ///
    /// # Errors
    ///
    /// As [`Client::set_text`].
    pub fn set_text(&self, id: u32, value: &str) -> Result<()> {
        self.desk.template.set_text(id, value)?;
        self.renew();
        Ok(())
    }

    /// Sets a number, of the pool or of the connections to come.
    ///
    /// # Errors
    ///
    /// As [`Client::set_integer`].
    pub fn set_integer(&self, id: u32, value: i64) -> Result<()> {
        if let Some(set) = self.desk.set_limit(id, value) {
            return set;
        }
        if id == Property::Blocking as u32 {
            let what = "a pool's connections never wait, so that BLOCKING cannot be set";
            return Err(Error::caller(Code::READ_ONLY_PROPERTY, what));
        }
        self.desk.template.set_integer(id, value)?;
        self.renew();
        Ok(())
    }

    /// Reads a text.
    ///
    /// # Errors
    ///
    /// As [`Client::text`].
    pub fn text(&self, id: u32) -> Result<String> {
        self.desk.template.text(id)
    }

    /// Reads a number.
    ///
    /// # Errors
    ///
    /// As [`Client::integer`].
    pub fn integer(&self, id: u32) -> Result<i64> {
        self.desk.limits().get(id).map_or_else(|| self.desk.template.integer(id), Ok)
    }

    /// Has every result told by a function, or kept to be taken; gives back the one before.
    pub fn set_teller(&self, teller: Option<Arc<Teller>>) -> Option<Arc<Teller>> {
        self.desk.set_teller(teller)
    }

    /// Takes a copy of a message, and gives its number. `wait` milliseconds at most for
    /// room in the queue.
    ///
    /// # Errors
    ///
    /// `QUEUE_FULL`, `POOL_CLOSED`, `REENTRANT`, and what is wrong with the server.
    pub fn submit(&self, message: &Arguments<'_>, server: Option<Server<'_>>, tag: usize, wait: u32) -> Result<u64> {
        let target = match server {
            Some(server) => Arc::new(self.target_of(server)),
            None => self.own_target(),
        };
        if target.host.is_empty() {
            let what = "no host was given, neither for the message nor as a property of the pool";
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        }
        let text = match message.message {
            Content::Memory(octets) => Text::Memory(octets.into()),
            Content::File(path) => Text::File(path.to_owned()),
            Content::Shared(ref octets) => Text::Memory(Arc::clone(octets)),
            Content::Reader { .. } | Content::Source { .. } => {
                return Err(Error::caller(Code::INVALID_PARAMETER, "a pool sends from memory or from a file"));
            }
        };
        let (sender, recipients) = (message.sender.to_owned(), message.recipients.to_owned());
        let job = Job { id: 0, tag, target, sender, recipients, text, attempts: 0 };
        self.desk.submit(job, wait, !self.is_own_thread())
    }

    /// The next result that was not told by a function; `None` if there is none in time.
    ///
    /// # Errors
    ///
    /// `POOL_CLOSED` once there will be none any more; `REENTRANT`.
    pub fn take(&self, timeout: u32) -> Result<Option<PoolResult>> {
        if timeout != 0 {
            self.check_reentry()?;
        }
        self.desk.take(timeout)
    }

    /// Takes no more messages, and waits until every one is over and told; 0 is no limit.
    /// False if that takes longer.
    ///
    /// # Errors
    ///
    /// `REENTRANT`.
    pub fn drain(&self, timeout: u32) -> Result<bool> {
        self.check_reentry()?;
        Ok(self.desk.drain(timeout))
    }

    /// Takes no more messages, cancels what is not over, and waits until that was told.
    ///
    /// # Errors
    ///
    /// `REENTRANT`.
    pub fn abort(&self) -> Result<()> {
        self.check_reentry()?;
        self.desk.abort();
        Ok(())
    }

    /// What the pool has done so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.desk.statistics()
    }

    /// Aborts, closes every connection and ends the thread.
    pub fn release(&self) {
        self.desk.abort();
        self.desk.release();
        if let Some(thread) = self.thread.lock().take() {
            // A panic of its own has been dealt with.
            let _ = thread.join();
        }
        drop(self.set_teller(None));
    }

    /// Whether the calling thread is not the pool's own, which cannot wait for itself.
    ///
    /// # Errors
    ///
    /// `REENTRANT` if it is.
    pub fn check_reentry(&self) -> Result<()> {
        if !self.is_own_thread() {
            return Ok(());
        }
        Err(Error::caller(Code::REENTRANT, "the pool's own thread was to wait for the pool")
            .with_remedy("Call it from another thread than the pool's callback."))
    }

    /// Whether the pool belongs to this process.
    ///
    /// # Errors
    ///
    /// `FORKED` in a child of the process that made it.
    pub fn check_process(&self) -> Result<()> {
        check_epoch(self.epoch)
    }

    fn is_own_thread(&self) -> bool {
        std::thread::current().id() == self.id
    }

    fn renew(&self) {
        *self.target.lock() = None;
        self.desk.renew();
    }

    fn own_target(&self) -> Arc<Target> {
        let mut target = self.target.lock();
        let make = || {
            let server =
                Server { host: None, port: 0, user: None, password: None, timeout: 0, options: Default::default() };
            Arc::new(self.target_of(server))
        };
        Arc::clone(target.get_or_insert_with(make))
    }

    fn target_of(&self, server: Server<'_>) -> Target {
        let shared = self.desk.template.shared.lock();
        let settings = &shared.settings;
        Target {
            host: server.host.filter(|host| !host.is_empty()).unwrap_or(&settings.host).to_owned(),
            port: if server.port == 0 { settings.port } else { server.port },
            user: server.user.unwrap_or(&settings.user).to_owned(),
            password: server.password.unwrap_or_else(|| settings.password.clone()),
            options: if server.options == Default::default() { settings.options } else { server.options },
            timeout: server.timeout,
        }
    }
}

impl Client {
    /// Takes over the settings of another client, as one that never waits.
    fn adopt(&self, template: &Self) -> Result<()> {
        let mut settings = template.shared.lock().settings.clone();
        settings.set_integer(Property::Blocking, "BLOCKING", 0)?;
        if !settings.trace.file.is_empty() {
            self.tracer.open(&settings.trace.file)?;
        }
        self.tracer.configure(&settings.trace);
        self.shared.lock().settings = settings;
        Ok(())
    }

    /// The octets sent and received over the last connection.
    fn octets(&self) -> (u64, u64) {
        self.shared.lock().status.octets()
    }
}
