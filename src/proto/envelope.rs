//! Whom a message is from and for, and what the server said of each recipient.

use super::address::{Mailbox, ReversePath};
use super::delivery::Delivery;
use super::limits::MAX_REFUSAL_TEXT;
use super::reply::Reply;
use crate::error::ServerReply;

/// What became of one recipient. `Accepted` is of the address: whether the
/// message was taken for it is the message's outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecipientState {
    /// The server was not asked, or did not answer.
    #[default]
    NotTried = 0,
    /// The server accepted the address.
    Accepted = 1,
    /// The server refused it with a 4xx reply.
    RefusedTemporary = 2,
    /// The server refused it with a 5xx reply.
    RefusedPermanent = 3,
}

impl RecipientState {
    /// Every state, in the order of its number.
    pub const ALL: [Self; 4] = [Self::NotTried, Self::Accepted, Self::RefusedTemporary, Self::RefusedPermanent];

    /// The constant's name behind `SMTP_RECIPIENT_`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotTried => "NOT_TRIED",
            Self::Accepted => "ACCEPTED",
            Self::RefusedTemporary => "REFUSED_TEMPORARY",
            Self::RefusedPermanent => "REFUSED_PERMANENT",
        }
    }
}

/// The sender and the recipients of one message.
///
/// The addresses lie one behind the other in one text, so that an envelope that
/// is cleared and filled again allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    text: String,
    sender_end: usize,
    recipients: Vec<Recipient>,
    size: Option<u64>,
    all_or_nothing: bool,
    eight_bit: bool,
    /// Some mailbox has characters beyond ASCII.
    smtputf8: bool,
    delivery: Delivery,
    envelope_id: String,
    extra_parameters: String,
    leaves_out: bool,
}

#[derive(Clone, Debug)]
struct Recipient {
    end: usize,
    state: RecipientState,
    refusal: Option<Box<ServerReply>>,
}

impl Envelope {
    /// Empties the envelope and sets the sender.
    pub fn begin(&mut self, sender: ReversePath<'_>) {
        self.text.clear();
        self.text.push_str(sender.as_str());
        self.sender_end = self.text.len();
        self.recipients.clear();
        self.size = None;
        self.all_or_nothing = false;
        self.eight_bit = false;
        self.smtputf8 = matches!(sender, ReversePath::Mailbox(mailbox) if mailbox.needs_smtputf8());
        self.delivery = Delivery::default();
        self.envelope_id.clear();
        self.extra_parameters.clear();
        self.leaves_out = false;
    }

    /// Adds a recipient.
    pub fn push(&mut self, recipient: Mailbox<'_>) {
        self.text.push_str(recipient.as_str());
        self.smtputf8 |= recipient.needs_smtputf8();
        self.recipients.push(Recipient { end: self.text.len(), state: RecipientState::NotTried, refusal: None });
    }

    /// Tells the length of the message in octets, for SIZE (RFC 1870).
    pub fn set_size(&mut self, size: Option<u64>) {
        self.size = size;
    }

    /// Tells that the message has, or may have, octets beyond ASCII (RFC 6152).
    pub fn set_eight_bit(&mut self, eight_bit: bool) {
        self.eight_bit = eight_bit;
    }

    /// Asks for notifications, with an identifier that was checked before.
    pub fn set_delivery(&mut self, delivery: Delivery, envelope_id: &str) {
        self.delivery = delivery;
        self.envelope_id.clear();
        self.envelope_id.push_str(envelope_id);
    }

    /// Adds parameters to MAIL, which were checked before.
    pub fn set_extra_parameters(&mut self, parameters: &str) {
        self.extra_parameters.clear();
        self.extra_parameters.push_str(parameters);
    }

    /// Leaves wishes out that the server cannot meet, instead of failing.
    pub fn set_leaves_out(&mut self, leaves_out: bool) {
        self.leaves_out = leaves_out;
    }

    /// See [`Self::set_leaves_out`].
    #[must_use]
    pub fn leaves_out(&self) -> bool {
        self.leaves_out
    }

    /// See [`Self::set_eight_bit`].
    #[must_use]
    pub fn is_eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// Whether some mailbox needs SMTPUTF8 (RFC 6531).
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        self.smtputf8
    }

    /// See [`Self::set_delivery`].
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// See [`Self::set_delivery`].
    #[must_use]
    pub fn envelope_id(&self) -> &str {
        &self.envelope_id
    }

    /// See [`Self::set_extra_parameters`].
    #[must_use]
    pub fn extra_parameters(&self) -> &str {
        &self.extra_parameters
    }

    /// Asks for the message to be delivered to all recipients or to none.
    pub fn set_all_or_nothing(&mut self, wanted: bool) {
        self.all_or_nothing = wanted;
    }

    /// Whether one refused recipient is to stop the message.
    #[must_use]
    pub fn is_all_or_nothing(&self) -> bool {
        self.all_or_nothing
    }

    /// The length of the message, if it is known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The number of recipients.
    #[must_use]
    pub fn len(&self) -> usize {
        self.recipients.len()
    }

    /// Whether there is no recipient.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.recipients.is_empty()
    }

    /// The sender's mailbox without brackets, empty for `<>`.
    #[must_use]
    pub fn sender(&self) -> &str {
        &self.text[..self.sender_end]
    }

    /// The mailbox of a recipient, without brackets.
    #[must_use]
    pub fn recipient(&self, index: usize) -> Option<&str> {
        let end = self.recipients.get(index)?.end;
        let start = match index.checked_sub(1) {
            Some(before) => self.recipients[before].end,
            None => self.sender_end,
        };
        Some(&self.text[start..end])
    }

    /// What became of a recipient.
    #[must_use]
    pub fn state(&self, index: usize) -> RecipientState {
        self.recipients.get(index).map(|recipient| recipient.state).unwrap_or_default()
    }

    /// The reply that refused a recipient.
    #[must_use]
    pub fn refusal(&self, index: usize) -> Option<&ServerReply> {
        self.recipients.get(index)?.refusal.as_deref()
    }

    /// How many recipients are in a state.
    #[must_use]
    pub fn count(&self, state: RecipientState) -> usize {
        self.recipients.iter().filter(|recipient| recipient.state == state).count()
    }

    /// Writes down the reply to a recipient's RCPT command.
    pub(super) fn answer(&mut self, index: usize, reply: &Reply) {
        let Some(recipient) = self.recipients.get_mut(index) else { return };
        recipient.state = match reply.code() {
            200..=299 => RecipientState::Accepted,
            400..=499 => RecipientState::RefusedTemporary,
            _ => RecipientState::RefusedPermanent,
        };
        if recipient.state != RecipientState::Accepted {
            let mut record = reply.to_record();
            record.text.truncate(record.text.floor_char_boundary(MAX_REFUSAL_TEXT));
            record.text.shrink_to_fit();
            recipient.refusal = Some(Box::new(record));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_in_order_and_reuse_keeps_no_trace() {
        let mut envelope = Envelope::default();
        for _ in 0..2 {
            envelope.begin(ReversePath::parse("s@a").expect("good"));
            envelope.push(Mailbox::parse("r1@b").expect("good"));
            envelope.push(Mailbox::parse("r2@c").expect("good"));
            assert_eq!(envelope.sender(), "s@a");
            assert_eq!(envelope.recipient(0), Some("r1@b"));
            assert_eq!(envelope.recipient(1), Some("r2@c"));
            assert_eq!(envelope.recipient(2), None);
            assert_eq!(envelope.count(RecipientState::NotTried), 2);
        }
        envelope.begin(ReversePath::Null);
        assert!(envelope.is_empty() && envelope.sender().is_empty());
    }
}
