//! The non-blocking driver: does what can be done at once. Whoever calls it waits
//! for what [`Connection::watches`] and [`Connection::deadline`] say, in a loop of
//! their own.

use super::connection::Connection;
use super::observer::Observer;
use super::source::Source;
use crate::error::Result;
use crate::proto::Moment;
use std::ops::ControlFlow;

/// Takes in what the network has brought since; [`advance`] is due then. `Some` if
/// that ended the operation.
pub fn look(connection: &mut Connection) -> Option<Result<()>> {
    connection.look().err().map(|error| Err(connection.fail(error)))
}

/// Goes on with the operation that was begun on a connection. `None` means that it
/// has to wait; else it is the result.
pub fn advance(
    connection: &mut Connection,
    source: &mut dyn Source,
    observer: &mut dyn Observer,
) -> Option<Result<()>> {
    advance_until(connection, source, observer).break_value()
}

/// The same, which continues with how long to wait at most.
pub(super) fn advance_until(
    connection: &mut Connection,
    source: &mut dyn Source,
    observer: &mut dyn Observer,
) -> ControlFlow<Result<()>, Option<Moment>> {
    if let Some(result) = connection.step(source, observer) {
        return ControlFlow::Break(result);
    }
    let phase = connection.tell(observer);
    let deadline = connection.deadline_of(phase);
    if deadline.is_some_and(|deadline| connection.now() >= deadline)
        && let Some(error) = connection.check_time()
    {
        return ControlFlow::Break(Err(error));
    }
    ControlFlow::Continue(deadline)
}
