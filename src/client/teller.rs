//! Tells the caller's callbacks, and whoever looks, of what happens while a call runs.

use super::core::Client;
use super::event::{Event, EventKind, Sink};
use super::tracer::Tracer;
use crate::drive::{Activity, Observer};
use crate::error::Phase;
use crate::proto::{Moment, Outcome, Record, Wishes};
use std::sync::Arc;

/// Passes records on as events and to the trace.
pub(super) struct Teller<'a> {
    client: &'a Client,
    sink: Option<&'a Arc<Sink>>,
    wishes: Wishes,
    /// The length of the message; 0 if it is not known.
    total: u64,
    /// What was told of its progress last.
    told: &'a mut u64,
}

impl<'a> Teller<'a> {
    pub(super) fn new(client: &'a Client, sink: Option<&'a Arc<Sink>>, total: u64, told: &'a mut u64) -> Self {
        let wishes = wishes(&client.tracer, sink.map(|sink| &**sink));
        Self { client, sink, wishes, total, told }
    }
}

impl Observer for Teller<'_> {
    fn wishes(&self) -> Wishes {
        self.wishes
    }

    fn record(&mut self, record: &Record) {
        self.client.trace(record);
        if let Some(event) = Event::of_record(record) {
            self.client.tell(self.sink, &event);
        }
    }

    fn progress(&mut self, octets: u64, last: bool, now: Moment) {
        /// Less than this is not worth a call.
        const LEAST: u64 = 256 * 1024;
        self.client.live.progress(octets, self.total, now);
        if !self.sink.is_some_and(|sink| sink.wants(EventKind::Progress)) {
            return;
        }
        if octets == 0 || last || octets - *self.told >= LEAST.max(self.total / 100) {
            *self.told = octets;
            let event = Event { progress: (octets, self.total), ..Event::plain(EventKind::Progress) };
            self.client.tell(self.sink, &event);
        }
    }

    fn begins(&mut self, size: Option<u64>) {
        self.total = size.unwrap_or(0);
        *self.told = 0;
    }

    fn settled(&mut self, number: u32, outcome: Outcome) {
        let event = Event { message: Some((number, outcome)), ..Event::plain(EventKind::Message) };
        self.client.tell(self.sink, &event);
    }

    fn doing(&mut self, phase: Phase, activity: Activity) {
        self.client.live.doing(phase, activity);
    }
}

/// Which records a call has to make.
pub(super) fn wishes(tracer: &Tracer, sink: Option<&Sink>) -> Wishes {
    let switches = tracer.switches();
    let wants = |kind| sink.is_some_and(|sink| sink.wants(kind));
    Wishes {
        records: switches.on || wants(EventKind::Command) || wants(EventKind::Reply),
        recipients: wants(EventKind::Recipient),
        content: switches.on && switches.content,
        secrets: switches.secrets,
    }
}
