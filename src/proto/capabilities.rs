//! What the server said it can do, in its reply to EHLO (RFC 5321 section 4.1.1.1).

use super::future_release::{DateTime, FutureRelease};
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
    /// ENHANCEDSTATUSCODES (RFC 2034)
    pub enhanced_status_codes: bool,
    /// DELIVERBY (RFC 2852): the least time for the mode R in seconds; `Some(0)` if there is none.
    pub deliver_by: Option<u32>,
    /// FUTURERELEASE (RFC 4865)
    pub future_release: Option<FutureRelease>,
    /// MT-PRIORITY (RFC 6710): the name of the profile, which may be empty.
    pub mt_priority: Option<String>,
    /// REQUIRETLS (RFC 8689)
    pub require_tls: bool,
    /// VRFY (RFC 5321 section 4.1.1.6)
    pub vrfy: bool,
    /// EXPN (RFC 5321 section 4.1.1.7)
    pub expn: bool,
    /// ETRN (RFC 1985)
    pub etrn: bool,
    /// HELP (RFC 5321 section 4.1.1.8)
    pub help: bool,
    /// What the server offers and is treated as not offered.
    pub withheld: Vec<Withheld>,
}

/// An extension that is not used, although the server offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// The keyword in upper case.
    pub keyword: String,
    /// Why.
    pub reason: String,
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
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "DELIVERBY" => self.deliver_by = Some(words.next().and_then(|least| least.parse().ok()).unwrap_or(0)),
            "FUTURERELEASE" => {
                self.future_release = Some(FutureRelease {
                    max_interval: words.next().and_then(|most| most.parse().ok()),
                    max_moment: words.next().and_then(|last| DateTime::parse(last).ok()),
                });
            }
            "MT-PRIORITY" => self.mt_priority = Some(words.next().unwrap_or_default().to_owned()),
            "REQUIRETLS" => self.require_tls = true,
            "VRFY" => self.vrfy = true,
            "EXPN" => self.expn = true,
            "ETRN" => self.etrn = true,
            "HELP" => self.help = true,
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

    /// The same without some extensions, which stay among the [`Self::lines`].
    #[must_use]
    pub fn without(mut self, extensions: &[Withheld]) -> Self {
        for extension in extensions {
            if !self.offers(&extension.keyword) {
                continue;
            }
            match extension.keyword.as_str() {
                "PIPELINING" => self.pipelining = false,
                "STARTTLS" => self.starttls = false,
                "8BITMIME" => self.eight_bit = false,
                "SMTPUTF8" => self.smtputf8 = false,
                "DSN" => self.dsn = false,
                "CHUNKING" => self.chunking = false,
                "BINARYMIME" => self.binary_mime = false,
                "LIMITS" => self.limits = Limits::default(),
                "SIZE" => self.size = None,
                "AUTH" => self.mechanisms.clear(),
                "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = false,
                "DELIVERBY" => self.deliver_by = None,
                "FUTURERELEASE" => self.future_release = None,
                "MT-PRIORITY" => self.mt_priority = None,
                "REQUIRETLS" => self.require_tls = false,
                "VRFY" => self.vrfy = false,
                "EXPN" => self.expn = false,
                "ETRN" => self.etrn = false,
                "HELP" => self.help = false,
                // Of no consequence here, but the caller may ask.
                _ => {}
            }
            self.withheld.push(extension.clone());
        }
        self
    }

    /// Whether an extension is offered and not withheld; the keyword in any case.
    #[must_use]
    pub fn offers(&self, keyword: &str) -> bool {
        self.parameters(keyword).is_some()
    }

    /// What stands behind a keyword, given in any case; `None` if it is not
    /// offered, or is withheld.
    #[must_use]
    pub fn parameters(&self, keyword: &str) -> Option<&str> {
        if self.withheld.iter().any(|extension| extension.keyword.eq_ignore_ascii_case(keyword)) {
            return None;
        }
        let found = |ends: &[char]| {
            self.lines.iter().find_map(|line| {
                let (word, rest) = line.split_at(line.find(ends).unwrap_or(line.len()));
                word.eq_ignore_ascii_case(keyword).then(|| rest.get(1..).unwrap_or_default().trim())
            })
        };
        // "AUTH=LOGIN" is the form before RFC 2554.
        found(&[' ', '\t']).or_else(|| found(&['=']).filter(|_| keyword.eq_ignore_ascii_case("AUTH")))
    }

    /// To follow "which": that an extension is not there, and whose doing that is.
    #[must_use]
    pub fn denial(&self, keyword: &str) -> String {
        match self.withheld.iter().find(|extension| extension.keyword == keyword) {
            Some(extension) => format!("is left out: {}", extension.reason),
            None => "the server does not offer".to_owned(),
        }
    }

    /// What is withheld, as an error record has it.
    #[must_use]
    pub fn skipped(&self) -> Vec<(String, String)> {
        self.withheld.iter().map(|extension| (extension.keyword.clone(), extension.reason.clone())).collect()
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
    fn extensions_of_mail() {
        let found = read(
            "250-x\r\n250-DELIVERBY 240\r\n250-FUTURERELEASE 86400 2026-11-02T10:00:00Z\r\n250-mt-priority MIXER\r\n\
             250-REQUIRETLS\r\n250-ENHANCEDSTATUSCODES\r\n250-VRFY\r\n250-EXPN\r\n250-ETRN\r\n250 HELP\r\n",
        );
        assert_eq!((found.deliver_by, found.mt_priority.as_deref()), (Some(240), Some("MIXER")));
        let held = found.future_release.expect("offered");
        assert_eq!(held.max_interval, Some(86_400));
        assert_eq!(held.max_moment.expect("understood").to_string(), "2026-11-02T10:00:00Z");
        assert!(found.require_tls && found.enhanced_status_codes && found.help);
        assert!(found.vrfy && found.expn && found.etrn);
        let bare = read("250-x\r\n250-DELIVERBY\r\n250-MT-PRIORITY\r\n250 FUTURERELEASE soon later\r\n");
        assert_eq!((bare.deliver_by, bare.mt_priority.as_deref()), (Some(0), Some("")));
        assert_eq!(bare.future_release, Some(FutureRelease::default()));
    }

    #[test]
    fn one_by_one() {
        let found = read("250-x\r\n250-Size  1000 \r\n250-DSN\r\n250-AUTH=LOGIN PLAIN\r\n250 X-A=B c\r\n");
        assert_eq!(found.parameters("SIZE"), Some("1000"));
        assert_eq!(found.parameters("dsn"), Some(""));
        assert_eq!(found.parameters("auth"), Some("LOGIN PLAIN"));
        assert_eq!(found.parameters("X-A=B"), Some("c"));
        for missing in ["", "X", "X-A", "SIZE 1000", "x"] {
            assert_eq!(found.parameters(missing), None, "{missing}");
        }
    }

    #[test]
    fn everything_can_be_withheld() {
        let keywords = [
            "PIPELINING",
            "STARTTLS",
            "8BITMIME",
            "SMTPUTF8",
            "DSN",
            "CHUNKING",
            "BINARYMIME",
            "LIMITS",
            "SIZE",
            "AUTH",
            "ENHANCEDSTATUSCODES",
            "DELIVERBY",
            "FUTURERELEASE",
            "MT-PRIORITY",
            "REQUIRETLS",
            "VRFY",
            "EXPN",
            "ETRN",
            "HELP",
            "X-OWN",
        ];
        let lines = keywords.map(|keyword| format!("250-{} 9=9 RCPTMAX=1\r\n", keyword.to_lowercase())).concat();
        let found = read(&format!("250-x\r\n{lines}250 DONE\r\n"));
        let why = |keyword: &str| Withheld { keyword: keyword.to_owned(), reason: "a test".to_owned() };
        let less = found
            .clone()
            .without(&[&keywords[..], &["NOT-OFFERED", "DSN"]].concat().iter().map(|k| why(k)).collect::<Vec<_>>());
        assert_eq!(less.lines, found.lines, "the list stays as it was sent");
        assert_eq!(less.withheld, keywords.map(why));
        assert!(keywords.iter().all(|keyword| found.offers(keyword) && !less.offers(keyword)) && less.offers("done"));
        let nothing = Capabilities {
            server_name: "x".into(),
            lines: found.lines,
            withheld: less.withheld.clone(),
            ..Capabilities::default()
        };
        assert_eq!(less, nothing);
    }

    #[test]
    fn nothing_offered_and_nonsense() {
        assert_eq!(read("250 hello\r\n").lines.len(), 0);
        assert_eq!(read("250-\r\n250-   \r\n250 SIZE many\r\n").size, Some(0));
        assert_eq!(read("250-x\r\n250 SIZE 99999999999999999999999\r\n").size, Some(0));
        assert!(!read("250 PIPELINING\r\n").pipelining, "the first line is the greeting");
    }
}
