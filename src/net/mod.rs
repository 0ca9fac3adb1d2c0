//! The network: names, addresses, sockets, TLS and waiting.
//!
//! The only layer that knows the operating system; nothing above it names one.
//! [`sys`] has the few calls that the standard library and socket2 lack, and [`gssapi`]
//! those of the system's Kerberos library.

mod archive;
pub mod canceller;
pub mod certificate;
pub mod clock;
pub mod date;
pub mod gathering;
#[allow(unsafe_code)]
pub mod gssapi;
mod hybrid;
pub mod identity;
mod input;
pub mod local;
mod pbes;
pub mod peer;
pub mod pins;
pub mod race;
pub mod random;
pub mod refused;
pub mod resolve;
mod roots;
pub mod socket;
pub mod stream;
#[allow(unsafe_code)]
pub mod sys;
pub mod tls;
pub mod tls_settings;
pub mod trust;

pub mod waker;

use crate::error::{Code, Error, Phase};
use std::io;

/// The error of a failed system call on a connection.
#[must_use]
pub fn wire_error(error: &io::Error, phase: Phase) -> Box<Error> {
    let code = match error.kind() {
        io::ErrorKind::ConnectionRefused => Code::CONNECTION_REFUSED,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Code::CONNECTION_RESET,
        io::ErrorKind::ConnectionAborted | io::ErrorKind::NotConnected => Code::CONNECTION_ABORTED,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => Code::NETWORK_UNREACHABLE,
        io::ErrorKind::HostUnreachable => Code::HOST_UNREACHABLE,
        io::ErrorKind::AddrNotAvailable => Code::ADDRESS_UNAVAILABLE,
        io::ErrorKind::TimedOut => Code::TIMEOUT,
        _ => Code::NETWORK,
    };
    let text = code.entry().map_or("network error", |entry| entry.text);
    Error::new(code, phase, format!("{text} (while {}; system: {error})", phase.doing())).with_os(error)
}
