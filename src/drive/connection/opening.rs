//! The stages before the conversation: from a host name to a stream that leads to the
//! server, through a proxy where there is one.

use super::{Connection, Observer, Plan, Result, Stage, note};
use crate::error::{Class, Code, Error, Phase};
use crate::net::canceller::{Canceller, Target as CancelTarget};
use crate::net::local::Family;
use crate::net::peer::Peer;
use crate::net::race::Race;
use crate::net::resolve::{self, Lookup};
use crate::net::socket::Socket;
use crate::net::stream::Stream;
use crate::net::sys::{RawSocket, SHUTDOWN_ENDS_CONNECTING, Watch};
use crate::net::waker::Waker;
use crate::net::wire_error;
use crate::proxy::{Proxy, Target, Tunnel};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A connected proxy that is being asked.
#[derive(Debug)]
pub(super) struct Tunnelling {
    socket: Socket,
    peer: SocketAddr,
    tunnel: Tunnel,
}

impl Connection {
    /// Takes a connection over that the caller has made; its number of the socket
    /// stays the caller's.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` if it cannot be used.
    pub fn adopt(mut plan: Plan, socket: RawSocket, canceller: Arc<Canceller>) -> Result<Self> {
        let refused = |error: &io::Error| {
            let what = format!("the socket {socket} is no connected stream socket (system: {error})");
            Error::caller(Code::INVALID_PARAMETER, what).with_os(error)
        };
        let adopted = Socket::adopt(socket).map_err(|error| refused(&error))?;
        if plan.local.keep_alive != 0 {
            adopted.keep_alive(plan.local.keep_alive).map_err(|error| wire_error(&error, Phase::Connect))?;
        }
        let peer = match adopted.peer_address() {
            Some(address) => Peer::Address(address),
            None => Peer::Path("a socket of the caller".to_owned()),
        };
        plan.attached = true;
        let mut new = Self::unopened(plan, canceller);
        new.stage = Stage::Joined(peer, Stream::new(adopted));
        Ok(new)
    }

    /// The first stage.
    pub(super) fn start(&mut self) -> Result<()> {
        let plan = &self.plan;
        if plan.attached {
            let what = "a new connection is needed, and one that was handed over cannot be made anew";
            return Err(Error::new(Code::NOT_CONNECTED, Phase::Connect, what)
                .with_remedy("Hand over a new one with SmtpAttachSocket."));
        }
        self.stage_since = self.timer.now;
        if let Some(path) = &plan.path {
            let socket = Socket::connect_path(path)
                .map_err(|error| wire_error(&error, Phase::Connect).with_address(path.clone()))?;
            self.stage = Stage::Joined(Peer::Path(path.clone()), Stream::new(socket));
        } else {
            let (host, port) = match &plan.proxy {
                Some(proxy) => (proxy.host(), proxy.port()),
                None => (plan.host.as_str(), plan.port),
            };
            let known: Vec<IpAddr> = match resolve::literal(host) {
                Some(address) if plan.addresses.is_empty() => vec![address],
                _ => plan.addresses.clone(),
            };
            if known.is_empty() {
                let waker = wait_on_waker(&mut self.waker, &self.canceller)?;
                self.stage = Stage::Resolving(Lookup::start(host, port, plan.family, &waker)?);
            } else {
                if known.len() > 1 || !SHUTDOWN_ENDS_CONNECTING {
                    wait_on_waker(&mut self.waker, &self.canceller)?;
                }
                self.race(known.into_iter().map(|address| SocketAddr::new(address, port)).collect())?;
            }
        }
        Ok(())
    }

    /// A connection is being made, with no waker beside it to be cancelled by.
    pub(super) fn wait_on_only_socket(&self) {
        if let (None, Stage::Racing(race)) = (&self.waker, &self.stage) {
            self.canceller.set_target(race.only_socket().map(CancelTarget::Socket));
        }
    }

    /// Has the addresses compete that are of the right family.
    pub(super) fn race(&mut self, mut addresses: Vec<SocketAddr>) -> Result<()> {
        let plan = &self.plan;
        let all = addresses.len();
        addresses.retain(|address| plan.family.has(address.ip()));
        if addresses.is_empty() && all > 0 && plan.family != Family::Any {
            let what = format!(
                "there is no {} address to connect to, as SMTP_PROPERTY_ADDRESS_FAMILY asks for",
                plan.family.name()
            );
            return Err(Error::new(Code::HOST_NOT_FOUND, Phase::Resolve, what)
                .with_address(plan.host.clone())
                .with_remedy("Set SMTP_PROPERTY_ADDRESS_FAMILY to SMTP_FAMILY_ANY, or use another host."));
        }
        if plan.prefer_ipv6 {
            // Stable: within a family the system's order stays (RFC 6724).
            addresses.sort_by_key(SocketAddr::is_ipv4);
        }
        self.stage_since = self.timer.now;
        self.stage = Stage::Racing(Race::new(addresses, plan.local.clone(), self.stage_since));
        Ok(())
    }

    /// A connection is made: to the server, or to the proxy, which is asked then.
    pub(super) fn reached(&mut self, peer: SocketAddr, socket: Socket, observer: &mut dyn Observer) -> Result<()> {
        let Some(proxy) = &self.plan.proxy else {
            return self.talk(Peer::Address(peer), Stream::new(socket), observer);
        };
        let tunnel = Tunnel::new(proxy, &target(&self.plan))?;
        note(observer, || format!("connected to {peer}, the proxy {proxy}"));
        self.stage_since = self.timer.now;
        self.stage = Stage::Tunnelling(Box::new(Tunnelling { socket, peer, tunnel }));
        Ok(())
    }

    /// The proxy has made the connection to the server.
    pub(super) fn through(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let Stage::Tunnelling(done) = std::mem::replace(&mut self.stage, Stage::Failed) else { return Ok(()) };
        note(observer, || format!("the proxy has connected to {}", target(&self.plan)));
        self.talk(Peer::Address(done.peer), Stream::new(done.socket), observer)
    }

    /// Whether nothing that is sent leaves this machine, as far as can be told: a
    /// proxy sends it on, and so may whoever made a connection that was handed over.
    pub(super) fn is_private(&self, peer: &Peer) -> bool {
        self.plan.proxy.is_none() && !self.plan.attached && peer.is_private()
    }

    /// An error of a stage before the conversation, with the proxy named where it is
    /// the proxy's affair.
    pub(super) fn name_proxy(&self, mut error: Box<Error>) -> Box<Error> {
        let Some(proxy) = self.plan.proxy.as_ref().filter(|_| error.class() == Class::Wire) else { return error };
        match &self.stage {
            Stage::Tunnelling(_) => {
                if !error.what.contains(&proxy.to_string()) {
                    error.what = format!("{} (the proxy is {proxy})", error.what);
                }
            }
            Stage::Resolving(_) | Stage::Racing(_) => {
                error.what = format!("the proxy {proxy} could not be reached: {}", error.what);
                if error.remedy.is_none() {
                    error.remedy = Some("Check SMTP_PROPERTY_PROXY, and whether the proxy runs.".to_owned());
                }
            }
            _ => return error,
        }
        error.address = Some(place(proxy));
        error
    }
}

impl Tunnelling {
    /// Does what can be done without waiting; true once the server is reached.
    pub(super) fn step(&mut self) -> Result<bool> {
        match self.exchange() {
            Ok(done) => Ok(done),
            Err(Trouble::Wire(error)) if is_early(&error) => Ok(false),
            Err(Trouble::Wire(error)) => Err(wire_error(&error, Phase::Proxy)),
            Err(Trouble::Proxy(error)) => Err(error),
        }
    }

    pub(super) fn watch(&self) -> Watch {
        Watch { socket: self.socket.raw(), read: true, write: !self.tunnel.output().is_empty() }
    }

    pub(super) fn shared_socket(&self) -> Arc<socket2::Socket> {
        self.socket.shared()
    }

    fn exchange(&mut self) -> std::result::Result<bool, Trouble> {
        /// The answers are short, and what is the server's is only looked at.
        const LOOKED_AT: usize = 1024;
        loop {
            while !self.tunnel.output().is_empty() {
                let count = self.socket.send(self.tunnel.output()).map_err(Trouble::Wire)?;
                self.tunnel.handle_written(count);
            }
            let mut buffer = [0; LOOKED_AT];
            let there = self.socket.peek(&mut buffer).map_err(Trouble::Wire)?;
            if there == 0 {
                return Err(Trouble::Proxy(self.tunnel.handle_end_of_stream()));
            }
            // Only the proxy's own octets are taken. What is behind them stays in the
            // socket: a stream with TLS must not find it among what TLS has protected.
            let used = self.tunnel.handle_input(&buffer[..there]).map_err(Trouble::Proxy)?;
            let mut left = used;
            while left > 0 {
                left -= self.socket.receive(&mut buffer[..left]).map_err(Trouble::Wire)?.clamp(1, left);
            }
            if self.tunnel.is_done() {
                return Ok(true);
            }
        }
    }
}

/// From now on a waker is waited for as well.
fn wait_on_waker(waker: &mut Option<Arc<Waker>>, canceller: &Canceller) -> Result<Arc<Waker>> {
    let new = Arc::new(Waker::new().map_err(|error| wire_error(&error, Phase::Connect))?);
    canceller.set_target(Some(CancelTarget::Waker(Arc::clone(&new))));
    Ok(Arc::clone(waker.insert(new)))
}

enum Trouble {
    Wire(io::Error),
    Proxy(Box<Error>),
}

fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// What the proxy is asked for.
fn target(plan: &Plan) -> Target {
    let host = plan.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&plan.host);
    Target { host: host.to_owned(), port: plan.port }
}

fn place(proxy: &Proxy) -> String {
    match resolve::literal(proxy.host()) {
        Some(address) => SocketAddr::new(address, proxy.port()).to_string(),
        None => format!("{}:{}", proxy.host(), proxy.port()),
    }
}
