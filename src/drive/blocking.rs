//! The blocking driver: steps, and waits in between.

use super::connection::Connection;
use super::nonblocking::advance_until;
use super::observer::Observer;
use super::source::Source;
use crate::error::Result;
use std::ops::ControlFlow;

/// Runs the operation that was begun on a connection to its end.
///
/// # Errors
///
/// The operation's.
pub fn run(connection: &mut Connection, source: &mut dyn Source, observer: &mut dyn Observer) -> Result<()> {
    connection.tell(observer);
    loop {
        let deadline = match advance_until(connection, source, observer) {
            ControlFlow::Break(result) => return result,
            ControlFlow::Continue(deadline) => deadline,
        };
        if let Err(error) = connection.wait(deadline) {
            return Err(connection.fail(error));
        }
    }
}
