//! The other end of a connection.

use super::socket::is_loopback;
use std::fmt;
use std::net::SocketAddr;

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A machine and port.
    Address(SocketAddr),
    /// A Unix socket of this machine, by its path.
    Path(String),
}

impl Peer {
    /// Whether nothing sent to it leaves this machine.
    #[must_use]
    pub fn is_private(&self) -> bool {
        match self {
            Self::Address(address) => is_loopback(address.ip()),
            Self::Path(_) => true,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Path(path) => path.fmt(f),
        }
    }
}
