//! The extensions that a server offers as bits, as the original had them.

use crate::proto::Capabilities;

/// One bit.
#[derive(Debug)]
pub struct ExtendedOption {
    /// The name behind `SMTP_EXTOPT_`.
    pub name: &'static str,
    /// The value.
    pub value: u32,
    /// What it means.
    pub doc: &'static str,
    keyword: &'static str,
}

const fn option(name: &'static str, value: u32, keyword: &'static str, doc: &'static str) -> ExtendedOption {
    ExtendedOption { name, value, doc, keyword }
}

/// Every bit.
pub const EXTENDED_OPTIONS: &[ExtendedOption] = &[
    option("EXPN", 0x1, "EXPN", "The server tells who is on a list: SmtpExpandAddress."),
    option("VRFY", 0x2, "VRFY", "The server tells whether an address is valid: SmtpVerifyAddress."),
    option("DSN", 0x4, "DSN", "Delivery status notifications (RFC 3461)."),
    option("SIZE", 0x8, "SIZE", "The length of a message is told in advance (RFC 1870)."),
    option("ETRN", 0x10, "ETRN", "The server sends queued mail when asked: SmtpExtendedTurn (RFC 1985)."),
    option("8BITMIME", 0x20, "8BITMIME", "Messages with octets beyond ASCII (RFC 6152)."),
    option("AUTHLOGIN", 0x40, "AUTH", "A login with the mechanism LOGIN."),
    option("STARTTLS", 0x80, "STARTTLS", "TLS on request (RFC 3207)."),
    option("PIPELINING", 0x100, "PIPELINING", "Commands that do not wait for each other (RFC 2920)."),
    option("CHUNKING", 0x200, "CHUNKING", "Messages in pieces of known length (RFC 3030)."),
    option("BINARYMIME", 0x400, "BINARYMIME", "Messages of any octets (RFC 3030)."),
    option("SMTPUTF8", 0x800, "SMTPUTF8", "Addresses and headers beyond ASCII (RFC 6531)."),
    option("ENHANCEDSTATUSCODES", 0x1000, "ENHANCEDSTATUSCODES", "Replies with codes such as 5.1.1 (RFC 2034)."),
    option("DELIVERBY", 0x2000, "DELIVERBY", "A time by which to deliver: SMTP_PROPERTY_DELIVER_BY (RFC 2852)."),
    option(
        "FUTURERELEASE",
        0x4000,
        "FUTURERELEASE",
        "Messages that are held: SMTP_PROPERTY_HOLD_FOR, SMTP_PROPERTY_HOLD_UNTIL (RFC 4865).",
    ),
    option("MT_PRIORITY", 0x8000, "MT-PRIORITY", "Priorities: SMTP_PROPERTY_MT_PRIORITY (RFC 6710)."),
    option("REQUIRETLS", 0x10000, "REQUIRETLS", "TLS all the way: SMTP_PROPERTY_REQUIRE_TLS (RFC 8689)."),
    option("LIMITS", 0x20000, "LIMITS", "How many messages and recipients the server takes (RFC 9422)."),
    option("HELP", 0x40000, "HELP", "The server explains itself: SmtpHelp."),
];

/// The bits of what is offered and not left out.
pub(super) fn extended_options(offered: &Capabilities) -> u32 {
    let is_set = |option: &&ExtendedOption| match option.name {
        "AUTHLOGIN" => offered.mechanisms.iter().any(|mechanism| mechanism == "LOGIN"),
        _ => offered.offers(option.keyword),
    };
    EXTENDED_OPTIONS.iter().filter(is_set).fold(0, |bits, option| bits | option.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_stands_for_itself() {
        let mut all = 0;
        for option in EXTENDED_OPTIONS {
            let lines = vec![option.keyword.to_owned()];
            let offered = Capabilities { lines, mechanisms: vec!["PLAIN".into()], ..Capabilities::default() };
            let expected = if option.name == "AUTHLOGIN" { 0 } else { option.value };
            assert_eq!(extended_options(&offered), expected, "{}", option.name);
            assert!(option.value.is_power_of_two() && all & option.value == 0 && option.doc.ends_with('.'));
            all |= option.value;
        }
        let login = Capabilities { mechanisms: vec!["LOGIN".into()], ..Capabilities::default() };
        assert_eq!(extended_options(&login), 0x40);
    }
}
