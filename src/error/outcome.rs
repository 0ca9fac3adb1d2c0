//! What became of a message, decided by what left the machine and what came back.

/// The fate of the last message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// The end of the message did not leave this machine: the server cannot have taken it.
    #[default]
    NotSent = 0,
    /// The server took responsibility for it, for at least one recipient.
    Accepted = 1,
    /// The server refused it with a 4xx reply; a later try may succeed.
    RejectedTemporary = 2,
    /// The server refused it with a 5xx reply.
    RejectedPermanent = 3,
    /// The end of the message was sent and no answer came: it may have been taken.
    Unknown = 4,
}

impl Outcome {
    /// Every outcome, in the order of its number.
    pub const ALL: [Self; 5] =
        [Self::NotSent, Self::Accepted, Self::RejectedTemporary, Self::RejectedPermanent, Self::Unknown];

    /// The constant's name behind `SMTP_OUTCOME_`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotSent => "NOT_SENT",
            Self::Accepted => "ACCEPTED",
            Self::RejectedTemporary => "REJECTED_TEMPORARY",
            Self::RejectedPermanent => "REJECTED_PERMANENT",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The outcome that a negative reply code means.
    #[must_use]
    pub fn of_refusal(code: u16) -> Self {
        if code >= 500 { Self::RejectedPermanent } else { Self::RejectedTemporary }
    }

    /// Whether sending the same message again cannot deliver it twice.
    #[must_use]
    pub fn safe_to_retry(self) -> bool {
        !matches!(self, Self::Accepted | Self::Unknown)
    }
}
