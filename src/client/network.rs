//! How connections are made: through which proxy, to and from which addresses.

use super::property::Property;
use crate::error::{Code, Error, Result};
use crate::net::local::{Family, Local};
use crate::net::resolve::literal;
use crate::proxy::Proxy;
use std::net::{IpAddr, SocketAddr};

/// More seconds than these Linux does not take (`TCP_KEEPIDLE`).
const MOST_KEEP_ALIVE: u32 = 32_767;

/// The longest name of an interface (`IFNAMSIZ`, its NUL left out).
const LONGEST_INTERFACE: usize = 15;

/// The most addresses to choose from.
const MOST_ADDRESSES: usize = 32;

/// The values as they were set, and what they mean.
#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    pub(super) proxy: Option<Proxy>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) family: Family,
    pub(super) local: Local,
    /// What is read back: without the password.
    proxy_text: String,
    addresses_text: String,
    address_text: String,
}

impl Network {
    /// Sets a text; `None` if the property is none of these.
    pub(super) fn set_text(&mut self, property: Property, name: &str, value: &str) -> Option<Result<()>> {
        Some(match property {
            Property::Proxy => self.set_proxy(value),
            Property::ConnectAddress => self.set_addresses(name, value),
            Property::LocalBindAddress => self.set_local_address(name, value),
            Property::LocalInterface => self.set_interface(name, value),
            _ => return None,
        })
    }

    pub(super) fn text(&self, property: Property) -> Option<&str> {
        Some(match property {
            Property::Proxy => &self.proxy_text,
            Property::ConnectAddress => &self.addresses_text,
            Property::LocalBindAddress => &self.address_text,
            Property::LocalInterface => self.local.interface.as_deref().unwrap_or_default(),
            _ => return None,
        })
    }

    /// Sets a number; `None` if the property is none of these.
    pub(super) fn set_integer(&mut self, property: Property, name: &str, value: i64) -> Option<Result<()>> {
        let out_of_range = |most: i64| {
            let what = format!("the value {value} of {name} is not between 0 and {most}");
            Error::caller(Code::INVALID_PARAMETER, what)
        };
        Some(match property {
            Property::AddressFamily => {
                let found = Family::ALL.iter().find(|(family, ..)| *family as i64 == value);
                found.ok_or_else(|| out_of_range(2)).map(|(family, ..)| self.family = *family)
            }
            Property::KeepAlive => {
                let seconds = u32::try_from(value).ok().filter(|seconds| *seconds <= MOST_KEEP_ALIVE);
                let seconds = seconds.ok_or_else(|| out_of_range(i64::from(MOST_KEEP_ALIVE)));
                seconds.map(|seconds| self.local.keep_alive = seconds)
            }
            _ => return None,
        })
    }

    pub(super) fn integer(&self, property: Property) -> Option<i64> {
        Some(match property {
            Property::AddressFamily => self.family as i64,
            Property::KeepAlive => i64::from(self.local.keep_alive),
            _ => return None,
        })
    }

    fn set_proxy(&mut self, value: &str) -> Result<()> {
        self.proxy = if value.is_empty() { None } else { Some(Proxy::parse(value)?) };
        self.proxy_text = self.proxy.as_ref().map(Proxy::masked).unwrap_or_default();
        Ok(())
    }

    fn set_addresses(&mut self, name: &str, value: &str) -> Result<()> {
        let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
        let addresses = parts.map(|part| literal(part).ok_or_else(|| not_an_address(name, part)));
        let addresses = addresses.collect::<Result<Vec<_>>>()?;
        if addresses.len() > MOST_ADDRESSES {
            let what = format!("{name} has more than {MOST_ADDRESSES} addresses");
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        }
        self.addresses = addresses;
        value.clone_into(&mut self.addresses_text);
        Ok(())
    }

    fn set_local_address(&mut self, name: &str, value: &str) -> Result<()> {
        self.local.address = match value {
            "" => None,
            value => {
                let alone = || literal(value).map(|address| SocketAddr::new(address, 0));
                let address = value.parse().ok().or_else(alone).ok_or_else(|| not_an_address(name, value))?;
                Some(address)
            }
        };
        value.clone_into(&mut self.address_text);
        Ok(())
    }

    fn set_interface(&mut self, name: &str, value: &str) -> Result<()> {
        if value.len() > LONGEST_INTERFACE || value.contains(['/', ' ']) {
            let what = format!(
                "\"{}\" in {name} is not the name of a network interface: at most {LONGEST_INTERFACE} octets, no slash, no blank",
                value.chars().take(100).collect::<String>().escape_debug()
            );
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        }
        self.local.interface = (!value.is_empty()).then(|| value.to_owned());
        Ok(())
    }
}

fn not_an_address(name: &str, value: &str) -> Box<Error> {
    let shown: String = value.chars().take(100).collect();
    let what = format!("\"{}\" in {name} is not an IP address", shown.escape_debug());
    Error::caller(Code::INVALID_PARAMETER, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_as_set_and_mean_something() {
        let mut network = Network::default();
        let many = &"::1,".repeat(33);
        let set = |network: &mut Network, property, value| {
            network.set_text(property, "X", value).expect("a text of these").map_err(|error| error.code)
        };
        let bad = Err(Code::INVALID_PARAMETER);
        assert_eq!(set(&mut network, Property::Proxy, "http://u:hunter2@h:3128"), Ok(()));
        assert_eq!(set(&mut network, Property::Proxy, "ftp://h"), bad);
        assert_eq!(network.text(Property::Proxy), Some("http://u:********@h:3128"), "a mistake changes nothing");
        assert!(!format!("{network:?}").contains("hunter2"));
        assert_eq!(set(&mut network, Property::Proxy, ""), Ok(()));
        assert!(network.proxy.is_none() && network.text(Property::Proxy) == Some(""));
        assert_eq!(set(&mut network, Property::ConnectAddress, "[::1], 192.0.2.1,"), Ok(()));
        assert_eq!(set(&mut network, Property::ConnectAddress, "::1,mail.example"), bad);
        assert_eq!(set(&mut network, Property::ConnectAddress, "192.0.2.1:25"), bad);
        assert_eq!(set(&mut network, Property::ConnectAddress, many), bad);
        assert_eq!((network.addresses.len(), network.text(Property::ConnectAddress)), (2, Some("[::1], 192.0.2.1,")));
        for (value, expected) in [
            ("127.0.0.2", "127.0.0.2:0"),
            ("127.0.0.2:99", "127.0.0.2:99"),
            ("::1", "[::1]:0"),
            ("[::1]", "[::1]:0"),
            ("[::1]:99", "[::1]:99"),
        ] {
            assert_eq!(set(&mut network, Property::LocalBindAddress, value), Ok(()));
            assert_eq!(network.local.address.map(|address| address.to_string()).as_deref(), Some(expected));
        }
        assert_eq!(set(&mut network, Property::LocalBindAddress, "eth0"), bad);
        assert_eq!(set(&mut network, Property::LocalBindAddress, ""), Ok(()));
        assert!(network.local.address.is_none());
        assert_eq!(set(&mut network, Property::LocalInterface, "eth0"), Ok(()));
        assert_eq!(set(&mut network, Property::LocalInterface, "0123456789abcdef"), bad);
        assert_eq!(set(&mut network, Property::LocalInterface, "a/b"), bad);
        assert_eq!(network.text(Property::LocalInterface), Some("eth0"));
        assert!(network.set_text(Property::Host, "X", "").is_none());
    }

    #[test]
    fn numbers_have_limits() {
        let mut network = Network::default();
        for (property, most) in [(Property::AddressFamily, 2), (Property::KeepAlive, 32_767)] {
            for value in [0, most] {
                assert!(network.set_integer(property, "X", value).expect("one of these").is_ok());
                assert_eq!(network.integer(property), Some(value));
            }
            for value in [-1, most + 1, i64::MAX] {
                let error = network.set_integer(property, "X", value).expect("one of these").expect_err("range");
                assert_eq!(error.code, Code::INVALID_PARAMETER);
            }
        }
    }
}
