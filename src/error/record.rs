//! The record of one failure: every fact as a field, and one sentence made from them.

use super::{Class, Code, Outcome};
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
    /// Asking a proxy for the connection.
    Proxy = 17,
}

impl Phase {
    /// Every phase, in the order of its number.
    pub const ALL: [Self; 18] = [
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
        Self::Proxy,
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
            Self::Proxy => "PROXY",
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
            Self::Proxy => "asking the proxy for the connection",
        }
    }

    /// The verb of the command that a reply in this phase answers; empty where
    /// there is none, or more than one.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::Ehlo => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data | Self::Content | Self::End => "DATA",
            Self::Reset => "RSET",
            Self::Quit => "QUIT",
            _ => "",
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
    /// The addresses that were tried, and why each of them failed.
    pub attempts: Vec<(String, String)>,
    /// What the server offers, where a choice among it failed.
    pub offered: Vec<String>,
    /// What was passed over, and why.
    pub skipped: Vec<(String, String)>,
    /// The verb of the caller's own command, if it was one.
    pub verb: Option<String>,
    /// What became of the message, if it was the sending of one that failed.
    pub outcome: Option<Outcome>,
}

impl Error {
    /// A failure with what happened in words.
    #[must_use]
    pub fn new(code: Code, phase: Phase, what: impl Into<String>) -> Box<Self> {
        let mut what = what.into();
        if what.contains(char::is_control) {
            // Whatever it was made of, it is one line of a log.
            what = what
                .chars()
                .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
                .collect();
        }
        Box::new(Self {
            code,
            phase,
            what,
            remedy: None,
            reply: None,
            os_error: 0,
            tls_reason: None,
            address: None,
            attempts: Vec::new(),
            offered: Vec::new(),
            skipped: Vec::new(),
            verb: None,
            outcome: None,
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

    /// The same failure with what there was to choose from, and what of it was
    /// passed over for which reason.
    #[must_use]
    pub fn with_choice(mut self: Box<Self>, offered: &[String], skipped: Vec<(String, String)>) -> Box<Self> {
        self.offered = offered.to_vec();
        self.skipped = skipped;
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

    /// The same failure with what became of the message, unless that is known already.
    #[must_use]
    pub fn with_outcome(mut self: Box<Self>, outcome: Outcome) -> Box<Self> {
        self.outcome.get_or_insert(outcome);
        self
    }

    /// The verb of the command that the server's reply answers; empty without a
    /// reply, or if it answers none.
    #[must_use]
    pub fn command(&self) -> &str {
        match (&self.reply, &self.verb) {
            (None, _) => "",
            (Some(_), Some(verb)) => verb,
            (Some(_), None) => self.phase.verb(),
        }
    }

    /// The advice: this error's own, or the table's.
    #[must_use]
    pub fn remedy(&self) -> &str {
        let own = self.remedy.as_deref();
        own.or_else(|| self.code.entry().map(|entry| entry.remedy)).unwrap_or_default()
    }

    /// The whole record as one JSON object, for logs and scripts. Members that
    /// do not apply are left out.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = format!(
            "{{\"code\":{},\"name\":{},\"class\":{},\"phase\":{},\"what\":{},\"remedy\":{}",
            self.code.0,
            quoted(self.code.name()),
            quoted(self.class().name()),
            quoted(self.phase.name()),
            quoted(&self.what),
            quoted(self.remedy()),
        );
        if let Some(reply) = &self.reply {
            json += &format!(",\"reply\":{{\"code\":{},\"text\":{}", reply.code, quoted(&reply.text));
            if let Some((class, subject, detail)) = reply.enhanced {
                json += &format!(",\"enhanced\":\"{class}.{subject}.{detail}\"");
            }
            json.push('}');
        }
        if !self.command().is_empty() {
            json += &format!(",\"command\":{}", quoted(self.command()));
        }
        if self.os_error != 0 {
            json += &format!(",\"os_error\":{}", self.os_error);
        }
        for (name, value) in [("tls_reason", &self.tls_reason), ("address", &self.address)] {
            if let Some(value) = value {
                json += &format!(",\"{name}\":{}", quoted(value));
            }
        }
        if !self.attempts.is_empty() {
            let member = |(address, reason): &(String, String)| {
                format!("{{\"address\":{},\"error\":{}}}", quoted(address), quoted(reason))
            };
            let members: Vec<_> = self.attempts.iter().map(member).collect();
            json += &format!(",\"attempts\":[{}]", members.join(","));
        }
        if !self.offered.is_empty() {
            let names: Vec<_> = self.offered.iter().map(|name| quoted(name)).collect();
            json += &format!(",\"offered\":[{}]", names.join(","));
        }
        if !self.skipped.is_empty() {
            let member = |(name, reason): &(String, String)| {
                format!("{{\"name\":{},\"reason\":{}}}", quoted(name), quoted(reason))
            };
            let members: Vec<_> = self.skipped.iter().map(member).collect();
            json += &format!(",\"skipped\":[{}]", members.join(","));
        }
        if let Some(outcome) = self.outcome {
            json += &format!(",\"outcome\":\"{}\",\"safe_to_retry\":{}", outcome.name(), outcome.safe_to_retry());
        }
        json.push('}');
        json
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

/// A JSON string (RFC 8259 section 7).
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

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
    fn a_sentence_is_one_line() {
        let error = Error::caller(Code::FILE, "the file /no\r\nQUIT");
        assert!(error.to_string().starts_with("the file /no\\r\\nQUIT. "), "{error}");
    }

    #[test]
    fn json() {
        let error = Error::new(Code::SENDER_REJECTED, Phase::Mail, "a \"b\" \\ \u{e9}")
            .with_reply(ServerReply { code: 550, enhanced: Some((5, 7, 1)), text: "no\nnot\u{7} you".into() })
            .with_remedy("Ask.")
            .with_outcome(Outcome::RejectedPermanent);
        assert_eq!(
            error.to_json(),
            r#"{"code":-2147200757,"name":"SMTP_ERROR_SENDER_REJECTED","class":"SERVER","phase":"MAIL","what":"a \"b\" \\ \u00e9","remedy":"Ask.","reply":{"code":550,"text":"no\nnot\u0007 you","enhanced":"5.7.1"},"command":"MAIL","outcome":"REJECTED_PERMANENT","safe_to_retry":true}"#.replace("\\u00e9", "\u{e9}")
        );
    }

    #[test]
    fn json_of_attempts() {
        let mut error = Error::new(Code::CONNECTION_REFUSED, Phase::Connect, "x").with_remedy("Y.");
        error.attempts = vec![("[::1]:25".into(), "refused".into()), ("127.0.0.1:25".into(), "no answer".into())];
        let end =
            r#","attempts":[{"address":"[::1]:25","error":"refused"},{"address":"127.0.0.1:25","error":"no answer"}]}"#;
        assert!(error.to_json().ends_with(end), "{}", error.to_json());
    }

    #[test]
    fn json_of_a_choice() {
        let error = Error::caller(Code::EXTENSION_UNAVAILABLE, "x").with_remedy("Y.").with_choice(
            &["SIZE 10".into(), "X-\"Q\"".into()],
            vec![("DSN".into(), "switched off".into()), ("A".into(), "b".into())],
        );
        let end = r#","offered":["SIZE 10","X-\"Q\""],"skipped":[{"name":"DSN","reason":"switched off"},{"name":"A","reason":"b"}]}"#;
        assert!(error.to_json().ends_with(end), "{}", error.to_json());
    }

    #[test]
    fn phases_have_numbers_in_order() {
        for (number, phase) in Phase::ALL.iter().enumerate() {
            assert_eq!(*phase as usize, number);
        }
    }
}
