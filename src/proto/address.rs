//! Mailboxes, domains and address literals (RFC 5321 section 4.1.2 and 4.1.3).
//!
//! Each type can only be made by parsing, and none can hold a control
//! character, so that no address can smuggle a command in.

use super::limits::{MAX_DOMAIN, MAX_LABEL, MAX_LOCAL_PART};
use super::ordinary::{is_atom, ordinary_end, ordinary_end_at};
use crate::error::{Code, Error, Result};
use memchr::{memchr, memchr3};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A mailbox as it stands between the angle brackets of a RCPT command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mailbox<'a> {
    text: &'a str,
    ascii: bool,
}

impl<'a> Mailbox<'a> {
    /// Takes `user@example.com`, `<user@example.com>`, `Name <user@example.com>`,
    /// or `postmaster` alone (RFC 5321 section 4.1.1.3).
    ///
    /// # Errors
    ///
    /// `INVALID_ADDRESS` or `TOO_LONG`, with the place and the reason.
    pub fn parse(text: &'a str) -> Result<Self> {
        if ordinary_end(text.as_bytes()) == Some(text.len()) {
            return Ok(Self { text, ascii: true });
        }
        let bare = strip_display_name(text)?;
        if !bare.eq_ignore_ascii_case("postmaster") {
            check_mailbox(bare).map_err(|reason| invalid(text, reason))?;
        }
        Ok(Self { text: bare, ascii: bare.is_ascii() })
    }

    /// The mailbox without brackets.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.text
    }

    /// Whether it has characters beyond ASCII, so that it needs SMTPUTF8 (RFC 6531).
    #[must_use]
    pub fn needs_smtputf8(self) -> bool {
        !self.ascii
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
        let trimmed = trim_blanks(text);
        if trimmed == "<>" {
            return Ok(Self::Null);
        }
        if trimmed.is_empty() {
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

/// The mailbox, or domain, with its domain in ASCII: labels of other characters
/// become A-labels (IDNA 2008, with the mapping of UTS 46).
///
/// # Errors
///
/// `INVALID_ADDRESS` if the domain has no such form.
pub fn to_ascii(text: &str) -> Result<std::borrow::Cow<'_, str>> {
    let domain_start = text.rfind('@').map_or(0, |at| at + 1);
    let domain = &text[domain_start..];
    if domain.is_ascii() {
        return Ok(text.into());
    }
    let ascii = idna::domain_to_ascii_strict(domain)
        .map_err(|_| invalid(text, "its domain is not one that can be written in ASCII (IDNA)".into()))?;
    Ok(format!("{}{ascii}", &text[..domain_start]).into())
}

/// The mailboxes at the beginning of a list that are of the kind that nearly all are;
/// for what is left, [`split_list`] will do.
#[derive(Clone, Debug)]
pub struct OrdinaryList<'a> {
    /// What is behind those that were given.
    pub rest: &'a str,
    domain: &'a str,
}

impl<'a> OrdinaryList<'a> {
    /// The mailboxes of a list.
    #[must_use]
    pub fn new(list: &'a str) -> Self {
        Self { rest: list, domain: "" }
    }
}

impl<'a> Iterator for OrdinaryList<'a> {
    type Item = Mailbox<'a>;

    fn next(&mut self) -> Option<Mailbox<'a>> {
        let end = ordinary_end_at(self.rest.as_bytes(), self.domain.as_bytes())?;
        let (text, behind) = self.rest.split_at(end);
        self.rest = behind.get(1..).unwrap_or_default();
        if !text.ends_with(self.domain) || self.domain.is_empty() {
            self.domain = text.split_once('@').map_or("", |(_, domain)| domain);
        }
        Some(Mailbox { text, ascii: true })
    }
}

/// Splits a list at its commas, those in quotes, in angle brackets or behind a
/// backslash apart; blanks around each part are taken off, and empty parts left out.
pub fn split_list(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = part_end(rest.as_bytes());
            let part = trim_blanks(&rest[..end]);
            rest = rest.get(end + 1..).unwrap_or_default();
            if !part.is_empty() {
                return Some(part);
            }
        }
        None
    })
}

/// Where the first part of a list ends. Only ASCII is looked for, so octets will do.
fn part_end(list: &[u8]) -> usize {
    match memchr3(b',', b'"', b'<', list) {
        None => return list.len(),
        // Nothing before it could hold it in.
        Some(found) if list[found] == b',' => return found,
        Some(_) => {}
    }
    let (mut quoted, mut escaped, mut angle) = (false, false, false);
    for (at, octet) in list.iter().enumerate() {
        let was_escaped = std::mem::take(&mut escaped);
        match octet {
            _ if was_escaped => {}
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => angle = true,
            b'>' if !quoted => angle = false,
            b',' if !quoted && !angle => return at,
            _ => {}
        }
    }
    list.len()
}

fn trim_blanks(text: &str) -> &str {
    let is_blank = |octet: &u8| *octet == b' ' || *octet == b'\t';
    let octets = text.as_bytes();
    if !octets.first().is_some_and(is_blank) && !octets.last().is_some_and(is_blank) {
        return text;
    }
    let start = octets.iter().take_while(|octet| is_blank(octet)).count();
    let end = octets.len() - octets[start..].iter().rev().take_while(|octet| is_blank(octet)).count();
    &text[start..end]
}

fn invalid(text: &str, reason: String) -> Box<Error> {
    let code = if reason.contains("at most") { Code::TOO_LONG } else { Code::INVALID_ADDRESS };
    let shown: String = text.chars().take(200).collect();
    let what = format!("\"{}\" is not a valid mail address: {reason}", shown.escape_debug());
    Error::caller(code, what).with_address(shown.escape_debug().to_string())
}

/// The mailbox of `Name <mailbox>`; a text without brackets as it is.
fn strip_display_name(text: &str) -> Result<&str> {
    // Octets are enough to look at where there is no character beyond ASCII.
    let is_clean = |octet: &u8| matches!(octet, 0x20..=0x7E);
    if !text.as_bytes().iter().all(is_clean)
        && let Some(bad) = text.chars().find(|c| c.is_control())
    {
        let reason = format!("it has the control character U+{:04X}", u32::from(bad));
        return Err(invalid(text, reason));
    }
    let trimmed = trim_blanks(text);
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
        let at = memchr(b'@', text.as_bytes()).ok_or("it has no @")?;
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
    let mut before = b'.';
    for octet in text.bytes() {
        if octet == b'.' && before == b'.' {
            return Err("its local part begins with a dot, or has two in a row".into());
        }
        if octet != b'.' && !is_atext(octet) {
            return Err(format!("its local part has {:?}, which needs quotes", char::from(octet)));
        }
        before = octet;
    }
    if before == b'.' { Err("its local part ends with a dot".into()) } else { Ok(()) }
}

/// Part of an atom. What is beyond ASCII was found to be no control character
/// before, and is for SMTPUTF8 to judge (RFC 6531 section 3.3).
fn is_atext(octet: u8) -> bool {
    is_atom(octet) || octet >= 0x80
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
    text.as_bytes().split(|octet| *octet == b'.').try_for_each(check_label)
}

fn check_label(label: &[u8]) -> Check {
    let ([first, .., last] | [first @ last]) = label else {
        return Err("its domain begins or ends with a dot, or has two in a row".into());
    };
    if label.len() > MAX_LABEL && label.is_ascii() {
        return Err(format!("a part of its domain may have at most {MAX_LABEL} octets"));
    }
    // The underscore is not in RFC 5321's grammar, but is in use for host names.
    // What is beyond ASCII is turned into an A-label, or refused, later.
    let allowed = |octet: &u8| matches!(octet, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | 0x80..);
    if let Some(bad) = label.iter().find(|octet| !allowed(octet)) {
        return Err(format!("its domain has {:?}", char::from(*bad)));
    }
    if *first == b'-' || *last == b'-' {
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
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn what_is_found_ordinary_in_one_pass_is_well_formed(text in "[ab.@_+!-]{0,12}|[a-z.-]{1,70}@[a-z.-]{1,70}") {
            prop_assert!(ordinary_end(text.as_bytes()) != Some(text.len()) || check_mailbox(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn most_mailboxes_are_ordinary() {
        for text in ["user@example.com", "first.last+tag@sub.example.co.uk", "a@b"] {
            assert_eq!(ordinary_end(text.as_bytes()), Some(text.len()), "{text}");
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
    fn domains_in_ascii() {
        let ascii = |text| to_ascii(text).map(std::borrow::Cow::into_owned).map_err(|error| error.code);
        assert_eq!(ascii("a@example.com").as_deref(), Ok("a@example.com"));
        assert_eq!(ascii("jörg@bücher.example").as_deref(), Ok("jörg@xn--bcher-kva.example"));
        assert_eq!(ascii("user@παράδειγμα.test").as_deref(), Ok("user@xn--hxajbheg2az3al.test"));
        assert_eq!(ascii("Bücher.example").as_deref(), Ok("xn--bcher-kva.example"));
        assert_eq!(ascii("a@b\u{ad}\u{200d}.é_"), Err(Code::INVALID_ADDRESS));
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
