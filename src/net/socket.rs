//! A TCP connection: every send suppresses SIGPIPE, and a read can wait by
//! itself, without a call to ask first whether there is something.

use super::local::Local;
use super::sys::{self, RawSocket};
use socket2::{Domain, Protocol, SockAddr, TcpKeepalive, Type};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, IoSlice, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

/// A connected, or connecting, socket.
#[derive(Debug)]
pub struct Socket {
    inner: Arc<socket2::Socket>,
    /// The receive time-out set on the socket, in milliseconds; 0 is none.
    patience: Cell<u32>,
    /// Calls without a wish of their own wait.
    waits: Cell<bool>,
}

impl Socket {
    /// Starts connecting, without waiting.
    ///
    /// # Errors
    ///
    /// What the system says at once, for instance that there is no route.
    pub fn connect(address: SocketAddr, local: &Local) -> io::Result<Self> {
        let inner = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        prepare(&inner, address, local)?;
        inner.set_nonblocking(true)?;
        // A command or the end of a message must not wait for an acknowledgement.
        inner.set_tcp_nodelay(true)?;
        match inner.connect(&SockAddr::from(address)) {
            Ok(()) => {}
            Err(error) if in_progress(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(Self { inner: Arc::new(inner), patience: Cell::new(0), waits: Cell::new(false) })
    }

    /// Connects to a Unix socket, which is done at once or not at all.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn connect_path(path: &str) -> io::Result<Self> {
        let inner = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        inner.set_nonblocking(true)?;
        inner.connect(&SockAddr::unix(path)?)?;
        Ok(Self { inner: Arc::new(inner), patience: Cell::new(0), waits: Cell::new(false) })
    }

    /// Takes over a connection that was made elsewhere, over a number of its own: the
    /// caller's stays the caller's.
    ///
    /// # Errors
    ///
    /// If it is no socket, no stream, or not connected.
    pub fn adopt(socket: RawSocket) -> io::Result<Self> {
        let inner = sys::duplicate(socket)?;
        if inner.r#type()? != Type::STREAM {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a stream socket"));
        }
        inner.peer_addr()?;
        // Fails where it is no TCP, which needs none.
        let _ = inner.set_tcp_nodelay(true);
        // What the caller may have set: waits are bounded by the library alone.
        inner.set_read_timeout(None)?;
        let waits = !inner.nonblocking()?;
        Ok(Self { inner: Arc::new(inner), patience: Cell::new(0), waits: Cell::new(waits) })
    }

    /// The address of the other end, if it has one of IP.
    #[must_use]
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.inner.peer_addr().ok()?.as_socket()
    }

    /// Asks from now on whether the other side is there after so many seconds of
    /// silence; 0 never.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn keep_alive(&self, seconds: u32) -> io::Result<()> {
        keep_alive(&self.inner, seconds)
    }

    /// Looks at what is there to receive, without taking it.
    ///
    /// # Errors
    ///
    /// What the system says; `WouldBlock` if nothing is there.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        sys::peek_now(&self.inner, buffer)
    }

    /// Whether the connection is made; an error if it failed.
    ///
    /// # Errors
    ///
    /// Why it failed.
    pub fn is_connected(&self) -> io::Result<bool> {
        if let Some(error) = self.inner.take_error()? {
            return Err(error);
        }
        match self.inner.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// To be called once when the connection is made.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn establish(&self) -> io::Result<()> {
        // Sends and hurried receives ask not to wait one by one; a patient
        // receive needs a socket that waits.
        self.set_waits(true)
    }

    /// The socket, to be shut down by whoever cancels.
    #[must_use]
    pub fn shared(&self) -> Arc<socket2::Socket> {
        Arc::clone(&self.inner)
    }

    /// The operating system's number of it.
    #[must_use]
    pub fn raw(&self) -> RawSocket {
        self.inner.as_raw_fd()
    }

    /// The address of this end.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.inner.local_addr().ok()?.as_socket()
    }

    /// Sends what goes at once.
    ///
    /// # Errors
    ///
    /// What the system says; `WouldBlock` if nothing goes at present.
    pub fn send(&self, octets: &[u8]) -> io::Result<usize> {
        self.inner.send_with_flags(octets, sys::send_flags())
    }

    /// Sends what goes at once, from several pieces.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub fn send_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.inner.send_vectored_with_flags(pieces, sys::send_flags())
    }

    /// Has the system send up to so many octets of a file from its position on, as far
    /// as goes at once; `None` if it cannot, or the file is at its end.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub fn send_file(&self, file: &File, most: usize) -> io::Result<Option<usize>> {
        // This call has no flags to ask not to wait.
        self.set_waits(false)?;
        match sys::send_file(&self.inner, file, most) {
            Ok(0) => Ok(None),
            Ok(count) => Ok(Some(count)),
            Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn set_waits(&self, waits: bool) -> io::Result<()> {
        if self.waits.get() != waits {
            self.inner.set_nonblocking(!waits)?;
            self.waits.set(waits);
        }
        Ok(())
    }

    /// Receives what is there.
    ///
    /// # Errors
    ///
    /// What the system says; `WouldBlock` if nothing is there.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        sys::receive_now(&self.inner, buffer)
    }

    /// Receives, and waits for something to receive: for ever with `None`, else
    /// up to so many milliseconds, or less.
    ///
    /// # Errors
    ///
    /// What the system says; `WouldBlock` if the time is over.
    pub fn receive_patiently(&self, buffer: &mut [u8], millis: Option<u32>) -> io::Result<usize> {
        self.set_waits(true)?;
        self.set_patience(millis)?;
        (&*self.inner).read(buffer).map_err(|error| match error.kind() {
            // A signal of the host's ends the wait early; the caller's clock decides.
            io::ErrorKind::Interrupted | io::ErrorKind::TimedOut => io::ErrorKind::WouldBlock.into(),
            _ => error,
        })
    }

    /// Sets the receive time-out, if the present one will not do. Any that is
    /// not longer than asked does, as the caller asks again; so a session with
    /// limits of all lengths settles on one and spends no more calls on it.
    fn set_patience(&self, millis: Option<u32>) -> io::Result<()> {
        let wanted = match millis {
            None => 0,
            Some(millis) => 1 << millis.max(1).ilog2(),
        };
        let fits = match (self.patience.get(), wanted) {
            (0, 0) => true,
            (0, _) => false,
            (present, 0) => present >= 1 << 14,
            (present, wanted) => present <= wanted && present >= wanted >> 4,
        };
        if fits {
            return Ok(());
        }
        let timeout = (wanted != 0).then(|| Duration::from_millis(u64::from(wanted)));
        self.inner.set_read_timeout(timeout)?;
        self.patience.set(wanted);
        Ok(())
    }
}

/// Everything that has to be set before a connection is begun.
fn prepare(socket: &socket2::Socket, address: SocketAddr, local: &Local) -> io::Result<()> {
    let named = |what: String, error: &io::Error| Named { what, code: error.raw_os_error().unwrap_or(0) }.into_io();
    if let Some(interface) = &local.interface {
        bind_interface(socket, interface)
            .map_err(|error| named(format!("the network interface {interface} cannot be used"), &error))?;
    }
    if let Some(from) = local.address {
        if from.is_ipv4() != address.is_ipv4() {
            let what = format!("the local address {} is of the other family", from.ip());
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, what));
        }
        if from.port() != 0 {
            // Else the port could not be used again for a minute after each connection.
            socket.set_reuse_address(true)?;
        }
        socket
            .bind(&SockAddr::from(from))
            .map_err(|error| named(format!("the local address {from} cannot be used"), &error))?;
    }
    if local.keep_alive != 0 { keep_alive(socket, local.keep_alive) } else { Ok(()) }
}

fn keep_alive(socket: &socket2::Socket, seconds: u32) -> io::Result<()> {
    if seconds == 0 {
        return socket.set_keepalive(false);
    }
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(u64::from(seconds))))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn bind_interface(socket: &socket2::Socket, interface: &str) -> io::Result<()> {
    socket.bind_device(Some(interface.as_bytes()))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bind_interface(_: &socket2::Socket, _: &str) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no binding to an interface"))
}

/// A system's error with what it is about, which keeps its number.
#[derive(Debug)]
pub struct Named {
    what: String,
    code: i32,
}

impl Named {
    fn into_io(self) -> io::Error {
        io::Error::new(io::Error::from_raw_os_error(self.code).kind(), self)
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, io::Error::from_raw_os_error(self.code))
    }
}

impl std::error::Error for Named {}

/// The system's number of an error, also of one that was given a name here.
#[must_use]
pub fn os_error(error: &io::Error) -> i32 {
    let named = || error.get_ref().and_then(|inner| inner.downcast_ref::<Named>()).map(|named| named.code);
    error.raw_os_error().or_else(named).unwrap_or(0)
}

fn in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINPROGRESS) || error.kind() == io::ErrorKind::WouldBlock
}

/// Whether an address is this machine itself, so that nothing sent to it leaves it.
#[must_use]
pub fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn keep_alive_and_a_local_address_are_set_before_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let from = SocketAddr::from(([127, 0, 0, 2], 0));
        let local = Local { address: Some(from), keep_alive: 123, ..Local::default() };
        let socket = Socket::connect(address, &local).expect("starts");
        assert!(socket.shared().keepalive().expect("told"));
        assert_eq!(socket.shared().tcp_keepalive_time().expect("told"), Duration::from_secs(123));
        assert_eq!(socket.local_address().map(|local| local.ip()), Some(from.ip()));
        let socket = Socket::connect(address, &Local::default()).expect("starts");
        assert!(!socket.shared().keepalive().expect("told"));
    }

    #[test]
    fn an_error_with_a_name_keeps_its_number() {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let local = Local { address: Some(SocketAddr::from(([192, 0, 2, 1], 0))), ..Local::default() };
        let error = Socket::connect(address, &local).expect_err("not this machine's");
        assert_eq!((error.kind(), os_error(&error)), (io::ErrorKind::AddrNotAvailable, libc::EADDRNOTAVAIL));
        assert!(error.to_string().starts_with("the local address 192.0.2.1:0 cannot be used: "), "{error}");
    }
}
