//! What is asked of a server with a message beside its notifications, one
//! extension each: `BY`, `HOLDFOR`, `HOLDUNTIL`, `MT-PRIORITY`, `REQUIRETLS`, `AUTH`.

use super::address::ReversePath;
use super::capabilities::Capabilities;
use super::deliver_by::DeliverBy;
use super::delivery::write_xtext;
use super::future_release::Hold;
use crate::error::{Code, Error, Result};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// When it is to be delivered (RFC 2852).
    pub deliver_by: Option<DeliverBy>,
    /// How long it is to be held (RFC 4865).
    pub hold: Option<Hold>,
    /// Its priority, -9 to 9; 0 asks for nothing (RFC 6710).
    pub priority: i8,
    /// It may only travel over verified TLS (RFC 8689).
    pub require_tls: bool,
    /// Who handed it in at first (RFC 4954 section 5); see [`check_auth_sender`].
    pub auth_sender: String,
}

impl Demands {
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let nothing_held = self.deliver_by.is_none() && self.hold.is_none();
        nothing_held && self.priority == 0 && !self.require_tls && self.auth_sender.is_empty()
    }

    /// Becomes the same as others, in the memory that it has.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.deliver_by = other.deliver_by;
        self.hold = other.hold;
        self.priority = other.priority;
        self.require_tls = other.require_tls;
        self.auth_sender.clone_from(&other.auth_sender);
    }

    /// Asks for nothing.
    pub(super) fn clear(&mut self) {
        self.deliver_by = None;
        self.hold = None;
        self.priority = 0;
        self.require_tls = false;
        self.auth_sender.clear();
    }

    /// Appends the parameters of MAIL, a blank in front of each. What may be left
    /// out is, where it is not offered; that the others are was seen to before.
    pub(super) fn write_to(&self, offered: &Capabilities, out: &mut Vec<u8>) {
        if let (Some(by), Some(_)) = (self.deliver_by, offered.deliver_by) {
            by.write_to(out);
        }
        if let Some(hold) = self.hold {
            hold.write_to(out);
        }
        if self.priority != 0 && offered.mt_priority.is_some() {
            out.extend_from_slice(format!(" MT-PRIORITY={}", self.priority).as_bytes());
        }
        if self.require_tls {
            out.extend_from_slice(b" REQUIRETLS");
        }
        if !self.auth_sender.is_empty() && !offered.mechanisms.is_empty() {
            out.extend_from_slice(b" AUTH=");
            write_xtext(&self.auth_sender, out);
        }
    }
}

/// The mailbox that `AUTH=` of MAIL names, or `<>` where nobody is known to have
/// handed the message in.
///
/// # Errors
///
/// `INVALID_ADDRESS`, `TOO_LONG`.
pub fn check_auth_sender(text: &str) -> Result<&str> {
    /// What RFC 4954 section 5 adds to the length of MAIL.
    const MOST: usize = 500 - " AUTH=".len();
    let sender = ReversePath::parse(text)?;
    let ReversePath::Mailbox(mailbox) = sender else { return Ok("<>") };
    if mailbox.needs_smtputf8() {
        let what = "the original sender must be ASCII, as AUTH= of MAIL has no other form (RFC 4954)";
        return Err(Error::caller(Code::INVALID_ADDRESS, what).with_address(mailbox.as_str()));
    }
    let mut encoded = Vec::new();
    write_xtext(mailbox.as_str(), &mut encoded);
    if encoded.len() > MOST {
        let what = format!("the original sender may have at most {MOST} octets as xtext");
        return Err(Error::caller(Code::TOO_LONG, what));
    }
    Ok(mailbox.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::future_release::DateTime;
    use super::*;

    #[test]
    fn parameters_in_their_order() {
        let demands = Demands {
            deliver_by: Some(DeliverBy::parse("120;R").expect("good")),
            hold: Some(Hold::Until(DateTime::parse("2026-11-02T10:00:00Z").expect("good"))),
            priority: -3,
            require_tls: true,
            auth_sender: "a+b@c".into(),
        };
        let all = Capabilities {
            deliver_by: Some(0),
            mt_priority: Some(String::new()),
            mechanisms: vec!["PLAIN".into()],
            ..Capabilities::default()
        };
        let written = |offered: &Capabilities| {
            let mut out = Vec::new();
            demands.write_to(offered, &mut out);
            String::from_utf8(out).expect("ASCII")
        };
        assert_eq!(written(&all), " BY=120;R HOLDUNTIL=2026-11-02T10:00:00Z MT-PRIORITY=-3 REQUIRETLS AUTH=a+2Bb@c");
        assert_eq!(written(&Capabilities::default()), " HOLDUNTIL=2026-11-02T10:00:00Z REQUIRETLS");
        let mut copy = Demands::default();
        copy.copy_from(&demands);
        assert_eq!(copy, demands);
        copy.clear();
        assert!(copy.is_empty() && !demands.is_empty());
    }

    #[test]
    fn original_senders() {
        assert_eq!(check_auth_sender("Jane <j@x.example>").ok(), Some("j@x.example"));
        assert_eq!(check_auth_sender("<>").ok(), Some("<>"));
        for bad in ["", "a", "a@b\r\nRSET", "j\u{f6}rg@x.example"] {
            assert_eq!(check_auth_sender(bad).expect_err(bad).code, Code::INVALID_ADDRESS);
        }
    }
}
