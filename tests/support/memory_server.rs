//! A client and a server in memory, for conversations that do not keep to a
//! script: the server answers what it is told, so many octets at a time, and the
//! network between the two breaks where it is told.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use smtpclient::error::{Class, Code, Error, Phase};
use smtpclient::proto::{
    Config, Envelope, HostName, Mailbox, Moment, Outcome, RecipientState, ReversePath, Security, Session, Timeouts,
    Want,
};

/// What is answered: the point of the conversation at which the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    Greeting,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    End,
    Quit,
    Other,
}

impl Point {
    pub fn phase(self) -> Phase {
        match self {
            Self::Greeting => Phase::Greeting,
            Self::Ehlo => Phase::Ehlo,
            Self::Mail => Phase::Mail,
            Self::Rcpt => Phase::Rcpt,
            Self::Data => Phase::Data,
            Self::End => Phase::End,
            Self::Quit => Phase::Quit,
            Self::Other => Phase::Reset,
        }
    }
}

/// What the server says at its reply of this number, counted from the greeting.
pub type Answer = Box<dyn FnMut(Point, usize) -> Vec<u8>>;

/// What a good server says.
pub fn good(point: Point, pipelining: bool) -> Vec<u8> {
    match point {
        Point::Greeting => b"220 mail.example\r\n".to_vec(),
        Point::Ehlo if pipelining => b"250-mail.example\r\n250 PIPELINING\r\n".to_vec(),
        Point::Ehlo => b"250 mail.example\r\n".to_vec(),
        Point::Data => b"354 go on\r\n".to_vec(),
        Point::Quit => b"221 bye\r\n".to_vec(),
        _ => b"250 2.0.0 ok\r\n".to_vec(),
    }
}

struct Server {
    answer: Answer,
    replies: usize,
    unread: Vec<u8>,
    in_content: bool,
    /// The contents that were ended, dots taken out.
    contents: Vec<Vec<u8>>,
}

impl Server {
    fn say(&mut self, point: Point) -> Vec<u8> {
        let reply = (self.answer)(point, self.replies);
        self.replies += 1;
        self.in_content = point == Point::Data && reply.starts_with(b"354");
        reply
    }

    /// Reads what the client sent, and gives the replies.
    fn read(&mut self, octets: &[u8]) -> Vec<u8> {
        self.unread.extend_from_slice(octets);
        let mut said = Vec::new();
        loop {
            if self.in_content {
                let Some((content, used)) = unstuffed(&self.unread) else { return said };
                self.unread.drain(..used);
                self.contents.push(content);
                said.extend(self.say(Point::End));
                continue;
            }
            let Some(end) = self.unread.iter().position(|octet| *octet == b'\n') else { return said };
            let line: Vec<u8> = self.unread.drain(..=end).collect();
            let verb = line.split(|octet| matches!(octet, b' ' | b'\r')).next().unwrap();
            said.extend(self.say(match verb {
                b"EHLO" | b"HELO" => Point::Ehlo,
                b"MAIL" => Point::Mail,
                b"RCPT" => Point::Rcpt,
                b"DATA" => Point::Data,
                b"QUIT" => Point::Quit,
                _ => Point::Other,
            }));
        }
    }
}

/// The content up to the line that is a dot alone, and how long all of it is.
fn unstuffed(wire: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut content = Vec::new();
    let mut used = 0;
    loop {
        let end = wire[used..].windows(2).position(|pair| pair == b"\r\n")? + 2;
        let line = &wire[used..used + end];
        used += end;
        if line == b".\r\n" {
            return Some((content, used));
        }
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
}

/// How the network breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The server ends the stream after so many octets of its own.
    EndOfStream(usize),
    /// The server falls silent after so many octets.
    Silence(usize),
    /// The connection is reset when so many octets of the client's have left.
    Reset(usize),
    /// The same, and the last of them have not left the buffers of TLS.
    ResetUnflushed(usize),
}

/// What one operation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The name of the error without its prefix, or `OK`.
    pub result: &'static str,
    pub class: Option<Class>,
    pub phase: Option<Phase>,
    pub sentence: String,
    pub outcome: Outcome,
    pub states: Vec<RecipientState>,
    pub open: bool,
}

/// A session and its server.
pub struct Conversation {
    pub session: Session,
    server: Server,
    now: Moment,
    /// On the way to the client.
    said: Vec<u8>,
    heard: usize,
    pub sent: Vec<u8>,
    breaks: Option<Break>,
    by: usize,
    greeted: bool,
}

impl Conversation {
    /// A conversation in which the server's octets come in pieces of this size.
    pub fn new(answer: Answer, breaks: Option<Break>, by: usize) -> Self {
        let config = Config {
            local_name: HostName::parse("client.example").unwrap(),
            extended: true,
            security: Security::None,
            timeouts: Timeouts::default(),
            private_path: true,
            insecure_auth: false,
            lmtp: false,
            skips_verify: false,
            withheld: Vec::new(),
        };
        let server = Server { answer, replies: 0, unread: Vec::new(), in_content: false, contents: Vec::new() };
        Self {
            session: Session::new(config),
            server,
            now: Moment(1000),
            said: Vec::new(),
            heard: 0,
            sent: Vec::new(),
            breaks,
            by,
            greeted: false,
        }
    }

    /// What the server has received of whole messages.
    pub fn contents(&self) -> &[Vec<u8>] {
        &self.server.contents
    }

    pub fn open(&mut self) -> Report {
        self.session.open(self.now);
        self.run(b"")
    }

    pub fn quit(&mut self) -> Report {
        match self.session.quit(self.now) {
            Ok(()) => self.run(b""),
            Err(error) => self.report(Err(error)),
        }
    }

    pub fn send(&mut self, recipients: usize, all_or_nothing: bool, content: &[u8]) -> Report {
        let mut envelope = Envelope::default();
        envelope.begin(ReversePath::parse("a@x.example").unwrap());
        for number in 0..recipients {
            envelope.push(Mailbox::parse(&format!("r{number}@y.example")).unwrap());
        }
        envelope.set_all_or_nothing(all_or_nothing);
        match self.session.send(&mut envelope, self.now) {
            Ok(()) => self.run(content),
            Err(error) => self.report(Err(error)),
        }
    }

    fn report(&self, result: Result<(), Box<Error>>) -> Report {
        let envelope = self.session.envelope();
        let error = result.err();
        Report {
            result: error.as_ref().map_or("OK", |error| error.code.name().trim_start_matches("SMTP_ERROR_")),
            class: error.as_ref().map(|error| error.class()),
            phase: error.as_ref().map(|error| error.phase),
            sentence: error.map_or_else(String::new, |error| error.to_string()),
            outcome: self.session.outcome(),
            states: (0..envelope.len()).map(|index| envelope.state(index)).collect(),
            open: self.session.is_open(),
        }
    }

    fn run(&mut self, mut content: &[u8]) -> Report {
        if !std::mem::replace(&mut self.greeted, true) {
            let greeting = self.server.say(Point::Greeting);
            self.said.extend(greeting);
        }
        loop {
            self.now = self.now + 1;
            match self.session.want() {
                Want::Done => {
                    let result = self.session.take_result().unwrap();
                    return self.report(result);
                }
                Want::Content if content.is_empty() => self.session.finish_content(self.now),
                Want::Content => self.session.content(std::mem::take(&mut content), self.now),
                Want::Write => self.write(),
                Want::Read => {
                    self.session.handle_flushed();
                    self.read();
                }
                Want::Tls | Want::Rewind | Want::Renew | Want::Next | Want::Gather => unreachable!("not asked for"),
            }
        }
    }

    fn write(&mut self) {
        let (left, flushed) = match self.breaks {
            Some(Break::Reset(after)) => (after - self.sent.len(), true),
            Some(Break::ResetUnflushed(after)) => (after - self.sent.len(), false),
            _ => (usize::MAX, true),
        };
        let octets = self.session.output();
        let octets = octets[..octets.len().min(left)].to_vec();
        self.sent.extend_from_slice(&octets);
        self.session.handle_written(octets.len(), self.now);
        if octets.len() == left {
            if flushed {
                self.session.handle_flushed();
            }
            return self.session.handle_failure(Error::new(Code::CONNECTION_RESET, Phase::Idle, "a reset"));
        }
        let said = self.server.read(&octets);
        self.said.extend(said);
    }

    fn read(&mut self) {
        let left = match self.breaks {
            Some(Break::EndOfStream(after) | Break::Silence(after)) => after - self.heard,
            _ => usize::MAX,
        };
        let count = self.said.len().min(self.by).min(left);
        if count > 0 {
            self.heard += count;
            let piece: Vec<u8> = self.said.drain(..count).collect();
            return self.session.handle_input(&piece, self.now);
        }
        match self.breaks {
            Some(Break::EndOfStream(_)) if left == 0 => self.session.handle_end_of_stream(),
            // Whatever else keeps the server from answering is silence.
            _ => {
                let deadline = self.session.deadline().expect("waits for ever");
                assert!(deadline > self.now);
                self.session.handle_timeout();
            }
        }
    }
}
