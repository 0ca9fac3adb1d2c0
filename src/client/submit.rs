//! A message and a server in one call: connect, log in, send, disconnect.

use super::arguments::{Arguments, Content, fill_envelope};
use super::core::{Client, Inner};
use super::options::Options;
use crate::drive::File;
use crate::error::Result;
use crate::proto::{Moment, Secret};

/// The server for a message; what is not given comes from the properties.
pub struct Server<'a> {
    /// Its name or address.
    pub host: Option<&'a str>,
    /// Its port; 0 is none given.
    pub port: u16,
    /// Who logs in; without a user nobody does.
    pub user: Option<&'a str>,
    /// With which password.
    pub password: Option<Secret>,
    /// The limit of the whole in milliseconds; 0 is none given.
    pub timeout: u32,
    /// How to connect.
    pub options: Options,
}

impl Client {
    /// Connects, logs in if there is a user, sends the message and disconnects. The
    /// connection is closed whatever happens.
    ///
    /// # Errors
    ///
    /// Those of each step; once the message was accepted there is none.
    pub fn submit<'a>(&self, request: impl FnOnce() -> Result<(Server<'a>, Arguments<'a>)>) -> Result<()> {
        self.operate_message(|inner| {
            let (server, arguments) = request()?;
            inner.more_follows = true;
            let result = self.submit_in(inner, server, arguments);
            inner.more_follows = false;
            inner.call_end = None;
            result
        })
    }

    fn submit_in(&self, inner: &mut Inner, server: Server<'_>, arguments: Arguments<'_>) -> Result<()> {
        let (timeout, has_user) = {
            let settings = &self.shared.lock().settings;
            let timeout = if server.timeout == 0 { settings.timeout } else { server.timeout };
            (timeout, !server.user.unwrap_or(&settings.user).is_empty())
        };
        // What can be found wrong with the message is found before there is a connection.
        fill_envelope(&mut inner.envelope, arguments.sender, arguments.recipients)?;
        if let Content::File(path) = arguments.message {
            File::open(path)?;
        }
        self.connect_in(inner, server.host, server.port, timeout, server.options)?;
        // The connection's time began with it.
        inner.call_end = Moment(0).limit(timeout);
        let logged_in = if has_user { self.authenticate_in(inner, server.user, server.password) } else { Ok(()) };
        let result = logged_in.and_then(|()| self.send_in(inner, arguments));
        // Whatever comes of saying goodbye, the message has its result.
        let _ = self.disconnect_in(inner);
        result
    }
}
