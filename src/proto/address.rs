//! Mailboxes, domains and address literals (RFC 5321 section 4.1.2 and 4.1.3).
//!
//! Each type can only be made by parsing, and none can hold a control
//! character, so that no address can smuggle a command in.

use super::limits::{MAX_DOMAIN, MAX_LABEL, MAX_LOCAL_PART};
use crate::error::{Code, Error, Result};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A mailbox as it stands between the angle brackets of a RCPT command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mailbox<'a>(&'a str);

impl<'a> Mailbox<'a> {
    /// Takes `user@example.com`, `<user@example.com>`, `Name <user@example.com>`,
    /// or `postmaster` alone (RFC 5321 section 4.1.1.3).
    ///
    /// # Errors
    ///
    /// `INVALID_ADDRESS` or `TOO_LONG`, with the place and the reason.
    pub fn parse(text: &'a str) -> Result<Self> {
        let bare = strip_display_name(text)?;
        if bare.eq_ignore_ascii_case("postmaster") {
            return Ok(Self(bare));
        }
        check_mailbox(bare).map_err(|reason| invalid(text, reason))?;
        Ok(Self(bare))
    }

    /// A text that came out of a mailbox before.
    pub(super) fn parsed_before(text: &'a str) -> Self {
        Self(text)
    }

    /// The mailbox without brackets.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether it has characters beyond ASCII, so that it needs SMTPUTF8 (RFC 6531).
    #[must_use]
    pub fn needs_smtputf8(self) -> bool {
        !self.0.is_ascii()
    }
}

/// The sender: a mailbox, or nothing for notifications (`<>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReversePath<'a> {
    /// `MAIL FROM:<>`
    Null,
    /// `MAIL FROM:<mailbox>`
    Mailbox(Mailbox<'a>),
}

impl<'a> ReversePath<'a> {
    /// Takes what [`Mailbox::parse`] takes, and `<>`. An empty text is an
    /// error, since it is more often a mistake than a wish.
    ///
    /// # Errors
    ///
    /// As [`Mailbox::parse`].
    pub fn parse(text: &'a str) -> Result<Self> {
        if text.trim() == "<>" {
            return Ok(Self::Null);
        }
        if text.trim().is_empty() {
            let what = "the sender is empty (write <> for a notification without a sender)";
            return Err(Error::caller(Code::INVALID_ADDRESS, what));
        }
        Mailbox::parse(text).map(Self::Mailbox)
    }

    /// The text between the angle brackets.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        match self {
            Self::Null => "",
            Self::Mailbox(mailbox) => mailbox.as_str(),
        }
    }
}

/// A domain name or address literal, as EHLO takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

impl HostName {
    /// Takes `host.example.com`, `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` with the reason.
    pub fn parse(text: &str) -> Result<Self> {
        let checked = if text.is_ascii() {
            check_domain(text)
        } else {
            Err("it has characters beyond ASCII; write its xn-- form".into())
        };
        checked.map_err(|reason| {
            let what = format!("\"{}\" is not a host name: {reason}", text.escape_debug());
            Error::caller(Code::INVALID_PARAMETER, what)
        })?;
        Ok(Self(text.to_owned()))
    }

    /// The literal of an address (RFC 5321 section 4.1.3).
    #[must_use]
    pub fn literal(address: std::net::IpAddr) -> Self {
        match address {
            std::net::IpAddr::V4(v4) => Self(format!("[{v4}]")),
            std::net::IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => Self(format!("[{v4}]")),
                None => Self(format!("[IPv6:{v6}]")),
            },
        }
    }

    /// The name as sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Splits a list at its commas, those in quotes, in angle brackets or behind a
/// backslash apart; blanks around each part are taken off, and empty parts left out.
pub fn split_list(list: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped, mut angle) = (false, false, false);
    list.split(move |c: char| {
        let was_escaped = std::mem::take(&mut escaped);
        match c {
            _ if was_escaped => {}
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => angle = true,
            '>' if !quoted => angle = false,
            ',' => return !quoted && !angle,
            _ => {}
        }
        false
    })
    .map(|part| part.trim_matches([' ', '\t']))
    .filter(|part| !part.is_empty())
}

fn invalid(text: &str, reason: String) -> Box<Error> {
    let code = if reason.contains("at most") { Code::TOO_LONG } else { Code::INVALID_ADDRESS };
    let shown: String = text.chars().take(200).collect();
    let what = format!("\"{}\" is not a valid mail address: {reason}", shown.escape_debug());
    Error::caller(code, what).with_address(shown.escape_debug().to_string())
}

/// The mailbox of `Name <mailbox>`; a text without brackets as it is.
fn strip_display_name(text: &str) -> Result<&str> {
    if let Some(bad) = text.chars().find(|c| c.is_control()) {
        let reason = format!("it has the control character U+{:04X}", u32::from(bad));
        return Err(invalid(text, reason));
    }
    let trimmed = text.trim_matches(' ');
    let Some(inner) = trimmed.strip_suffix('>') else {
        return Ok(trimmed);
    };
    match find_unquoted(inner, '<') {
        Some(open) => Ok(&inner[open + 1..]),
        None => Err(invalid(text, "it has > without <".into())),
    }
}

fn find_unquoted(text: &str, wanted: char) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.char_indices().find_map(|(at, c)| {
        if std::mem::take(&mut escaped) {
            return None;
        }
        match c {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return (c == wanted && !quoted).then_some(at),
        }
        None
    })
}

type Check = std::result::Result<(), String>;

fn check_mailbox(text: &str) -> Check {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    let at = if text.starts_with('"') {
        let end = quoted_end(text)?;
        if text.as_bytes().get(end) != Some(&b'@') {
            return Err("there is no @ behind the quoted local part".into());
        }
        end
    } else {
        let at = text.find('@').ok_or("it has no @")?;
        check_dot_string(&text[..at])?;
        at
    };
    if at > MAX_LOCAL_PART {
        return Err(format!("its local part may have at most {MAX_LOCAL_PART} octets"));
    }
    check_domain(&text[at + 1..])
}

/// The end of the quoted string that `text` begins with.
fn quoted_end(text: &str) -> std::result::Result<usize, String> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if c.is_control() => break,
            // quoted-pairSMTP is a backslash and a printable ASCII character
            _ if escaped && !c.is_ascii() => break,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Ok(at + 1),
            _ => {}
        }
    }
    Err("its quoted local part does not end, or has a character that may not be there".into())
}

fn check_dot_string(text: &str) -> Check {
    if text.is_empty() {
        return Err("it has nothing before the @".into());
    }
    for atom in text.split('.') {
        if atom.is_empty() {
            return Err("its local part begins or ends with a dot, or has two in a row".into());
        }
        if let Some(bad) = atom.chars().find(|c| !is_atext(*c)) {
            return Err(format!("its local part has {bad:?}, which needs quotes"));
        }
    }
    Ok(())
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_control())
}

fn check_domain(text: &str) -> Check {
    if text.is_empty() {
        return Err("it has no domain".into());
    }
    if text.len() > MAX_DOMAIN {
        return Err(format!("its domain may have at most {MAX_DOMAIN} octets"));
    }
    if let Some(literal) = text.strip_prefix('[') {
        return check_literal(literal);
    }
    text.split('.').try_for_each(check_label)
}

fn check_label(label: &str) -> Check {
    if label.is_empty() {
        return Err("its domain begins or ends with a dot, or has two in a row".into());
    }
    if label.is_ascii() && label.len() > MAX_LABEL {
        return Err(format!("a part of its domain may have at most {MAX_LABEL} octets"));
    }
    // The underscore is not in RFC 5321's grammar, but is in use for host names.
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || (!c.is_ascii() && !c.is_control());
    if let Some(bad) = label.chars().find(|c| !allowed(*c)) {
        return Err(format!("its domain has {bad:?}"));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err("a part of its domain begins or ends with a hyphen".into());
    }
    Ok(())
}

/// What follows the opening bracket of an address literal.
fn check_literal(text: &str) -> Check {
    let inner = text.strip_suffix(']').ok_or("its address literal has no closing bracket")?;
    let is_tag = |tag: &str| {
        tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && tag.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let well_formed = match inner.split_once(':') {
        None => inner.parse::<Ipv4Addr>().is_ok(),
        Some((tag, v6)) if tag.eq_ignore_ascii_case("IPv6") => v6.parse::<Ipv6Addr>().is_ok(),
        Some((tag, content)) => {
            let is_dcontent = |octet: u8| matches!(octet, 33..=90 | 94..=126);
            is_tag(tag) && !content.is_empty() && content.bytes().all(is_dcontent)
        }
    };
    if well_formed { Ok(()) } else { Err("its address literal is not [1.2.3.4], [IPv6:...] or [tag:...]".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_mailboxes() {
        let long_local = format!("{}@example.com", "a".repeat(64));
        let long_label = format!("a@{}.example", "b".repeat(63));
        for text in [
            "a@b",
            "user@example.com",
            "first.last+tag@sub.example.co.uk",
            "!#$%&'*+-/=?^_`{|}~@example.com",
            "\"quoted string\"@example.com",
            "\"a\\\"b@c\\\\\"@example.com",
            "\"\"@example.com",
            "user@[192.0.2.1]",
            "user@[IPv6:2001:db8::1]",
            "user@[ipv6:::ffff:192.0.2.1]",
            "user@[x400:c=us;a=telemail]",
            "user@xn--bcher-kva.example",
            "user@under_score.example",
            "Postmaster",
            "jörg@bücher.example",
            &long_local,
            &long_label,
        ] {
            assert_eq!(Mailbox::parse(text).map(Mailbox::as_str).ok(), Some(text));
        }
    }

    #[test]
    fn bad_mailboxes() {
        for text in [
            "",
            " ",
            "a",
            "@",
            "a@",
            "@b",
            "a b@c",
            "a@b c",
            ".a@b",
            "a.@b",
            "a..b@c",
            "a@.b",
            "a@b.",
            "a@b..c",
            "a@-b",
            "a@b-",
            "a@b@c",
            "a,b@c",
            "a@b,c",
            "a;b@c",
            "<a@b",
            "a@b>",
            "\"a@b",
            "\"a\"b@c",
            "\"a\\\"@b",
            "a@[1.2.3]",
            "a@[1.2.3.4",
            "a@[1.2.3.256]",
            "a@[IPv6:1.2.3.4]",
            "a@[:x]",
            "a@[tag:]",
            "a@[tag:a b]",
            "a@b\r\nRCPT TO:<c@d>",
            "a\n@b",
            "a\0@b",
            "\"a\r\nb\"@c",
            "\"a\\\rb\"@c",
            "a@b\u{7f}",
            "a\u{85}@b",
            "<a@b> <c@d>",
            "a<b>@c",
            "(comment)a@b",
        ] {
            let error = Mailbox::parse(text).expect_err(text);
            assert_eq!(error.code, Code::INVALID_ADDRESS, "{text:?}");
        }
        for text in [
            format!("{}@example.com", "a".repeat(65)),
            format!("a@{}.example", "b".repeat(64)),
            format!("a@{}", "b.".repeat(130)),
        ] {
            assert_eq!(Mailbox::parse(&text).expect_err("too long").code, Code::TOO_LONG);
        }
    }

    #[test]
    fn errors_never_carry_raw_control_characters() {
        let error = Mailbox::parse("a@b\r\nDATA").expect_err("refused");
        assert!(!error.to_string().contains('\r') && !error.to_string().contains('\n'));
        assert!(error.to_string().contains("U+000D"));
    }

    #[test]
    fn display_names_are_taken_off() {
        for text in
            ["Jane <jane@a.example>", "\"Doe, Jane <x@y>\" <jane@a.example>", "<jane@a.example>", " jane@a.example "]
        {
            assert_eq!(Mailbox::parse(text).map(Mailbox::as_str).ok(), Some("jane@a.example"), "{text}");
        }
    }

    #[test]
    fn senders() {
        assert_eq!(ReversePath::parse("<>").ok(), Some(ReversePath::Null));
        assert_eq!(ReversePath::parse("a@b").expect("good").as_str(), "a@b");
        assert_eq!(ReversePath::parse("").expect_err("empty").code, Code::INVALID_ADDRESS);
        assert_eq!(ReversePath::parse(" ").expect_err("empty").code, Code::INVALID_ADDRESS);
    }

    #[test]
    fn lists_are_split_at_commas_outside_quotes_and_brackets() {
        let parts: Vec<_> = split_list(" a@b, ,\"x, y\" <c@d>,\"q,\\\",r\"@e ,<f,g@h>,").collect();
        assert_eq!(parts, ["a@b", "\"x, y\" <c@d>", "\"q,\\\",r\"@e", "<f,g@h>"]);
        assert_eq!(split_list("").count(), 0);
        assert_eq!(split_list(" , ,").count(), 0);
    }

    #[test]
    fn host_names() {
        for good in ["host.example", "localhost", "[192.0.2.1]", "[IPv6:::1]"] {
            assert_eq!(HostName::parse(good).expect(good).as_str(), good);
        }
        for bad in ["", "a b", "a\r\nb", "host.", "[1.2.3.4", "bücher.example"] {
            assert_eq!(HostName::parse(bad).expect_err(bad).code, Code::INVALID_PARAMETER);
        }
        let literal = |text: &str| HostName::literal(text.parse().expect("an address")).as_str().to_owned();
        assert_eq!(literal("192.0.2.7"), "[192.0.2.7]");
        assert_eq!(literal("2001:db8::7"), "[IPv6:2001:db8::7]");
        assert_eq!(literal("::ffff:192.0.2.7"), "[192.0.2.7]");
    }
}
