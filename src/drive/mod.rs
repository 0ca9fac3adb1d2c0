//! Moving octets between a [`crate::proto::Session`] and a network stream.
//!
//! One step function ([`Connection::step`]) holds all of the I/O logic; a driver
//! is a short loop over it.

mod blocking;
mod connection;
mod local_name;
mod nonblocking;
mod observer;
mod plan;
mod source;
mod spent;
mod timer;

pub use blocking::run;
pub use connection::{Connection, Held};
pub use nonblocking::{advance, look};
pub use observer::{Activity, Observer};
pub use plan::Plan;
pub use source::{Checked, File, Kept, Memory, NoContent, Read, Reader, Shared, Source};
pub use spent::Spent;
