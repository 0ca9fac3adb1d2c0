//! The fields of the message's own header: which are there, how often, and their values.

use super::addresses;
use super::date::is_date;
use super::finding::quoted;
use super::{Check, Severity};

/// Fields that may be there once (RFC 5322 section 3.6, RFC 2045).
const ONCE: [&str; 19] = [
    "Date",
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Subject",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-ID",
    "Content-Description",
    "Content-Disposition",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
];

/// Fields with addresses.
const ADDRESSES: [&str; 13] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Resent-Bcc",
    "Disposition-Notification-To",
    "Return-Receipt-To",
];

/// Fields that are there when a message was under way before.
const LEFTOVERS: [(&str, Severity); 9] = [
    ("Return-Path", Severity::Warning),
    ("Delivered-To", Severity::Warning),
    ("X-Original-To", Severity::Warning),
    ("Authentication-Results", Severity::Warning),
    ("Received", Severity::Hint),
    ("Received-SPF", Severity::Hint),
    ("DKIM-Signature", Severity::Hint),
    ("ARC-Seal", Severity::Hint),
    ("ARC-Message-Signature", Severity::Hint),
];

/// The name as the standards write it, if it is one of these.
#[inline(never)]
fn known(name: &str, names: &'static [&'static str]) -> Option<usize> {
    names.iter().position(|known| known.eq_ignore_ascii_case(name))
}

/// What is known of the header so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    counts: [u32; ONCE.len()],
    authors: usize,
    https: bool,
}

/// A finding: the check, how bad, the field, in words, and whether each is one of its own.
pub(super) type Found = (Check, Severity, String, String, bool);

impl Fields {
    fn count(&self, name: &str) -> u32 {
        known(name, &ONCE).map_or(0, |at| self.counts[at])
    }

    /// Looks at a field.
    pub(super) fn look(&mut self, name: &str, value: &str, found: &mut Vec<Found>) {
        let mut say = |check, severity, what: String| say(found, check, severity, name, what);
        if let Some(at) = known(name, &ONCE) {
            self.counts[at] = self.counts[at].saturating_add(1);
            if self.counts[at] > 1 {
                say(Check::HeaderRepeated, Severity::Error, format!("{name} is there more than once"));
            }
        }
        if let Some((_, severity)) = LEFTOVERS.iter().find(|(left, _)| left.eq_ignore_ascii_case(name)) {
            say(Check::Leftover, *severity, format!("{name} is a field that servers put in"));
        }
        let empty = value.trim().is_empty();
        let is = |other: &str| is(name, other);
        if is("Bcc") {
            say(Check::Bcc, Severity::Warning, "the message has a Bcc field".to_owned());
        }
        if empty && (known(name, &ADDRESSES).is_some_and(|_| !is("Bcc")) || ["Date", "Message-ID"].into_iter().any(is))
        {
            say(Check::HeaderEmpty, Severity::Error, format!("{name} has no value"));
            return;
        }
        if is("Date") && !is_date(value) {
            say(Check::Date, Severity::Error, format!("{} is not a date", quoted(value.as_bytes())));
        }
        if is("Message-ID") && !is_message_id(value) {
            say(Check::MessageId, Severity::Warning, format!("{} is not an identifier", quoted(value.as_bytes())));
        }
        if is("MIME-Version") && !super::injection::without_comments(value).trim().starts_with("1.0") {
            say(
                Check::ContentType,
                Severity::Warning,
                format!("MIME-Version is {} and not 1.0", quoted(value.as_bytes())),
            );
        }
        if is("List-Unsubscribe") {
            self.https = value.to_ascii_lowercase().contains("<https://");
        }
        if known(name, &ADDRESSES).is_some() {
            let mut about = Vec::new();
            let count = addresses::look(value, &mut about);
            if is("From") {
                self.authors += count;
            }
            if is("Sender") && count > 1 {
                about.push((Check::Address, Severity::Error, "Sender has more than one address".to_owned()));
            }
            if count == 0 && (is("From") || is("Sender")) {
                about.push((Check::Address, Severity::Error, format!("{name} has no address")));
            }
            let about = about.into_iter().map(|(check, severity, what)| (check, severity, name.to_owned(), what, true));
            found.extend(about);
        }
    }

    /// Looks at what is missing, once the header is complete.
    pub(super) fn finish(&self, found: &mut Vec<Found>) {
        let mut missing = |name: &str, severity| {
            found.push((Check::HeaderMissing, severity, name.to_owned(), format!("there is no {name} field"), false));
        };
        for (name, severity) in [
            ("From", Severity::Error),
            ("Date", Severity::Error),
            ("Message-ID", Severity::Warning),
            ("Subject", Severity::Hint),
        ] {
            if self.count(name) == 0 {
                missing(name, severity);
            }
        }
        if ["To", "Cc", "Bcc"].iter().all(|name| self.count(name) == 0) {
            missing("To", Severity::Hint);
        }
        let mime = ["Content-Type", "Content-Transfer-Encoding"].iter().any(|name| self.count(name) > 0);
        if mime && self.count("MIME-Version") == 0 {
            missing("MIME-Version", Severity::Warning);
        }
        if self.authors > 1 && self.count("Sender") == 0 {
            let what = format!("From has {} addresses, and there is no Sender field", self.authors);
            found.push((Check::SenderMissing, Severity::Error, "From".to_owned(), what, false));
        }
        if self.count("List-Unsubscribe-Post") > 0 && !self.https {
            let what = "List-Unsubscribe-Post has no https address in List-Unsubscribe to go with".to_owned();
            found.push((Check::Unsubscribe, Severity::Warning, "List-Unsubscribe".to_owned(), what, false));
        }
    }
}

#[inline(never)]
fn say(found: &mut Vec<Found>, check: Check, severity: Severity, name: &str, what: String) {
    found.push((check, severity, name.to_owned(), what, false));
}

#[inline(never)]
fn is(name: &str, other: &str) -> bool {
    name.eq_ignore_ascii_case(other)
}

/// Whether a text is `<left@right>`, with comments.
#[inline(never)]
fn is_message_id(text: &str) -> bool {
    let text = super::injection::without_comments(text);
    let inner = text.trim().strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    inner.and_then(|inner| inner.split_once('@')).is_some_and(|(left, right)| {
        let fine = |part: &str| !part.is_empty() && part.chars().all(|c| !c.is_whitespace() && !"<>".contains(c));
        fine(left) && fine(right) && !right.contains('@')
    })
}
