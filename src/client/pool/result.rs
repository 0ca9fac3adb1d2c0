//! What became of a message of the pool.

use crate::client::access::Recipient;
use crate::client::core::Client;
use crate::client::property::Property;
use crate::client::status::enhanced_text;
use crate::error::{Error, Outcome};
use serde_json::json;
use std::sync::Arc;

/// See the module.
#[derive(Clone, Debug)]
pub struct PoolResult {
    /// The message's number.
    pub id: u64,
    /// What the caller gave along with it.
    pub tag: usize,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was not accepted.
    pub error: Option<Arc<Error>>,
    /// The code of the last reply that decided on it; 0 if none did.
    pub reply_code: u16,
    /// Its enhanced status code.
    pub enhanced: Option<(u8, u16, u16)>,
    /// Code and text of the reply to the end of the message.
    pub reply: String,
    /// The server's name for the message.
    pub queue_id: String,
    /// What became of each recipient.
    pub recipients: Vec<Recipient>,
    /// How many recipients it was accepted for.
    pub accepted: u32,
    /// How many were refused.
    pub refused: u32,
    /// How often it was tried.
    pub attempts: u32,
}

impl PoolResult {
    /// Of a message that was not tried, or no more.
    pub(super) fn failed(id: u64, tag: usize, attempts: u32, error: Arc<Error>) -> Self {
        let reply = error.reply.as_ref();
        Self {
            id,
            tag,
            outcome: Outcome::NotSent,
            reply_code: reply.map_or(0, |reply| reply.code),
            enhanced: reply.and_then(|reply| reply.enhanced),
            error: Some(error),
            reply: String::new(),
            queue_id: String::new(),
            recipients: Vec::new(),
            accepted: 0,
            refused: 0,
            attempts,
        }
    }

    /// Of the last message of a client.
    pub(super) fn of(client: &Client, id: u64, tag: usize, attempts: u32, error: Option<Arc<Error>>) -> Self {
        let text = |property: Property| client.text(property as u32).unwrap_or_default();
        let count = |property: Property| {
            client.integer(property as u32).ok().and_then(|count| u32::try_from(count).ok()).unwrap_or(0)
        };
        let recipients = (0..client.recipient_count()).filter_map(|index| client.recipient(index).ok()).collect();
        let (accepted, refused) = (count(Property::RecipientsAccepted), count(Property::RecipientsRefused));
        let last = {
            let shared = client.shared.lock();
            (shared.status.outcome(), shared.status.final_reply())
        };
        let (outcome, last) = last;
        let decided = error.as_ref().and_then(|error| error.reply.clone()).or(last);
        Self {
            id,
            tag,
            outcome,
            reply_code: decided.as_ref().map_or(0, |reply| reply.code),
            enhanced: decided.and_then(|reply| reply.enhanced),
            error,
            reply: text(Property::FinalReply),
            queue_id: text(Property::QueueId),
            recipients,
            accepted,
            refused,
            attempts,
        }
    }

    /// The recipients as a JSON array.
    #[must_use]
    pub fn recipients_json(&self) -> String {
        let list: Vec<_> = self.recipients.iter().map(recipient_json).collect();
        serde_json::Value::Array(list).to_string()
    }
}

fn recipient_json(recipient: &Recipient) -> serde_json::Value {
    let refusal = recipient.refusal.as_ref();
    json!({
        "address": recipient.address,
        "state": recipient.state.name(),
        "reply_code": refusal.map_or(0, |reply| reply.code),
        "enhanced_code": enhanced_text(refusal.and_then(|reply| reply.enhanced)),
        "reply": refusal.map_or("", |reply| reply.text.as_str()),
    })
}
