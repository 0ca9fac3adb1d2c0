//! What is found: code, weight, place, and what to do.

use crate::error::json_quoted;
use std::fmt::Write as _;

/// How many findings are kept; a message that is no message could have any number.
pub const MOST_FINDINGS: usize = 100;

/// The most characters of a message's own that a finding quotes.
const MOST_QUOTED: usize = 120;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Hint = 1,
    /// Some servers or readers take it amiss.
    Warning = 2,
    /// Against the standards, or refused by many.
    Error = 3,
}

impl Severity {
    /// Every one, in the order of its number.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Hint, "Worth knowing."),
        (Self::Warning, "Some servers or readers take it amiss."),
        (Self::Error, "Against the standards, or refused by many servers."),
    ];

    /// The constant's name behind `SMTP_SEVERITY_`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hint => "HINT",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        }
    }
}

macro_rules! checks {
    ($($variant:ident $name:ident $number:literal $doc:literal $remedy:literal;)+) => {
        /// What can be found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Check {
            $(
                #[doc = $doc]
                $variant = $number,
            )+
        }

        /// Every one: itself, its name behind `SMTP_CHECK_`, what it means.
        pub const CHECKS: &[(Check, &str, &str)] = &[$((Check::$variant, stringify!($name), $doc)),+];

        impl Check {
            /// The constant's name behind `SMTP_CHECK_`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($name),)+
                }
            }

            /// What to do about it.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self {
                    $(Self::$variant => $remedy,)+
                }
            }
        }
    };
}

checks! {
    Oversize OVERSIZE 1 "The message is larger than the limit."
        "Send a smaller message, or give a link instead of an attachment.";
    Nul NUL 2 "A NUL octet, which servers drop or refuse."
        "Encode the part in base64.";
    BareLineEnd BARE_LINE_END 3 "A line ends with a CR or LF alone; it becomes CRLF when it is sent."
        "Write every line end as CRLF.";
    LineTooLong LINE_TOO_LONG 4 "A line has more than 998 octets, which servers cut or refuse."
        "Encode the part in quoted-printable or base64; fold a header field.";
    LineLong LINE_LONG 5 "A line has more than 78 characters."
        "Fold the header field, or break the text.";
    EightBit EIGHT_BIT 6 "A part has octets beyond ASCII and says so: it needs a server with 8BITMIME."
        "Encode the part in quoted-printable or base64 for servers without it.";
    EightBitUndeclared EIGHT_BIT_UNDECLARED 7 "Octets beyond ASCII where the transfer encoding does not allow them."
        "Give the part a Content-Transfer-Encoding that fits: 8bit, or better quoted-printable or base64.";
    HeaderEightBit HEADER_EIGHT_BIT 8 "A header field has characters beyond ASCII: it needs a server with SMTPUTF8."
        "Write names and subjects as encoded words (RFC 2047), and domains in their xn-- form.";
    HeaderCharset HEADER_CHARSET 9 "A header field has octets that are not UTF-8."
        "Write it as encoded words (RFC 2047).";
    HeaderLine HEADER_LINE 10 "A line of the header is no field."
        "Put an empty line between header and text, and begin continued lines with a space.";
    HeaderName HEADER_NAME 11 "The name of a field is empty, or has a character that may not be there."
        "Use letters, digits and hyphens, and the colon directly behind them.";
    HeaderMissing HEADER_MISSING 12 "A field that a message should have is not there."
        "Put the field in.";
    HeaderRepeated HEADER_REPEATED 13 "A field that may be there once is there again."
        "Keep one of them.";
    HeaderEmpty HEADER_EMPTY 14 "A field that needs a value has none."
        "Give it a value, or leave it out.";
    HeaderLong HEADER_LONG 15 "A field is too long to be looked at; many servers refuse it."
        "Shorten it.";
    Injection INJECTION 16 "It looks as if somebody had put a header field in by way of a value."
        "Find out where the value came from, and refuse line ends in what users enter.";
    BlankFold BLANK_FOLD 17 "A continued line of a field has white space only; some take it for the header's end."
        "Take the line out.";
    Address ADDRESS 18 "An address is not valid."
        "Write it as Name <user@example.com>, with quotes around names that have commas or other marks.";
    LookAlike LOOK_ALIKE 19 "An address mixes scripts, or could be taken for another in Latin letters."
        "Make sure that the address is the one that is meant.";
    Invisible INVISIBLE 20 "A name or an address has characters that cannot be seen, or that turn the direction of writing."
        "Take them out.";
    NameIsAddress NAME_IS_ADDRESS 21 "The name before an address looks like another address."
        "Use a person's or firm's name; filters take this for deceit.";
    SenderMissing SENDER_MISSING 22 "Several authors, and no Sender field that says who sent it."
        "Put in a Sender field with one address.";
    Date DATE 23 "The Date field has no valid date."
        "Write it as in: Mon, 02 Nov 2026 10:00:00 +0100.";
    MessageId MESSAGE_ID 24 "The Message-ID field has no valid identifier."
        "Write it as <unique@your.domain>.";
    Bcc BCC 25 "A Bcc field, which would show the others to whoever reads the source."
        "Take it out of the message; the envelope has the recipients.";
    Leftover LEFTOVER 26 "A field that servers put in: the message was delivered or signed before."
        "Take it out, unless the message is passed on as it was.";
    TextEmpty TEXT_EMPTY 27 "A text part has no text."
        "Put text in, or leave the part out; filters take empty parts amiss.";
    ContentType CONTENT_TYPE 28 "The Content-Type field cannot be read."
        "Write it as in: text/plain; charset=utf-8.";
    BoundaryMissing BOUNDARY_MISSING 29 "A multipart type has no boundary, or one that may not be."
        "Give it a boundary of 1 to 70 characters.";
    BoundaryUnused BOUNDARY_UNUSED 30 "The boundary of a multipart type never comes."
        "Begin each part with a line of two hyphens and the boundary.";
    BoundaryOpen BOUNDARY_OPEN 31 "A multipart type does not end."
        "End it with a line of two hyphens, the boundary, and two hyphens.";
    TransferEncoding TRANSFER_ENCODING 32 "The Content-Transfer-Encoding is not known, or not allowed for this type."
        "Use 7bit, 8bit, quoted-printable or base64; for multipart types 7bit or 8bit.";
    EncodedBody ENCODED_BODY 33 "A part is not what its transfer encoding says."
        "Encode it anew, or correct Content-Transfer-Encoding.";
    Binary BINARY 34 "A part is binary: it needs a server with BINARYMIME and CHUNKING."
        "Encode it in base64.";
    Charset CHARSET 35 "Text beyond ASCII whose charset is not said, or is said to be ASCII."
        "Add charset=utf-8, or the one it is in, to Content-Type.";
    Unsubscribe UNSUBSCRIBE 36 "List-Unsubscribe-Post without an https address in List-Unsubscribe (RFC 8058)."
        "Give List-Unsubscribe an https address.";
    TooDeep TOO_DEEP 37 "Parts within parts deeper than is looked at."
        "Nest fewer parts.";
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub check: Check,
    /// How bad it is.
    pub severity: Severity,
    /// The line where it is, or is first, from 1; 0 if it is of the message as a whole.
    pub line: u64,
    /// The part: 0 is the message's own header, parts follow as they begin.
    pub part: u32,
    /// How often it is there.
    pub count: u64,
    /// The name of the field, or nothing.
    pub header: String,
    /// What was found, a sentence without a full stop, control characters escaped.
    pub what: String,
}

/// All findings.
#[derive(Clone, Debug, Default)]
pub struct Report {
    findings: Vec<Finding>,
    /// How many there were beyond those that are kept.
    more: u64,
}

impl Report {
    /// Those that are kept, in the order in which they were found.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many there were besides.
    #[must_use]
    pub fn more(&self) -> u64 {
        self.more
    }

    /// Puts one in; the same again, for the same field, counts there.
    pub(super) fn add(&mut self, finding: Finding, distinct: bool) {
        let same = |other: &&mut Finding| {
            (other.check, &other.header) == (finding.check, &finding.header)
                && (!distinct || other.what == finding.what)
        };
        if let Some(known) = self.findings.iter_mut().find(same) {
            known.count += 1;
        } else if self.findings.len() == MOST_FINDINGS {
            self.more += 1;
        } else {
            self.findings.push(finding);
        }
    }

    /// How many there are of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// All as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let hints = self.count(Severity::Hint);
        let mut out = format!("{{\"errors\":{errors},\"warnings\":{warnings},\"hints\":{hints},\"more\":{}", self.more);
        out.push_str(",\"findings\":[");
        for (number, finding) in self.findings.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            // Writing to a string does not fail.
            let _ = write!(
                out,
                "{comma}{{\"code\":{},\"name\":\"{}\",\"severity\":\"{}\",\"line\":{},\"part\":{},\"count\":{},\"header\":{},\"what\":{},\"remedy\":{}}}",
                finding.check as u32,
                finding.check.name(),
                finding.severity.name(),
                finding.line,
                finding.part,
                finding.count,
                json_quoted(&finding.header),
                json_quoted(&finding.what),
                json_quoted(finding.check.remedy()),
            );
        }
        out + "]}"
    }
}

/// A piece of a message as a finding quotes it: short, and on one line.
pub(super) fn quoted(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(&octets[..octets.len().min(4 * MOST_QUOTED)]);
    let hidden = |c: char| c.is_control() || super::scripts::is_invisible(c);
    let shown: String = text
        .chars()
        .take(MOST_QUOTED)
        .flat_map(|c| if hidden(c) { c.escape_unicode().collect::<Vec<_>>() } else { vec![c] })
        .collect();
    format!("\"{}\"", shown.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(header: &str) -> Finding {
        Finding {
            check: Check::Address,
            severity: Severity::Error,
            line: 3,
            part: 0,
            count: 1,
            header: header.to_owned(),
            what: "a \"b\"".to_owned(),
        }
    }

    #[test]
    fn findings_are_counted_and_capped() {
        let mut report = Report::default();
        report.add(finding("To"), false);
        report.add(finding("To"), false);
        assert_eq!((report.findings().len(), report.findings()[0].count), (1, 2));
        for number in 0..200 {
            report.add(finding(&number.to_string()), true);
        }
        assert_eq!((report.findings().len(), report.more()), (MOST_FINDINGS, 101));
    }

    #[test]
    fn json() {
        let mut report = Report::default();
        assert_eq!(report.to_json(), r#"{"errors":0,"warnings":0,"hints":0,"more":0,"findings":[]}"#);
        report.add(finding("To"), false);
        assert_eq!(
            report.to_json(),
            format!(
                r#"{{"errors":1,"warnings":0,"hints":0,"more":0,"findings":[{{"code":18,"name":"ADDRESS","severity":"ERROR","line":3,"part":0,"count":1,"header":"To","what":"a \"b\"","remedy":"{}"}}]}}"#,
                Check::Address.remedy()
            )
        );
    }

    #[test]
    fn quotes_are_short_and_plain() {
        assert_eq!(quoted(b"a\x00b\r\n"), "\"a\\u{0}b\\u{d}\\u{a}\"");
        assert_eq!(quoted("\u{202e}x".as_bytes()), "\"\\u{202e}x\"");
        assert!(quoted(&[b'x'; 5000]).len() <= MOST_QUOTED + 2);
    }
}
