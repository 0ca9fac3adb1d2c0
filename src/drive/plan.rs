//! What a connection is to be like, settled before it is made.

use crate::net::local::{Family, Local};
use crate::net::tls_settings::TlsSettings;
use crate::proto::{HostName, Security, Timeouts, Withheld};
use crate::proxy::Proxy;
use std::net::IpAddr;

/// Everything that a connection attempt needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The host name or address, as the caller gave it; also the name that the
    /// certificate must be for, unless the settings of TLS have another.
    pub host: String,
    /// The Unix socket to use instead of host and port.
    pub path: Option<String>,
    /// The port.
    pub port: u16,
    /// The connection was made by the caller.
    pub attached: bool,
    /// The proxy to connect through.
    pub proxy: Option<Proxy>,
    /// What to connect to instead of looking the host up.
    pub addresses: Vec<IpAddr>,
    /// Which addresses may be connected to.
    pub family: Family,
    /// Try IPv6 addresses first, whatever the system says.
    pub prefer_ipv6: bool,
    /// This end of the connection.
    pub local: Local,
    /// The name to greet with; if `None`, the machine's if it is a full one, or
    /// the address of the socket.
    pub local_name: Option<HostName>,
    /// Speak LMTP.
    pub lmtp: bool,
    /// Begin with EHLO.
    pub extended: bool,
    /// How to use TLS.
    pub security: Security,
    /// What is wanted of TLS.
    pub tls: TlsSettings,
    /// Do not check the certificate.
    pub insecure_skip_verify: bool,
    /// Allow a password in the clear.
    pub insecure_auth: bool,
    /// The extensions to treat as not offered.
    pub withheld: Vec<Withheld>,
    /// The limit of each phase.
    pub timeouts: Timeouts,
}
