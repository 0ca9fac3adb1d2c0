//! Server replies: an incremental parser that works at every split point.

use super::limits::{MAX_REPLY_BYTES, MAX_REPLY_LINE, MAX_REPLY_LINES};
use crate::error::{Code, Error, Phase, Result, ServerReply};
use memchr::memchr;

/// One whole reply (RFC 5321 section 4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    text: Vec<u8>,
    lines: usize,
}

impl Reply {
    /// The three-digit code; 0 if there was no reply yet.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The text of all lines, codes taken off, joined by line feeds. Any octets.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The text of each line.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.text.split(|octet| *octet == b'\n')
    }

    /// Whether the code begins with 2.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Whether the code begins with 4 or 5.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.code >= 400
    }

    /// The enhanced status code (RFC 3463) that the text begins with, if its
    /// class fits the reply code.
    #[must_use]
    pub fn enhanced(&self) -> Option<(u8, u16, u16)> {
        let line = self.lines().next()?;
        let word = line.split(|octet| *octet == b' ').next()?;
        let mut parts = word.split(|octet| *octet == b'.');
        let class = number(parts.next()?, 1)?;
        let subject = number(parts.next()?, 3)?;
        let detail = number(parts.next()?, 3)?;
        let fits = class == self.code / 100 && matches!(class, 2 | 4 | 5);
        if parts.next().is_some() || !fits {
            return None;
        }
        Some((u8::try_from(class).ok()?, subject, detail))
    }

    /// The reply as an error record keeps it: text made printable.
    #[must_use]
    pub fn to_record(&self) -> ServerReply {
        let text = String::from_utf8_lossy(&self.text);
        let printable = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
        ServerReply { code: self.code, enhanced: self.enhanced(), text: text.chars().map(printable).collect() }
    }

    /// The record of a reply of which the code and the text were kept.
    #[must_use]
    pub fn record_of(code: u16, text: &[u8]) -> ServerReply {
        Self { code, text: text.to_vec(), lines: 1 }.to_record()
    }

    /// Becomes the same as another reply, in the memory that it has.
    pub fn copy_from(&mut self, other: &Self) {
        self.code = other.code;
        self.text.clone_from(&other.text);
        self.lines = other.lines;
    }

    /// Becomes no reply.
    pub fn clear(&mut self) {
        self.code = 0;
        self.text.clear();
        self.lines = 0;
    }
}

fn number(digits: &[u8], most: usize) -> Option<u16> {
    if digits.is_empty() || digits.len() > most || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0')))
}

/// Collects octets into replies.
///
/// Invariant: `line` holds the current line without its line end and is at most
/// [`MAX_REPLY_LINE`] octets and a CR long; `reply` holds the finished lines.
#[derive(Debug, Default)]
pub struct ReplyParser {
    line: Vec<u8>,
    reply: Reply,
    complete: bool,
    /// What the last line begins with.
    head: [u8; 4],
}

impl ReplyParser {
    /// Takes octets up to the end of the next reply, and says how many and
    /// whether a reply is now complete; read it with [`Self::reply`] before the
    /// next call.
    ///
    /// # Errors
    ///
    /// `PROTOCOL` for anything that is not a reply, `REPLY_TOO_LONG` past a limit.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, bool)> {
        if self.complete {
            self.complete = false;
            self.head = [0; 4];
            self.reply.clear();
        }
        let mut used = 0;
        while let Some(end) = memchr(b'\n', &input[used..]) {
            let part = &input[used..used + end];
            used += end + 1;
            let last = if self.line.is_empty() {
                self.finish_line(part)?
            } else {
                self.extend_line(part)?;
                let mut line = std::mem::take(&mut self.line);
                let last = self.finish_line(&line);
                line.clear();
                self.line = line;
                last?
            };
            if last {
                self.complete = true;
                return Ok((used, true));
            }
        }
        self.extend_line(&input[used..])?;
        Ok((input.len(), false))
    }

    /// How long a reply is, with its line end, that is the same as the one that the
    /// last [`Self::feed`] completed; `None` if it cannot be told from its beginning.
    #[must_use]
    pub fn repeat_length(&self) -> Option<usize> {
        let is_plain = self.complete && self.reply.lines == 1 && self.head[3] == b' ';
        is_plain.then_some(self.head.len() + self.reply.text.len() + 2)
    }

    /// Whether the input begins with that reply again.
    #[must_use]
    pub fn repeats(&self, input: &[u8]) -> bool {
        input.split_first_chunk().is_some_and(|(head, rest)| {
            let behind = if *head == self.head { rest.strip_prefix(&*self.reply.text) } else { None };
            behind.is_some_and(|behind| behind.starts_with(b"\r\n"))
        })
    }

    /// The reply that the last [`Self::feed`] completed.
    #[must_use]
    pub fn reply(&self) -> &Reply {
        &self.reply
    }

    /// Whether a reply has begun and not ended.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.complete && (!self.line.is_empty() || self.reply.lines > 0)
    }

    fn extend_line(&mut self, part: &[u8]) -> Result<()> {
        // One more for the CR, which is not counted.
        if self.line.len() + part.len() > MAX_REPLY_LINE + 1 {
            return Err(too_long(format!("a reply line has more than {MAX_REPLY_LINE} octets")));
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    /// Adds one line to the reply; true if it is the reply's last.
    fn finish_line(&mut self, line: &[u8]) -> Result<bool> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > MAX_REPLY_LINE {
            return Err(too_long(format!("a reply line has more than {MAX_REPLY_LINE} octets")));
        }
        let code = match line {
            [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
                u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
            }
            _ => return Err(malformed("the server sent a line that is not an SMTP reply", line)),
        };
        let (last, text) = match line.get(3) {
            None => (true, &line[3..]),
            Some(b' ') => {
                self.head = [line[0], line[1], line[2], b' '];
                (true, &line[4..])
            }
            Some(b'-') => (false, &line[4..]),
            Some(_) => {
                return Err(malformed("the server sent a line that is not an SMTP reply", line));
            }
        };
        if self.reply.lines == 0 {
            self.reply.code = code;
        } else {
            if code != self.reply.code {
                return Err(malformed("the server sent different codes in one reply", line));
            }
            self.reply.text.push(b'\n');
        }
        if self.reply.lines == MAX_REPLY_LINES {
            return Err(too_long(format!("a reply has more than {MAX_REPLY_LINES} lines")));
        }
        if self.reply.text.len() + text.len() > MAX_REPLY_BYTES {
            return Err(too_long(format!("a reply has more than {MAX_REPLY_BYTES} octets")));
        }
        self.reply.lines += 1;
        self.reply.text.extend_from_slice(text);
        Ok(last)
    }
}

fn too_long(what: String) -> Box<Error> {
    Error::new(Code::REPLY_TOO_LONG, Phase::Idle, what)
}

fn malformed(what: &str, line: &[u8]) -> Box<Error> {
    let shown = &line[..line.len().min(80)];
    let shown: String = shown.escape_ascii().map(char::from).collect();
    Error::new(Code::PROTOCOL, Phase::Idle, format!("{what}: \"{shown}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(input: &[u8]) -> Vec<(u16, String)> {
        let mut parser = ReplyParser::default();
        let mut rest = input;
        let mut replies = Vec::new();
        while !rest.is_empty() {
            let (used, complete) = parser.feed(rest).expect("well-formed");
            rest = &rest[used..];
            if complete {
                let reply = parser.reply();
                replies.push((reply.code(), String::from_utf8_lossy(reply.text()).into_owned()));
            }
        }
        replies
    }

    #[test]
    fn replies_of_every_form() {
        type Parsed = [(u16, &'static str)];
        let table: &[(&[u8], &Parsed)] = &[
            (b"250 OK\r\n", &[(250, "OK")]),
            (b"250\r\n", &[(250, "")]),
            (b"250 \r\n", &[(250, "")]),
            (b"250 OK\n", &[(250, "OK")]),
            (b"250-a\r\n250-b\r\n250 c\r\n", &[(250, "a\nb\nc")]),
            (b"250-\r\n250\r\n", &[(250, "\n")]),
            (b"220 x\r\n421 y\r\n", &[(220, "x"), (421, "y")]),
        ];
        for (input, expected) in table {
            let expected: Vec<_> = expected.iter().map(|(c, t)| (*c, (*t).to_owned())).collect();
            assert_eq!(parse(input), expected);
        }
    }

    #[test]
    fn every_split_point_gives_the_same_replies() {
        let input = b"220-one\r\n220 two\r\n250 \xff\xfe\r\n354\r\n";
        let whole = parse(input);
        for split in 0..=input.len() {
            let mut parser = ReplyParser::default();
            let mut replies = Vec::new();
            for mut part in [&input[..split], &input[split..]] {
                while !part.is_empty() {
                    let (used, complete) = parser.feed(part).expect("well-formed");
                    part = &part[used..];
                    if complete {
                        let text = String::from_utf8_lossy(parser.reply().text()).into_owned();
                        replies.push((parser.reply().code(), text));
                    }
                }
            }
            assert_eq!(replies, whole, "split at {split}");
            assert!(!parser.is_partial());
        }
    }

    #[test]
    fn octets_that_are_not_utf8_are_kept() {
        let mut parser = ReplyParser::default();
        parser.feed(b"550 caf\xe9\r\n").expect("a reply");
        assert_eq!(parser.reply().text(), b"caf\xe9");
        assert_eq!(parser.reply().to_record().text, "caf\u{fffd}");
        let mut copy = Reply::default();
        copy.copy_from(parser.reply());
        assert_eq!(&copy, parser.reply());
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for input in [
            &b"\r\n"[..],
            b"25\r\n",
            b"hello\r\n",
            b"150 early\r\n",
            b"650 x\r\n",
            b"250\tx\r\n",
            b"2500 x\r\n",
            b"250-a\r\n251 b\r\n",
            b"HTTP/1.1 400 Bad Request\r\n",
        ] {
            let error = ReplyParser::default().feed(input).expect_err("refused");
            assert_eq!(error.code, Code::PROTOCOL, "{input:?}");
        }
    }

    #[test]
    fn limits_are_exact() {
        let longest = [b"250 ".to_vec(), vec![b'x'; MAX_REPLY_LINE - 4], b"\r\n".to_vec()].concat();
        assert!(ReplyParser::default().feed(&longest).expect("just short enough").1);
        let longer = [b"250 ".to_vec(), vec![b'x'; MAX_REPLY_LINE - 3], b"\r\n".to_vec()].concat();
        let error = ReplyParser::default().feed(&longer).expect_err("too long");
        assert_eq!(error.code, Code::REPLY_TOO_LONG);
        let endless = vec![b'2'; MAX_REPLY_LINE + 2];
        let error = ReplyParser::default().feed(&endless).expect_err("no line end");
        assert_eq!(error.code, Code::REPLY_TOO_LONG);
        let mut parser = ReplyParser::default();
        let error = (0..=MAX_REPLY_LINES).find_map(|_| parser.feed(b"250-\r\n").err());
        assert_eq!(error.expect("too many lines").code, Code::REPLY_TOO_LONG);
        let mut parser = ReplyParser::default();
        let line = [b"250-".to_vec(), vec![b'x'; 10_000], b"\r\n".to_vec()].concat();
        let error = (0..100).find_map(|_| parser.feed(&line).err());
        assert_eq!(error.expect("too many octets").code, Code::REPLY_TOO_LONG);
    }

    #[test]
    fn enhanced_codes_must_fit_the_reply() {
        let enhanced = |input: &[u8]| {
            let mut parser = ReplyParser::default();
            parser.feed(input).expect("a reply");
            parser.reply().enhanced()
        };
        assert_eq!(enhanced(b"250 2.1.5 OK\r\n"), Some((2, 1, 5)));
        assert_eq!(enhanced(b"550-5.7.123 a\r\n550 5.7.123 b\r\n"), Some((5, 7, 123)));
        assert_eq!(enhanced(b"550 4.1.1 lies\r\n"), None);
        assert_eq!(enhanced(b"250 2.1 OK\r\n"), None);
        assert_eq!(enhanced(b"250 2.1.5.1 OK\r\n"), None);
        assert_eq!(enhanced(b"250 2.1.1234 OK\r\n"), None);
        assert_eq!(enhanced(b"354 3.0.0 go\r\n"), None);
        assert_eq!(enhanced(b"250\r\n"), None);
    }
}
