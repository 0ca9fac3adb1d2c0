//! Asking a proxy for a connection, as small pure machines: octets in, octets out.
//!
//! As in [`crate::proto`], there are no sockets, clock, threads or `unsafe` here. A driver
//! sends what [`Tunnel::output`] has, gives [`Tunnel::handle_input`] what comes, and
//! has a connection to the server once [`Tunnel::is_done`] says so. Host names go to
//! the proxy as they are: it is the proxy that looks them up.

#![forbid(unsafe_code)]

mod address;
mod http_connect;
mod socks4;
mod socks5;
mod tunnel;

pub use address::{Protocol, Proxy};
pub use tunnel::{MAX_HEADER, Target, Tunnel};
