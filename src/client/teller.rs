//! Tells the caller's callback of what happens while a call runs.

use super::core::Client;
use super::event::{Event, EventKind, Sink};
use crate::drive::Observer;
use crate::proto::Record;
use std::sync::Arc;

/// Passes records on as events.
pub(super) struct Teller<'a> {
    client: &'a Client,
    sink: Option<&'a Arc<Sink>>,
    /// The length of the message; 0 if it is not known.
    total: u64,
    /// What was told of its progress last.
    told: u64,
}

impl<'a> Teller<'a> {
    pub(super) fn new(client: &'a Client, sink: Option<&'a Arc<Sink>>, total: u64) -> Self {
        Self { client, sink, total, told: 0 }
    }
}

impl Observer for Teller<'_> {
    fn wants_records(&self) -> bool {
        self.sink.is_some_and(|sink| wants_records(sink))
    }

    fn record(&mut self, record: &Record) {
        self.client.tell(self.sink, &Event::of_record(record));
    }

    fn progress(&mut self, octets: u64, last: bool) {
        /// Less than this is not worth a call.
        const LEAST: u64 = 256 * 1024;
        if !self.sink.is_some_and(|sink| sink.wants(EventKind::Progress)) {
            return;
        }
        if octets == 0 || last || octets - self.told >= LEAST.max(self.total / 100) {
            self.told = octets;
            let event = Event { progress: (octets, self.total), ..Event::plain(EventKind::Progress) };
            self.client.tell(self.sink, &event);
        }
    }
}

/// Whether somebody wants to be told of commands and replies.
pub(super) fn wants_records(sink: &Sink) -> bool {
    sink.wants(EventKind::Command) || sink.wants(EventKind::Reply)
}
