//! Logging in (RFC 4954): the AUTH command, and what its replies change.

use super::{Session, State};
use crate::error::{Code, Error, Phase, Result};
use crate::proto::ledger::Pending;
use crate::proto::limits::{MAX_AUTH_LINE, MAX_COMMAND_LINE};
use crate::proto::moment::Moment;
use crate::proto::sasl::{Credentials, Exchange, Mechanism, Objection};
use crate::proto::secret::Secret;
use base64::prelude::{BASE64_STANDARD, Engine as _};

impl Session {
    /// Logs in with the mechanism asked for, or the best that both sides have.
    ///
    /// # Errors
    ///
    /// Before anything is sent: `NOT_CONNECTED`, `INVALID_AUTHENTICATION_TYPE`,
    /// `INSECURE_CREDENTIALS`, `NO_CREDENTIALS`, `INVALID_PARAMETER`, `TOO_LONG`.
    pub fn authenticate(&mut self, mut credentials: Credentials, now: Moment) -> Result<()> {
        self.expect_ready()?;
        credentials.binding.clone_from(&self.binding);
        credentials.binding_offered = self.capabilities.mechanisms.iter().any(|name| name.ends_with("-PLUS"));
        let mechanism = Mechanism::choose(&credentials, &self.capabilities.mechanisms, self.exposure())?;
        let mut exchange = Exchange::new(mechanism, credentials.clone());
        let mut line = format!("AUTH {}", mechanism.name()).into_bytes();
        let verb_end = line.len();
        let mut secret_from = None;
        if let Some(initial) = exchange.initial() {
            // An empty response is written as "=" (RFC 4954 section 4), but only here.
            let initial = if initial.is_empty() { Secret::new("=") } else { encode(&initial)? };
            if verb_end + 1 + initial.expose().len() <= MAX_COMMAND_LINE {
                // Room for all, so that no copy of the secret is left by growing.
                line.reserve_exact(initial.expose().len() + 3);
                line.push(b' ');
                line.extend_from_slice(initial.expose());
                secret_from = Some(verb_end + 1);
            } else {
                // The response waits for the challenge.
                exchange = Exchange::new(mechanism, credentials.clone());
            }
        }
        line.extend_from_slice(b"\r\n");
        let line = Secret::new(line);
        // Where a session takes few messages, the next one has to log in too.
        self.credentials = self.capabilities.limits.mail.is_some().then(|| Box::new(credentials));
        self.since = now;
        self.mail.running = false;
        self.state = State::Auth;
        self.wants_token = false;
        self.exchange = Some(exchange);
        self.queue_line(line.expose(), secret_from, Pending::Auth);
        Ok(())
    }

    /// Takes what binds a login to the TLS connection (`tls-exporter`, RFC 9266).
    pub fn bind_channel(&mut self, exporter: Option<Secret>) {
        self.binding = exporter;
    }

    /// Why what goes over the wire can be read by others, if it can.
    fn exposure(&self) -> Option<&'static str> {
        if self.tls == Some(true) || self.config.private_path || self.config.insecure_auth {
            return None;
        }
        Some(match self.tls {
            None => "the connection is not encrypted",
            Some(_) => "the server's certificate was not verified",
        })
    }

    pub(super) fn on_auth(&mut self) {
        let code = self.parser.reply().code();
        if code == 334 {
            return match self.answer_challenge() {
                Ok(line) => self.queue_line(line.expose(), Some(0), Pending::Auth),
                Err(reason) => {
                    self.objection = reason;
                    // RFC 4954 section 4: this ends the exchange.
                    self.queue_line(b"*\r\n", None, Pending::AuthCancel);
                }
            };
        }
        let Some(exchange) = self.exchange.take() else { return self.handle_unexpected(Phase::Auth) };
        let mechanism = exchange.mechanism().name();
        if self.parser.reply().is_positive() {
            if exchange.is_proven() {
                self.authenticated = Some(exchange.mechanism());
                return if self.resumes { self.go_on() } else { self.succeed(State::Ready) };
            }
            let what = format!(
                "the server let the client in by {mechanism} without proving that it knows the password; \
                 it may not be the server that it says it is"
            );
            let error = self.refusal(Code::PROTOCOL, Phase::Auth, what);
            return self.fail(error);
        }
        let mut what = format!("the server did not accept the login by {mechanism}");
        if let Some(complaint) = exchange.complaint() {
            what += &format!(" ({complaint})");
        }
        let mut error = self.refusal(Code::AUTHENTICATION_FAILED, Phase::Auth, what);
        error.remedy = match code {
            400..=499 => Some("The server cannot check logins just now: try again later.".into()),
            538 => Some("The server wants TLS before this login: use a TLS mode.".into()),
            534 => Some("The server wants another login method, or a password made for applications.".into()),
            503 => Some("The session is logged in already, or the server does not want a login here.".into()),
            _ if exchange.mechanism().takes_token() => exchange.token_remedy(),
            _ if exchange.mechanism().binds_channel() => Some(
                "Check the user name and the password; if they are right, somebody may be between this client and \
                 the server, or the server may not know tls-exporter (RFC 9266): then set SMTP_PROPERTY_AUTH_TYPE to \
                 a SCRAM without -PLUS, if the path is one that you trust."
                    .into(),
            ),
            _ if !exchange.mechanism().reveals_secret() && exchange.mechanism().takes_password() => Some(
                "Check the user name and the password; if they are right, the server may keep them in a form that \
                 does not serve this method: then set SMTP_PROPERTY_AUTH_TYPE to SMTP_AUTH_PLAIN, over TLS."
                    .into(),
            ),
            _ => None,
        };
        self.wants_token = code == 535 && exchange.asks_for_another_token();
        self.end_login(error);
    }

    /// Whether the last login failed because of its token, and another could help.
    #[must_use]
    pub fn wants_token(&self) -> bool {
        self.wants_token
    }

    /// The login has failed; where a message was to go on behind it, so has that.
    fn end_login(&mut self, error: Box<Error>) {
        self.credentials = None;
        if self.resumes { self.fail(error) } else { self.conclude(Err(error), State::Ready) }
    }

    /// The next line of the login, or why the challenge cannot be answered.
    fn answer_challenge(&mut self) -> std::result::Result<Secret, Objection> {
        let text = self.parser.reply().text();
        // Some servers put words where the challenge is empty.
        let challenge = BASE64_STANDARD.decode(text.trim_ascii()).unwrap_or_default();
        let exchange = self.exchange.as_mut().ok_or("no login is under way")?;
        let answer = exchange.step(&challenge)?;
        let encoded = encode(&answer).map_err(|_| "the answer to it would be too long")?;
        Ok(Secret::joined(&[encoded.expose(), b"\r\n"]))
    }

    pub(super) fn on_auth_cancelled(&mut self) {
        let mechanism = self.exchange.take().map_or("AUTH", |exchange| exchange.mechanism().name());
        let what = format!("the login by {mechanism} was given up at the server's challenge: {}", self.objection);
        let error = self.refusal(Code::PROTOCOL, Phase::Auth, what);
        self.end_login(error);
    }
}

fn encode(octets: &Secret) -> Result<Secret> {
    let encoded = Secret::new(BASE64_STANDARD.encode(octets.expose()));
    if encoded.expose().len() > MAX_AUTH_LINE {
        let what = format!("the user name and password or token are too long for one line of {MAX_AUTH_LINE} octets");
        return Err(Error::caller(Code::TOO_LONG, what));
    }
    Ok(encoded)
}
