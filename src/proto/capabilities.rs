//! What the server said it can do, in its reply to EHLO (RFC 5321 section 4.1.1.1).

use super::limits::MAX_MECHANISMS;
use super::reply::Reply;

/// The extensions of an EHLO reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The name by which the server greeted.
    pub server_name: String,
    /// Every extension line as sent, such as `SIZE 1000`; text that is not UTF-8 replaced.
    pub lines: Vec<String>,
    /// PIPELINING (RFC 2920)
    pub pipelining: bool,
    /// STARTTLS (RFC 3207)
    pub starttls: bool,
    /// 8BITMIME (RFC 6152)
    pub eight_bit: bool,
    /// SMTPUTF8 (RFC 6531)
    pub smtputf8: bool,
    /// DSN (RFC 3461)
    pub dsn: bool,
    /// CHUNKING (RFC 3030)
    pub chunking: bool,
    /// BINARYMIME (RFC 3030)
    pub binary_mime: bool,
    /// LIMITS (RFC 9422)
    pub limits: Limits,
    /// SIZE (RFC 1870): `Some(0)` if offered without a limit.
    pub size: Option<u64>,
    /// The mechanisms of AUTH (RFC 4954), in upper case, in the server's order.
    pub mechanisms: Vec<String>,
}

/// What a server says it takes at most (RFC 9422); `None` where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// MAILMAX: transactions in a session.
    pub mail: Option<u32>,
    /// RCPTMAX: recipients of a transaction.
    pub rcpt: Option<u32>,
    /// RCPTDOMAINMAX: different domains among the recipients of a transaction.
    pub rcpt_domain: Option<u32>,
}

impl Limits {
    fn add(&mut self, word: &str) {
        let Some((name, value)) = word.split_once('=') else { return };
        // Every limit there is allows one; a server that says less means something else.
        let Some(value) = value.parse().ok().filter(|value| *value > 0) else { return };
        match name.to_ascii_uppercase().as_str() {
            "MAILMAX" => self.mail = Some(value),
            "RCPTMAX" => self.rcpt = Some(value),
            "RCPTDOMAINMAX" => self.rcpt_domain = Some(value),
            _ => {}
        }
    }
}

impl Capabilities {
    /// Reads an EHLO reply. Keywords are known in any case; a line that makes no
    /// sense is kept in [`Self::lines`] and otherwise passed over.
    #[must_use]
    pub fn parse(reply: &Reply) -> Self {
        let mut capabilities = Self::default();
        let mut lines = reply.lines().map(String::from_utf8_lossy);
        if let Some(first) = lines.next() {
            capabilities.server_name = first.split(' ').next().unwrap_or_default().to_owned();
        }
        for line in lines {
            let line: String = line.chars().filter(|c| !c.is_control()).collect();
            let line = line.trim();
            if !line.is_empty() {
                capabilities.add(line);
            }
        }
        capabilities
    }

    fn add(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        match keyword.as_str() {
            "PIPELINING" => self.pipelining = true,
            "STARTTLS" => self.starttls = true,
            "8BITMIME" => self.eight_bit = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "DSN" => self.dsn = true,
            "CHUNKING" => self.chunking = true,
            "BINARYMIME" => self.binary_mime = true,
            "LIMITS" => words.for_each(|word| self.limits.add(word)),
            "SIZE" => self.size = Some(words.next().and_then(|limit| limit.parse().ok()).unwrap_or(0)),
            "AUTH" => words.for_each(|mechanism| self.add_mechanism(mechanism)),
            _ => {
                // The form before RFC 2554, still sent for old clients.
                if let Some(first) = keyword.strip_prefix("AUTH=") {
                    self.add_mechanism(first);
                    words.for_each(|mechanism| self.add_mechanism(mechanism));
                }
            }
        }
        self.lines.push(line.to_owned());
    }

    fn add_mechanism(&mut self, name: &str) {
        let name = name.to_ascii_uppercase();
        if self.mechanisms.len() < MAX_MECHANISMS && !name.is_empty() && !self.mechanisms.contains(&name) {
            self.mechanisms.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply::ReplyParser;
    use super::*;

    fn read(text: &str) -> Capabilities {
        let mut parser = ReplyParser::default();
        parser.feed(text.as_bytes()).expect("a reply");
        Capabilities::parse(parser.reply())
    }

    #[test]
    fn keywords_in_any_case_and_order() {
        let found = read(
            "250-mail.example.com at your service\r\n250-Pipelining\r\n250-SIZE 1000\r\n250-auth PLAIN login\r\n\
             250-AUTH=LOGIN XOAUTH2\r\n250-StartTLS\r\n250-X-ODD \x07thing\r\n250 HELP\r\n",
        );
        assert_eq!(found.server_name, "mail.example.com");
        assert!(found.pipelining && found.starttls);
        assert_eq!(found.size, Some(1000));
        assert_eq!(found.mechanisms, ["PLAIN", "LOGIN", "XOAUTH2"]);
        assert_eq!(found.lines.len(), 7);
        assert_eq!(found.lines[5], "X-ODD thing");
    }

    #[test]
    fn limits() {
        let found = read("250-x\r\n250-CHUNKING\r\n250 LIMITS rcptmax=100 MAILMAX=0 RCPTDOMAINMAX=2 X=1 Y\r\n");
        assert!(found.chunking && !found.binary_mime);
        assert_eq!(found.limits, Limits { mail: None, rcpt: Some(100), rcpt_domain: Some(2) });
    }

    #[test]
    fn nothing_offered_and_nonsense() {
        assert_eq!(read("250 hello\r\n").lines.len(), 0);
        assert_eq!(read("250-\r\n250-   \r\n250 SIZE many\r\n").size, Some(0));
        assert_eq!(read("250-x\r\n250 SIZE 99999999999999999999999\r\n").size, Some(0));
        assert!(!read("250 PIPELINING\r\n").pipelining, "the first line is the greeting");
    }
}
