//! The SMTP client as a pure state machine: bytes in, bytes out, `now` passed in.
//!
//! No sockets, no clock, no threads, no `unsafe`. A driver owns a [`Session`]
//! and does what its [`Session::want`] says; every other file here is one noun
//! that the session is made of.

#![forbid(unsafe_code)]

mod address;
mod capabilities;
mod command;
mod delivery;
mod dot;
mod envelope;
mod ledger;
mod limits;
mod moment;
mod outbox;
mod outcome;
mod queue_id;
mod reply;
pub mod sasl;
mod secret;
mod session;
mod timeouts;
mod trace;

pub use address::{HostName, Mailbox, ReversePath, split_list, to_ascii};
pub use capabilities::{Capabilities, Limits};
pub use command::{Command, CommandText, ParameterList};
pub use delivery::{DELIVERIES, Delivery, check_envelope_id};
pub use dot::DotStuffer;
pub use envelope::{Envelope, RecipientState};
pub use limits::{MAX_REPLY_BYTES, MAX_REPLY_LINE, MAX_REPLY_LINES, OUTPUT_CHUNK};
pub use moment::Moment;
pub use outcome::Outcome;
pub use queue_id::queue_id;
pub use reply::{Reply, ReplyParser};
pub use secret::Secret;
pub use session::{Config, Security, Session, Want};
pub use timeouts::Timeouts;
pub use trace::{Direction, Record, Wishes};
