//! What went over the wire, line by line, with the secrets taken out where the line is made.

use super::envelope::RecipientState;
use super::reply::Reply;

/// Who said it, or what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A command of ours.
    Client,
    /// A reply of the server's.
    Server,
    /// Content of a message, as it goes over the wire.
    Content,
    /// A remark: the connection was made, TLS is up and the like.
    Note,
    /// What the server said of one recipient.
    Recipient(RecipientState),
}

/// One command, one whole reply, one piece of content or one remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who said it.
    pub direction: Direction,
    /// The reply code, or 0.
    pub code: u16,
    /// The text without its last line end, never a secret unless it was asked
    /// for; content as it is, and empty if it is not to be shown; a recipient's address.
    pub text: Vec<u8>,
    /// The octets of content, or the number of the recipient.
    pub number: u64,
    /// The reply to a recipient.
    pub reply: Vec<u8>,
}

impl Record {
    /// A record that is all text.
    #[must_use]
    pub fn new(direction: Direction, code: u16, text: Vec<u8>) -> Self {
        Self { direction, code, text, number: 0, reply: Vec::new() }
    }

    /// A remark.
    #[must_use]
    pub fn note(text: impl Into<String>) -> Self {
        Self::new(Direction::Note, 0, text.into().into_bytes())
    }
}

/// Which records to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Commands, replies, and how much content there was.
    pub records: bool,
    /// What the server says of each recipient.
    pub recipients: bool,
    /// The content itself.
    pub content: bool,
    /// Secrets as they are.
    pub secrets: bool,
}

/// What stands in a record in the place of a secret.
pub(super) const MASK: &[u8] = b"********";

/// The records made since the driver last took them; makes none that nobody wants.
#[derive(Debug, Default)]
pub(super) struct Trace {
    wishes: Wishes,
    records: Vec<Record>,
    /// The octets of content so far.
    content: u64,
}

impl Trace {
    pub(super) fn switch(&mut self, wishes: Wishes) {
        self.wishes = wishes;
        if !wishes.records && !wishes.recipients {
            self.records.clear();
        }
    }

    /// Whether commands and replies are wanted.
    pub(super) fn wants_records(&self) -> bool {
        self.wishes.records
    }

    /// A command line as sent; `secret_from` is where its secret part begins.
    pub(super) fn command(&mut self, line: &[u8], secret_from: Option<usize>) {
        if !self.wishes.records {
            return;
        }
        let secret_from = secret_from.filter(|_| !self.wishes.secrets);
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let mut text = line[..secret_from.unwrap_or(line.len()).min(line.len())].to_vec();
        if secret_from.is_some() {
            text.extend_from_slice(MASK);
        }
        self.records.push(Record::new(Direction::Client, 0, text));
    }

    /// A reply; `secret` hides its text (the challenge of a login).
    pub(super) fn reply(&mut self, code: u16, text: &[u8], secret: bool) {
        if !self.wishes.records {
            return;
        }
        let text = if secret && !self.wishes.secrets { MASK.to_vec() } else { text.to_vec() };
        self.records.push(Record::new(Direction::Server, code, text));
    }

    /// Content as it goes over the wire; `last` with its end.
    pub(super) fn content(&mut self, octets: &[u8], last: bool) {
        if !self.wishes.records {
            return;
        }
        self.content += octets.len() as u64;
        if self.wishes.content {
            let number = octets.len() as u64;
            self.records.push(Record { number, ..Record::new(Direction::Content, 0, octets.to_vec()) });
        } else if last {
            self.records.push(Record { number: self.content, ..Record::new(Direction::Content, 0, Vec::new()) });
        }
        if last {
            self.content = 0;
        }
    }

    /// Whether [`Self::recipient`] is to be told.
    pub(super) fn wants_recipients(&self) -> bool {
        self.wishes.recipients
    }

    /// What the server said of a recipient.
    pub(super) fn recipient(&mut self, index: u32, address: &str, state: RecipientState, reply: &Reply) {
        let record = Record::new(Direction::Recipient(state), reply.code(), address.as_bytes().to_vec());
        self.records.push(Record { number: u64::from(index), reply: reply.text().to_vec(), ..record });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn take(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }
}
