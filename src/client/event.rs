//! What a callback is told.

use crate::error::Error;
use crate::proto::{Direction, Outcome, RecipientState, Record};
use std::fmt;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The session was made: connected, greeted, and TLS up as configured.
    Connect = 0x1,
    /// The session is over.
    Disconnect = 0x2,
    /// A call ran out of time.
    Timeout = 0x10,
    /// A call was cancelled.
    Cancel = 0x20,
    /// So much of a message was taken from its source.
    Progress = 0x40,
    /// A command was queued for sending; secrets are masked.
    Command = 0x80,
    /// A whole reply came in; a login's challenges are masked.
    Reply = 0x100,
    /// A call failed, for whatever reason.
    Error = 0x200,
    /// The server answered for one recipient.
    Recipient = 0x400,
    /// What became of a message of a batch is known.
    Message = 0x800,
}

/// Every event: kind, name behind `SMTP_EVENT_`, and what the callback finds in the structure.
pub const EVENTS: &[(EventKind, &str, &str)] = &[
    (EventKind::Connect, "CONNECT", "The session was made: connected, greeted, and TLS up as configured."),
    (EventKind::Disconnect, "DISCONNECT", "The session is over."),
    (EventKind::Timeout, "TIMEOUT", "A call ran out of time; error and text tell where."),
    (EventKind::Cancel, "CANCEL", "A call was cancelled; error and text tell where."),
    (
        EventKind::Progress,
        "PROGRESS",
        "A message is on its way; bytes_copied of bytes_total were taken from its source. Always told at the beginning and at the end, and at most about a hundred times in between.",
    ),
    (EventKind::Command, "COMMAND", "A command was queued for sending; text is its line, secrets masked."),
    (EventKind::Reply, "REPLY", "A reply came in; result_code and text are the server's, a login's challenges masked."),
    (EventKind::Error, "ERROR", "A call failed; error and text tell why. Comes behind TIMEOUT and CANCEL too."),
    (
        EventKind::Recipient,
        "RECIPIENT",
        "The server answered for one recipient: text is the address, result_code the reply's, and recipient, recipient_state and reply tell the rest.",
    ),
    (
        EventKind::Message,
        "MESSAGE",
        "What became of a message of a batch is known: message is its number and outcome its fate; SmtpBatchGetResult tells the rest.",
    ),
];

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// What happened.
    pub kind: EventKind,
    /// The error code, or 0.
    pub error: i32,
    /// The server's reply code, or 0.
    pub result_code: u16,
    /// See [`EVENTS`]; any octets.
    pub text: &'a [u8],
    /// How much of the message was taken, and how long it is, in octets; 0 if not known.
    pub progress: (u64, u64),
    /// The recipient that was answered for.
    pub recipient: Option<Answer<'a>>,
    /// The message of a batch whose fate was found.
    pub message: Option<(u32, Outcome)>,
}

/// What the server said of one recipient.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Its number.
    pub index: u32,
    /// What became of it.
    pub state: RecipientState,
    /// The text of the reply; any octets.
    pub reply: &'a [u8],
}

impl<'a> Event<'a> {
    /// An event that says it all by its kind.
    #[must_use]
    pub fn plain(kind: EventKind) -> Self {
        Self { kind, error: 0, result_code: 0, text: &[], progress: (0, 0), recipient: None, message: None }
    }

    /// A command, a reply, or what was said of a recipient; the other records
    /// are no events.
    #[must_use]
    pub fn of_record(record: &'a Record) -> Option<Self> {
        let (kind, recipient) = match record.direction {
            Direction::Client => (EventKind::Command, None),
            Direction::Server => (EventKind::Reply, None),
            Direction::Recipient(state) => {
                let index = u32::try_from(record.number).unwrap_or(u32::MAX);
                (EventKind::Recipient, Some(Answer { index, state, reply: &record.reply }))
            }
            Direction::Content | Direction::Note => return None,
        };
        Some(Self { result_code: record.code, text: &record.text, recipient, ..Self::plain(kind) })
    }

    /// A failure, whose sentence is given.
    #[must_use]
    pub fn of_error(kind: EventKind, error: &Error, sentence: &'a str) -> Self {
        Self { error: error.code.0, text: sentence.as_bytes(), ..Self::plain(kind) }
    }
}

/// Who is told, and of what.
pub struct Sink {
    mask: u32,
    call: Box<dyn Fn(&Event<'_>) -> bool + Send + Sync>,
}

impl Sink {
    /// A callback for the events whose bits are in `mask`; it returns true to
    /// cancel the running call.
    #[must_use]
    pub fn new(mask: u32, call: Box<dyn Fn(&Event<'_>) -> bool + Send + Sync>) -> Self {
        Self { mask, call }
    }

    /// Whether a kind of event is wanted.
    #[must_use]
    pub fn wants(&self, kind: EventKind) -> bool {
        self.mask & kind as u32 != 0
    }

    /// Tells of an event, if it is wanted; true to cancel.
    #[must_use]
    pub fn tell(&self, event: &Event<'_>) -> bool {
        self.wants(event.kind) && (self.call)(event)
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sink({:#x})", self.mask)
    }
}
