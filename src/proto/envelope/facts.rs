//! What is known of the recipients: nothing here changes it.

use super::{Course, Envelope, Recipient, RecipientState};
use crate::error::ServerReply;

impl Envelope {
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
        self.count_any(&[state])
    }

    /// How many recipients are in any of some states.
    #[must_use]
    pub fn count_any(&self, states: &[RecipientState]) -> usize {
        let wanted = states.iter().fold(0, |bits, state| bits | 1_usize << *state as u8);
        // There are not so many that this could overflow.
        self.recipients.iter().fold(0, |sum: usize, recipient| sum.wrapping_add(wanted >> recipient.state as u8 & 1))
    }

    /// The domain of a recipient; empty if it has none.
    #[must_use]
    pub fn domain(&self, index: usize) -> &str {
        let mailbox = self.recipient(index).unwrap_or_default();
        mailbox.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// Whether the recipients are of more different domains than so many.
    #[must_use]
    pub fn has_more_domains(&self, most: usize) -> bool {
        let mut domains: Vec<&str> = Vec::new();
        (0..self.len()).map(|index| self.domain(index)).any(|domain| {
            if !domains.iter().any(|known| known.eq_ignore_ascii_case(domain)) {
                domains.push(domain);
            }
            domains.len() > most
        })
    }

    /// How many recipients wait for a transaction.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether a recipient waits for a transaction.
    #[must_use]
    pub fn is_waiting(&self, index: usize) -> bool {
        self.recipients.get(index).is_some_and(|recipient| recipient.course == Course::Waiting)
    }

    /// Whether a recipient was accepted in the present transaction.
    #[must_use]
    pub fn is_hopeful(&self, index: usize) -> bool {
        self.recipients.get(index).is_some_and(Recipient::is_hopeful)
    }
}
