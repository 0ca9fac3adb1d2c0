//! Connecting to the first address that answers (RFC 8305): the families take
//! turns, and each address gets a head start before the next one is tried too.

use super::local::Local;
use super::socket::{Socket, os_error};
use super::sys::Watch;
use super::wire_error;
use crate::error::{Code, Error, Phase, Result};
use crate::proto::Moment;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// The head start of an attempt, in milliseconds (RFC 8305 section 5).
const HEAD_START: u64 = 250;

/// Connection attempts under way.
#[derive(Debug)]
pub struct Race {
    waiting: VecDeque<SocketAddr>,
    running: Vec<(SocketAddr, Socket)>,
    next_start: Moment,
    failures: Vec<(SocketAddr, io::Error)>,
    local: Local,
}

impl Race {
    /// A race between addresses in the order of preference.
    #[must_use]
    pub fn new(addresses: Vec<SocketAddr>, local: Local, now: Moment) -> Self {
        Self { waiting: interleave(addresses), running: Vec::new(), next_start: now, failures: Vec::new(), local }
    }

    /// Starts what is due and looks for a winner.
    ///
    /// # Errors
    ///
    /// When every address has failed: each with its reason.
    pub fn step(&mut self, now: Moment) -> Result<Option<(SocketAddr, Socket)>> {
        if let Some(winner) = self.winner() {
            return Ok(Some(winner));
        }
        while !self.waiting.is_empty() && (now >= self.next_start || self.running.is_empty()) {
            if let Some(address) = self.waiting.pop_front() {
                self.start(address);
                self.next_start = now + HEAD_START;
            }
        }
        if self.running.is_empty() { Err(self.all_failed()) } else { Ok(None) }
    }

    /// What to wait for.
    pub fn watches(&self) -> impl Iterator<Item = Watch> {
        self.running.iter().map(|(_, socket)| Watch { socket: socket.raw(), read: false, write: true })
    }

    /// The socket, where there is one attempt.
    #[must_use]
    pub fn only_socket(&self) -> Option<Arc<socket2::Socket>> {
        match &*self.running {
            [(_, socket)] => Some(socket.shared()),
            _ => None,
        }
    }

    /// When there is something to do even if nothing happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        (!self.waiting.is_empty()).then_some(self.next_start)
    }

    /// The addresses tried so far, and what came of each.
    #[must_use]
    pub fn attempts(&self) -> Vec<(String, String)> {
        let failed = self.failures.iter().map(|(address, error)| (address.to_string(), error.to_string()));
        let running = self.running.iter().map(|(address, _)| (address.to_string(), "no answer".to_owned()));
        let waiting = self.waiting.iter().map(|address| (address.to_string(), "not tried yet".to_owned()));
        failed.chain(running).chain(waiting).collect()
    }

    /// The same as a part of a sentence.
    #[must_use]
    pub fn tried(&self) -> String {
        let attempts = self.attempts();
        attempts.iter().map(|(address, reason)| format!("{address} ({reason})")).collect::<Vec<_>>().join(", ")
    }

    fn start(&mut self, address: SocketAddr) {
        match Socket::connect(address, &self.local) {
            Ok(socket) => self.running.push((address, socket)),
            Err(error) => self.failures.push((address, error)),
        }
    }

    fn winner(&mut self) -> Option<(SocketAddr, Socket)> {
        let mut at = 0;
        while at < self.running.len() {
            match self.running[at].1.is_connected() {
                Ok(true) => return Some(self.running.swap_remove(at)),
                Ok(false) => at += 1,
                Err(error) => {
                    let (address, _) = self.running.remove(at);
                    self.failures.push((address, error));
                }
            }
        }
        None
    }

    /// The error of the address that was preferred, naming all of them.
    fn all_failed(&mut self) -> Box<Error> {
        let tried = self.tried();
        let Some((address, error)) = self.failures.first() else {
            return Error::new(Code::HOST_NOT_FOUND, Phase::Connect, "there is no address to connect to");
        };
        let mut failure = wire_error(error, Phase::Connect).with_address(address.to_string());
        failure.what = format!("no connection could be made to {tried}");
        failure.os_error = os_error(error);
        failure.attempts = self.attempts();
        if error.kind() == io::ErrorKind::PermissionDenied && self.local.interface.is_some() {
            let remedy = "Run with the right CAP_NET_RAW, or clear SMTP_PROPERTY_LOCAL_INTERFACE.";
            failure = failure.with_remedy(remedy);
        }
        failure
    }
}

/// Families take turns, beginning with that of the first address (RFC 8305 section 4).
fn interleave(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut order = VecDeque::new();
    while !first.is_empty() || !second.is_empty() {
        order.extend(first.pop_front());
        order.extend(second.pop_front());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::super::sys;
    use super::*;
    use std::net::TcpListener;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn families_take_turns() {
        let sorted = interleave(addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]));
        assert_eq!(sorted, addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]));
    }

    fn run(race: &mut Race) -> Result<(SocketAddr, Socket)> {
        let clock = super::super::clock::Clock::start();
        loop {
            if let Some(winner) = race.step(clock.now())? {
                return Ok(winner);
            }
            let watches: Vec<_> = race.watches().collect();
            sys::wait(&watches, Some(50)).expect("poll");
        }
    }

    #[test]
    fn an_address_that_refuses_gives_way_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let live = listener.local_addr().expect("an address");
        let dead = {
            let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
            closed.local_addr().expect("an address")
        };
        let mut race = Race::new(vec![dead, live], Local::default(), Moment(0));
        assert_eq!(run(&mut race).expect("one answers").0, live);
        let mut race = Race::new(vec![dead], Local::default(), Moment(0));
        let error = run(&mut race).expect_err("none answers");
        assert_eq!(error.code, Code::CONNECTION_REFUSED);
        assert_eq!(error.os_error, libc::ECONNREFUSED);
        assert!(error.what.contains(&dead.to_string()));
        assert_eq!(error.attempts.len(), 1);
        assert_eq!(error.attempts[0].0, dead.to_string());
    }

    /// An address that never answers (a listener whose queue is full) loses to
    /// the second one after its head start; the time is invented.
    #[test]
    fn a_silent_address_loses_after_its_head_start() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let live = listener.local_addr().expect("an address");
        let silent = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut race = Race::new(vec![live], Local::default(), Moment(1000));
        race.next_start = Moment(1000 + HEAD_START);
        race.running.push((silent, unanswered()));
        assert!(race.step(Moment(1000 + HEAD_START - 1)).expect("waits").is_none());
        assert_eq!(race.waiting.len(), 1, "not before its time");
        let _ = race.step(Moment(1000 + HEAD_START));
        assert!(race.waiting.is_empty(), "now it is tried too");
    }

    /// A socket that is still connecting as far as anybody can tell.
    fn unanswered() -> Socket {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        listener.listen(0).expect("listens");
        let address = listener.local_addr().expect("an address").as_socket().expect("IP");
        let mut fillers: Vec<Socket> =
            (0..4).map(|_| Socket::connect(address, &Local::default()).expect("starts")).collect();
        let last = fillers.pop().expect("four were made");
        // Kept open until the process ends, so that the queue stays full.
        std::mem::forget((listener, fillers));
        last
    }
}
