//! What the three protocols have in common, seen from outside.

use super::address::{Protocol, Proxy};
use super::http_connect::HttpConnect;
use super::socks4::Socks4;
use super::socks5::Socks5;
use crate::error::{Code, Error, Phase, Result};
use crate::proto::Secret;
use std::fmt;
use std::net::IpAddr;

/// The most octets of an HTTP proxy's answer: squid's own limit for a header is 64
/// KiB, and an answer to CONNECT seldom has more than 500 octets.
pub const MAX_HEADER: usize = 16 * 1024;

/// Where the proxy is to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Host name in ASCII, or address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Target {
    /// The host if it is an address.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Target {
    /// As in the address of an HTTP request (RFC 9110 section 7.1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// What one octet from the proxy leads to.
pub(super) enum Step {
    /// More have to come.
    More,
    /// This is to be sent.
    Send(Secret),
    /// The connection to the server is there: the next octet is the server's.
    Done,
}

/// Why there is no connection; the words follow the name of the proxy.
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) what: String,
}

impl Fault {
    pub(super) fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into() }
    }

    /// The proxy said something that its protocol does not have.
    pub(super) fn protocol(what: impl Into<String>) -> Self {
        Self::new(Code::PROXY_PROTOCOL, what)
    }
}

#[derive(Debug)]
enum Machine {
    Socks4(Socks4),
    Socks5(Socks5),
    HttpConnect(HttpConnect),
}

/// One request to a proxy; see the module.
#[derive(Debug)]
pub struct Tunnel {
    machine: Machine,
    /// Has the login.
    output: Secret,
    written: usize,
    received: usize,
    done: bool,
    proxy: String,
}

impl Tunnel {
    /// Asks a proxy for a connection.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` if the proxy's protocol cannot say what is asked for.
    pub fn new(proxy: &Proxy, target: &Target) -> Result<Self> {
        let made = match proxy.protocol() {
            Protocol::Socks4a => Socks4::new(proxy, target).map(|(made, output)| (Machine::Socks4(made), output)),
            Protocol::Socks5 => Socks5::new(proxy, target).map(|(made, output)| (Machine::Socks5(made), output)),
            Protocol::Http => Ok(HttpConnect::new(proxy, target)).map(|(made, out)| (Machine::HttpConnect(made), out)),
        };
        let (machine, output) = made.map_err(|what| Error::caller(Code::INVALID_PARAMETER, what))?;
        Ok(Self { machine, output, written: 0, received: 0, done: false, proxy: proxy.to_string() })
    }

    /// What is to be sent next.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.output.expose().get(self.written..).unwrap_or_default()
    }

    /// Takes note that so much of the output was sent.
    pub fn handle_written(&mut self, count: usize) {
        self.written += count;
        if self.output().is_empty() {
            // A login is not kept longer than it is needed.
            self.output = Secret::default();
            self.written = 0;
        }
    }

    /// Takes octets from the proxy, and tells how many of them were the proxy's
    /// own: what follows is from the server.
    ///
    /// # Errors
    ///
    /// `PROXY_REFUSED`, `PROXY_TARGET`, `PROXY_AUTHENTICATION`, `PROXY_PROTOCOL`.
    pub fn handle_input(&mut self, octets: &[u8]) -> Result<usize> {
        for (used, octet) in octets.iter().enumerate() {
            if self.done {
                return Ok(used);
            }
            if !self.output().is_empty() {
                return Err(self.error(Fault::protocol("answered before it was asked")));
            }
            self.received += 1;
            let step = match &mut self.machine {
                Machine::Socks4(machine) => machine.take(*octet),
                Machine::Socks5(machine) => machine.take(*octet),
                Machine::HttpConnect(machine) => machine.take(*octet),
            };
            match step {
                Ok(Step::More) => {}
                Ok(Step::Send(output)) => self.output = output,
                Ok(Step::Done) => self.done = true,
                Err(fault) => return Err(self.error(fault)),
            }
        }
        Ok(octets.len())
    }

    /// Whether the connection to the server is there.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// What it means that the proxy has closed the connection.
    #[must_use]
    pub fn handle_end_of_stream(&self) -> Box<Error> {
        let part = match (self.received, &self.machine) {
            (0, _) => "without an answer",
            (_, Machine::Socks5(machine)) if machine.has_sent_login() => "instead of answering the login",
            (_, Machine::Socks5(machine)) if machine.has_asked() => "instead of answering the request",
            _ => "in the middle of its answer",
        };
        self.error(Fault::protocol(format!("closed the connection {part}")))
    }

    fn error(&self, fault: Fault) -> Box<Error> {
        Error::new(fault.code, Phase::Proxy, format!("the proxy {} {}", self.proxy, fault.what))
    }
}
