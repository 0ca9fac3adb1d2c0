//! Looking a host name up on a thread of its own, so that the caller can stop
//! waiting; the system's look-up itself cannot be stopped.

use super::local::Family;
use super::sys;
use super::waker::Waker;
use crate::error::{Code, Error, Phase, Result};
use dns_lookup::{AddrFamily, AddrInfoHints, LookupErrorKind, SockType};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

/// The most look-ups that run at a time in one process, those that nobody waits for
/// any more counted: each holds a thread until the system gives up. Others wait.
const MOST_LOOKUPS: usize = 256;

/// `getaddrinfo` and the modules it loads are known to work in this much.
const STACK: usize = 512 * 1024;

/// What glibc says where a name has addresses, but of the other family (`EAI_ADDRFAMILY`).
const OTHER_FAMILY: i32 = -9;

type Answer = Mutex<Option<Result<Vec<SocketAddr>>>>;

/// A look-up under way.
#[derive(Debug)]
pub struct Lookup {
    answer: Arc<Answer>,
}

/// What a thread has to do.
struct Task {
    host: String,
    port: u16,
    family: Family,
    /// Gone when nobody waits for it any more.
    answer: Weak<Answer>,
    waker: Arc<Waker>,
}

impl Task {
    fn run(self) {
        if self.answer.strong_count() == 0 {
            return;
        }
        let found = look_up(&self.host, self.port, self.family);
        if let Some(answer) = self.answer.upgrade() {
            *answer.lock() = Some(found);
            self.waker.wake();
        }
    }
}

/// The look-ups of the process.
struct Lookups {
    /// Of which process: a child has none of its parent's threads.
    epoch: u64,
    running: usize,
    waiting: VecDeque<Task>,
}

static LOOKUPS: Mutex<Lookups> = Mutex::new(Lookups { epoch: 0, running: 0, waiting: VecDeque::new() });

impl Lookups {
    /// The next task of a thread that has done one; without one, the thread ends.
    fn next() -> Option<Task> {
        let mut lookups = LOOKUPS.lock();
        let next = lookups.waiting.pop_front();
        if next.is_none() {
            lookups.running -= 1;
        }
        next
    }

    fn add(task: Task) -> std::io::Result<()> {
        let mut lookups = LOOKUPS.lock();
        if lookups.epoch != sys::process_epoch() {
            *lookups = Self { epoch: sys::process_epoch(), running: 0, waiting: VecDeque::new() };
        }
        if lookups.running >= MOST_LOOKUPS {
            lookups.waiting.push_back(task);
            return Ok(());
        }
        lookups.running += 1;
        drop(lookups);
        let work = move || {
            let mut task = Some(task);
            while let Some(present) = task {
                present.run();
                task = Self::next();
            }
        };
        let builder = std::thread::Builder::new().name("smtp-resolve".into()).stack_size(STACK);
        sys::without_signals(|| builder.spawn(work)).map(drop).inspect_err(|_| LOOKUPS.lock().running -= 1)
    }
}

impl Lookup {
    /// Starts looking up; the waker is woken when the answer is there.
    ///
    /// # Errors
    ///
    /// If no thread can be started.
    pub fn start(host: &str, port: u16, family: Family, waker: &Arc<Waker>) -> Result<Self> {
        let answer = Arc::new(Mutex::new(None));
        let (host, waker) = (host.to_owned(), Arc::clone(waker));
        let task = Task { host, port, family, answer: Arc::downgrade(&answer), waker };
        Lookups::add(task).map_err(|error| {
            let what = format!("no thread could be started to look the host name up (system: {error})");
            Error::new(Code::HOST_LOOKUP_FAILED, Phase::Resolve, what).with_os(&error)
        })?;
        Ok(Self { answer })
    }

    /// The answer, once it is there.
    #[must_use]
    pub fn take(&self) -> Option<Result<Vec<SocketAddr>>> {
        self.answer.lock().take()
    }
}

/// The address if the host is one already, with or without brackets.
#[must_use]
pub fn literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    inner.parse().ok()
}

fn look_up(host: &str, port: u16, family: Family) -> Result<Vec<SocketAddr>> {
    let address = match family {
        Family::Any => 0,
        Family::Ipv4 => AddrFamily::Inet.into(),
        Family::Ipv6 => AddrFamily::Inet6.into(),
    };
    let hints = AddrInfoHints { socktype: SockType::Stream.into(), address, ..AddrInfoHints::default() };
    let failed = |code: Code, what: String| Error::new(code, Phase::Resolve, what).with_address(host);
    let infos = dns_lookup::getaddrinfo(Some(host), None, Some(hints)).map_err(|error| {
        let code = match error.kind() {
            LookupErrorKind::NoName | LookupErrorKind::NoData => Code::HOST_NOT_FOUND,
            _ if family != Family::Any && error.error_num() == OTHER_FAMILY => Code::HOST_NOT_FOUND,
            _ => Code::HOST_LOOKUP_FAILED,
        };
        let number = error.error_num();
        let reason = std::io::Error::from(error);
        let kind = if family == Family::Any { String::new() } else { format!(" for {} addresses", family.name()) };
        let mut failure = failed(code, format!("the host name \"{host}\" could not be looked up{kind} ({reason})"));
        failure.os_error = number;
        failure
    })?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for info in infos.flatten() {
        let mut address = info.sockaddr;
        address.set_port(port);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(failed(Code::HOST_NOT_FOUND, format!("the host name \"{host}\" has no address")));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_known_without_a_look_up() {
        assert_eq!(literal("127.0.0.1"), Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(literal("[::1]"), Some("::1".parse().expect("an address")));
        assert_eq!(literal("example.com"), None);
    }

    #[test]
    fn the_waker_tells_of_the_answer() {
        let waker = Arc::new(Waker::new().expect("descriptors"));
        let lookup = Lookup::start("localhost", 25, Family::Any, &waker).expect("a thread");
        sys::wait(&[waker.watch()], Some(10_000)).expect("poll");
        let addresses = lookup.take().expect("an answer").expect("localhost has an address");
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 25));
    }

    #[test]
    fn more_look_ups_than_threads_wait_for_each_other() {
        let waker = Arc::new(Waker::new().expect("descriptors"));
        let start = |_| Lookup::start("localhost", 25, Family::Any, &waker).expect("a thread");
        let mut lookups: Vec<_> = (0..3 * MOST_LOOKUPS).map(start).collect();
        // Whoever gives up holds nobody up.
        lookups.truncate(5 * MOST_LOOKUPS / 2);
        sys::wait(&[waker.watch()], Some(20_000)).expect("poll");
        while let Some(lookup) = lookups.pop() {
            match lookup.take() {
                Some(answer) => assert!(answer.is_ok()),
                None => {
                    lookups.push(lookup);
                    std::thread::yield_now();
                }
            }
        }
    }

    #[test]
    fn a_name_without_an_address_of_the_family() {
        let error = look_up("127.0.0.1", 25, Family::Ipv6).expect_err("IPv4");
        assert_eq!(error.code, Code::HOST_NOT_FOUND);
        assert!(error.what.contains("for IPv6 addresses"), "{}", error.what);
    }

    #[test]
    fn a_name_that_cannot_exist() {
        let error = look_up("no-such-host.invalid", 25, Family::Any).expect_err("RFC 6761 forbids it");
        assert!([Code::HOST_NOT_FOUND, Code::HOST_LOOKUP_FAILED].contains(&error.code));
        assert!(error.what.contains("no-such-host.invalid"));
        assert_ne!(error.os_error, 0);
    }
}
