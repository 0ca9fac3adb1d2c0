//! The blocking driver: steps, and waits in between.

use super::connection::Connection;
use super::nonblocking::advance;
use super::observer::Observer;
use super::source::Source;
use crate::error::Result;

/// Runs the operation that was begun on a connection to its end.
///
/// # Errors
///
/// The operation's.
pub fn run(connection: &mut Connection, source: &mut dyn Source, observer: &mut dyn Observer) -> Result<()> {
    connection.tell(observer);
    loop {
        if let Some(result) = advance(connection, source, observer) {
            return result;
        }
        let deadline = connection.deadline();
        if let Err(error) = connection.wait(deadline) {
            return Err(connection.fail(error));
        }
    }
}
