//! SOCKS 4 with host names (SOCKS4A): one request, an answer of eight octets.

use super::address::Proxy;
use super::tunnel::{Fault, Step, Target};
use crate::error::Code;
use crate::proto::Secret;
use std::net::{IpAddr, Ipv4Addr};

/// The address that says "a name follows".
const NAME_FOLLOWS: Ipv4Addr = Ipv4Addr::new(0, 0, 0, 1);

#[derive(Debug)]
pub(super) struct Socks4 {
    received: usize,
}

impl Socks4 {
    pub(super) fn new(proxy: &Proxy, target: &Target) -> Result<(Self, Secret), String> {
        let (address, name) = match target.address() {
            Some(IpAddr::V4(address)) => (address, None),
            Some(IpAddr::V6(_)) => {
                return Err(format!("SOCKS4A has no IPv6 addresses such as {}: use SOCKS5", target.host));
            }
            None => (NAME_FOLLOWS, Some(&target.host)),
        };
        let user = proxy.login().map_or("", |(user, _)| user);
        let mut request = vec![4, 1];
        request.extend(target.port.to_be_bytes());
        request.extend(address.octets());
        request.extend(user.as_bytes());
        request.push(0);
        if let Some(name) = name {
            request.extend(name.as_bytes());
            request.push(0);
        }
        Ok((Self { received: 0 }, Secret::new(request)))
    }

    pub(super) fn take(&mut self, octet: u8) -> Result<Step, Fault> {
        self.received += 1;
        match (self.received, octet) {
            (1, 0) => Ok(Step::More),
            (1, _) => Err(Fault::protocol(format!("does not answer in SOCKS4A: its first octet is 0x{octet:02X}"))),
            (2, 90) => Ok(Step::More),
            (2, 91) => {
                Err(Fault::new(Code::PROXY_REFUSED, "refused the connection, or could not make it (SOCKS4 reply 91)"))
            }
            (2, 92 | 93) => {
                let what = format!("does not accept the user name, by ident (SOCKS4 reply {octet})");
                Err(Fault::new(Code::PROXY_AUTHENTICATION, what))
            }
            (2, _) => Err(Fault::protocol(format!("gave a reply that SOCKS4 does not have ({octet})"))),
            (8, _) => Ok(Step::Done),
            _ => Ok(Step::More),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Proxy, Target, Tunnel};
    use super::*;

    fn tunnel(proxy: &str, host: &str) -> Tunnel {
        let proxy = Proxy::parse(proxy).expect("a proxy");
        Tunnel::new(&proxy, &Target { host: host.into(), port: 25 }).expect("can be asked")
    }

    #[test]
    fn requests() {
        assert_eq!(tunnel("socks4a://h", "192.0.2.9").output(), b"\x04\x01\0\x19\xC0\0\x02\x09\0");
        assert_eq!(tunnel("socks4a://me@h", "m.example").output(), b"\x04\x01\0\x19\0\0\0\x01me\0m.example\0");
        let proxy = Proxy::parse("socks4a://h").expect("a proxy");
        let error = Tunnel::new(&proxy, &Target { host: "::1".into(), port: 25 }).expect_err("IPv6");
        assert_eq!(error.code, Code::INVALID_PARAMETER);
    }

    #[test]
    fn answers() {
        let answer = |octets: &[u8]| {
            let mut tunnel = tunnel("socks4a://h", "m.example");
            tunnel.handle_written(tunnel.output().len());
            tunnel.handle_input(octets).map(|used| (used, tunnel.is_done())).map_err(|error| error.code)
        };
        assert_eq!(answer(b"\0\x5A\x12\x34\x7F\0\0\x01220 hi"), Ok((8, true)));
        assert_eq!(answer(b"\0\x5A\x12\x34\x7F\0\0"), Ok((7, false)));
        assert_eq!(answer(b"\0\x5B"), Err(Code::PROXY_REFUSED));
        assert_eq!(answer(b"\0\x5C"), Err(Code::PROXY_AUTHENTICATION));
        assert_eq!(answer(b"\0\x5D"), Err(Code::PROXY_AUTHENTICATION));
        assert_eq!(answer(b"\0\x00"), Err(Code::PROXY_PROTOCOL));
        assert_eq!(answer(b"\x04\x5A"), Err(Code::PROXY_PROTOCOL));
        assert_eq!(answer(b"220 mail.example"), Err(Code::PROXY_PROTOCOL));
    }
}
