//! SOCKS 5 (RFC 1928), without a login or with user name and password (RFC 1929).

use super::address::Proxy;
use super::tunnel::{Fault, Step, Target};
use crate::error::Code;
use crate::proto::Secret;
use std::net::IpAddr;

/// The ways of logging in, by their numbers on the wire.
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xFF;

/// What comes next from the proxy.
#[derive(Debug)]
enum State {
    /// Version and way of logging in.
    Choice,
    /// Version and verdict on the login.
    Verdict,
    /// Version, reply, an octet that is reserved, type of address.
    Reply,
    /// The length of a name.
    Length,
    /// So many octets more.
    Rest(usize),
}

#[derive(Debug)]
pub(super) struct Socks5 {
    state: State,
    /// Octets of the present answer that have come.
    at: usize,
    /// User name and password in the form of RFC 1929.
    login: Option<Secret>,
    request: Vec<u8>,
    target: String,
}

impl Socks5 {
    pub(super) fn new(proxy: &Proxy, target: &Target) -> Result<(Self, Secret), String> {
        let mut request = vec![5, 1, 0];
        match target.address() {
            Some(IpAddr::V4(address)) => {
                request.push(1);
                request.extend(address.octets());
            }
            Some(IpAddr::V6(address)) => {
                request.push(4);
                request.extend(address.octets());
            }
            None => {
                let length = u8::try_from(target.host.len())
                    .map_err(|_| "SOCKS5 has no host names of more than 255 octets".to_owned())?;
                request.extend([3, length]);
                request.extend(target.host.as_bytes());
            }
        }
        request.extend(target.port.to_be_bytes());
        let login = proxy.login().and_then(|(user, password)| {
            let lengths = (u8::try_from(user.len()).ok()?, u8::try_from(password.expose().len()).ok()?);
            Some(Secret::joined(&[&[1, lengths.0], user.as_bytes(), &[lengths.1], password.expose()]))
        });
        let greeting: &[u8] = if login.is_some() { &[5, 2, NO_LOGIN, PASSWORD] } else { &[5, 1, NO_LOGIN] };
        let new = Self { state: State::Choice, at: 0, login, request, target: target.to_string() };
        Ok((new, Secret::new(greeting)))
    }

    pub(super) fn has_sent_login(&self) -> bool {
        matches!(self.state, State::Verdict)
    }

    pub(super) fn has_asked(&self) -> bool {
        matches!(self.state, State::Reply | State::Length | State::Rest(_))
    }

    pub(super) fn take(&mut self, octet: u8) -> Result<Step, Fault> {
        self.at += 1;
        match (&mut self.state, self.at) {
            (State::Choice | State::Reply, 1) if octet != 5 => {
                Err(Fault::protocol(format!("does not answer in SOCKS5: its first octet is 0x{octet:02X}")))
            }
            // Some proxies send 5 here instead of 1, and nobody looks.
            (State::Choice | State::Verdict | State::Reply, 1) => Ok(Step::More),
            (State::Choice, _) => self.chosen(octet),
            (State::Verdict, _) if octet == 0 => Ok(self.ask()),
            (State::Verdict, _) => {
                let what = format!("does not accept the user name and password (status {octet})");
                Err(Fault::new(Code::PROXY_AUTHENTICATION, what))
            }
            (State::Reply, 2) if octet != 0 => Err(self.refusal(octet)),
            (State::Reply, 2 | 3) => Ok(Step::More),
            (State::Reply, _) => {
                self.state = match octet {
                    1 => State::Rest(4 + 2),
                    3 => State::Length,
                    4 => State::Rest(16 + 2),
                    _ => {
                        let what = format!("gave an address of a type that SOCKS5 does not have ({octet})");
                        return Err(Fault::protocol(what));
                    }
                };
                Ok(Step::More)
            }
            (State::Length, _) => {
                self.state = State::Rest(usize::from(octet) + 2);
                Ok(Step::More)
            }
            (State::Rest(left), _) => {
                *left -= 1;
                Ok(if *left == 0 { Step::Done } else { Step::More })
            }
        }
    }

    fn chosen(&mut self, way: u8) -> Result<Step, Fault> {
        match (way, self.login.take()) {
            (NO_LOGIN, _) => Ok(self.ask()),
            (PASSWORD, Some(login)) => {
                self.state = State::Verdict;
                self.at = 0;
                Ok(Step::Send(login))
            }
            (NONE_ACCEPTABLE, Some(_)) => {
                let what = "takes no login by user name and password, nor lets one in without";
                Err(Fault::new(Code::PROXY_AUTHENTICATION, what))
            }
            (NONE_ACCEPTABLE, None) => Err(Fault::new(Code::PROXY_AUTHENTICATION, "wants a login, and none was given")),
            (way, _) => Err(Fault::protocol(format!("chose a way of logging in that was not offered ({way})"))),
        }
    }

    fn ask(&mut self) -> Step {
        self.state = State::Reply;
        self.at = 0;
        Step::Send(Secret::new(std::mem::take(&mut self.request)))
    }

    fn refusal(&self, reply: u8) -> Fault {
        let (code, meaning) = match reply {
            1 => (Code::PROXY_REFUSED, "general failure"),
            2 => (Code::PROXY_REFUSED, "not allowed by its rules"),
            3 => (Code::PROXY_TARGET, "network unreachable"),
            4 => (Code::PROXY_TARGET, "host unreachable, or its name is not known"),
            5 => (Code::PROXY_TARGET, "connection refused"),
            6 => (Code::PROXY_TARGET, "time to live expired"),
            7 => (Code::PROXY_REFUSED, "command not supported"),
            8 => (Code::PROXY_REFUSED, "address type not supported"),
            _ => (Code::PROXY_PROTOCOL, "a reply that SOCKS5 does not have"),
        };
        Fault::new(code, format!("did not connect to {}: {meaning} (SOCKS5 reply {reply})", self.target))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Proxy, Target, Tunnel};
    use super::*;

    fn tunnel(proxy: &str, host: &str) -> Tunnel {
        let proxy = Proxy::parse(proxy).expect("a proxy");
        Tunnel::new(&proxy, &Target { host: host.into(), port: 587 }).expect("can be asked")
    }

    /// Sends what is to be sent, and gives it.
    fn send(tunnel: &mut Tunnel) -> Vec<u8> {
        let sent = tunnel.output().to_vec();
        tunnel.handle_written(sent.len());
        sent
    }

    #[test]
    fn without_a_login() {
        let mut tunnel = tunnel("socks5://h", "m.example");
        assert_eq!(send(&mut tunnel), [5, 1, 0]);
        assert_eq!(tunnel.handle_input(&[5, 0]).expect("taken"), 2);
        assert_eq!(send(&mut tunnel), b"\x05\x01\0\x03\x09m.example\x02\x4B");
        let answer = b"\x05\0\0\x01\x7F\0\0\x01\x12\x34220 mail";
        assert_eq!(tunnel.handle_input(answer).expect("taken"), 10);
        assert!(tunnel.is_done());
        assert_eq!(tunnel.handle_input(b"more").expect("not the proxy's"), 0);
    }

    #[test]
    fn with_a_login_octet_by_octet() {
        let mut tunnel = tunnel("socks5://user:pa%20ss@h", "2001:db8::1");
        assert_eq!(send(&mut tunnel), [5, 2, 0, 2]);
        let mut sent = Vec::new();
        for octet in b"\x05\x02\x01\0\x05\0\0\x03\x02ab\0\x19" {
            assert!(!tunnel.is_done());
            assert_eq!(tunnel.handle_input(&[*octet]).expect("taken"), 1);
            sent.extend(send(&mut tunnel));
        }
        assert!(tunnel.is_done());
        let mut expected = b"\x01\x04user\x05pa ss\x05\x01\0\x04\x20\x01\x0d\xb8".to_vec();
        expected.extend([0; 11]);
        expected.extend([1, 2, 0x4B]);
        assert_eq!(sent, expected);
    }

    #[test]
    fn an_ipv4_address_and_a_bound_ipv6_address() {
        let mut tunnel = tunnel("socks5://h", "192.0.2.7");
        send(&mut tunnel);
        tunnel.handle_input(&[5, 0]).expect("taken");
        assert_eq!(send(&mut tunnel), [5, 1, 0, 1, 192, 0, 2, 7, 2, 0x4B]);
        let mut answer = vec![5, 0, 0, 4];
        answer.extend([9; 18]);
        answer.extend(b"220");
        assert_eq!(tunnel.handle_input(&answer).expect("taken"), 22);
        assert!(tunnel.is_done());
    }

    fn refused(proxy: &str, answers: &[&[u8]]) -> (Code, String) {
        let mut tunnel = tunnel(proxy, "m.example");
        for answer in answers {
            send(&mut tunnel);
            if let Err(error) = tunnel.handle_input(answer) {
                return (error.code, error.what);
            }
        }
        panic!("not refused")
    }

    #[test]
    fn refusals() {
        for (reply, code, part) in [
            (1, Code::PROXY_REFUSED, "general failure (SOCKS5 reply 1)"),
            (2, Code::PROXY_REFUSED, "not allowed"),
            (3, Code::PROXY_TARGET, "network unreachable"),
            (4, Code::PROXY_TARGET, "host unreachable"),
            (5, Code::PROXY_TARGET, "the proxy socks5://h:1080 did not connect to m.example:587: connection refused"),
            (6, Code::PROXY_TARGET, "time to live"),
            (7, Code::PROXY_REFUSED, "command not"),
            (8, Code::PROXY_REFUSED, "address type"),
            (9, Code::PROXY_PROTOCOL, "reply 9"),
            (255, Code::PROXY_PROTOCOL, "reply 255"),
        ] {
            // Decided by the second octet: some proxies send no more.
            let (found, what) = refused("socks5://h", &[&[5, 0], &[5, reply]]);
            assert!(found == code && what.contains(part), "{what}");
        }
        let login = "socks5://u:hunter2@h";
        for (proxy, answers, code) in [
            (login, &[&[5, 2][..], &[1, 1]], Code::PROXY_AUTHENTICATION),
            (login, &[&[5, 0xFF], &[]], Code::PROXY_AUTHENTICATION),
            ("socks5://h", &[&[5, 0xFF], &[]], Code::PROXY_AUTHENTICATION),
            ("socks5://h", &[&[5, 2], &[]], Code::PROXY_PROTOCOL),
            (login, &[&[5, 1], &[]], Code::PROXY_PROTOCOL),
            (login, &[b"HTTP/1.1 400", &[]], Code::PROXY_PROTOCOL),
            (login, &[&[4, 0], &[]], Code::PROXY_PROTOCOL),
            (login, &[&[5, 0], &[4, 0]], Code::PROXY_PROTOCOL),
            (login, &[&[5, 0], &[5, 0, 0, 2]], Code::PROXY_PROTOCOL),
            // Ahead of the request: whatever it means, it is no answer to it.
            (login, &[&[5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0], &[]], Code::PROXY_PROTOCOL),
        ] {
            let (found, what) = refused(proxy, answers);
            assert_eq!(found, code, "{what}");
            assert!(!what.contains("hunter2"), "{what}");
        }
    }

    #[test]
    fn an_end_says_where() {
        let mut tunnel = tunnel("socks5://u:p@h", "m.example");
        let mut told = Vec::new();
        for answer in [&[][..], &[5], &[2], &[1, 0], &[5, 0]] {
            send(&mut tunnel);
            tunnel.handle_input(answer).expect("taken");
            told.push(tunnel.handle_end_of_stream().what.rsplit("connection ").next().unwrap_or_default().to_owned());
        }
        assert_eq!(
            told,
            [
                "without an answer",
                "in the middle of its answer",
                "instead of answering the login",
                "instead of answering the request",
                "instead of answering the request"
            ]
        );
        assert_eq!(tunnel.handle_end_of_stream().code, Code::PROXY_PROTOCOL);
    }
}
