//! A message and a server in one call: connect, log in, send, disconnect.

use super::arguments::Arguments;
use super::call::Call;
use super::core::{Client, Inner, Progress};
use super::login::Login;
use super::options::Options;
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

/// What a submission has yet to do.
pub(super) struct Submission {
    now: Part,
    login: Option<Box<Login>>,
    timeout: u32,
    /// What became of the message, while goodbye is said.
    result: Result<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Connecting,
    LoggingIn,
    Sending,
    Leaving,
}

impl Client {
    /// Connects, logs in if there is a user, sends the message and disconnects. The
    /// connection is closed whatever happens.
    ///
    /// # Errors
    ///
    /// Those of each step; once the message was accepted there is none.
    pub fn submit<'a>(&self, request: impl FnOnce() -> Result<(Server<'a>, Arguments<'a>)>) -> Result<Progress> {
        self.operate_message(|inner| {
            let (server, arguments) = request()?;
            inner.expect_no_connection()?;
            let (timeout, has_user) = {
                let settings = &self.shared.lock().settings;
                let timeout = if server.timeout == 0 { settings.timeout } else { server.timeout };
                (timeout, !server.user.unwrap_or(&settings.user).is_empty())
            };
            // What can be found wrong with the message is found before there is a connection.
            let (feed, check) = self.prepare(inner, arguments)?;
            let stage = self.begin_connect(inner, server.host, server.port, timeout, server.options)?;
            let login = has_user.then(|| Box::new(Login::new(server.user, server.password)));
            let submission = Submission { now: Part::Connecting, login, timeout, result: Ok(()) };
            Ok(Call { feed, check, submission: Some(Box::new(submission)), ..Call::new(stage) })
        })
    }

    /// Begins the next part of a submission; `Some` if that was the last one.
    pub(super) fn follow_submission(
        &self,
        inner: &mut Inner,
        call: &mut Call<'_>,
        mut result: Result<()>,
    ) -> Option<Result<()>> {
        let mut submission = call.submission.take()?;
        let stage = loop {
            let begun = match (submission.now, result) {
                (Part::Connecting, Err(error)) => return Some(Err(error)),
                (Part::Connecting, Ok(())) => {
                    // The connection's time began with it.
                    call.end = Moment(0).limit(submission.timeout);
                    match submission.login.take() {
                        Some(mut login) => {
                            submission.now = Part::LoggingIn;
                            let begun = self.begin_login(inner, &mut login, call.end);
                            call.login = Some(login);
                            begun
                        }
                        None => {
                            submission.now = Part::Sending;
                            self.begin_sending(inner, &mut call.feed, call.end)
                        }
                    }
                }
                (Part::LoggingIn, Ok(())) => {
                    submission.now = Part::Sending;
                    self.begin_sending(inner, &mut call.feed, call.end)
                }
                (Part::LoggingIn | Part::Sending, result) => {
                    submission.now = Part::Leaving;
                    submission.result = result;
                    self.begin_quit(inner)
                }
                // Whatever comes of saying goodbye, the message has its result.
                (Part::Leaving, _) => return Some(submission.result),
            };
            match begun {
                Ok(stage) => break stage,
                Err(error) => {
                    call.login = None;
                    result = Err(error);
                }
            }
        };
        call.stage = stage;
        call.submission = Some(submission);
        None
    }
}
