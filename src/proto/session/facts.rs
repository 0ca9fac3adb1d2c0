//! What is known of a session: nothing here changes it.

use super::{Session, State};
use crate::proto::capabilities::Capabilities;
use crate::proto::envelope::Envelope;
use crate::proto::moment::Moment;
use crate::proto::outcome::Outcome;
use crate::proto::reply::Reply;
use crate::proto::sasl::Mechanism;

impl Session {
    /// Whether the conversation can go on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// Whether TLS is on its way, or about to be.
    #[must_use]
    pub fn is_in_handshake(&self) -> bool {
        self.state == State::Handshake
    }

    /// Whether EHLO was accepted.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.extended
    }

    /// What the server offers.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        // What MAIL is just being repeated without is not settled.
        self.capabilities_before_doubt().unwrap_or(&self.capabilities)
    }

    /// The last whole reply.
    #[must_use]
    pub fn last_reply(&self) -> &Reply {
        self.parser.reply()
    }

    /// The mechanism that logged in.
    #[must_use]
    pub fn authenticated(&self) -> Option<Mechanism> {
        self.authenticated
    }

    /// The fate of the last message.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.mail.outcome()
    }

    /// The last message's envelope, with what became of each recipient.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.mail.envelope
    }

    /// Whether the server answered the end of the last message, in which case
    /// [`Self::last_reply`] is that answer.
    #[must_use]
    pub fn has_final_reply(&self) -> bool {
        self.mail.end_sent && self.mail.outcome != Outcome::Unknown
    }

    /// Whether a message was begun and is not complete.
    #[must_use]
    pub fn is_message_open(&self) -> bool {
        matches!(self.state, State::Building | State::Paused)
    }

    /// When something last moved.
    #[must_use]
    pub fn since(&self) -> Moment {
        self.since
    }

    /// How many octets of the message were taken from the source.
    #[must_use]
    pub fn content_octets(&self) -> u64 {
        self.mail.content_octets
    }

    /// How many octets have been given to the stream.
    #[must_use]
    pub fn octets_sent(&self) -> u64 {
        self.out.written()
    }

    /// How many octets of memory the output takes, what was sent included.
    #[must_use]
    pub fn output_memory(&self) -> usize {
        self.out.capacity()
    }
}
