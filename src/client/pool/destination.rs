//! Who gets which connection to one destination when: no sockets, clock or threads.

use super::limits::Limits;
use crate::proto::Moment;
use std::collections::VecDeque;

/// A connection as far as the choice among several goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Whose it is.
    pub(super) key: usize,
    /// When it was made.
    pub(super) opened: Moment,
    /// Since when it is idle.
    pub(super) since: Moment,
    /// How many messages went over it.
    pub(super) sent: u32,
    /// The settings that it was made with.
    pub(super) generation: u64,
}

/// Why a connection was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Age,
    Count,
    Idle,
    /// The settings have changed.
    Settings,
    /// Another destination needs it more.
    Evicted,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order<J> {
    /// Send it over this connection, which was made just now or has been idle.
    Send { line: Line, job: J, fresh: bool },
    /// Make one connection more.
    Open,
    /// Say goodbye.
    Close(Line, Reason),
}

#[derive(Debug)]
struct Waiting<J> {
    job: J,
    since: Moment,
}

/// One destination; see the module.
#[derive(Debug)]
pub(super) struct Destination<J> {
    queue: VecDeque<Waiting<J>>,
    /// What met a connection that was dead already; for new ones only.
    repeats: VecDeque<Waiting<J>>,
    fresh: Vec<Line>,
    /// The one used last is at the end, and used first: those that are not needed grow old.
    idle: VecDeque<Line>,
    /// No idle one was made before this.
    oldest: Option<Moment>,
    opening: u32,
    /// All of them, from the attempt to the end.
    connections: u32,
    /// When the last messages were begun, as far as the rate is concerned.
    begun: VecDeque<Moment>,
    failures: u32,
    shut_until: Option<Moment>,
}

impl<J> Default for Destination<J> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            repeats: VecDeque::new(),
            fresh: Vec::new(),
            idle: VecDeque::new(),
            oldest: None,
            opening: 0,
            connections: 0,
            begun: VecDeque::new(),
            failures: 0,
            shut_until: None,
        }
    }
}

impl<J> Destination<J> {
    pub(super) fn push(&mut self, job: J, now: Moment) {
        self.queue.push_back(Waiting { job, since: now });
    }

    /// A message met a connection that was dead: it goes over a new one, before all others.
    pub(super) fn repeat(&mut self, job: J, now: Moment) {
        self.repeats.push_back(Waiting { job, since: now });
    }

    /// The next thing to do; `may_open` if the pool has room for one connection more.
    pub(super) fn next(&mut self, limits: &Limits, generation: u64, may_open: bool, now: Moment) -> Option<Order<J>> {
        loop {
            if self.waiting() == 0 || !self.may_begin(limits, now) {
                let fresh = std::mem::take(&mut self.fresh);
                fresh.into_iter().for_each(|line| self.lay(line, now));
                return None;
            }
            if let Some(line) = self.fresh.pop() {
                let next = self.repeats.pop_front().or_else(|| self.queue.pop_front());
                let Some(Waiting { job, .. }) = next else { continue };
                self.note_begin(limits, now);
                return Some(Order::Send { line, job, fresh: true });
            }
            if !self.queue.is_empty()
                && let Some(line) = self.idle.pop_back()
            {
                if let Some(reason) = retirement(&line, limits, generation, now) {
                    return Some(Order::Close(line, reason));
                }
                let Waiting { job, .. } = self.queue.pop_front()?;
                self.note_begin(limits, now);
                return Some(Order::Send { line, job, fresh: false });
            }
            if may_open && self.wants_more(limits, now) {
                self.opening += 1;
                self.connections += 1;
                return Some(Order::Open);
            }
            return None;
        }
    }

    /// Whether it would open a connection if it could.
    pub(super) fn wants_more(&self, limits: &Limits, now: Moment) -> bool {
        let is_shut = self.shut_until.is_some_and(|until| now < until);
        // After a failure one attempt is enough to find out.
        let enough = if self.failures > 0 { 1 } else { usize::MAX };
        self.connections < limits.connections
            && (self.opening as usize) < self.waiting().min(enough)
            && !is_shut
            && self.may_begin(limits, now)
    }

    /// A connection was made.
    pub(super) fn opened(&mut self, line: Line) {
        self.opening -= 1;
        self.failures = 0;
        self.shut_until = None;
        self.fresh.push(line);
    }

    /// A connection could not be made; gives what fails with it. `lasting` if trying again
    /// would not help.
    pub(super) fn failed(&mut self, limits: &Limits, lasting: bool, now: Moment) -> Vec<J> {
        self.opening -= 1;
        self.connections -= 1;
        self.failures = self.failures.saturating_add(1);
        self.shut_until = Some(now + limits.back_off_after(self.failures));
        if !lasting && self.failures < limits.attempts {
            return Vec::new();
        }
        let mut failed: Vec<J> = self.repeats.drain(..).map(|waiting| waiting.job).collect();
        // As long as others work, the rest goes over them.
        if self.connections == self.opening {
            failed.extend(self.queue.drain(..).map(|waiting| waiting.job));
        }
        failed
    }

    /// A message is over, and its connection is good for another.
    pub(super) fn free(&mut self, line: Line, limits: &Limits, generation: u64, now: Moment) -> Option<Order<J>> {
        match retirement(&Line { since: now, ..line }, limits, generation, now) {
            Some(reason) => Some(Order::Close(line, reason)),
            None => {
                self.lay(line, now);
                None
            }
        }
    }

    /// A connection is gone that was not idle.
    pub(super) fn lost(&mut self) {
        self.connections -= 1;
    }

    /// An idle connection is gone; false if it is none of these.
    pub(super) fn lost_idle(&mut self, key: usize) -> bool {
        let before = self.idle.len() + self.fresh.len();
        self.idle.retain(|line| line.key != key);
        self.fresh.retain(|line| line.key != key);
        let found = self.idle.len() + self.fresh.len() != before;
        if found {
            self.connections -= 1;
        }
        found
    }

    /// Takes an idle connection away for another destination's sake: the one that was idle
    /// longest, or this one.
    pub(super) fn evict(&mut self, key: Option<usize>) -> Option<Line> {
        match key {
            None => self.idle.pop_front(),
            Some(key) => {
                let at = self.idle.iter().position(|line| line.key == key)?;
                self.idle.remove(at)
            }
        }
    }

    /// Takes away an idle connection that has had its time.
    pub(super) fn retire(&mut self, limits: &Limits, generation: u64, now: Moment) -> Option<(Line, Reason)> {
        let found = self.idle.iter().enumerate().find_map(|(at, line)| {
            let reason = retirement(line, limits, generation, now)?;
            Some((at, reason))
        });
        let Some((at, reason)) = found else {
            self.oldest = self.idle.iter().map(|line| line.opened).min();
            return None;
        };
        self.idle.remove(at).map(|line| (line, reason))
    }

    /// Takes away a message that has waited too long.
    pub(super) fn expire(&mut self, limits: &Limits, now: Moment) -> Option<J> {
        let limit = u64::from(limits.queue_time);
        [&mut self.repeats, &mut self.queue].into_iter().find_map(|queue| {
            let is_over = limit != 0 && queue.front().is_some_and(|first| now >= first.since + limit);
            if is_over { queue.pop_front().map(|waiting| waiting.job) } else { None }
        })
    }

    /// Takes away all that wait.
    pub(super) fn give_up(&mut self) -> Vec<J> {
        self.repeats.drain(..).chain(self.queue.drain(..)).map(|waiting| waiting.job).collect()
    }

    /// When there is something to do even if nothing happens.
    pub(super) fn deadline(&self, limits: &Limits, now: Moment) -> Option<Moment> {
        let after = |since: Option<Moment>, limit: u32| since.and_then(|since| since.limit(limit));
        let since = |queue: &VecDeque<Waiting<J>>| queue.front().map(|first| first.since);
        let mut soonest = Moment::earlier(
            after(self.idle.front().map(|line| line.since), limits.idle),
            after(self.oldest.filter(|_| !self.idle.is_empty()), limits.age),
        );
        for queue in [&self.queue, &self.repeats] {
            soonest = Moment::earlier(soonest, after(since(queue), limits.queue_time));
        }
        if self.waiting() > 0 {
            if !self.may_begin(limits, now) {
                soonest =
                    Moment::earlier(soonest, self.begun.front().map(|first| *first + u64::from(limits.rate_period)));
            }
            soonest = Moment::earlier(soonest, self.shut_until.filter(|until| *until > now));
        } else if self.connections == 0 {
            // Then nothing of it needs to be remembered any more.
            let limited =
                self.begun.back().filter(|_| limits.rate != 0).map(|last| *last + u64::from(limits.rate_period));
            soonest = self.shut_until.max(limited).filter(|until| *until > now);
        }
        soonest
    }

    /// Whether nothing is lost if it is forgotten.
    pub(super) fn is_spent(&self, limits: &Limits, now: Moment) -> bool {
        let is_limited =
            self.begun.back().is_some_and(|last| limits.rate != 0 && now < *last + u64::from(limits.rate_period));
        let is_shut = self.shut_until.is_some_and(|until| now < until);
        self.connections == 0 && self.waiting() == 0 && !is_limited && !is_shut
    }

    fn waiting(&self) -> usize {
        self.queue.len() + self.repeats.len()
    }

    fn lay(&mut self, line: Line, now: Moment) {
        self.oldest = Moment::earlier(self.oldest, Some(line.opened));
        self.idle.push_back(Line { since: now, ..line });
    }

    fn may_begin(&self, limits: &Limits, now: Moment) -> bool {
        let rate = limits.rate as usize;
        let first = self.begun.len().checked_sub(rate).and_then(|over| self.begun.get(over));
        rate == 0 || first.is_none_or(|first| now >= *first + u64::from(limits.rate_period))
    }

    fn note_begin(&mut self, limits: &Limits, now: Moment) {
        if limits.rate == 0 {
            self.begun.clear();
            return;
        }
        self.begun.push_back(now);
        while self.begun.len() > limits.rate as usize {
            self.begun.pop_front();
        }
    }
}

fn retirement(line: &Line, limits: &Limits, generation: u64, now: Moment) -> Option<Reason> {
    let over = |since: Moment, limit: u32| limit != 0 && now >= since + u64::from(limit);
    if line.generation != generation {
        Some(Reason::Settings)
    } else if limits.messages != 0 && line.sent >= limits.messages {
        Some(Reason::Count)
    } else if over(line.opened, limits.age) {
        Some(Reason::Age)
    } else if over(line.since, limits.idle) {
        Some(Reason::Idle)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
