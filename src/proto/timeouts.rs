//! How long each phase may take.

use crate::error::Phase;

/// The limit of each phase in milliseconds; 0 is no limit.
///
/// The defaults are those of RFC 5321 section 4.5.3.2 for the SMTP phases, and
/// for the others what a person would wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Looking the host name up.
    pub resolve: u32,
    /// Making the TCP connection, all addresses together.
    pub connect: u32,
    /// The proxy's answer, its connection to the server included.
    pub proxy: u32,
    /// The TLS handshake.
    pub tls: u32,
    /// The greeting.
    pub greeting: u32,
    /// The replies to EHLO, HELO, STARTTLS, AUTH, RSET and all others but those below.
    pub command: u32,
    /// The reply to MAIL.
    pub mail: u32,
    /// The reply to each RCPT.
    pub rcpt: u32,
    /// The reply to DATA.
    pub data: u32,
    /// The longest time in which no octet of the content could be sent.
    pub content: u32,
    /// The reply to the end of the content.
    pub end: u32,
    /// The reply to QUIT.
    pub quit: u32,
}

impl Timeouts {
    /// The limit of a phase.
    #[must_use]
    pub fn of(&self, phase: Phase) -> u32 {
        match phase {
            Phase::Resolve => self.resolve,
            Phase::Connect => self.connect,
            Phase::Proxy => self.proxy,
            Phase::Tls => self.tls,
            Phase::Greeting => self.greeting,
            Phase::Mail => self.mail,
            Phase::Rcpt => self.rcpt,
            Phase::Data => self.data,
            Phase::Content => self.content,
            Phase::End => self.end,
            Phase::Quit => self.quit,
            Phase::Ehlo | Phase::StartTls | Phase::Auth | Phase::Reset | Phase::Command => self.command,
            Phase::Argument | Phase::Idle => 0,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        const MINUTE: u32 = 60_000;
        Self {
            resolve: 30_000,
            connect: 30_000,
            proxy: 60_000,
            tls: 30_000,
            greeting: 5 * MINUTE,
            command: 5 * MINUTE,
            mail: 5 * MINUTE,
            rcpt: 5 * MINUTE,
            data: 2 * MINUTE,
            content: 3 * MINUTE,
            end: 10 * MINUTE,
            // A QUIT that is not answered must not hold a program up: the
            // message is safe already.
            quit: 2_000,
        }
    }
}
