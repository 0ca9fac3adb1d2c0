//! How this end of a connection is to be: from where, and how long without a word.

use std::net::{IpAddr, SocketAddr};

/// Which addresses may be connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Both.
    #[default]
    Any = 0,
    /// IPv4 only.
    Ipv4 = 1,
    /// IPv6 only.
    Ipv6 = 2,
}

impl Family {
    /// Every choice: its name behind `SMTP_FAMILY_`, what it means.
    pub const ALL: [(Self, &str, &str); 3] = [
        (Self::Any, "ANY", "IPv4 and IPv6, whichever answers first (RFC 8305)."),
        (Self::Ipv4, "IPV4", "IPv4 only."),
        (Self::Ipv6, "IPV6", "IPv6 only."),
    ];

    /// Whether an address is one of these.
    #[must_use]
    pub fn has(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
        }
    }

    /// As it is called in a sentence.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "IP",
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }
}

/// This end of the connections to be made.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// The address to connect from, with a port or 0.
    pub address: Option<SocketAddr>,
    /// The network interface to connect through.
    pub interface: Option<String>,
    /// After so many seconds of silence the system asks whether the other side is
    /// there; 0 never.
    pub keep_alive: u32,
}
