//! Who is told what goes over the wire.

use crate::proto::Record;

/// Told of every command and reply, with the secrets masked.
pub trait Observer {
    /// Whether to make records at all.
    fn wants_records(&self) -> bool;

    /// One command or reply.
    fn record(&mut self, record: &Record);

    /// So many octets of the message were taken from its source; `last` when it
    /// is at its end.
    fn progress(&mut self, octets: u64, last: bool);
}
