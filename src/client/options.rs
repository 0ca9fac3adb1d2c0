//! The option bits of a connection, with the original's values.

use crate::error::{Code, Error, Result};
use crate::proto::Security;

/// A set of option bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options(pub u32);

macro_rules! options {
    ($($name:ident $value:literal $doc:literal;)+) => {
        impl Options {
            $(#[doc = $doc] pub const $name: Self = Self($value);)+
        }

        /// Every option: its name behind `SMTP_OPTION_`, its value, what it does.
        pub const OPTIONS: &[(&str, u32, &str)] = &[$((stringify!($name), $value, $doc),)+];
    };
}

options! {
    NONE 0
        "No option: EHLO with HELO as fall-back, and TLS as SMTP_PROPERTY_TLS_MODE says.";
    EXTENDED 0x1
        "Use ESMTP when offered. Always done here, so this changes nothing; the original asked for it.";
    TUNNEL 0x400
        "The connection goes through a tunnel. Accepted as in the original; no check here needs it.";
    TRUSTEDSITE 0x800
        "INSECURE: do not check the server's certificate, and trust it all the same.";
    SECURE 0x1000
        "Require TLS by STARTTLS.";
    SECURE_IMPLICIT 0x2000
        "TLS before the first octet of SMTP; the default port becomes 465.";
    BASIC 0x10000
        "Greet with HELO only: no extension is used, neither TLS by STARTTLS nor a login.";
    LMTP 0x20000
        "Speak LMTP instead of SMTP (RFC 2033), over TCP or a Unix socket; the default port becomes 24. Each recipient has a reply of its own to the message.";
    PREFER_IPV6 0x40000
        "Try the IPv6 addresses of a host first, whatever order the system gives.";
}

/// The well-known ports: name behind `SMTP_PORT_`, number, what it is.
pub const PORTS: &[(&str, u32, &str)] = &[
    ("LMTP", 24, "LMTP, where no other port was agreed on."),
    ("STANDARD", 25, "SMTP between servers; STARTTLS where it is offered."),
    ("SECURE", 465, "Submission over TLS from the first octet (RFC 8314)."),
    ("SUBMISSION", 587, "Submission, with STARTTLS (RFC 6409)."),
];

impl Options {
    /// Whether all bits of another set are in this one.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Takes the bits as they come from a caller.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` if there are bits that mean nothing, or exclude each other.
    pub fn parse(bits: u32) -> Result<Self> {
        let known = OPTIONS.iter().fold(0, |all, (_, value, _)| all | value);
        let what = if bits & !known != 0 {
            format!("the options have bits without a meaning: {:#x}", bits & !known)
        } else if Self(bits).has(Self::BASIC) && Self(bits).has(Self::SECURE) {
            "SMTP_OPTION_BASIC excludes SMTP_OPTION_SECURE: STARTTLS needs EHLO".to_owned()
        } else if Self(bits).has(Self::BASIC) && Self(bits).has(Self::LMTP) {
            "SMTP_OPTION_BASIC excludes SMTP_OPTION_LMTP: there is no LMTP without extensions".to_owned()
        } else {
            return Ok(Self(bits));
        };
        Err(Error::caller(Code::INVALID_PARAMETER, what))
    }

    /// How TLS is to be used: what the options ask for, else the property, and
    /// port 465 means implicit TLS unless something else was asked for.
    #[must_use]
    pub fn security(self, property: Security, port: u16) -> Security {
        if self.has(Self::SECURE_IMPLICIT) {
            Security::Implicit
        } else if self.has(Self::SECURE) {
            Security::Required
        } else if property == Security::Opportunistic && port == 465 {
            Security::Implicit
        } else {
            property
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_without_a_meaning_are_refused() {
        assert_eq!(Options::parse(0x3401).expect("known").0, 0x3401);
        assert_eq!(Options::parse(0x4000_0000).expect_err("unknown").code, Code::INVALID_PARAMETER);
        assert_eq!(Options::parse(0x30000).expect_err("excluding").code, Code::INVALID_PARAMETER);
        assert_eq!(Options::parse(0x11000).expect_err("excluding").code, Code::INVALID_PARAMETER);
    }

    #[test]
    fn the_mode_of_tls() {
        use Security::{Implicit, None, Opportunistic, Required};
        assert_eq!(Options(0).security(Opportunistic, 25), Opportunistic);
        assert_eq!(Options(0).security(Opportunistic, 465), Implicit);
        assert_eq!(Options(0).security(None, 465), None);
        assert_eq!(Options(0).security(Required, 465), Required);
        assert_eq!(Options::SECURE.security(None, 587), Required);
        assert_eq!(Options(0x3000).security(None, 587), Implicit);
    }
}
