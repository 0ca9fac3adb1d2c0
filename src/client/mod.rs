//! The thread-safe client: properties, operations, results, events, cancelling.

mod access;
mod arguments;
mod core;
mod event;
mod login;
mod options;
mod property;
mod settings;
mod status;
mod teller;
mod turn;

pub use self::core::Client;
pub use access::Recipient;
pub use arguments::{Arguments, Content};
pub use event::{EVENTS, Event, EventKind, Sink};
pub use login::{AUTH_TYPES, auth_type_number};
pub use options::{OPTIONS, Options};
pub use property::{Access, Kind, Property, Row, TABLE};
