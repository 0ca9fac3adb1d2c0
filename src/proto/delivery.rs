//! Delivery status notifications (RFC 3461): what the sender wants to be told.

use super::original_recipient::{OriginalRecipient, write_own};
use crate::error::{Code, Error, Result};

/// Wishes about notifications, as bits with the original family's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery(pub u32);

macro_rules! wishes {
    ($($name:ident $value:literal $doc:literal;)+) => {
        impl Delivery {
            $(#[doc = $doc] pub const $name: Self = Self($value);)+
        }

        /// Every wish: its name behind `SMTP_DELIVERY_`, its value, what it means.
        pub const DELIVERIES: &[(&str, u32, &str)] = &[$((stringify!($name), $value, $doc),)+];
    };
}

wishes! {
    NOTIFY_NEVER 0x8000 "No notification in any case. Excludes the other NOTIFY bits.";
    NOTIFY_SUCCESS 0x10000 "A notification when the message has been delivered.";
    NOTIFY_FAILURE 0x20000 "A notification when it cannot be delivered.";
    NOTIFY_DELAY 0x40000 "A notification when its delivery is delayed.";
    RETURN_HEADERS 0x80000 "Notifications of failure bring the header back only.";
    RETURN_MESSAGE 0x100000 "Notifications of failure bring the whole message back.";
}

impl Delivery {
    /// Takes the bits as they come from a caller.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` if there are bits that mean nothing, or exclude each other.
    pub fn parse(bits: u32) -> Result<Self> {
        let known = DELIVERIES.iter().fold(0, |all, (_, value, _)| all | value);
        let wishes = Self(bits);
        let notifies = Self::NOTIFY_SUCCESS.0 | Self::NOTIFY_FAILURE.0 | Self::NOTIFY_DELAY.0;
        let what = if bits & !known != 0 {
            format!("the delivery options have bits without a meaning: {:#x}", bits & !known)
        } else if wishes.has(Self::NOTIFY_NEVER) && bits & notifies != 0 {
            "SMTP_DELIVERY_NOTIFY_NEVER excludes the other notifications".to_owned()
        } else if wishes.has(Self::RETURN_HEADERS) && wishes.has(Self::RETURN_MESSAGE) {
            "SMTP_DELIVERY_RETURN_HEADERS excludes SMTP_DELIVERY_RETURN_MESSAGE".to_owned()
        } else {
            return Ok(wishes);
        };
        Err(Error::caller(Code::INVALID_PARAMETER, what))
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is wished.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of the wishes that go along with RCPT.
    #[must_use]
    pub fn notifications(self) -> Self {
        let all = Self::NOTIFY_NEVER.0 | Self::NOTIFY_SUCCESS.0 | Self::NOTIFY_FAILURE.0 | Self::NOTIFY_DELAY.0;
        Self(self.0 & all)
    }

    /// The parameter of MAIL, a blank in front: `RET` (RFC 3461 section 4.3).
    #[must_use]
    pub fn mail_parameter(self) -> &'static str {
        if self.has(Self::RETURN_HEADERS) {
            " RET=HDRS"
        } else if self.has(Self::RETURN_MESSAGE) {
            " RET=FULL"
        } else {
            ""
        }
    }

    /// Appends the parameters of RCPT, a blank in front of each: `NOTIFY` and
    /// `ORCPT` (RFC 3461 sections 4.1 and 4.2). The address goes along, so that a
    /// notification names the recipient as the sender knows it, unless it is to
    /// name another one.
    pub fn write_recipient_parameters(self, recipient: &str, original: Option<&OriginalRecipient>, out: &mut Vec<u8>) {
        let names = [
            (Self::NOTIFY_NEVER, "NEVER"),
            (Self::NOTIFY_SUCCESS, "SUCCESS"),
            (Self::NOTIFY_FAILURE, "FAILURE"),
            (Self::NOTIFY_DELAY, "DELAY"),
        ];
        let mut before = " NOTIFY=";
        for (_, name) in names.iter().filter(|(wish, _)| self.has(*wish)) {
            out.extend_from_slice(before.as_bytes());
            out.extend_from_slice(name.as_bytes());
            before = ",";
        }
        match original {
            Some(original) => {
                out.extend_from_slice(b" ORCPT=");
                out.extend_from_slice(original.as_str().as_bytes());
            }
            None => write_own(recipient, out),
        }
    }
}

/// Appends a text as xtext (RFC 3461 section 4): all but printable ASCII, and `+` and `=`, in hexadecimal.
pub(super) fn write_xtext(text: &str, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for octet in text.bytes() {
        if matches!(octet, b'!'..=b'~') && octet != b'+' && octet != b'=' {
            out.push(octet);
        } else {
            out.extend_from_slice(&[b'+', DIGITS[usize::from(octet >> 4)], DIGITS[usize::from(octet & 15)]]);
        }
    }
}

/// Checks an envelope identifier (RFC 3461 section 4.4): printable ASCII, at most 100 characters.
///
/// # Errors
///
/// `INVALID_PARAMETER`, `TOO_LONG`.
pub fn check_envelope_id(text: &str) -> Result<()> {
    const MOST: usize = 100;
    if let Some(bad) = text.chars().find(|c| !matches!(c, ' '..='~')) {
        let what = format!("the envelope id has {bad:?}; it may have printable ASCII characters only");
        return Err(Error::caller(Code::INVALID_PARAMETER, what));
    }
    let mut encoded = Vec::new();
    write_xtext(text, &mut encoded);
    if encoded.len() > MOST {
        let what = format!("the envelope id may have at most {MOST} characters, those in hexadecimal counted as three");
        return Err(Error::caller(Code::TOO_LONG, what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext() {
        let encoded = |text: &str| {
            let mut out = Vec::new();
            write_xtext(text, &mut out);
            String::from_utf8(out).expect("ASCII")
        };
        assert_eq!(encoded("bob+tag=x@example.com"), "bob+2Btag+3Dx@example.com");
        assert_eq!(encoded("a b"), "a+20b");
        assert_eq!(encoded("\r\n\0\u{e9}"), "+0D+0A+00+C3+A9");
    }

    #[test]
    fn wishes_that_exclude_each_other() {
        assert!(Delivery::parse(0x10000 | 0x20000 | 0x80000).is_ok());
        for bits in [1, 0x8000 | 0x10000, 0x80000 | 0x100000] {
            assert_eq!(Delivery::parse(bits).expect_err("refused").code, Code::INVALID_PARAMETER);
        }
        assert_eq!(Delivery::RETURN_HEADERS.mail_parameter(), " RET=HDRS");
        assert_eq!(Delivery::RETURN_MESSAGE.mail_parameter(), " RET=FULL");
        assert_eq!(Delivery::NOTIFY_NEVER.mail_parameter(), "");
    }

    #[test]
    fn envelope_ids() {
        assert!(check_envelope_id("order 4711").is_ok());
        assert_eq!(check_envelope_id("a\r\nb").expect_err("refused").code, Code::INVALID_PARAMETER);
        assert_eq!(check_envelope_id(&"=".repeat(34)).expect_err("refused").code, Code::TOO_LONG);
    }
}
