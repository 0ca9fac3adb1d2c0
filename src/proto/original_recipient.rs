//! The address that a message was first meant for, as a notification names it:
//! `ORCPT` (RFC 3461 section 4.2, RFC 6533 section 3).

use super::address::Mailbox;
use super::delivery::{Delivery, write_xtext};
use crate::error::{Code, Error, Result};

/// The longest value of ORCPT, its type included (RFC 3461 section 4.2).
const MAX_LENGTH: usize = 500;

/// An original recipient, as it stands on the line behind `ORCPT=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalRecipient(String);

impl OriginalRecipient {
    /// Takes an address, or `type;address`, such as `rfc822;jane@example.com`. An
    /// address without a type gets `rfc822`, or `utf-8` if it has characters
    /// beyond ASCII.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER`, `INVALID_ADDRESS`, `TOO_LONG`.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |why: &str| {
            let shown: String = text.chars().take(100).collect();
            let what = format!("\"{}\" is not an original recipient: {why}", shown.escape_debug());
            Error::caller(Code::INVALID_PARAMETER, what)
        };
        // A quote or an at sign before the semicolon makes it a part of the address.
        let typed = text.split_once(';').filter(|(kind, _)| !kind.contains(['"', '@', '<']));
        let Some((kind, address)) = typed else {
            return Self::of_address(Mailbox::parse(text)?.as_str());
        };
        if kind.is_empty() || !kind.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
            return Err(invalid("its type may have letters, digits and hyphens"));
        }
        let kind = kind.to_ascii_lowercase();
        match kind.as_str() {
            "rfc822" if address.is_ascii() => Self::encoded(&kind, Mailbox::parse(address)?.as_str()),
            "rfc822" => Err(invalid("an address beyond ASCII has the type utf-8")),
            "utf-8" => Self::encoded(&kind, Mailbox::parse(address)?.as_str()),
            // Another network's address, in a form that is its own affair.
            _ if address.is_empty() || !address.bytes().all(|octet| matches!(octet, b' '..=b'~')) => {
                Err(invalid("the address is empty, or has other than printable ASCII characters"))
            }
            _ => Self::encoded(&kind, address),
        }
    }

    fn of_address(address: &str) -> Result<Self> {
        Self::encoded(if address.is_ascii() { "rfc822" } else { "utf-8" }, address)
    }

    fn encoded(kind: &str, address: &str) -> Result<Self> {
        let mut out = format!("{kind};").into_bytes();
        write_address(kind == "utf-8", address, &mut out);
        if out.len() > MAX_LENGTH {
            let what =
                format!("an original recipient may have at most {MAX_LENGTH} octets, and this has {}", out.len());
            return Err(Error::caller(Code::TOO_LONG, what));
        }
        Ok(Self(String::from_utf8_lossy(&out).into_owned()))
    }

    /// As it stands on the line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Appends the parameter of an address that is its own original. One that would
/// be too long is left out, as the address itself says the same.
pub(super) fn write_own(address: &str, out: &mut Vec<u8>) {
    let start = out.len();
    let kind = if address.is_ascii() { "rfc822;" } else { "utf-8;" };
    out.extend_from_slice(b" ORCPT=");
    let value = out.len();
    out.extend_from_slice(kind.as_bytes());
    write_address(!address.is_ascii(), address, out);
    if out.len() - value > MAX_LENGTH {
        out.truncate(start);
    }
}

/// As xtext, or as `utf-8-addr-xtext`, which servers without SMTPUTF8 understand too.
fn write_address(utf8: bool, address: &str, out: &mut Vec<u8>) {
    if !utf8 {
        return write_xtext(address, out);
    }
    for c in address.chars() {
        match c {
            '!'..='~' if !matches!(c, '+' | '=' | '\\') => out.push(u8::try_from(c).unwrap_or(b'?')),
            _ => out.extend_from_slice(format!("\\x{{{:02X}}}", u32::from(c)).as_bytes()),
        }
    }
}

/// What is wished for one address, in the place of what is wished for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientDelivery {
    /// Bits of NOTIFY; none if those of all count.
    pub notify: Delivery,
    /// The address that a notification names, if it is another one.
    pub original: Option<OriginalRecipient>,
}

impl RecipientDelivery {
    /// Takes the bits and the original recipient as they come from a caller.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` and the like.
    pub fn parse(options: u32, original: Option<&str>) -> Result<Self> {
        let notify = Delivery::parse(options)?;
        if notify != notify.notifications() {
            let what =
                "only the SMTP_DELIVERY_NOTIFY bits can be set for one recipient; what is returned is the message's";
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        }
        Ok(Self { notify, original: original.map(OriginalRecipient::parse).transpose()? })
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.notify.is_empty() && self.original.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_encodings() {
        for (text, wire) in [
            ("jane@example.com", "rfc822;jane@example.com"),
            ("RFC822;jane+a=b@example.com", "rfc822;jane+2Ba+3Db@example.com"),
            ("Jane <jane@example.com>", "rfc822;jane@example.com"),
            ("\"a;b\"@example.com", "rfc822;\"a;b\"@example.com"),
            ("j\u{f6}rg+x@b\u{fc}cher.example", "utf-8;j\\x{F6}rg\\x{2B}x@b\\x{FC}cher.example"),
            ("utf-8;\u{44e}@y.example", "utf-8;\\x{44E}@y.example"),
            ("UTF-8;a@y.example", "utf-8;a@y.example"),
            ("x400;/C=no/S=Jane Doe", "x400;/C+3Dno/S+3DJane+20Doe"),
        ] {
            assert_eq!(OriginalRecipient::parse(text).expect(text).as_str(), wire);
        }
    }

    #[test]
    fn what_is_no_recipient_is_refused() {
        let code = |text: &str| OriginalRecipient::parse(text).expect_err(text).code;
        for text in ["x400;", "x 400;a", ";a@b", "x400;a\r\nb", "rfc822;\u{e9}@b.example", "x400;\u{e9}"] {
            assert_eq!(code(text), Code::INVALID_PARAMETER);
        }
        for text in ["", "a", "rfc822;", "rfc822;a", "rfc822;a@b\r\nRSET", "a@b@c"] {
            assert_eq!(code(text), Code::INVALID_ADDRESS);
        }
        assert!(OriginalRecipient::parse(&format!("x400;{}", "x".repeat(495))).is_ok());
        assert_eq!(code(&format!("x400;{}", "x".repeat(496))), Code::TOO_LONG);
    }

    #[test]
    fn of_ones_own() {
        let written = |address: &str| {
            let mut out = Vec::new();
            write_own(address, &mut out);
            String::from_utf8(out).expect("ASCII")
        };
        assert_eq!(written("a+b@c"), " ORCPT=rfc822;a+2Bb@c");
        assert_eq!(written("\u{44e}\u{43b}\u{44f}@y"), " ORCPT=utf-8;\\x{44E}\\x{43B}\\x{44F}@y");
        assert_eq!(written(&"+".repeat(200)), "", "would be too long");
    }

    #[test]
    fn bits_of_one_recipient() {
        assert!(RecipientDelivery::parse(0x30000, None).is_ok());
        assert!(RecipientDelivery::parse(0, None).expect("nothing").is_empty());
        for bits in [1, 0x8000 | 0x10000, 0x80000, 0x100000] {
            assert_eq!(RecipientDelivery::parse(bits, None).expect_err("refused").code, Code::INVALID_PARAMETER);
        }
    }
}
