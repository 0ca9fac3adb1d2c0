//! Commands as types: none can hold a CR, LF, NUL or other control character.

use super::address::HostName;
use super::envelope::Envelope;
use super::limits::MAX_COMMAND_LINE;
use crate::error::{Code, Error, Result};

/// One command line. The mailboxes come out of an [`Envelope`], which only takes
/// parsed ones.
#[derive(Clone, Copy, Debug)]
pub enum Command<'a> {
    /// `EHLO name`
    Ehlo(&'a HostName),
    /// `HELO name`
    Helo(&'a HostName),
    /// `STARTTLS` (RFC 3207)
    StartTls,
    /// `MAIL FROM:<sender>` with parameters
    Mail(&'a Envelope, &'a [Parameter<'a>]),
    /// `RCPT TO:<recipient>`, the recipient by its number in the envelope
    Rcpt(&'a Envelope, usize),
    /// `DATA`
    Data,
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
            Self::Helo(name) => put(out, &["HELO ", name.as_str(), "\r\n"]),
            Self::StartTls => put(out, &["STARTTLS\r\n"]),
            Self::Mail(envelope, []) => put(out, &["MAIL FROM:<", envelope.sender(), ">\r\n"]),
            Self::Mail(envelope, parameters) => {
                put(out, &["MAIL FROM:<", envelope.sender(), ">"]);
                for parameter in *parameters {
                    parameter.write_to(out);
                }
                put(out, &["\r\n"]);
            }
            Self::Rcpt(envelope, index) => {
                put(out, &["RCPT TO:<", envelope.recipient(*index).unwrap_or_default(), ">\r\n"]);
            }
            Self::Data => put(out, &["DATA\r\n"]),
            Self::Reset => put(out, &["RSET\r\n"]),
            Self::Quit => put(out, &["QUIT\r\n"]),
            Self::Other(text) => put(out, &[&text.0, "\r\n"]),
        }
    }
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
        const OWN: [&str; 12] =
            ["HELO", "EHLO", "LHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT", "BURL", "QUIT", "TURN"];
        let refused = |code, what| Err(Error::caller(code, what));
        if verb.is_empty() || !verb.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
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
        let text = if parameters.is_empty() { verb.to_owned() } else { format!("{verb} {parameters}") };
        if text.len() > MAX_COMMAND_LINE {
            return refused(Code::TOO_LONG, format!("a command line may have at most {MAX_COMMAND_LINE} octets"));
        }
        Ok(Self(text))
    }
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

/// An ESMTP parameter of MAIL or RCPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter<'a> {
    /// `SIZE=octets` (RFC 1870)
    Size(u64),
    /// Any other, as it stands on the line
    Other(ParameterText<'a>),
}

impl Parameter<'_> {
    fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Size(octets) => {
                put(out, &[" SIZE="]);
                put_number(out, *octets);
            }
            Self::Other(text) => put(out, &[" ", text.0]),
        }
    }
}

/// `KEYWORD` or `KEYWORD=value` (RFC 5321 section 4.1.2, `esmtp-param`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterText<'a>(&'a str);

impl<'a> ParameterText<'a> {
    /// Takes one parameter as it stands on the line.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` if it does not fit the grammar.
    pub fn parse(text: &'a str) -> Result<Self> {
        let (keyword, value) = match text.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (text, None),
        };
        let keyword_fits = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
            && keyword.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let value_fits = value
            .is_none_or(|value| !value.is_empty() && value.bytes().all(|octet| matches!(octet, 33..=60 | 62..=126)));
        if keyword_fits && value_fits {
            return Ok(Self(text));
        }
        let what = format!("\"{}\" is not an ESMTP parameter (KEYWORD or KEYWORD=value)", text.escape_debug());
        Err(Error::caller(Code::INVALID_PARAMETER, what))
    }

    /// The parameter as it stands on the line.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Mailbox, ReversePath};
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
        let size = [Parameter::Size(10), Parameter::Other(ParameterText::parse("SMTPUTF8").expect("good"))];
        assert_eq!(line(Command::Ehlo(&name)), "EHLO a.example\r\n");
        assert_eq!(line(Command::Helo(&name)), "HELO a.example\r\n");
        assert_eq!(line(Command::StartTls), "STARTTLS\r\n");
        assert_eq!(line(Command::Mail(&envelope, &[])), "MAIL FROM:<s@a.example>\r\n");
        assert_eq!(line(Command::Mail(&Envelope::default(), &size)), "MAIL FROM:<> SIZE=10 SMTPUTF8\r\n");
        assert_eq!(line(Command::Rcpt(&envelope, 0)), "RCPT TO:<r@b>\r\n");
        assert_eq!(line(Command::Data), "DATA\r\n");
        assert_eq!(line(Command::Reset), "RSET\r\n");
        assert_eq!(line(Command::Quit), "QUIT\r\n");
    }

    #[test]
    fn commands_of_ones_own() {
        let own = |verb, parameters| CommandText::parse(verb, parameters).map(|text| line(Command::Other(&text)));
        assert_eq!(own("NOOP", "").expect("good"), "NOOP\r\n");
        assert_eq!(own("x-thing", "a=b <c>").expect("good"), "x-thing a=b <c>\r\n");
        let code = |verb, parameters| own(verb, parameters).expect_err(verb).code;
        for (verb, parameters) in
            [("", ""), ("A B", ""), ("NOOP\r\nRSET", ""), ("NOOP", "a\r\nRSET"), ("VRFY", "j\u{f6}rg"), ("NOOP", "\0")]
        {
            assert_eq!(code(verb, parameters), Code::INVALID_PARAMETER);
        }
        for verb in ["DATA", "data", "Bdat", "AUTH", "starttls", "MAIL", "EHLO", "QUIT"] {
            assert_eq!(code(verb, ""), Code::UNSUITABLE_COMMAND);
        }
        assert_eq!(code("NOOP", &"x".repeat(600)), Code::TOO_LONG);
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
        for good in ["SIZE=1", "BODY=8BITMIME", "RET=HDRS", "X-Y=!~", "SMTPUTF8", "A=<>"] {
            assert_eq!(ParameterText::parse(good).expect(good).as_str(), good);
        }
        for bad in ["", "=1", "A=", "A=b c", "A=b\r\n", "A\0", "-A", "A=b=c", "A b", "A=é"] {
            assert_eq!(ParameterText::parse(bad).expect_err(bad).code, Code::INVALID_PARAMETER);
        }
    }
}
