//! What went over the wire, line by line, with the secrets taken out where the line is made.

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A command of ours.
    Client,
    /// A reply of the server's.
    Server,
}

/// One command or one whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who said it.
    pub direction: Direction,
    /// The reply code, or 0 for a command.
    pub code: u16,
    /// The text without its last line end; never a secret, never the message.
    pub text: Vec<u8>,
}

/// What stands in a record in the place of a secret.
pub(super) const MASK: &[u8] = b"********";

/// The records made since the driver last took them; makes none unless it is on.
#[derive(Debug, Default)]
pub(super) struct Trace {
    on: bool,
    records: Vec<Record>,
}

impl Trace {
    pub(super) fn switch(&mut self, on: bool) {
        self.on = on;
        if !on {
            self.records.clear();
        }
    }

    /// A command line as sent; `secret_from` is where its secret part begins.
    pub(super) fn command(&mut self, line: &[u8], secret_from: Option<usize>) {
        if !self.on {
            return;
        }
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let mut text = line[..secret_from.unwrap_or(line.len()).min(line.len())].to_vec();
        if secret_from.is_some() {
            text.extend_from_slice(MASK);
        }
        self.records.push(Record { direction: Direction::Client, code: 0, text });
    }

    /// A reply; `secret` hides its text (the challenge of a login).
    pub(super) fn reply(&mut self, code: u16, text: &[u8], secret: bool) {
        if !self.on {
            return;
        }
        let text = if secret { MASK.to_vec() } else { text.to_vec() };
        self.records.push(Record { direction: Direction::Server, code, text });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn take(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }
}
