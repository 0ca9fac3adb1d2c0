//! The C boundary. It holds no protocol logic: every function turns its
//! arguments into Rust values, calls the client, and turns the result back.
//!
//! Rules, kept by `entry.rs` for all functions alike: a panic never crosses;
//! a handle is looked up and never dereferenced; an error is recorded for the
//! thread and for the client; outputs are untouched on failure.

mod batch;
mod capability;
mod certificate;
mod client;
mod command;
mod delivery;
mod entry;
mod error;
mod event;
mod handle;
mod message;
mod message_attach;
mod message_export;
mod message_header;
mod message_part;
mod poll;
mod property;
mod recipient;
mod security;
mod send;
mod setting;
mod state;
mod stepwise;
mod submit;
mod text;
mod token;
mod trace;
mod version;

pub use batch::*;
pub use capability::*;
pub use certificate::*;
pub use client::*;
pub use command::*;
pub use delivery::*;
pub use error::*;
pub use event::*;
pub use handle::SmtpClient;
pub use message::*;
pub use message_attach::*;
pub use message_export::*;
pub use message_header::*;
pub use message_part::*;
pub use poll::*;
pub use property::*;
pub use recipient::*;
pub use security::*;
pub use send::*;
pub use setting::*;
pub use state::*;
pub use stepwise::*;
pub use submit::*;
pub use token::*;
pub use trace::*;
pub use version::*;
