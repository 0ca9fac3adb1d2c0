//! Who is told what goes over the wire.

use crate::proto::Record;

/// Told of every command and reply, with the secrets masked.
pub trait Observer {
    /// Whether to make records at all.
    fn wants_records(&self) -> bool;

    /// One command or reply.
    fn record(&mut self, record: &Record);
}

/// Nobody.
#[derive(Debug)]
pub struct Silent;

impl Observer for Silent {
    fn wants_records(&self) -> bool {
        false
    }

    fn record(&mut self, _: &Record) {}
}
