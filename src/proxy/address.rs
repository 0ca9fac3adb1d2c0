//! Which proxy to use, as one text: `socks5://user:password@host:port`.

use crate::error::{Code, Error, Result};
use crate::proto::{Secret, to_ascii};
use std::fmt;
use zeroize::Zeroizing;

/// What stands in the place of a password.
const MASK: &str = "********";

/// The registered port of SOCKS.
const SOCKS_PORT: u16 = 1080;

/// How a proxy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// SOCKS 4 with host names (SOCKS4A).
    Socks4a,
    /// SOCKS 5 (RFC 1928), with a login (RFC 1929) or without.
    Socks5,
    /// CONNECT (RFC 9110 section 9.3.6), with a Basic login (RFC 7617) or without.
    Http,
}

/// The forms that are understood; the first of each protocol is the one shown.
const SCHEMES: [(&str, Protocol); 4] = [
    ("socks4a", Protocol::Socks4a),
    ("socks5", Protocol::Socks5),
    // Other programs write the h for "the proxy looks the name up", which is always so here.
    ("socks5h", Protocol::Socks5),
    ("http", Protocol::Http),
];

/// A proxy.
#[derive(Clone, Debug)]
pub struct Proxy {
    protocol: Protocol,
    host: String,
    port: u16,
    login: Option<(String, Secret)>,
}

impl Proxy {
    /// Reads `scheme://[user[:password]@]host[:port]`; user and password with
    /// percent-encoding (RFC 3986 section 2.1).
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` with what is wrong; never with the password in it.
    pub fn parse(text: &str) -> Result<Self> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            let example = "write it as socks5://host:port, socks4a://host:port or http://host:port";
            bad(format!("it does not begin with a protocol: {example}"))
        })?;
        let known = SCHEMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(scheme));
        let protocol = known.map(|(_, protocol)| *protocol).ok_or_else(|| {
            let shown: String = scheme.chars().take(20).collect();
            bad(format!("the protocol \"{}\" is none of socks5, socks4a and http", shown.escape_debug()))
        })?;
        // The user name and the password are kept out of every message from here on.
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let (host, port) = split_port(place.strip_suffix('/').unwrap_or(place))?;
        let port = match port {
            Some(port) => port,
            None if protocol == Protocol::Http => return Err(bad("it has no port".to_owned())),
            None => SOCKS_PORT,
        };
        let login = login.map(|login| parse_login(protocol, login)).transpose()?;
        Ok(Self { protocol, host: check_host(host)?, port, login })
    }

    /// How it is asked.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Its host name in ASCII, or its address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// User name and password.
    pub(super) fn login(&self) -> Option<(&str, &Secret)> {
        self.login.as_ref().map(|(user, password)| (user.as_str(), password))
    }

    /// The whole text as it may be shown: a password masked.
    #[must_use]
    pub fn masked(&self) -> String {
        let login = match &self.login {
            None => String::new(),
            Some((user, password)) if password.is_empty() => format!("{}@", encoded(user)),
            Some((user, _)) => format!("{}:{MASK}@", encoded(user)),
        };
        let (scheme, place) = (self.scheme(), self.place());
        format!("{scheme}://{login}{place}")
    }

    fn scheme(&self) -> &'static str {
        SCHEMES.iter().find(|(_, protocol)| *protocol == self.protocol).map_or("", |(name, _)| name)
    }

    fn place(&self) -> String {
        let brackets = self.host.contains(':');
        if brackets { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Proxy {
    /// For messages: without the login.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.place())
    }
}

fn split_port(place: &str) -> Result<(&str, Option<u16>)> {
    let behind = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, "")) => None,
        Some((_, rest)) => Some(rest),
        None => place.find(':').map(|at| &place[at..]),
    };
    let Some(behind) = behind else { return Ok((place, None)) };
    let digits = behind.strip_prefix(':').filter(|digits| digits.bytes().all(|octet| octet.is_ascii_digit()));
    let port = digits.and_then(|digits| digits.parse().ok()).filter(|port| *port != 0);
    let port = port.ok_or_else(|| {
        // Not shown: where the host was forgotten, it is the login.
        let hint = "with a port from 1 to 65535, an IPv6 address in brackets, and nothing behind it";
        bad(format!("what follows the protocol and the login is not host:port, {hint}"))
    })?;
    Ok((&place[..place.len() - behind.len()], Some(port)))
}

fn check_host(host: &str) -> Result<String> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ascii = match inner {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().ok().map(|address| address.to_string()),
        None => to_ascii(host).ok().map(std::borrow::Cow::into_owned),
    };
    let is_plain = |host: &String| {
        let known = |octet: u8| octet.is_ascii_alphanumeric() || b"-._:".contains(&octet);
        !host.is_empty() && host.len() <= 255 && host.bytes().all(known)
    };
    ascii.filter(is_plain).ok_or_else(|| {
        let shown: String = host.chars().take(100).collect();
        bad(format!("\"{}\" is not a host name or address", shown.escape_debug()))
    })
}

fn parse_login(protocol: Protocol, login: &str) -> Result<(String, Secret)> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    if password == MASK {
        return Err(bad("the password is the mask that is read back in its place".to_owned()));
    }
    let user = decoded(user)?;
    let user = std::str::from_utf8(&user).map_err(|_| bad("the user name is not UTF-8".to_owned()))?.to_owned();
    let password = decoded(password)?;
    if user.bytes().chain(password.iter().copied()).any(|octet| octet.is_ascii_control()) {
        return Err(bad("the user name or the password has a control character".to_owned()));
    }
    match protocol {
        Protocol::Socks5 if user.is_empty() || user.len() > 255 || password.len() > 255 => {
            Err(bad("for SOCKS5, user name and password have at most 255 octets each (RFC 1929)".to_owned()))
        }
        Protocol::Socks4a if !password.is_empty() => {
            Err(bad("SOCKS4A knows a user name, but no password: use SOCKS5".to_owned()))
        }
        Protocol::Http if user.contains(':') => {
            Err(bad("for HTTP, the user name cannot have a colon (RFC 7617)".to_owned()))
        }
        _ if user.len() > 1000 || password.len() > 8000 => Err(bad("the login is too long".to_owned())),
        _ => Ok((user, Secret::new(password.as_slice()))),
    }
}

fn decoded(text: &str) -> Result<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'%' {
            out.push(octet);
            continue;
        }
        let mut digit = || octets.next().and_then(|octet| char::from(octet).to_digit(16));
        let value = digit().zip(digit()).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        out.push(value.ok_or_else(|| {
            bad("a percent sign in the login is not followed by two hexadecimal digits; write it as %25".to_owned())
        })?);
    }
    Ok(out)
}

fn encoded(text: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
    text.bytes()
        .map(|octet| if plain(octet) { char::from(octet).to_string() } else { format!("%{octet:02X}") })
        .collect()
}

fn bad(what: String) -> Box<Error> {
    Error::caller(Code::INVALID_PARAMETER, format!("the proxy cannot be used: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Protocol, String, u16, String) {
        let proxy = Proxy::parse(text).expect("a proxy");
        let login = proxy.login().map(|(user, password)| format!("{user}|{}", password.expose().escape_ascii()));
        (proxy.protocol(), proxy.host().to_owned(), proxy.port(), login.unwrap_or_default())
    }

    #[test]
    fn forms() {
        let socks5 = |host: &str, port, login: &str| (Protocol::Socks5, host.to_owned(), port, login.to_owned());
        assert_eq!(parts("socks5://proxy.example:1081"), socks5("proxy.example", 1081, ""));
        assert_eq!(parts("SOCKS5h://proxy.example/"), socks5("proxy.example", 1080, ""));
        assert_eq!(parts("socks5://a:b:c@[2001:DB8::1]:9"), socks5("2001:db8::1", 9, "a|b:c"));
        assert_eq!(parts("socks5://a%40b:p%3A%25%2F@h@10.0.0.1:9"), socks5("10.0.0.1", 9, "a@b|p:%/@h"));
        assert_eq!(parts("socks5://b\u{fc}cher.example:9"), socks5("xn--bcher-kva.example", 9, ""));
        assert_eq!(parts("socks5://u@h"), socks5("h", 1080, "u|"));
        assert_eq!(parts("socks4a://u@h:1"), (Protocol::Socks4a, "h".into(), 1, "u|".into()));
        assert_eq!(parts("http://u:p@h:3128"), (Protocol::Http, "h".into(), 3128, "u|p".into()));
    }

    #[test]
    fn what_is_read_back_has_no_password() {
        let masked = |text| Proxy::parse(text).expect("a proxy").masked();
        assert_eq!(masked("http://u%2f:hunter2@h:3128/"), "http://u%2F:********@h:3128");
        assert_eq!(masked("socks5h://u@[::1]"), "socks5://u@[::1]:1080");
        assert_eq!(masked("socks4a://h"), "socks4a://h:1080");
        let proxy = Proxy::parse("http://u:hunter2@h:3128").expect("a proxy");
        assert_eq!(proxy.to_string(), "http://h:3128");
        assert!(!format!("{proxy:?}").contains("hunter2"));
    }

    #[test]
    fn mistakes_are_named_and_the_password_is_not() {
        for (text, part) in [
            ("proxy.example:1080", "does not begin with a protocol"),
            ("https://u:hunter2@h:1", "\"https\" is none of"),
            ("http://h", "no port"),
            ("socks5://h:", "is not host:port"),
            ("socks5://h:0", "is not host:port"),
            ("socks5://h:65536", "is not host:port"),
            ("socks5://u:hunter2", "is not host:port"),
            ("socks5://h:+1", "is not host:port"),
            ("socks5://h:1/path", "is not host:port"),
            ("socks5://::1", "is not host:port"),
            ("socks5://[::1]x:1", "is not host:port"),
            ("socks5://[::g]:1", "not a host name or address"),
            ("socks5://", "not a host name or address"),
            ("socks5://a b:1", "not a host name or address"),
            ("socks5://u:hunter2%2@h:1", "two hexadecimal digits"),
            ("socks5://u:hunter2%00@h:1", "control character"),
            ("http://u:hunter2%0d%0aX@h:1", "control character"),
            ("socks5://u:********@h:1", "mask"),
            ("socks5://:hunter2@h:1", "255"),
            ("socks4a://u:hunter2@h:1", "no password"),
            ("http://u%3Av:hunter2@h:1", "colon"),
            ("http://%ff:hunter2@h:1", "not UTF-8"),
        ] {
            let error = Proxy::parse(text).expect_err(text);
            assert_eq!(error.code, Code::INVALID_PARAMETER);
            assert!(error.what.contains(part), "{text}: {}", error.what);
            assert!(!error.what.contains("hunter2"), "{}", error.what);
        }
        let long = format!("socks5://u:{}@h:1", "x".repeat(256));
        assert!(Proxy::parse(&long).is_err());
    }
}
