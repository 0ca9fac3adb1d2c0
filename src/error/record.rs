//! The record of one failure: every fact as a field, and one sentence made from them.

use super::{Class, Code};
use std::fmt;

/// What the client was doing when it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing on the wire: the arguments were being checked.
    #[default]
    Argument = 0,
    /// Looking the host name up.
    Resolve = 1,
    /// Making the TCP connection.
    Connect = 2,
    /// Waiting for the greeting.
    Greeting = 3,
    /// EHLO or HELO.
    Ehlo = 4,
    /// The STARTTLS command.
    StartTls = 5,
    /// The TLS handshake.
    Tls = 6,
    /// Logging in.
    Auth = 7,
    /// The MAIL command.
    Mail = 8,
    /// A RCPT command.
    Rcpt = 9,
    /// The DATA command.
    Data = 10,
    /// Sending the message's content.
    Content = 11,
    /// Waiting for the reply to the end of the content.
    End = 12,
    /// The RSET command.
    Reset = 13,
    /// The QUIT command.
    Quit = 14,
    /// Connected, with nothing under way.
    Idle = 15,
    /// Any other command.
    Command = 16,
}

impl Phase {
    /// Every phase, in the order of its number.
    pub const ALL: [Self; 17] = [
        Self::Argument,
        Self::Resolve,
        Self::Connect,
        Self::Greeting,
        Self::Ehlo,
        Self::StartTls,
        Self::Tls,
        Self::Auth,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Content,
        Self::End,
        Self::Reset,
        Self::Quit,
        Self::Idle,
        Self::Command,
    ];

    /// The constant's name behind `SMTP_PHASE_`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Argument => "ARGUMENT",
            Self::Resolve => "RESOLVE",
            Self::Connect => "CONNECT",
            Self::Greeting => "GREETING",
            Self::Ehlo => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Tls => "TLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Content => "CONTENT",
            Self::End => "END",
            Self::Reset => "RESET",
            Self::Quit => "QUIT",
            Self::Idle => "IDLE",
            Self::Command => "COMMAND",
        }
    }

    /// What was being done, to follow "while".
    #[must_use]
    pub fn doing(self) -> &'static str {
        match self {
            Self::Argument => "checking the arguments",
            Self::Resolve => "looking up the host name",
            Self::Connect => "connecting",
            Self::Greeting => "waiting for the server's greeting",
            Self::Ehlo => "greeting the server with EHLO",
            Self::StartTls => "asking for TLS with STARTTLS",
            Self::Tls => "starting TLS",
            Self::Auth => "logging in",
            Self::Mail => "waiting for the reply to MAIL",
            Self::Rcpt => "waiting for the replies to RCPT",
            Self::Data => "waiting for the reply to DATA",
            Self::Content => "sending the message",
            Self::End => "waiting for the reply to the end of the message",
            Self::Reset => "waiting for the reply to RSET",
            Self::Quit => "waiting for the reply to QUIT",
            Self::Idle => "the connection was idle",
            Self::Command => "waiting for the reply to a command",
        }
    }
}

/// The server's reply that an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerReply {
    /// The three-digit code.
    pub code: u16,
    /// The enhanced status code (RFC 3463), if there was one.
    pub enhanced: Option<(u8, u16, u16)>,
    /// The text of every line, codes taken off, joined by line feeds; bytes that
    /// are not UTF-8 replaced.
    pub text: String,
}

/// Everything known about one failure.
#[derive(Clone, Debug)]
pub struct Error {
    /// The code that the C functions return.
    pub code: Code,
    /// What was being done.
    pub phase: Phase,
    /// What happened, without a full stop.
    pub what: String,
    /// What to do, if there is better advice than the table's.
    pub remedy: Option<String>,
    /// The server's reply, if one is the cause.
    pub reply: Option<ServerReply>,
    /// The operating system's error number, or 0.
    pub os_error: i32,
    /// The TLS library's own reason, if TLS is the cause.
    pub tls_reason: Option<String>,
    /// The mail or network address concerned.
    pub address: Option<String>,
}

impl Error {
    /// A failure with what happened in words.
    #[must_use]
    pub fn new(code: Code, phase: Phase, what: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            code,
            phase,
            what: what.into(),
            remedy: None,
            reply: None,
            os_error: 0,
            tls_reason: None,
            address: None,
        })
    }

    /// A misuse by the caller, before anything was sent.
    #[must_use]
    pub fn caller(code: Code, what: impl Into<String>) -> Box<Self> {
        Self::new(code, Phase::Argument, what)
    }

    /// The same failure with better advice than the table's.
    #[must_use]
    pub fn with_remedy(mut self: Box<Self>, remedy: impl Into<String>) -> Box<Self> {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same failure with the address it concerns.
    #[must_use]
    pub fn with_address(mut self: Box<Self>, address: impl Into<String>) -> Box<Self> {
        self.address = Some(address.into());
        self
    }

    /// The same failure with the server's reply.
    #[must_use]
    pub fn with_reply(mut self: Box<Self>, reply: ServerReply) -> Box<Self> {
        self.reply = Some(reply);
        self
    }

    /// The same failure with the operating system's error.
    #[must_use]
    pub fn with_os(mut self: Box<Self>, error: &std::io::Error) -> Box<Self> {
        self.os_error = error.raw_os_error().unwrap_or(0);
        self
    }

    /// The advice: this error's own, or the table's.
    #[must_use]
    pub fn remedy(&self) -> &str {
        let own = self.remedy.as_deref();
        own.or_else(|| self.code.entry().map(|entry| entry.remedy)).unwrap_or_default()
    }

    /// The family of the error.
    #[must_use]
    pub fn class(&self) -> Class {
        self.code.class()
    }
}

impl fmt::Display for Error {
    /// What happened, the server's own words, what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(reply) = &self.reply {
            write!(f, "; the server said: {}", reply.code)?;
            let text = reply.text.replace('\n', " / ");
            if !text.is_empty() {
                write!(f, " {text}")?;
            }
        }
        let remedy = self.remedy();
        if !remedy.is_empty() {
            write!(f, ". {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_has_cause_server_words_and_remedy() {
        let error = Error::new(Code::SENDER_REJECTED, Phase::Mail, "the sender <a@b.example> was refused")
            .with_reply(ServerReply { code: 550, enhanced: Some((5, 7, 1)), text: "5.7.1 no\nnot you".into() })
            .with_remedy("Ask the postmaster.");
        assert_eq!(
            error.to_string(),
            "the sender <a@b.example> was refused; the server said: 550 5.7.1 no / not you. Ask the postmaster."
        );
    }

    #[test]
    fn phases_have_numbers_in_order() {
        for (number, phase) in Phase::ALL.iter().enumerate() {
            assert_eq!(*phase as usize, number);
        }
    }
}
