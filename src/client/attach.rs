//! Connections that the caller has made.

use super::arguments::plan;
use super::call::Call;
use super::core::{Client, Progress};
use super::options::Options;
use crate::drive::Connection;
use crate::error::{Code, Error, Result};
use crate::net::sys::RawSocket;

impl Client {
    /// Takes a connected socket over, and greets the server on it. On success the
    /// socket is the client's, number and all; else it stays the caller's.
    ///
    /// # Errors
    ///
    /// `ALREADY_CONNECTED`, `INVALID_PARAMETER`, or whatever the attempt met.
    pub fn attach(&self, socket: isize, host: Option<&str>, options: Options) -> Result<Progress> {
        let number = RawSocket::try_from(socket)
            .map_err(|_| Error::caller(Code::INVALID_PARAMETER, format!("{socket} is not the number of a socket")))?;
        self.operate(|inner| {
            inner.expect_no_connection()?;
            let settings = self.shared.lock().settings.clone();
            let mut plan = plan(&settings, host, 0, options)?;
            plan.path = None;
            plan.proxy = None;
            let timeout = settings.timeout;
            let adopt = |plan, canceller| Connection::adopt(plan, number, canceller);
            let stage = self.begin_session(inner, timeout, plan, adopt)?;
            Ok(Call { attached: Some(number), ..Call::new(stage) })
        })
    }
}
