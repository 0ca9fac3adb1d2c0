//! Who sends a message to whom, from its header.

use super::address::{mailboxes, parse_addresses};
use super::field::{Field, Value};
use super::message::Message;
use crate::error::{Code, Error, Result};
use std::collections::HashSet;

/// The envelope that a header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageEnvelope {
    /// The mailbox of Sender, or the first one of From.
    pub sender: String,
    /// Those of To, Cc and Bcc, each once.
    pub recipients: Vec<String>,
}

impl Message {
    /// The envelope: the sender from Sender or else From, the recipients from To, Cc
    /// and Bcc, members of groups included.
    ///
    /// # Errors
    ///
    /// `NO_SENDER`, `NO_RECIPIENTS`, or `INVALID_ADDRESS` if a list cannot be read.
    pub fn envelope(&self) -> Result<MessageEnvelope> {
        let mut sender = None;
        for name in ["Sender", "From"] {
            if sender.is_none() {
                sender = self.mailboxes_of(name)?.into_iter().next();
            }
        }
        let sender = sender.ok_or_else(|| {
            Error::caller(Code::NO_SENDER, "the message has neither a From nor a Sender field with an address")
        })?;
        let mut seen = HashSet::new();
        let mut recipients = Vec::new();
        for name in ["To", "Cc", "Bcc"] {
            recipients.extend(self.mailboxes_of(name)?.into_iter().filter(|address| seen.insert(address.clone())));
        }
        if recipients.is_empty() {
            let what = "there is no address in the fields To, Cc and Bcc of the message";
            return Err(Error::caller(Code::NO_RECIPIENTS, what));
        }
        Ok(MessageEnvelope { sender, recipients })
    }

    fn mailboxes_of(&self, name: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for field in self.fields.iter().filter(|field| field.is(name)) {
            found.extend(mailboxes(parse_addresses(&unfolded(field))?).map(|mailbox| mailbox.address));
        }
        Ok(found)
    }
}

fn unfolded(field: &Field) -> String {
    match &field.value {
        Value::Text(text) => text.clone(),
        Value::Raw(raw) => {
            let octets: Vec<u8> = raw.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
            String::from_utf8_lossy(&octets).into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_to_cc_and_bcc() {
        let mut message = Message::new();
        assert_eq!(message.envelope().expect_err("empty").code, Code::NO_SENDER);
        message.set_header("From", "Ann <ann@a.example>, Bob <bob@a.example>").expect("fine");
        assert_eq!(message.envelope().expect_err("nobody").code, Code::NO_RECIPIENTS);
        message.set_header("To", "Friends: c@d (a, b), \"e f\"@g;, c@d").expect("fine");
        message.set_header("Cc", "undisclosed:;").expect("fine");
        message.set_header("Bcc", "h@i").expect("fine");
        let envelope = message.envelope().expect("complete");
        assert_eq!(envelope.sender, "ann@a.example");
        assert_eq!(envelope.recipients, ["c@d", "\"e f\"@g", "h@i"]);
        message.set_header("Sender", "office@a.example").expect("fine");
        assert_eq!(message.envelope().expect("complete").sender, "office@a.example");
    }

    #[test]
    fn a_loaded_header() {
        let text = "from: =?utf-8?q?a=2C_b?= <a@b>\nTO: x:\n c@d,\n\te@f;\nTo: g@h\nBcc: i@j\n\ntext\n";
        let envelope = Message::load(text.as_bytes()).expect("a message").envelope().expect("complete");
        assert_eq!(envelope.sender, "a@b");
        assert_eq!(envelope.recipients, ["c@d", "e@f", "g@h", "i@j"]);
    }
}
