//! The pool's thread: carries out what the destinations decide.

use super::destination::{Destination, Line, Order, Reason};
use super::limits::Limits;
use super::queue::{Desk, Job, Target, Text};
use super::result::PoolResult;
use super::statistics::Statistics;
use crate::client::arguments::{Arguments, Content};
use crate::client::core::{Client, Progress};
use crate::client::reactor::{Alarms, Engine};
use crate::error::{Class, Code, Error, Outcome, Phase, Result};
use std::sync::Arc;

/// After how many messages a connection is given up for another destination's sake.
const TURN: u32 = 10;

/// See the module.
pub(super) struct Worker {
    engine: Engine,
    desk: Arc<Desk>,
    limits: Limits,
    generation: u64,
    places: Vec<Option<Place>>,
    /// By key of the engine.
    lines: Vec<Option<Active>>,
    connections: u32,
    /// When a place is to be looked at.
    alarms: Alarms,
    /// Places to be looked at.
    dirty: Vec<usize>,
    /// Places that want a connection which the pool has no room for.
    starved: Vec<usize>,
    aborting: bool,
}

struct Place {
    target: Arc<Target>,
    destination: Destination<Job>,
}

struct Active {
    place: usize,
    line: Line,
    doing: Doing,
}

enum Doing {
    Connecting,
    LoggingIn,
    Sending { job: Job, fresh: bool },
    Idle,
    Leaving,
}

impl Worker {
    pub(super) fn new(engine: Engine, desk: Arc<Desk>) -> Self {
        Self {
            engine,
            desk,
            limits: Limits::default(),
            generation: 0,
            places: Vec::new(),
            lines: Vec::new(),
            connections: 0,
            alarms: Alarms::default(),
            dirty: Vec::new(),
            starved: Vec::new(),
            aborting: false,
        }
    }

    /// Does what there is to do, and waits once; true if the pool is to end.
    pub(super) fn turn(&mut self) -> bool {
        let news = self.desk.news();
        (self.limits, self.generation) = (news.limits, news.generation);
        let now = self.engine.now();
        for job in news.jobs {
            let at = self.place_of(&job.target);
            if let Some(place) = &mut self.places[at] {
                place.destination.push(job, now);
            }
            self.dirty.push(at);
        }
        if news.changed {
            self.dirty.extend(0..self.places.len());
        }
        self.aborting = news.aborting;
        if self.aborting {
            self.abort();
        }
        if news.released {
            self.leave();
            return true;
        }
        while let Some(at) = self.dirty.pop() {
            self.attend(at);
        }
        self.engine.wait(self.alarms.next());
        while let Some(at) = self.alarms.pop(self.engine.now()) {
            self.dirty.push(at);
        }
        while let Some(key) = self.engine.next() {
            self.look(key);
        }
        while let Some(at) = self.dirty.pop() {
            self.attend(at);
        }
        false
    }

    fn place_of(&mut self, target: &Arc<Target>) -> usize {
        let known = |place: &Option<Place>| {
            place.as_ref().is_some_and(|place| Arc::ptr_eq(&place.target, target) || place.target.is_same(target))
        };
        if let Some(at) = self.places.iter().position(known) {
            return at;
        }
        let place = Some(Place { target: Arc::clone(target), destination: Destination::default() });
        match self.places.iter().position(Option::is_none) {
            Some(at) => {
                self.places[at] = place;
                at
            }
            None => {
                self.places.push(place);
                self.places.len() - 1
            }
        }
    }

    /// Does what a destination decides.
    fn attend(&mut self, at: usize) {
        let now = self.engine.now();
        loop {
            let room = self.connections < self.limits.connections_total;
            let Some(Some(place)) = self.places.get_mut(at) else { return };
            let destination = &mut place.destination;
            if let Some(job) = destination.expire(&self.limits, now) {
                let what = format!("the message waited {} ms in the pool without being sent", self.limits.queue_time);
                self.fail(job, &Arc::from(Error::new(Code::TIMEOUT, Phase::Argument, what)));
            } else if let Some((line, reason)) = destination.retire(&self.limits, self.generation, now) {
                self.close(line, reason);
            } else if let Some(order) = destination.next(&self.limits, self.generation, room, now) {
                match order {
                    Order::Send { line, job, fresh } => self.send(line, job, fresh),
                    Order::Open => self.open(at),
                    Order::Close(line, reason) => self.close(line, reason),
                }
            } else {
                let deadline = destination.deadline(&self.limits, now);
                self.alarms.set(at, deadline);
                if !room && destination.wants_more(&self.limits, now) {
                    self.starve(at);
                    return;
                }
                if destination.is_spent(&self.limits, now) {
                    self.places[at] = None;
                }
                return;
            }
        }
    }

    /// The pool has no room for a connection that a destination wants: an idle one of
    /// another goes, or it waits for the next that ends.
    fn starve(&mut self, at: usize) {
        if !self.starved.contains(&at) {
            self.starved.push(at);
        }
        let others = (0..self.places.len()).filter(|other| *other != at).collect::<Vec<_>>();
        let leaving = self.lines.iter().flatten().any(|active| matches!(active.doing, Doing::Leaving));
        if leaving {
            return;
        }
        for other in others {
            let Some(Some(place)) = self.places.get_mut(other) else { continue };
            if let Some(line) = place.destination.evict(None) {
                self.close(line, Reason::Evicted);
                return;
            }
        }
    }
}

// Connections
impl Worker {
    fn open(&mut self, at: usize) {
        let Some(Some(place)) = self.places.get(at) else { return };
        let target = Arc::clone(&place.target);
        let client = Arc::new(Client::new());
        let adopted = client.adopt(&self.desk.template);
        let key = self.engine.insert(Arc::clone(&client));
        if self.lines.len() <= key {
            self.lines.resize_with(key + 1, || None);
        }
        let now = self.engine.now();
        let line = Line { key, opened: now, since: now, sent: 0, generation: self.generation };
        self.lines[key] = Some(Active { place: at, line, doing: Doing::Connecting });
        self.connections += 1;
        self.desk.count(|statistics| statistics.connections += 1);
        let begun =
            adopted.and_then(|()| client.connect(Some(&target.host), target.port, target.timeout, target.options));
        self.begun(key, begun);
    }

    /// An operation was begun on a connection.
    fn begun(&mut self, key: usize, begun: Result<Progress>) {
        match begun {
            Ok(Progress::Pending) => self.engine.begin(key),
            Ok(Progress::Done(())) => self.ended(key, Ok(())),
            Err(error) => self.ended(key, Err(error)),
        }
    }

    /// A connection is ready, or has had its time.
    fn look(&mut self, key: usize) {
        if self.engine.is_busy(key) {
            if let Some(result) = self.engine.advance(key) {
                self.ended(key, result);
            }
            return;
        }
        let Some(Some(Active { doing: Doing::Idle, place, .. })) = self.lines.get(key) else { return };
        let at = *place;
        let Some(client) = self.engine.client(key) else { return };
        if client.listen().unwrap_or(false) {
            return;
        }
        if let Some(Some(place)) = self.places.get_mut(at)
            && place.destination.lost_idle(key)
        {
            self.drop_line(key, |statistics| {
                statistics.hung_up += 1;
                statistics.idle -= 1;
            });
        }
    }

    /// An operation is over.
    fn ended(&mut self, key: usize, result: Result<()>) {
        let Some(Some(active)) = self.lines.get_mut(key) else { return };
        let at = active.place;
        self.dirty.push(at);
        match std::mem::replace(&mut active.doing, Doing::Idle) {
            Doing::Connecting => match result {
                Ok(()) => self.log_in(key, at),
                Err(error) => self.not_made(key, at, error),
            },
            Doing::LoggingIn => match result {
                Ok(()) => self.made(key, at),
                Err(error) => self.not_made(key, at, error),
            },
            Doing::Sending { job, fresh } => self.settle(key, at, job, fresh, result),
            Doing::Leaving => {
                self.lose(at);
                self.drop_line(key, |_| ());
            }
            // Nothing was under way.
            Doing::Idle => {}
        }
    }

    fn log_in(&mut self, key: usize, at: usize) {
        let (Some(Some(place)), Some(client)) = (self.places.get(at), self.engine.client(key)) else { return };
        let (target, client) = (Arc::clone(&place.target), Arc::clone(client));
        if target.user.is_empty() {
            return self.made(key, at);
        }
        if let Some(Some(active)) = self.lines.get_mut(key) {
            active.doing = Doing::LoggingIn;
        }
        let password = Some(target.password.clone()).filter(|password| !password.is_empty());
        let begun = client.authenticate(Some(&target.user), password);
        self.begun(key, begun);
    }

    fn made(&mut self, key: usize, at: usize) {
        let now = self.engine.now();
        let Some(Some(active)) = self.lines.get_mut(key) else { return };
        (active.line.opened, active.line.since) = (now, now);
        let line = active.line;
        if let Some(Some(place)) = self.places.get_mut(at) {
            place.destination.opened(line);
        }
        self.engine.follow_idle(key);
        self.desk.count(|statistics| {
            statistics.opened += 1;
            statistics.idle += 1;
        });
    }

    fn not_made(&mut self, key: usize, at: usize, error: Box<Error>) {
        let error: Arc<Error> = Arc::from(error);
        let now = self.engine.now();
        let failed = match self.places.get_mut(at) {
            Some(Some(place)) => place.destination.failed(&self.limits, is_lasting(&error), now),
            _ => Vec::new(),
        };
        self.drop_line(key, |statistics| statistics.failed += 1);
        for job in failed {
            self.fail(job, &error);
        }
    }

    fn close(&mut self, line: Line, reason: Reason) {
        let Some(Some(active)) = self.lines.get_mut(line.key) else { return };
        active.doing = Doing::Leaving;
        self.desk.count(|statistics| {
            statistics.idle -= 1;
            *match reason {
                Reason::Age => &mut statistics.retired_age,
                Reason::Count => &mut statistics.retired_count,
                Reason::Idle => &mut statistics.retired_idle,
                Reason::Settings | Reason::Evicted => &mut statistics.retired_other,
            } += 1;
        });
        if let Some(client) = self.engine.client(line.key) {
            let begun = Arc::clone(client).disconnect();
            self.begun(line.key, begun);
        }
    }

    fn evict(&mut self, at: usize, key: usize) {
        let evicted = match self.places.get_mut(at) {
            Some(Some(place)) => place.destination.evict(Some(key)),
            _ => None,
        };
        if let Some(line) = evicted {
            self.close(line, Reason::Evicted);
        }
    }

    /// A connection is gone that its destination did not count as idle.
    fn lose(&mut self, at: usize) {
        if let Some(Some(place)) = self.places.get_mut(at) {
            place.destination.lost();
        }
        self.dirty.push(at);
    }

    fn drop_line(&mut self, key: usize, count: impl FnOnce(&mut Statistics)) {
        let octets = self.engine.remove(key).map_or((0, 0), |client| client.octets());
        self.lines[key] = None;
        self.connections -= 1;
        self.dirty.append(&mut self.starved);
        self.desk.count(|statistics| {
            statistics.connections -= 1;
            statistics.octets_sent += octets.0;
            statistics.octets_received += octets.1;
            count(statistics);
        });
    }
}

// Messages
impl Worker {
    fn send(&mut self, line: Line, mut job: Job, fresh: bool) {
        let key = line.key;
        let Some(client) = self.engine.client(key).map(Arc::clone) else { return };
        self.desk.begin(&job);
        self.desk.count(|statistics| statistics.idle -= 1);
        job.attempts += 1;
        let begun = client.send_message(|| {
            let message = match &job.text {
                Text::Memory(octets) => Content::Shared(Arc::clone(octets)),
                Text::File(path) => Content::File(path),
            };
            Ok(Arguments { sender: &job.sender, recipients: &job.recipients, message })
        });
        if let Some(Some(active)) = self.lines.get_mut(key) {
            active.line = line;
            active.doing = Doing::Sending { job, fresh };
        }
        self.begun(key, begun);
    }

    /// A message has its result.
    fn settle(&mut self, key: usize, at: usize, job: Job, fresh: bool, result: Result<()>) {
        let Some(client) = self.engine.client(key).map(Arc::clone) else { return };
        let error: Option<Arc<Error>> = result.err().map(Arc::from);
        let now = self.engine.now();
        let is_internal = error.as_ref().is_some_and(|error| error.code == Code::INTERNAL);
        let stays = client.is_connected() && !is_internal;
        let was_dead = !fresh
            && !stays
            && job.attempts == 1
            && !self.aborting
            && error.as_ref().is_some_and(|error| is_stale(error));
        let result = (!was_dead).then(|| {
            let result = PoolResult::of(&client, job.id, job.tag, job.attempts, error.clone());
            // Whatever the client had noted of it before it failed cannot be relied on.
            if is_internal { PoolResult { outcome: Outcome::Unknown, ..result } } else { result }
        });
        if stays {
            let Some(Some(active)) = self.lines.get_mut(key) else { return };
            active.line.sent = active.line.sent.saturating_add(1);
            let line = active.line;
            self.desk.count(|statistics| statistics.idle += 1);
            let order = match self.places.get_mut(at) {
                Some(Some(place)) => place.destination.free(line, &self.limits, self.generation, now),
                _ => None,
            };
            // Others wait for room: a destination that always has something to send must
            // not keep them out for ever.
            let turns_over = !self.starved.is_empty() && line.sent.is_multiple_of(TURN);
            match order {
                Some(Order::Close(line, reason)) => self.close(line, reason),
                _ if turns_over => self.evict(at, key),
                _ => self.engine.follow_idle(key),
            }
            self.dirty.append(&mut self.starved);
        } else {
            let closing = error.as_ref().is_some_and(|error| error.code == Code::SERVER_CLOSING);
            self.lose(at);
            self.drop_line(key, |statistics| {
                *match (was_dead, closing) {
                    (true, _) => &mut statistics.stale,
                    (_, true) => &mut statistics.retired_closing,
                    // It came along with the reply.
                    _ if error.is_none() => &mut statistics.hung_up,
                    _ => &mut statistics.broken,
                } += 1;
            });
        }
        match result {
            Some(result) => self.desk.finish(job.octets(), true, result),
            None => {
                self.desk.put_back();
                if let Some(Some(place)) = self.places.get_mut(at) {
                    place.destination.repeat(job, now);
                }
            }
        }
    }

    /// A message fails without having been sent.
    fn fail(&self, job: Job, error: &Arc<Error>) {
        let mut error = Error::clone(error);
        error.outcome = Some(Outcome::NotSent);
        let result = PoolResult::failed(job.id, job.tag, job.attempts, Arc::new(error));
        self.desk.finish(job.octets(), false, result);
    }

    /// Gives up whatever is not over.
    fn abort(&mut self) {
        let error = Arc::from(Error::caller(Code::CANCELLED, "the pool was aborted before the message was sent"));
        for at in 0..self.places.len() {
            let jobs = self.places[at].as_mut().map(|place| place.destination.give_up()).unwrap_or_default();
            for job in jobs {
                self.fail(job, &error);
            }
        }
        for key in 0..self.lines.len() {
            if let Some(result) = self.engine.cancel(key) {
                self.ended(key, result);
            }
        }
    }

    /// Says goodbye as far as that goes without waiting.
    fn leave(&mut self) {
        for key in 0..self.lines.len() {
            let Some(Some(active)) = self.lines.get(key) else { continue };
            let (was_idle, at) = (matches!(active.doing, Doing::Idle), active.place);
            if let Some(client) = self.engine.client(key) {
                let _ = client.disconnect();
            }
            self.lose(at);
            self.drop_line(key, |statistics| {
                statistics.retired_other += 1;
                statistics.idle -= u64::from(was_idle);
            });
        }
    }
}

/// Whether another attempt to connect would meet the same.
fn is_lasting(error: &Error) -> bool {
    let refused_for_good = error.reply.as_ref().is_none_or(|reply| reply.code >= 500);
    match error.code {
        Code::AUTHENTICATION_FAILED => refused_for_good,
        Code::INVALID_AUTHENTICATION_TYPE => true,
        Code::CANCELLED => false,
        _ => error.class() == Class::Caller,
    }
}

/// Whether a connection had ended before the server took note of the message.
fn is_stale(error: &Error) -> bool {
    let died = matches!(
        error.code,
        Code::CONNECTION_CLOSED
            | Code::CONNECTION_RESET
            | Code::CONNECTION_ABORTED
            | Code::SERVER_CLOSING
            | Code::TLS_BROKEN
            | Code::NETWORK
    );
    died && matches!(error.phase, Phase::Idle | Phase::Mail) && error.outcome != Some(Outcome::Unknown)
}
