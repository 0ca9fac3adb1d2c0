//! The thread-safe client: properties, operations, results, events, cancelling.

mod access;
mod arguments;
mod core;
mod date;
mod event;
mod extended;
mod left_out;
mod live;
mod login;
mod options;
mod property;
mod send;
mod settings;
mod status;
mod stepwise;
mod submit;
mod teller;
mod tls;
mod tracer;
mod turn;
mod wishes;

pub use self::core::Client;
pub use access::Recipient;
pub use arguments::{Arguments, Content};
pub use date::current_date;
pub use event::{Answer, EVENTS, Event, EventKind, Sink};
pub use extended::{EXTENDED_OPTIONS, ExtendedOption};
pub use live::{STATES, State, Transfer};
pub use login::{AUTH_TYPES, auth_type_number};
pub use options::{OPTIONS, Options};
pub use property::{Access, Kind, Property, Row, TABLE};
pub use settings::Chunking;
pub use submit::Server;
pub use tracer::{DIRECTIONS, TRACE_FLAGS, TraceEntry, TraceSink};
