//! An operation that was begun and has to wait: what for, and going on with it.

use super::call::{Call, Patience};
use super::core::{Client, Inner, Progress, Running};
use crate::drive::Held;
use crate::error::{Code, Error, Result};
use crate::net::sys::Watch;

/// What an event loop has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The descriptor.
    pub descriptor: i64,
    /// Until it can be read.
    pub read: bool,
    /// Until it can be written.
    pub write: bool,
    /// But no longer than so many milliseconds.
    pub millis: Option<u32>,
}

/// An operation that was begun and is not over.
#[derive(Default)]
pub(super) struct Pending {
    call: Option<Call<'static>>,
    /// What the event loop was last told to wait for.
    held: Option<Held>,
    /// Memory of the last copy of a message, to be used again.
    spare: Vec<u8>,
}

impl Pending {
    /// An operation that is under way comes first.
    pub(super) fn expect_none(&self) -> Result<()> {
        if self.call.is_none() {
            return Ok(());
        }
        Err(Error::caller(Code::OPERATION_IN_PROGRESS, "an earlier operation of this client is still under way"))
    }

    pub(super) fn keep(&mut self, call: Call<'_>) {
        self.call = Some(call.keep(std::mem::take(&mut self.spare)));
    }

    fn end(&mut self, call: Call<'static>) {
        /// More is given back than most messages have.
        const MOST: usize = 64 * 1024;
        self.held = None;
        self.spare = call.feed.into_spare().filter(|spare| spare.capacity() <= MOST).unwrap_or_default();
    }
}

impl Client {
    /// Goes on with the operation that is under way, as far as it goes without waiting.
    ///
    /// # Errors
    ///
    /// `NO_OPERATION` if there is none; `ATTACHED`; the operation's.
    pub fn process(&self) -> Result<Progress> {
        self.expect_no_link()?;
        self.go_on()
    }

    /// The same, for whoever the client has been given to.
    pub(super) fn go_on(&self) -> Result<Progress> {
        self.when_free(|inner| {
            let Some(mut call) = inner.pending.call.take() else {
                return Err(Error::caller(Code::NO_OPERATION, "no operation is under way"));
            };
            let running = Running::resume(self);
            match self.advance(inner, &mut call, Patience::Look) {
                Some(result) => {
                    inner.pending.end(call);
                    result.map(Progress::Done)
                }
                None => {
                    inner.pending.call = Some(call);
                    running.go_on();
                    Ok(Progress::Pending)
                }
            }
        })
    }

    /// What the operation that is under way waits for; `None` if there is none.
    ///
    /// # Errors
    ///
    /// `REENTRANT` and the like, `ATTACHED`, and if the process has no descriptors left.
    pub fn waiting(&self) -> Result<Option<Waiting>> {
        self.expect_no_link()?;
        self.when_free(|inner| inner.waiting())
    }

    /// What the connection waits for, and how many milliseconds at most: for the operation
    /// that is under way, or without one for whatever the server may say.
    pub(super) fn watch(&self) -> Result<Option<(Watch, Held, Option<u64>)>> {
        self.when_free(|inner| {
            let has_call = inner.pending.call.is_some();
            let Some(connection) = &mut inner.connection else { return Ok(None) };
            let (watch, held, deadline) = connection.waiting()?;
            let now = connection.clock().now();
            let millis = deadline.filter(|_| has_call).map(|deadline| deadline - now);
            Ok(Some((watch, held, millis)))
        })
    }

    /// Takes in what the server says unasked while nothing is under way; false if the
    /// connection is over.
    pub(super) fn listen(&self) -> Result<bool> {
        self.when_free(|inner| Ok(self.listen_in(inner)))
    }
}

impl Inner {
    fn waiting(&mut self) -> Result<Option<Waiting>> {
        let Some(connection) = self.connection.as_mut().filter(|_| self.pending.call.is_some()) else {
            return Ok(None);
        };
        let (watch, held, deadline) = connection.waiting()?;
        self.pending.held = Some(held);
        let now = connection.clock().now();
        let millis = deadline.map(|deadline| u32::try_from(deadline - now).unwrap_or(u32::MAX));
        Ok(Some(Waiting { descriptor: i64::from(watch.socket), read: watch.read, write: watch.write, millis }))
    }
}
