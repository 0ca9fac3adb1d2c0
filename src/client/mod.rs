//! The thread-safe client: properties, operations, results, events, cancelling.

mod access;
mod arguments;
mod core;
mod date;
mod event;
mod live;
mod options;
mod property;
mod settings;
mod status;
mod teller;
mod tracer;
mod turn;

pub use self::core::Client;
pub use access::Recipient;
pub use arguments::{Arguments, Content};
pub use date::current_date;
pub use event::{Answer, EVENTS, Event, EventKind, Sink};
pub use live::{STATES, State, Transfer};
pub use options::{OPTIONS, Options};
pub use property::{Access, Kind, Property, Row, TABLE};
pub use tracer::{DIRECTIONS, TRACE_FLAGS, TraceEntry, TraceSink};
