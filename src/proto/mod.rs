//! The SMTP client as a pure state machine: bytes in, bytes out, `now` passed in.
//!
//! No sockets, no clock, no threads, no `unsafe`. A driver owns a [`Session`]
//! and does what its [`Session::want`] says; every other file here is one noun
//! that the session is made of.

#![forbid(unsafe_code)]

mod address;
mod capabilities;
mod command;
mod deliver_by;
mod delivery;
mod demands;
mod dot;
mod envelope;
mod future_release;
mod header;
mod ledger;
mod limits;
mod line_ends;
mod moment;
mod ordinary;
mod original_recipient;
mod outbox;
mod outcome;
mod queue_id;
mod reply;
pub mod sasl;
mod secret;
mod session;
mod timeouts;
mod trace;

pub use address::{HostName, Mailbox, OrdinaryList, ReversePath, split_list, to_ascii};
pub use capabilities::{Capabilities, Limits, Withheld};
pub use command::{Command, CommandText, ParameterList};
pub use deliver_by::DeliverBy;
pub use delivery::{DELIVERIES, Delivery, check_envelope_id};
pub use demands::{Demands, check_auth_sender};
pub use dot::{DotStuffer, Measure, Measurer};
pub use envelope::{Envelope, RecipientState};
pub use future_release::{DateTime, FutureRelease, Hold, MAX_HOLD};
pub use header::header_needs_smtputf8;
pub use limits::{MAX_REPLY_BYTES, MAX_REPLY_LINE, MAX_REPLY_LINES, OUTPUT_CHUNK};
pub use line_ends::LineEndCheck;
pub use moment::Moment;
pub use original_recipient::{OriginalRecipient, RecipientDelivery};
pub use outcome::Outcome;
pub use queue_id::queue_id;
pub use reply::{Reply, ReplyParser};
pub use secret::Secret;
pub use session::{BatchMode, Config, Security, Session, Settled, Want, Window};
pub use timeouts::Timeouts;
pub use trace::{Direction, Record, Wishes};
