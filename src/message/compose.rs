//! A message in one call, and what every message needs.

use super::address::{mailboxes, parse_addresses};
use super::message::Message;
use crate::error::{Code, Error, Result};
use crate::net::date::current_date;
use crate::net::random::nonce;
use crate::proto::to_ascii;

/// What a message is composed of; what is not given is not in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts<'a> {
    /// Who writes it.
    pub from: Option<&'a str>,
    /// To whom.
    pub to: Option<&'a str>,
    /// Who gets a copy.
    pub cc: Option<&'a str>,
    /// Who gets a copy that nobody else knows of.
    pub bcc: Option<&'a str>,
    /// What it is about.
    pub subject: Option<&'a str>,
    /// The plain text.
    pub text: Option<&'a str>,
    /// The HTML text.
    pub html: Option<&'a str>,
}

impl Message {
    /// Composes it anew: what was there before is gone.
    ///
    /// # Errors
    ///
    /// `HEADER` or `INVALID_ADDRESS`; nothing is changed then.
    pub fn compose(&mut self, parts: &Parts<'_>) -> Result<()> {
        let mut made = Self::new();
        let fields =
            [("From", parts.from), ("To", parts.to), ("Cc", parts.cc), ("Bcc", parts.bcc), ("Subject", parts.subject)];
        for (name, value) in fields {
            if let Some(value) = value {
                // A list without an address is as if there were none.
                if name == "Subject" || !parse_addresses(value).is_ok_and(|list| list.is_empty()) {
                    made.set_header(name, value)?;
                }
            }
        }
        made.set_text(parts.text)?;
        made.set_html(parts.html)?;
        *self = made;
        Ok(())
    }

    /// Adds what is missing and must be there: Date, Message-ID, and what boundaries
    /// are made of. They stay, so that every rendering is the same.
    ///
    /// # Errors
    ///
    /// If the system gives no random numbers.
    pub fn complete(&mut self) -> Result<()> {
        if self.seed.is_empty() {
            self.seed = unique()?;
        }
        if self.header("Date", 0).is_none() {
            self.set_header("Date", &current_date())?;
        }
        if self.header("Message-ID", 0).is_none() {
            let id = format!("<{}@{}>", unique()?, self.domain());
            self.set_header("Message-ID", &id)?;
        }
        Ok(())
    }

    /// The domain of the author, whose task it is to keep identifiers apart.
    fn domain(&self) -> String {
        let from = self.fields.iter().find(|field| field.is("From")).and_then(super::field::Field::addresses);
        let mailbox = from.and_then(|list| mailboxes(list).next());
        let address = mailbox.and_then(|mailbox| to_ascii(&mailbox.address).ok().map(std::borrow::Cow::into_owned));
        let domain = address.as_deref().and_then(|address| address.rsplit_once('@')).map(|(_, domain)| domain);
        domain.filter(|domain| domain.is_ascii()).unwrap_or("localhost.localdomain").to_owned()
    }
}

/// A word of letters, digits, - and _ that was never used before.
fn unique() -> Result<String> {
    let nonce = nonce().map_err(|error| Error::caller(Code::INTERNAL, error.what.clone()))?;
    Ok(nonce.replace('+', "-").replace('/', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_made_once() {
        let mut message = Message::new();
        message
            .compose(&Parts { from: Some("Ann <ann@b\u{fc}cher.example>"), cc: Some(" , "), ..Parts::default() })
            .expect("fine");
        assert_eq!(message.header("Cc", 0), None);
        message.complete().expect("random");
        let id = message.header("Message-ID", 0).expect("made");
        assert!(id.starts_with('<') && id.ends_with("@xn--bcher-kva.example>"), "{id}");
        let date = message.header("Date", 0);
        message.complete().expect("nothing to do");
        assert_eq!((message.header("Message-ID", 0), message.header("Date", 0)), (Some(id), date));
    }

    #[test]
    fn a_mistake_changes_nothing() {
        let mut message = Message::new();
        message.compose(&Parts { subject: Some("first"), ..Parts::default() }).expect("fine");
        let bad = Parts { subject: Some("a\r\nBcc: b@c"), ..Parts::default() };
        assert_eq!(message.compose(&bad).expect_err("injection").code, Code::HEADER);
        assert_eq!(message.header("Subject", 0).as_deref(), Some("first"));
    }
}
