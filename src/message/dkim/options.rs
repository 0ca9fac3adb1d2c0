//! What a caller wants of a signature, in the tags of RFC 6376 section 3.5.

use super::Canonical;
use super::fields::MAX_NAMES;
use crate::error::{Code, Error, Result};
use crate::proto::{Mailbox, to_ascii};

/// The latest time that may be given: RFC 6376 allows 12 digits.
const MAX_TIME: u64 = 999_999_999_999;

/// When a signature was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    Now,
    NotSaid,
    At(u64),
}

/// Until when a signature is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    Never,
    After(u64),
    At(u64),
}

/// Everything about a signature but its key.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(super) domain: String,
    pub(super) selector: String,
    pub(super) header: Canonical,
    pub(super) body: Canonical,
    /// As given; the usual ones if it is `None`.
    pub(super) names: Option<Vec<String>>,
    /// As it stands in the signature; empty if it is not there.
    pub(super) identity: String,
    pub(super) time: Time,
    pub(super) expiry: Expiry,
}

impl Settings {
    /// Takes the domain that signs, the selector of its key, and options: tags as they
    /// would stand in a signature, separated by semicolons.
    ///
    /// # Errors
    ///
    /// `DKIM_SETTING` with what is not allowed, and why.
    pub fn parse(domain: &str, selector: &str, options: &str) -> Result<Self> {
        let domain = domain_name(domain).map_err(|why| refused("the signing domain", domain, &why))?;
        let selector = domain_name(selector).map_err(|why| refused("the selector", selector, &why))?;
        if selector.len() + domain.len() + "._domainkey.".len() > 253 {
            return Err(refused("the selector", &selector, "with the domain, it makes a name longer than 253 octets"));
        }
        let mut settings = Self {
            domain,
            selector,
            header: Canonical::Relaxed,
            body: Canonical::Relaxed,
            names: None,
            identity: String::new(),
            time: Time::Now,
            expiry: Expiry::Never,
        };
        let mut seen: Vec<&str> = Vec::new();
        for option in options.split(';').map(str::trim).filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let (name, value) = (name.trim(), value.trim());
            if seen.contains(&name) {
                return Err(refused("the option", name, "it is there twice"));
            }
            seen.push(name);
            settings.set(name, value).map_err(|why| refused("the option", option, &why))?;
        }
        if let (Time::At(made), Expiry::At(until)) = (settings.time, settings.expiry)
            && until <= made
        {
            return Err(refused("the option", &format!("x={until}"), "it is not later than t="));
        }
        if settings.time == Time::NotSaid && matches!(settings.expiry, Expiry::After(_)) {
            return Err(refused("the option", "t=none", "an x= that counts from it needs it"));
        }
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: &str) -> std::result::Result<(), String> {
        match name {
            "c" => {
                let (header, body) = value.split_once('/').unwrap_or((value, "simple"));
                (self.header, self.body) = (canonical(header)?, canonical(body)?);
            }
            "h" => self.names = Some(names(value)?),
            "i" => self.identity = identity(value, &self.domain)?,
            "t" if value.eq_ignore_ascii_case("none") => self.time = Time::NotSaid,
            "t" => self.time = Time::At(number(value)?),
            "x" => {
                self.expiry = match value.strip_prefix('+') {
                    Some(after) => Expiry::After(number(after)?),
                    None => Expiry::At(number(value)?),
                };
            }
            "l" => return Err("a length would let anybody append to the message; it is not offered".to_owned()),
            "a" => return Err("the key decides the algorithm".to_owned()),
            _ => return Err("there are c, h, i, t and x".to_owned()),
        }
        Ok(())
    }
}

fn refused(what: &str, value: &str, why: &str) -> Box<Error> {
    let shown: String = value.chars().take(100).collect();
    Error::caller(Code::DKIM_SETTING, format!("{what} \"{shown}\" of the DKIM signature is not allowed: {why}"))
}

/// A domain in its ASCII form.
fn domain_name(text: &str) -> std::result::Result<String, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let ordinary = |c: char| c.is_alphanumeric() || !c.is_ascii() || matches!(c, '-' | '_' | '.');
    if let Some(bad) = text.chars().find(|c| !ordinary(*c)) {
        return Err(format!("it has {bad:?}"));
    }
    let mailbox = format!("a@{text}");
    Mailbox::parse(&mailbox).map_err(|_| "it is not a domain name".to_owned())?;
    let ascii = to_ascii(&mailbox).map_err(|error| error.what)?;
    Ok(ascii.get(2..).unwrap_or_default().to_ascii_lowercase())
}

fn canonical(name: &str) -> std::result::Result<Canonical, String> {
    [Canonical::Simple, Canonical::Relaxed]
        .into_iter()
        .find(|canonical| canonical.name().eq_ignore_ascii_case(name.trim()))
        .ok_or_else(|| "there are simple and relaxed, as in relaxed/simple".to_owned())
}

/// The names of fields, separated by colons.
fn names(list: &str) -> std::result::Result<Vec<String>, String> {
    let names: Vec<String> = list.split(':').map(|name| name.trim().to_owned()).collect();
    if names.len() > MAX_NAMES {
        return Err(format!("{MAX_NAMES} names are the most"));
    }
    for name in &names {
        let allowed = |octet: u8| matches!(octet, 33..=57 | 60..=126);
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(format!("\"{name}\" is not the name of a field"));
        }
        // Each server puts in its own, and so do the signatures.
        for added in ["Return-Path", "Received", "DKIM-Signature"] {
            if name.eq_ignore_ascii_case(added) {
                return Err(format!("{added} changes on the way"));
            }
        }
    }
    if !names.iter().any(|name| name.eq_ignore_ascii_case("From")) {
        return Err("From must be among the names (RFC 6376, section 5.4)".to_owned());
    }
    Ok(names)
}

/// An identity as it stands in a signature.
fn identity(text: &str, domain: &str) -> std::result::Result<String, String> {
    let (local, host) = text.rsplit_once('@').ok_or("it has no @")?;
    let host = domain_name(host)?;
    let within = host == domain || host.strip_suffix(domain).is_some_and(|before| before.ends_with('.'));
    if !within {
        return Err(format!("its domain must be {domain} or within it"));
    }
    if !local.is_empty() {
        Mailbox::parse(&format!("{local}@{host}")).map_err(|error| error.what)?;
    }
    // RFC 6376 section 2.11.
    let mut out = String::new();
    for octet in local.bytes() {
        match octet {
            b'!'..=b':' | b'<' | b'>'..=b'~' => out.push(char::from(octet)),
            _ => out.push_str(&format!("={octet:02X}")),
        }
    }
    Ok(format!("{out}@{host}"))
}

fn number(text: &str) -> std::result::Result<u64, String> {
    let number = text.parse::<u64>().ok().filter(|_| text.bytes().all(|octet| octet.is_ascii_digit()));
    number.filter(|number| (1..=MAX_TIME).contains(number)).ok_or_else(|| "it is not a number of seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_settings() {
        let plain = Settings::parse("Example.COM", "s1", "").expect("good");
        assert_eq!((plain.domain.as_str(), plain.selector.as_str()), ("example.com", "s1"));
        assert_eq!((plain.header, plain.body, plain.names), (Canonical::Relaxed, Canonical::Relaxed, None));
        let given = " c=simple/relaxed; h=from : to:From; i=a=b;c@mail.example.com; t = 10;x=+20; ";
        // A semicolon separates, also in an identity.
        assert!(Settings::parse("example.com", "s", given).is_err());
        let given = "c=simple; h=from : to:From; i=a=b@mail.example.com; t = 10;x=+20; ";
        let found = Settings::parse("example.com", "a.b_c", given).expect("good");
        assert_eq!((found.header, found.body), (Canonical::Simple, Canonical::Simple));
        assert_eq!(found.names.expect("given"), ["from", "to", "From"]);
        assert_eq!(found.identity, "a=3Db@mail.example.com");
        assert_eq!((found.time, found.expiry), (Time::At(10), Expiry::After(20)));
        let wide = Settings::parse("b\u{fc}cher.example", "s", "i=@B\u{dc}CHER.example").expect("good");
        assert_eq!((wide.domain.as_str(), wide.identity.as_str()), ("xn--bcher-kva.example", "@xn--bcher-kva.example"));
    }

    #[test]
    fn bad_settings() {
        let long = "a".repeat(60);
        let long = [long.as_str(); 4].join(".");
        for (domain, selector, options) in [
            ("", "s", ""),
            ("a b", "s", ""),
            ("a.example\r\nX: y", "s", ""),
            ("[192.0.2.1]", "s", ""),
            ("a..example", "s", ""),
            ("a.example", "", ""),
            ("a.example", "s;t=1", ""),
            ("a.example", "-s", ""),
            ("a.example", &long, ""),
            ("a.example", "s", "c=loose"),
            ("a.example", "s", "c=simple/"),
            ("a.example", "s", "h=To:Subject"),
            ("a.example", "s", "h=From::To"),
            ("a.example", "s", "h=From:a b"),
            ("a.example", "s", "h=From:Received"),
            ("a.example", "s", "h=From:DKIM-Signature"),
            ("a.example", "s", "i=x"),
            ("a.example", "s", "i=@b.example"),
            ("a.example", "s", "i=@xa.example"),
            ("a.example", "s", "i=a b@a.example"),
            ("a.example", "s", "t=-1"),
            ("a.example", "s", "t=1;t=2"),
            ("a.example", "s", "x=0"),
            ("a.example", "s", "x=1e9"),
            ("a.example", "s", "x=9999999999999"),
            ("a.example", "s", "t=9;x=9"),
            ("a.example", "s", "t=none;x=+9"),
            ("a.example", "s", "l=10"),
            ("a.example", "s", "a=rsa-sha1"),
            ("a.example", "s", "z"),
        ] {
            let error = Settings::parse(domain, selector, options).expect_err(options);
            assert_eq!(error.code, Code::DKIM_SETTING, "{domain} {selector} {options}");
        }
    }
}
