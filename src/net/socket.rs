//! A TCP connection: every send suppresses SIGPIPE, and a read can wait by
//! itself, without a call to ask first whether there is something.

use super::sys::{self, RawSocket};
use socket2::{Domain, Protocol, SockAddr, Type};
use std::cell::Cell;
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
}

impl Socket {
    /// Starts connecting, without waiting.
    ///
    /// # Errors
    ///
    /// What the system says at once, for instance that there is no route.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let inner = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        inner.set_nonblocking(true)?;
        // A command or the end of a message must not wait for an acknowledgement.
        inner.set_tcp_nodelay(true)?;
        match inner.connect(&SockAddr::from(address)) {
            Ok(()) => {}
            Err(error) if in_progress(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(Self { inner: Arc::new(inner), patience: Cell::new(0) })
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
        Ok(Self { inner: Arc::new(inner), patience: Cell::new(0) })
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
        self.inner.set_nonblocking(false)
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
