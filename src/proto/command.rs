//! Commands as types: none can hold a CR, LF, NUL or other control character.

use super::address::{HostName, Mailbox, to_ascii};
use super::capabilities::Capabilities;
use super::delivery::write_xtext;
use super::envelope::Envelope;
use super::limits::MAX_COMMAND_LINE;
use crate::error::{Code, Error, Result};

/// One command line. The mailboxes come out of an [`Envelope`], which only takes
/// parsed ones.
#[derive(Clone, Copy, Debug)]
pub enum Command<'a> {
    /// `EHLO name`
    Ehlo(&'a HostName),
    /// `LHLO name` (RFC 2033)
    Lhlo(&'a HostName),
    /// `HELO name`
    Helo(&'a HostName),
    /// `STARTTLS` (RFC 3207)
    StartTls,
    /// `MAIL FROM:<sender>` with what of its parameters the server offers
    Mail(&'a Envelope, &'a Capabilities),
    /// `RCPT TO:<recipient>`, the recipient by its number in the envelope
    Rcpt(&'a Envelope, usize, &'a Capabilities),
    /// `DATA`
    Data,
    /// `BDAT octets LAST` (RFC 3030)
    LastChunk(u64),
    /// `RSET`
    Reset,
    /// `QUIT`
    Quit,
    /// Any other
    Other(&'a CommandText),
}

impl Command<'_> {
    /// Appends the line, CRLF included.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ehlo(name) => put(out, &["EHLO ", name.as_str(), "\r\n"]),
            Self::Lhlo(name) => put(out, &["LHLO ", name.as_str(), "\r\n"]),
            Self::Helo(name) => put(out, &["HELO ", name.as_str(), "\r\n"]),
            Self::StartTls => put(out, &["STARTTLS\r\n"]),
            Self::Mail(envelope, offered) => write_mail(out, envelope, offered),
            Self::Rcpt(envelope, index, offered) => {
                put(out, &[envelope.command(*index).unwrap_or_default()]);
                if offered.dsn
                    && let Some((delivery, original)) = envelope.recipient_delivery(*index)
                {
                    out.truncate(out.len() - 2);
                    let recipient = envelope.recipient(*index).unwrap_or_default();
                    delivery.write_recipient_parameters(recipient, original, out);
                    put(out, &["\r\n"]);
                }
            }
            Self::Data => put(out, &["DATA\r\n"]),
            Self::LastChunk(octets) => {
                put(out, &["BDAT "]);
                put_number(out, *octets);
                put(out, &[" LAST\r\n"]);
            }
            Self::Reset => put(out, &["RSET\r\n"]),
            Self::Quit => put(out, &["QUIT\r\n"]),
            Self::Other(text) => put(out, &[&text.0, "\r\n"]),
        }
    }
}

/// What the envelope needs was compared with what is offered before; here what
/// is only good to have is left out where it is not.
fn write_mail(out: &mut Vec<u8>, envelope: &Envelope, offered: &Capabilities) {
    put(out, &["MAIL FROM:<", envelope.sender(), ">"]);
    if let (Some(_), Some(octets)) = (offered.size, envelope.size()) {
        put(out, &[" SIZE="]);
        put_number(out, octets);
    }
    if envelope.is_binary() {
        put(out, &[" BODY=BINARYMIME"]);
    } else if offered.eight_bit && envelope.is_eight_bit() {
        put(out, &[" BODY=8BITMIME"]);
    }
    if offered.smtputf8 && envelope.needs_smtputf8() {
        put(out, &[" SMTPUTF8"]);
    }
    if offered.dsn {
        put(out, &[envelope.delivery().mail_parameter()]);
        if !envelope.envelope_id().is_empty() {
            put(out, &[" ENVID="]);
            write_xtext(envelope.envelope_id(), out);
        }
    }
    if let Some(demands) = envelope.demands() {
        demands.write_to(offered, out);
    }
    if !envelope.extra_parameters().is_empty() {
        put(out, &[" ", envelope.extra_parameters()]);
    }
    put(out, &["\r\n"]);
}

fn put(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// A command that the library has no function for, as it stands on the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandText(String);

impl CommandText {
    /// Takes a verb and its parameters, which may be empty.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` if they do not fit on one line of ASCII, `TOO_LONG`, and
    /// `UNSUITABLE_COMMAND` for a verb that changes what the session is about.
    pub fn parse(verb: &str, parameters: &str) -> Result<Self> {
        /// Each has a function of its own that keeps track of the consequences.
        const OWN: [&str; 20] = [
            "HELO",
            "EHLO",
            "LHLO",
            "STARTTLS",
            "AUTH",
            "MAIL",
            "RCPT",
            "DATA",
            "BDAT",
            "BURL",
            "RSET",
            "QUIT",
            "TURN",
            "ATRN",
            "SEND",
            "SOML",
            "SAML",
            "XCLIENT",
            "X-EXPS",
            "X-ANONYMOUSTLS",
        ];
        let refused = |code, what| Err(Error::caller(code, what));
        if !verb.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !verb.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        {
            let what = format!("\"{}\" is not a command: letters, digits and hyphens only", verb.escape_debug());
            return refused(Code::INVALID_PARAMETER, what);
        }
        if let Some(bad) = parameters.chars().find(|c| !matches!(c, ' '..='~')) {
            let what = format!("the parameters of {verb} have {bad:?}, which may not be there");
            return refused(Code::INVALID_PARAMETER, what);
        }
        if OWN.iter().any(|own| own.eq_ignore_ascii_case(verb)) {
            return refused(Code::UNSUITABLE_COMMAND, format!("{verb} cannot be sent as a command of one's own"));
        }
        Self::of_line(if parameters.is_empty() { verb.to_owned() } else { format!("{verb} {parameters}") })
    }

    /// VRFY or EXPN of a mailbox or a name. One with characters beyond ASCII says
    /// that it needs SMTPUTF8 (RFC 6531 section 3.7.4.2).
    ///
    /// # Errors
    ///
    /// `INVALID_ADDRESS`, `INVALID_PARAMETER`, `TOO_LONG`; `SMTPUTF8_REQUIRED` if
    /// that is not offered.
    pub fn question(verb: &str, address: &str, offered: &Capabilities) -> Result<Self> {
        let name = address.trim_matches(' ');
        let ascii;
        let name = if name.contains(['@', '<', '>']) || name.is_empty() {
            ascii = to_ascii(Mailbox::parse(address)?.as_str())?;
            ascii.as_ref()
        } else {
            name
        };
        if name.is_ascii() || name.contains(char::is_control) {
            return Self::parse(verb, name);
        }
        if !offered.smtputf8 {
            return Err(smtputf8_required(name, offered));
        }
        Self::of_line(format!("{verb} {name} SMTPUTF8"))
    }

    /// ETRN (RFC 1985): a node, which is a domain, `@` and a domain whose
    /// subdomains count too, or `#` and the name of a queue.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER`, `TOO_LONG`.
    pub fn extended_turn(node: &str) -> Result<Self> {
        if let Some(queue) = node.strip_prefix('#') {
            if queue.is_empty() || queue.contains(' ') {
                let what = format!("\"{}\" is not the name of a queue behind #", node.escape_debug());
                return Err(Error::caller(Code::INVALID_PARAMETER, what));
            }
            return Self::parse("ETRN", node);
        }
        let (option, domain) = node.split_at(usize::from(node.starts_with('@')));
        let domain = to_ascii(domain).map_or(domain.into(), |ascii| ascii);
        HostName::parse(&domain)?;
        Self::parse("ETRN", &format!("{option}{domain}"))
    }

    fn of_line(text: String) -> Result<Self> {
        if text.len() > MAX_COMMAND_LINE {
            let what = format!("a command line may have at most {MAX_COMMAND_LINE} octets");
            return Err(Error::caller(Code::TOO_LONG, what));
        }
        Ok(Self(text))
    }

    /// The verb.
    #[must_use]
    pub fn verb(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }
}

/// The error about an address beyond ASCII and a server that cannot take it.
pub(super) fn smtputf8_required(address: &str, offered: &Capabilities) -> Box<Error> {
    let what = format!("the address {address} needs SMTPUTF8 (RFC 6531), which {}", offered.denial("SMTPUTF8"));
    Error::caller(Code::SMTPUTF8_REQUIRED, what).with_address(address).with_choice(&offered.lines, offered.skipped())
}

/// Appends a number in decimal, without the formatting machinery: it goes out
/// with every message.
#[allow(clippy::cast_possible_truncation)] // a digit
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[first..]);
        }
    }
}

/// ESMTP parameters as they stand on the line, `KEYWORD` or `KEYWORD=value` each
/// (RFC 5321 section 4.1.2, `esmtp-param`), with one blank between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterList(String);

impl ParameterList {
    /// Takes parameters with blanks between them.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` if one does not fit the grammar.
    pub fn parse(text: &str) -> Result<Self> {
        let mut list = Self::default();
        for parameter in text.split(' ').filter(|parameter| !parameter.is_empty()) {
            Self::check(parameter)?;
            if !list.0.is_empty() {
                list.0.push(' ');
            }
            list.0.push_str(parameter);
        }
        Ok(list)
    }

    /// The parameters as they stand on the line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(text: &str) -> Result<()> {
        let (keyword, value) = match text.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (text, None),
        };
        let keyword_fits = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
            && keyword.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let value_fits = value
            .is_none_or(|value| !value.is_empty() && value.bytes().all(|octet| matches!(octet, 33..=60 | 62..=126)));
        if keyword_fits && value_fits {
            return Ok(());
        }
        let what = format!("\"{}\" is not an ESMTP parameter (KEYWORD or KEYWORD=value)", text.escape_debug());
        Err(Error::caller(Code::INVALID_PARAMETER, what))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Delivery, Mailbox, ReversePath};
    use super::*;

    fn line(command: Command<'_>) -> String {
        let mut out = Vec::new();
        command.write_to(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn exact_lines() {
        let name = HostName::parse("a.example").expect("good");
        let mut envelope = Envelope::default();
        envelope.begin(ReversePath::parse("s@a.example").expect("good"));
        envelope.push(Mailbox::parse("r@b").expect("good"));
        let nothing = Capabilities::default();
        let offered = Capabilities { size: Some(0), dsn: true, eight_bit: true, ..Capabilities::default() };
        assert_eq!(line(Command::Ehlo(&name)), "EHLO a.example\r\n");
        assert_eq!(line(Command::Helo(&name)), "HELO a.example\r\n");
        assert_eq!(line(Command::StartTls), "STARTTLS\r\n");
        assert_eq!(line(Command::Mail(&envelope, &nothing)), "MAIL FROM:<s@a.example>\r\n");
        assert_eq!(line(Command::Rcpt(&envelope, 0, &offered)), "RCPT TO:<r@b>\r\n");
        envelope.set_size(Some(10));
        envelope.set_eight_bit(true);
        envelope.set_delivery(Delivery::parse(0x10000 | 0x40000 | 0x80000).expect("good"), "a=b");
        envelope.set_extra_parameters("X-Y=1 Z");
        assert_eq!(
            line(Command::Mail(&envelope, &offered)),
            "MAIL FROM:<s@a.example> SIZE=10 BODY=8BITMIME RET=HDRS ENVID=a+3Db X-Y=1 Z\r\n"
        );
        assert_eq!(
            line(Command::Rcpt(&envelope, 0, &offered)),
            "RCPT TO:<r@b> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;r@b\r\n"
        );
        assert_eq!(line(Command::Mail(&envelope, &nothing)), "MAIL FROM:<s@a.example> X-Y=1 Z\r\n");
        assert_eq!(line(Command::Rcpt(&envelope, 0, &nothing)), "RCPT TO:<r@b>\r\n");
        assert_eq!(line(Command::Data), "DATA\r\n");
        assert_eq!(line(Command::LastChunk(120)), "BDAT 120 LAST\r\n");
        assert_eq!(line(Command::Reset), "RSET\r\n");
        assert_eq!(line(Command::Quit), "QUIT\r\n");
    }

    #[test]
    fn commands_of_ones_own() {
        let own = |verb, parameters| CommandText::parse(verb, parameters).map(|text| line(Command::Other(&text)));
        assert_eq!(own("NOOP", "").expect("good"), "NOOP\r\n");
        assert_eq!(own("x-thing", "a=b <c>").expect("good"), "x-thing a=b <c>\r\n");
        let code = |verb, parameters| own(verb, parameters).expect_err(verb).code;
        for (verb, parameters) in [
            ("", ""),
            ("-", ""),
            ("A B", ""),
            ("NOOP\r\nRSET", ""),
            ("NOOP", "a\r\nRSET"),
            ("VRFY", "j\u{f6}rg"),
            ("NOOP", "\0"),
        ] {
            assert_eq!(code(verb, parameters), Code::INVALID_PARAMETER);
        }
        for verb in ["DATA", "data", "Bdat", "AUTH", "starttls", "MAIL", "EHLO", "QUIT", "RSET", "SAML", "XCLIENT"] {
            assert_eq!(code(verb, ""), Code::UNSUITABLE_COMMAND);
        }
        assert_eq!(code("NOOP", &"x".repeat(600)), Code::TOO_LONG);
    }

    #[test]
    fn questions() {
        let ask = |address: &str, smtputf8| {
            let offered = Capabilities { smtputf8, ..Capabilities::default() };
            CommandText::question("VRFY", address, &offered).map(|text| line(Command::Other(&text)))
        };
        assert_eq!(ask(" joe ", false).expect("good"), "VRFY joe\r\n");
        assert_eq!(ask("Joe <joe@b.example>", true).expect("good"), "VRFY joe@b.example\r\n");
        assert_eq!(ask("j\u{f6}rg", true).expect("good"), "VRFY j\u{f6}rg SMTPUTF8\r\n");
        assert_eq!(
            ask("j\u{f6}rg@b\u{fc}cher.example", true).expect("good"),
            "VRFY j\u{f6}rg@xn--bcher-kva.example SMTPUTF8\r\n"
        );
        assert_eq!(ask("joe@b\u{fc}cher.example", false).expect("good"), "VRFY joe@xn--bcher-kva.example\r\n");
        assert_eq!(ask("j\u{f6}rg", false).expect_err("not offered").code, Code::SMTPUTF8_REQUIRED);
        assert_eq!(ask("j\u{f6}rg\u{85}", true).expect_err("control").code, Code::INVALID_PARAMETER);
        assert_eq!(ask(&"\u{f6}".repeat(300), true).expect_err("long").code, Code::TOO_LONG);
        assert_eq!(ask("", true).expect_err("empty").code, Code::INVALID_ADDRESS);
    }

    #[test]
    fn turns() {
        let turn = |node: &str| CommandText::extended_turn(node).map(|text| line(Command::Other(&text)));
        assert_eq!(turn("b.example").expect("good"), "ETRN b.example\r\n");
        assert_eq!(turn("@b\u{fc}cher.example").expect("good"), "ETRN @xn--bcher-kva.example\r\n");
        assert_eq!(turn("#uucp/b").expect("good"), "ETRN #uucp/b\r\n");
        for bad in ["", "@", "#", "a b", "#a b", "b.example\r\nRSET", "#x\r\nRSET", "@@b.example", "#\u{fc}"] {
            assert_eq!(turn(bad).expect_err(bad).code, Code::INVALID_PARAMETER);
        }
    }

    #[test]
    fn numbers() {
        for number in [0, 9, 10, 1024, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }

    #[test]
    fn parameters_hold_nothing_that_breaks_a_line() {
        for good in ["", "SIZE=1", "BODY=8BITMIME RET=HDRS", "X-Y=!~", "SMTPUTF8", "A=<>"] {
            assert_eq!(ParameterList::parse(good).expect(good).as_str(), good);
        }
        for bad in ["=1", "A=", "A=b\r\n", "A\0", "-A", "A=b=c", "A\tb", "A=é"] {
            assert_eq!(ParameterList::parse(bad).expect_err(bad).code, Code::INVALID_PARAMETER);
        }
    }
}
