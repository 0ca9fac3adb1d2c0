//! A server in memory that stores what it takes, for batches: strict about the order of
//! commands, and with faults where it is told. What an address and a content are like
//! says what it makes of them.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

/// What the server offers and how it is disposed.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    pub pipelining: bool,
    pub chunking: bool,
    /// It takes so many recipients at a time, and says so with 452 4.5.3.
    pub most_recipients: usize,
    /// It announces that it takes so many messages in a session.
    pub mail_max: Option<u32>,
    /// It offers SIZE, and does not know its parameter.
    pub size_lie: bool,
    /// It answers 503 to what comes behind the end of a message in the same write.
    pub out_of_place: bool,
    pub lmtp: bool,
}

pub const GOOD: Nature = Nature {
    pipelining: true,
    chunking: false,
    most_recipients: 1000,
    mail_max: None,
    size_lie: false,
    out_of_place: false,
    lmtp: false,
};

/// A message that the server took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub sender: String,
    pub recipients: Vec<String>,
    pub content: String,
}

#[derive(Debug)]
pub struct Server {
    pub nature: Nature,
    /// The command, counted from 0, that is answered with 421.
    pub closes_at: Option<usize>,
    pub commands: usize,
    pub closed: bool,
    pub stored: Vec<Stored>,
    unread: Vec<u8>,
    sender: Option<String>,
    recipients: Vec<String>,
    in_data: bool,
    /// How many octets are left of a chunk, and whether it is to be kept and is the last.
    in_chunk: Option<(usize, bool)>,
    content: String,
    /// Something came in behind the end of a message at once.
    behind_end: bool,
}

impl Server {
    pub fn new(nature: Nature) -> Self {
        Self {
            nature,
            closes_at: None,
            commands: 0,
            closed: false,
            stored: Vec::new(),
            unread: Vec::new(),
            sender: None,
            recipients: Vec::new(),
            in_data: false,
            in_chunk: None,
            content: String::new(),
            behind_end: false,
        }
    }

    pub fn greeting(&self) -> String {
        "220 mail.example\r\n".to_owned()
    }

    /// Reads what came in, and gives the replies.
    pub fn read(&mut self, octets: &[u8]) -> String {
        self.unread.extend_from_slice(octets);
        let mut said = String::new();
        self.behind_end = false;
        while !self.closed {
            if let Some((left, _)) = self.in_chunk {
                let count = left.min(self.unread.len());
                let piece: Vec<u8> = self.unread.drain(..count).collect();
                self.content += std::str::from_utf8(&piece).unwrap();
                let (left, good) = self.in_chunk.take().map(|(left, good)| (left - count, good)).unwrap();
                if left > 0 {
                    self.in_chunk = Some((left, good));
                    break;
                }
                said += &match good {
                    true => self.end(),
                    false if self.sender.is_none() => "503 5.5.1 no sender\r\n".to_owned(),
                    false => "554 5.5.1 nobody\r\n".to_owned(),
                };
                self.content.clear();
                continue;
            }
            let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") else { break };
            let line: Vec<u8> = self.unread.drain(..end + 2).collect();
            let line = std::str::from_utf8(&line[..end]).unwrap().to_owned();
            if self.in_data {
                if line == "." {
                    self.in_data = false;
                    said += &self.end();
                    self.behind_end = !self.unread.is_empty();
                } else {
                    self.content += line.strip_prefix('.').unwrap_or(&line);
                    self.content += "\r\n";
                }
                continue;
            }
            said += &self.command(&line);
        }
        said
    }

    /// The end of a message, which is answered like a command.
    fn end(&mut self) -> String {
        let content = std::mem::take(&mut self.content);
        let recipients = std::mem::take(&mut self.recipients);
        let sender = self.sender.take().unwrap_or_default();
        if self.is_closing() {
            return self.close();
        }
        if content.contains("refused-at-end") {
            return "554 5.7.1 no\r\n".to_owned();
        }
        let lines = if self.nature.lmtp { recipients.len() } else { 1 };
        self.stored.push(Stored { sender, recipients, content });
        "250 2.0.0 taken\r\n".repeat(lines)
    }

    fn is_closing(&mut self) -> bool {
        let is_now = self.closes_at == Some(self.commands);
        self.commands += 1;
        is_now
    }

    fn close(&mut self) -> String {
        self.closed = true;
        "421 4.3.2 closing\r\n".to_owned()
    }

    fn command(&mut self, line: &str) -> String {
        if let Some(arguments) = line.strip_prefix("BDAT ") {
            let (count, _) = arguments.split_once(' ').unwrap();
            self.in_chunk = Some((count.parse().unwrap(), !self.recipients.is_empty()));
            return String::new();
        }
        if self.is_closing() {
            return self.close();
        }
        let address = |line: &str| line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        match line.split(' ').next().unwrap() {
            "EHLO" | "LHLO" => self.offer(),
            "RSET" => {
                self.sender = None;
                self.recipients.clear();
                "250 2.0.0 ok\r\n".to_owned()
            }
            "QUIT" => {
                self.closed = true;
                "221 bye\r\n".to_owned()
            }
            "MAIL" if self.nature.out_of_place && self.behind_end => "503 5.5.1 not now\r\n".to_owned(),
            "MAIL" if self.sender.is_some() => "503 5.5.1 nested MAIL\r\n".to_owned(),
            "MAIL" if self.nature.size_lie && line.contains("SIZE=") => "555 5.5.4 SIZE?\r\n".to_owned(),
            "MAIL" if line.contains("badsender") => "550 5.7.1 not from you\r\n".to_owned(),
            "MAIL" => {
                self.sender = Some(address(line));
                "250 2.1.0 ok\r\n".to_owned()
            }
            "RCPT" if self.sender.is_none() => "503 5.5.1 no sender\r\n".to_owned(),
            "RCPT" if line.contains("unknown") => "550 5.1.1 nobody\r\n".to_owned(),
            "RCPT" if line.contains("later") => "450 4.2.0 later\r\n".to_owned(),
            "RCPT" if self.recipients.len() >= self.nature.most_recipients => "452 4.5.3 too many\r\n".to_owned(),
            "RCPT" => {
                self.recipients.push(address(line));
                "250 2.1.5 ok\r\n".to_owned()
            }
            "DATA" if self.sender.is_none() => "503 5.5.1 no sender\r\n".to_owned(),
            "DATA" if self.recipients.is_empty() => "554 5.5.1 nobody\r\n".to_owned(),
            "DATA" if self.sender.as_ref().unwrap().contains("nodata") => "451 4.3.0 not now\r\n".to_owned(),
            "DATA" => {
                self.in_data = true;
                "354 go on\r\n".to_owned()
            }
            _ => "500 5.5.2 what\r\n".to_owned(),
        }
    }

    fn offer(&self) -> String {
        let mut said = "250-mail.example\r\n".to_owned();
        for (offered, line) in [
            (self.nature.pipelining, "PIPELINING".to_owned()),
            (self.nature.chunking, "CHUNKING".to_owned()),
            (self.nature.mail_max.is_some(), format!("LIMITS MAILMAX={}", self.nature.mail_max.unwrap_or_default())),
            (self.nature.size_lie, "SIZE".to_owned()),
        ] {
            if offered {
                said += &format!("250-{line}\r\n");
            }
        }
        said + "250 HELP\r\n"
    }
}
