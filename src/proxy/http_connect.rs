//! HTTP CONNECT (RFC 9110 section 9.3.6) in HTTP/1.1 (RFC 9112), with a Basic
//! login (RFC 7617) or without.

use super::address::Proxy;
use super::tunnel::{Fault, MAX_HEADER, Step, Target};
use crate::error::Code;
use crate::proto::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// How every answer begins.
const VERSION: &[u8] = b"HTTP/1.";

/// The most of the proxy's own words that a message has.
const MOST_SHOWN: usize = 200;

#[derive(Debug)]
pub(super) struct HttpConnect {
    /// The line that is being received, without its end.
    line: Vec<u8>,
    received: usize,
    /// Status and reason, once the status line is complete.
    status: Option<(u16, String)>,
    /// The ways of logging in that the proxy names.
    wanted: Vec<String>,
    has_login: bool,
    target: String,
}

impl HttpConnect {
    pub(super) fn new(proxy: &Proxy, target: &Target) -> (Self, Secret) {
        let place = target.to_string();
        let login = proxy.login().map(|(user, password)| {
            let plain = Secret::joined(&[user.as_bytes(), b":", password.expose()]);
            Zeroizing::new(STANDARD.encode(plain.expose()))
        });
        let head = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
        let request = match &login {
            Some(login) => {
                Secret::joined(&[head.as_bytes(), b"Proxy-Authorization: Basic ", login.as_bytes(), b"\r\n\r\n"])
            }
            None => Secret::joined(&[head.as_bytes(), b"\r\n"]),
        };
        let new = Self {
            line: Vec::new(),
            received: 0,
            status: None,
            wanted: Vec::new(),
            has_login: login.is_some(),
            target: place,
        };
        (new, request)
    }

    pub(super) fn take(&mut self, octet: u8) -> Result<Step, Fault> {
        self.received += 1;
        if self.received > MAX_HEADER {
            return Err(Fault::protocol(format!("gave an answer whose header is longer than {MAX_HEADER} octets")));
        }
        if octet != b'\n' {
            self.line.push(octet);
            let seen = self.line.len().min(VERSION.len());
            if self.status.is_none() && self.line[..seen] != VERSION[..seen] {
                return Err(self.not_http());
            }
            return Ok(Step::More);
        }
        // A line may end with LF alone (RFC 9112 section 2.2).
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        if self.status.is_none() {
            self.status = Some(parse_status(line)?);
        } else if line.is_empty() {
            return self.complete();
        } else {
            self.header(line);
        }
        Ok(Step::More)
    }

    fn header(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|octet| *octet == b':') else { return };
        if line[..colon].eq_ignore_ascii_case(b"proxy-authenticate") {
            let value = String::from_utf8_lossy(&line[colon + 1..]);
            let way = value.split_whitespace().next().unwrap_or_default();
            self.wanted.push(way.chars().take(30).collect());
        }
    }

    /// The header is complete.
    fn complete(&mut self) -> Result<Step, Fault> {
        let Some((status, reason)) = self.status.take() else { return Ok(Step::More) };
        match status {
            // Something else comes first.
            100..=199 => Ok(Step::More),
            200..=299 => Ok(Step::Done),
            _ => Err(self.refusal(status, &reason)),
        }
    }

    fn refusal(&self, status: u16, reason: &str) -> Fault {
        let target = &self.target;
        // tinyproxy says 401 to a wrong password.
        if matches!(status, 401 | 407) {
            let ways = if self.wanted.is_empty() { "none named".to_owned() } else { self.wanted.join(", ") };
            let what = if !self.has_login {
                format!("wants a login, and none was given ({status} {reason}; ways: {ways})")
            } else if !self.wanted.is_empty() && !self.wanted.iter().any(|way| way.eq_ignore_ascii_case("basic")) {
                format!("wants a login of a kind that this library has not ({status} {reason}; ways: {ways})")
            } else {
                format!("does not accept the user name and password ({status} {reason})")
            };
            return Fault::new(Code::PROXY_AUTHENTICATION, what);
        }
        let code = match status {
            // The proxy tried: a server that it could not find or reach, or that was too slow.
            502..=504 => Code::PROXY_TARGET,
            _ => Code::PROXY_REFUSED,
        };
        Fault::new(code, format!("did not connect to {target}: it said {status} {reason}"))
    }

    fn not_http(&self) -> Fault {
        let shown = self.line.escape_ascii();
        let hint = if self.line.starts_with(b"2") { ", as a mail server does" } else { "" };
        Fault::protocol(format!("does not answer in HTTP: it begins with \"{shown}\"{hint}"))
    }
}

/// `HTTP/1.1 200 OK` (RFC 9112 section 4).
fn parse_status(line: &[u8]) -> Result<(u16, String), Fault> {
    let text: String = String::from_utf8_lossy(line).chars().take(MOST_SHOWN).collect();
    let mut parts = text.splitn(3, ' ');
    let version = parts.next().unwrap_or_default();
    let code = parts.next().unwrap_or_default();
    let is_version = version.len() == VERSION.len() + 1 && version.ends_with(|c: char| c.is_ascii_digit());
    let is_code = code.len() == 3 && code.bytes().all(|octet| octet.is_ascii_digit());
    let status = code.parse::<u16>().ok().filter(|status| is_version && is_code && (100..=599).contains(status));
    let status = status.ok_or_else(|| {
        Fault::protocol(format!("gave an answer without a status that HTTP has: \"{}\"", text.escape_debug()))
    })?;
    Ok((status, parts.next().unwrap_or_default().trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::{Proxy, Target, Tunnel};
    use super::*;

    fn tunnel(proxy: &str, host: &str) -> Tunnel {
        let proxy = Proxy::parse(proxy).expect("a proxy");
        Tunnel::new(&proxy, &Target { host: host.into(), port: 587 }).expect("can be asked")
    }

    #[test]
    fn requests() {
        let request = b"CONNECT m.example:587 HTTP/1.1\r\nHost: m.example:587\r\n\r\n";
        assert_eq!(tunnel("http://h:1", "m.example").output(), request);
        let request = b"CONNECT [2001:db8::1]:587 HTTP/1.1\r\nHost: [2001:db8::1]:587\r\n\
            Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
        // The login of RFC 7617 section 2.
        assert_eq!(tunnel("http://Aladdin:open%20sesame@h:1", "2001:db8::1").output(), request);
    }

    /// How many octets were the proxy's, and whether the connection is there.
    fn answer(proxy: &str, octets: &[u8], by: usize) -> Result<(usize, bool), (Code, String)> {
        let mut tunnel = tunnel(proxy, "m.example");
        tunnel.handle_written(tunnel.output().len());
        let mut used = 0;
        for piece in octets.chunks(by) {
            used += tunnel.handle_input(piece).map_err(|error| (error.code, error.what))?;
        }
        Ok((used, tunnel.is_done()))
    }

    #[test]
    fn the_server_may_speak_at_once_and_the_answer_comes_in_any_pieces() {
        for header in [
            "HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy/1.11.1\r\n\r\n",
            "HTTP/1.1 200\r\n\r\n",
            "HTTP/1.1 204 \n\n",
            // RFC 9110: lengths mean nothing here.
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            let octets = format!("{header}220 mail.example\r\n\r\n");
            for by in 1..octets.len() {
                assert_eq!(answer("http://h:1", octets.as_bytes(), by), Ok((header.len(), true)), "{header}");
            }
            for end in 0..header.len() {
                assert_eq!(answer("http://h:1", &octets.as_bytes()[..end], 7), Ok((end, false)), "{header}");
            }
        }
    }

    #[test]
    fn refusals() {
        let login = "http://u:hunter2@h:1";
        for (proxy, octets, code, part) in [
            ("http://h:1", "HTTP/1.1 403 Filtered\r\n\r\n", Code::PROXY_REFUSED, "403 Filtered"),
            ("http://h:1", "HTTP/1.1 301 Away\r\n\r\n", Code::PROXY_REFUSED, "301 Away"),
            ("http://h:1", "HTTP/1.1 500 Unable\r\n\r\n", Code::PROXY_REFUSED, "500 Unable"),
            ("http://h:1", "HTTP/1.1 502 Bad Gateway\r\n\r\n", Code::PROXY_TARGET, "502 Bad Gateway"),
            ("http://h:1", "HTTP/1.1 504\r\n\r\n", Code::PROXY_TARGET, "did not connect to m.example:587"),
            ("http://h:1", "HTTP/1.1 407 X\r\n\r\n", Code::PROXY_AUTHENTICATION, "none was given"),
            (login, "HTTP/1.0 401 Unauthorized\r\n\r\n", Code::PROXY_AUTHENTICATION, "(401 Unauthorized)"),
            (
                login,
                "HTTP/1.1 407 X\r\nProxy-Authenticate: Basic realm=\"a\"\r\n\r\n",
                Code::PROXY_AUTHENTICATION,
                "does not accept",
            ),
            (
                login,
                "HTTP/1.1 407 X\r\nproxy-authenticate: NTLM\r\nProxy-Authenticate: Digest realm=\"a\"\r\n\r\n",
                Code::PROXY_AUTHENTICATION,
                "ways: NTLM, Digest",
            ),
            ("http://h:1", "220 mail.example ESMTP\r\n", Code::PROXY_PROTOCOL, "begins with \"2\", as a mail server"),
            ("http://h:1", "HTTPS", Code::PROXY_PROTOCOL, "begins with \"HTTPS\""),
            ("http://h:1", "HTTP/1.1 20 OK\r\n", Code::PROXY_PROTOCOL, "without a status"),
            ("http://h:1", "HTTP/1.1 099 OK\r\n", Code::PROXY_PROTOCOL, "without a status"),
            ("http://h:1", "HTTP/1.1 600 OK\r\n", Code::PROXY_PROTOCOL, "without a status"),
            ("http://h:1", "HTTP/1.x 200 OK\r\n", Code::PROXY_PROTOCOL, "without a status"),
            ("http://h:1", "HTTP/1.1\r\n", Code::PROXY_PROTOCOL, "without a status"),
        ] {
            let (found, what) = answer(proxy, octets.as_bytes(), 3).expect_err(octets);
            assert!(found == code && what.contains(part), "{octets}: {what}");
            assert!(!what.contains("hunter2") && !what.contains("dTpodW50ZXIy"), "{what}");
        }
    }

    #[test]
    fn an_answer_that_does_not_end_is_given_up() {
        for endless in ["X: y\r\n", "x", "HTTP/1.1 100 Continue\r\n\r\n"] {
            let mut octets = b"HTTP/1.1 100 OK\r\n".to_vec();
            if endless.starts_with("HTTP") {
                octets.clear();
            }
            octets.extend(endless.repeat(MAX_HEADER).into_bytes());
            let (code, what) = answer("http://h:1", &octets, 4096).expect_err("too long");
            assert!(code == Code::PROXY_PROTOCOL && what.contains("longer than 16384"), "{what}");
        }
    }
}
