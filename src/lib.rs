//! `libsmtpclient`: an SMTP client for embedding, as one shared library with a C ABI.
//!
//! Programs use the C interface of `include/smtpclient.h`, which is made from
//! the [`ffi`] module. Layers, arrows only downwards (a test checks it):
//!
//! ```text
//! ffi -> client, message -> drive -> net, proxy -> proto        error (below all of them)
//! ```
//!
//! - [`error`]: the table of error codes and the record of one failure.
//! - [`proto`]: the SMTP client as a pure state machine: no sockets, clock or threads.
//! - [`proxy`]: SOCKS and HTTP proxies as pure state machines of the same kind.
//! - [`net`]: names, sockets, TLS and waiting; the only place that knows the operating system.
//! - [`drive`]: one step function that moves bytes between the two, and the loops over it.
//! - [`client`]: the thread-safe client: properties, operations, results, cancelling.
//! - [`message`]: messages: composed, loaded, read, and rendered piece by piece; beside the client.
//! - [`ffi`]: the C boundary: handles, panics, strings.

pub mod client;
pub mod drive;
pub mod error;
#[allow(unsafe_code, non_snake_case)]
pub mod ffi;
pub mod message;
pub mod net;
pub mod proto;
pub mod proxy;
