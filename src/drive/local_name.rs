//! The name to greet the server with, where the caller gave none.

use crate::net::stream::Stream;
use crate::net::sys;
use crate::proto::HostName;

/// RFC 5321 section 4.1.4: the full name of this machine, or else its address.
/// A name without a dot is not a full one, and no look-up is worth its time here.
pub(super) fn default_local_name(stream: &Stream) -> HostName {
    let name = sys::machine_name().filter(|name| name.contains('.') && !name.starts_with("localhost."));
    if let Some(name) = name.and_then(|name| HostName::parse(&name).ok()) {
        return name;
    }
    let unspecified = std::net::IpAddr::from([127, 0, 0, 1]);
    HostName::literal(stream.local_address().map_or(unspecified, |address| address.ip()))
}
