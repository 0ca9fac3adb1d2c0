//! Looking a host name up on a thread of its own, so that the caller can stop
//! waiting; the system's look-up itself cannot be stopped.

use super::local::Family;
use super::sys;
use super::waker::Waker;
use crate::error::{Code, Error, Phase, Result};
use dns_lookup::{AddrFamily, AddrInfoHints, LookupErrorKind, SockType};
use parking_lot::Mutex;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most look-ups that may be under way in one process, those that nobody
/// waits for any more counted: each holds a thread until the system gives up.
const MOST_LOOKUPS: usize = 1024;

/// `getaddrinfo` and the modules it loads are known to work in this much.
const STACK: usize = 512 * 1024;

/// What glibc says where a name has addresses, but of the other family (`EAI_ADDRFAMILY`).
const OTHER_FAMILY: i32 = -9;

static LOOKUPS: AtomicUsize = AtomicUsize::new(0);

/// A look-up under way.
#[derive(Debug)]
pub struct Lookup {
    answer: Arc<Mutex<Option<Result<Vec<SocketAddr>>>>>,
}

impl Lookup {
    /// Starts looking up; the waker is woken when the answer is there.
    ///
    /// # Errors
    ///
    /// If no thread can be started.
    pub fn start(host: &str, port: u16, family: Family, waker: &Arc<Waker>) -> Result<Self> {
        let answer = Arc::new(Mutex::new(None));
        if LOOKUPS.fetch_add(1, Ordering::Relaxed) >= MOST_LOOKUPS {
            LOOKUPS.fetch_sub(1, Ordering::Relaxed);
            let what = format!("{MOST_LOOKUPS} host name look-ups hang already");
            return Err(Error::new(Code::HOST_LOOKUP_FAILED, Phase::Resolve, what));
        }
        let task = {
            let (host, answer, waker) = (host.to_owned(), Arc::clone(&answer), Arc::clone(waker));
            move || {
                let found = look_up(&host, port, family);
                *answer.lock() = Some(found);
                waker.wake();
                LOOKUPS.fetch_sub(1, Ordering::Relaxed);
            }
        };
        let builder = std::thread::Builder::new().name("smtp-resolve".into()).stack_size(STACK);
        if let Err(error) = sys::without_signals(|| builder.spawn(task)) {
            LOOKUPS.fetch_sub(1, Ordering::Relaxed);
            let what = format!("no thread could be started to look the host name up (system: {error})");
            return Err(Error::new(Code::HOST_LOOKUP_FAILED, Phase::Resolve, what).with_os(&error));
        }
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
