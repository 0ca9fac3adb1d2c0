//! The blocking driver: steps, and waits in between.

use super::connection::Connection;
use super::observer::Observer;
use super::source::Source;
use crate::error::{Code, Error, Phase, Result};
use crate::proto::Moment;

/// Runs the operation that was begun on a connection to its end.
///
/// `limit` bounds the whole of it, whatever the limits of its phases: the
/// moment when it ends and how many milliseconds the caller had allowed.
///
/// # Errors
///
/// The operation's.
pub fn run(
    connection: &mut Connection,
    source: &mut dyn Source,
    observer: &mut dyn Observer,
    limit: Option<(Moment, u32)>,
) -> Result<()> {
    loop {
        if let Some(result) = connection.step(source, observer) {
            return result;
        }
        let deadline = Moment::earlier(connection.deadline(), limit.map(|(end, _)| end));
        if deadline.is_some_and(|deadline| connection.now() >= deadline) {
            if let Some(error) = connection.check_time() {
                return Err(error);
            }
            if let Some((end, millis)) = limit
                && connection.now() >= end
            {
                return Err(connection.fail(over_limit(connection.phase(), millis)));
            }
        }
        if let Err(error) = connection.wait(deadline) {
            return Err(connection.fail(error));
        }
    }
}

fn over_limit(phase: Phase, millis: u32) -> Box<Error> {
    let what = format!("the call's limit of {millis} ms ran out while {}", phase.doing());
    Error::new(Code::TIMEOUT, phase, what)
}
