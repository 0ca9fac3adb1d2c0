//! Address lists: each address, and what it could be taken for.

use super::finding::quoted;
use super::injection::without_comments;
use super::scripts::{is_invisible, suspicion};
use super::{Check, Severity};
use crate::proto::{Mailbox, to_ascii};

/// What is found in a list: the check, how bad, and in words.
pub(super) type Found = (Check, Severity, String);

/// Looks at a list; gives how many addresses it has. Empty groups are allowed.
#[inline(never)]
pub(super) fn look(list: &str, found: &mut Vec<Found>) -> usize {
    let text = without_comments(list);
    let mut count = 0;
    for entry in entries(&text) {
        let entry = entry.trim();
        if !entry.is_empty() {
            count += 1;
            look_at_one(entry, found);
        }
        // Each of them is a finding at least, and the report holds no more.
        if found.len() > super::MOST_FINDINGS {
            break;
        }
    }
    count
}

/// The entries of a list, names of groups left out.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped, mut angle, mut square) = (false, false, false, false);
    let mut start = 0;
    let mut places = text.char_indices();
    let mut done = false;
    std::iter::from_fn(move || {
        for (at, c) in places.by_ref() {
            let was_escaped = std::mem::take(&mut escaped);
            match c {
                _ if was_escaped => {}
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                _ if quoted => {}
                '<' => angle = true,
                '>' => angle = false,
                '[' => square = true,
                ']' => square = false,
                ':' if !angle && !square => start = at + 1,
                ',' | ';' if !angle && !square => return Some(&text[std::mem::replace(&mut start, at + 1)..at]),
                _ => {}
            }
        }
        (!std::mem::replace(&mut done, true)).then(|| &text[start..])
    })
}

#[inline(never)]
fn look_at_one(entry: &str, found: &mut Vec<Found>) {
    let shown = quoted(entry.as_bytes());
    let (name, address) = match entry.rfind('<') {
        Some(at) if entry.ends_with('>') => (entry[..at].trim(), &entry[at + 1..entry.len() - 1]),
        _ => ("", entry),
    };
    if entry.chars().any(is_invisible) {
        found.push((Check::Invisible, Severity::Warning, format!("{shown} has characters that cannot be seen")));
    }
    let valid = Mailbox::parse(address).and_then(|mailbox| {
        to_ascii(mailbox.as_str())?;
        Ok(mailbox.as_str())
    });
    match valid {
        Err(error) => {
            let why = error.what.rsplit_once("mail address: ").map_or(error.what.as_str(), |(_, why)| why);
            found.push((Check::Address, Severity::Error, format!("{shown} is not a valid address: {why}")));
        }
        Ok(address) => {
            if let Some(what) = suspicious(address) {
                found.push((Check::LookAlike, Severity::Warning, format!("{shown}: {what}")));
            }
            let plain = name.trim_matches('"').trim();
            if !name.is_empty() && is_unquoted(name) {
                let what = format!("the name in {shown} has a character that needs quotes");
                found.push((Check::Address, Severity::Error, what));
            } else if plain.contains('@') && !plain.eq_ignore_ascii_case(address) && Mailbox::parse(plain).is_ok() {
                found.push((
                    Check::NameIsAddress,
                    Severity::Warning,
                    format!("{shown} shows another address as its name"),
                ));
            }
        }
    }
}

/// Whether a name has marks that it may have in quotes only (RFC 5322 section 3.2.3). A dot
/// is in use without.
fn is_unquoted(name: &str) -> bool {
    let quoted = name.len() > 1 && name.starts_with('"') && name.ends_with('"');
    !quoted && (name.contains(['<', '>', '@', '[', ']', '\\']) || name.matches('"').count() % 2 == 1)
}

/// What an address could be taken for.
#[inline(never)]
fn suspicious(address: &str) -> Option<String> {
    let (local, domain) = address.rsplit_once('@')?;
    let about_local = || suspicion(local).map(|what| format!("the part before the @ {what}"));
    let label = |label: &str| {
        let wide = if label.to_ascii_lowercase().starts_with("xn--") {
            idna::domain_to_unicode(label).0
        } else {
            label.to_owned()
        };
        suspicion(&wide).map(|what| format!("in the domain, \"{wide}\" {what}"))
    };
    domain.split('.').find_map(label).or_else(about_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(list: &str) -> (usize, Vec<Check>) {
        let mut found = Vec::new();
        let count = look(list, &mut found);
        (count, found.into_iter().map(|(check, ..)| check).collect())
    }

    #[test]
    fn good_lists() {
        for (list, count) in [
            ("a@b.example", 1),
            ("Jane Doe <jane@a.example>, \"Doe, John\" <john@a.example> (home)", 2),
            ("undisclosed-recipients:;", 0),
            ("Friends: a@b.example, \"x:y\" <c@d.example>;, e@[IPv6:2001:db8::1]", 3),
            ("J. R. Doe <a@b.example>", 1),
            ("=?utf-8?Q?J=C3=B6rg?= <j@xn--bcher-kva.example>", 1),
            ("\u{5d3} <a@\u{5d3}\u{5d5}.example>", 1),
            ("a@b.example <a@b.example>", 1),
        ] {
            let (found, checks) = checks(list);
            // A name with an @ needs quotes even if it is the address.
            let expected: &[Check] = if list.starts_with("a@b.example <") { &[Check::Address] } else { &[] };
            assert_eq!((found, checks.as_slice()), (count, expected), "{list}");
        }
        assert_eq!(checks("\"a@b.example\" <a@b.example>").1, []);
    }

    #[test]
    fn bad_lists() {
        for (list, expected) in [
            ("Doe, Jane <jane@a.example>", Check::Address),
            ("jane", Check::Address),
            ("jane@", Check::Address),
            ("<jane@a.example", Check::Address),
            ("a@b.example c@d.example", Check::Address),
            ("\"boss@bank.example\" <thief@x.example>", Check::NameIsAddress),
            ("J\u{202e}x <a@b.example>", Check::Invisible),
            ("a@p\u{430}ypal.example", Check::LookAlike),
            ("a@xn--pypal-4ve.example", Check::LookAlike),
            ("\u{430}dmin@b.example", Check::LookAlike),
        ] {
            assert_eq!(checks(list).1, [expected], "{list}");
        }
    }
}
