//! Who is told what goes over the wire.

use crate::error::Phase;
use crate::proto::{Moment, Outcome, Record, Wishes};

/// What the driver is about to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// The connection is being made.
    Connect,
    /// The server is to say something.
    Read,
    /// There is something to send.
    Write,
}

/// Told of every command and reply, with the secrets masked.
pub trait Observer {
    /// Which records to make at all.
    fn wishes(&self) -> Wishes;

    /// One command, reply, piece of content or remark.
    fn record(&mut self, record: &Record);

    /// So many octets of the message were taken from its source; `last` when it
    /// is at its end.
    fn progress(&mut self, octets: u64, last: bool, now: Moment);

    /// The content of a message of a batch is begun; its length, if it is known.
    fn begins(&mut self, _size: Option<u64>) {}

    /// What became of a message of a batch.
    fn settled(&mut self, _number: u32, _outcome: Outcome) {}

    /// What is being done, told at the beginning and before every wait.
    fn doing(&mut self, phase: Phase, activity: Activity);
}
