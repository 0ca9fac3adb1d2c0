//! Batches in memory, against a server that stores what it takes: whatever is refused
//! and wherever the connection breaks, what is said of each message is what became of
//! it, and none is sent twice. Time is invented.

#![allow(clippy::unwrap_used)]

#[path = "support/batch_server.rs"]
mod batch_server;

use batch_server::{GOOD, Nature, Server};
use smtpclient::error::{Code, Error, Phase};
use smtpclient::proto::{
    BatchMode, Config, HostName, Mailbox, Moment, Outcome, RecipientState, ReversePath, Security, Session, Timeouts,
    Want, Window,
};

/// A message of a batch; its content has its number in it.
#[derive(Clone, Debug)]
struct Message {
    sender: &'static str,
    recipients: Vec<String>,
    content: String,
    all_or_nothing: bool,
}

fn message(number: usize, sender: &'static str, recipients: &[&str], words: &str) -> Message {
    let recipients = recipients.iter().map(|recipient| format!("{recipient}{number}@y.example")).collect();
    Message { sender, recipients, content: format!("Subject: {number}.\r\n\r\n.{words}\r\n"), all_or_nothing: false }
}

/// Ten messages: of each kind of refusal one, good ones in between.
fn ten() -> Vec<Message> {
    let mut all = vec![
        message(0, "a@x.example", &["r"], ""),
        message(1, "badsender@x.example", &["r"], ""),
        message(2, "b@x.example", &["unknown"], ""),
        message(3, "c@x.example", &["r", "unknown", "s"], "two of three"),
        message(4, "nodata@x.example", &["r"], ""),
        message(5, "d@x.example", &["later", "unknown"], ""),
        message(6, "e@x.example", &["r"], "refused-at-end"),
        message(7, "f@x.example", &["r", "unknown"], ""),
        message(8, "g@x.example", &["r", "s"], ""),
        message(9, "h@x.example", &["r"], ""),
    ];
    all[7].all_or_nothing = true;
    all
}

/// Where the connection breaks.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// When so many octets of the client's have left; it hears what was said before.
    Sent(usize),
    /// When so many octets of the client's have left, and what was said since the last read is lost.
    SentUnheard(usize),
    /// When the client has heard so many octets.
    Heard(usize),
    /// The server falls silent instead.
    Silence(usize),
    /// The server answers this command with 421 and hangs up.
    Closing(usize),
}

/// What the client was told of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    outcome: Outcome,
    error: Option<Code>,
    states: Vec<RecipientState>,
}

struct Batch {
    session: Session,
    server: Server,
    fault: Fault,
    /// Pieces in which the octets go to and fro.
    by: usize,
    now: Moment,
    said: String,
    sent: Vec<u8>,
    heard: usize,
    messages: Vec<Message>,
    told: Vec<Option<Told>>,
    /// BDAT may be used.
    chunks: bool,
    /// How often the client had nothing to do but wait.
    waits: usize,
    result: Option<Result<(), Box<Error>>>,
}

fn config(nature: Nature) -> Config {
    Config {
        local_name: HostName::parse("client.example").unwrap(),
        extended: true,
        security: Security::None,
        timeouts: Timeouts::default(),
        private_path: true,
        insecure_auth: false,
        lmtp: nature.lmtp,
        skips_verify: false,
        withheld: Vec::new(),
    }
}

impl Batch {
    fn connect(nature: Nature, messages: &[Message], fault: Fault, by: usize) -> Self {
        let mut new = Self {
            session: Session::new(config(nature)),
            server: Server::new(nature),
            fault: Fault::None,
            by,
            now: Moment(1000),
            said: String::new(),
            sent: Vec::new(),
            heard: 0,
            messages: messages.to_vec(),
            told: vec![None; messages.len()],
            chunks: true,
            waits: 0,
            result: None,
        };
        new.said = new.server.greeting();
        new.session.open(new.now);
        new.run(&mut std::iter::empty());
        new.sent.clear();
        new.heard = 0;
        new.waits = 0;
        new.fault = fault;
        if let Fault::Closing(at) = fault {
            new.server.closes_at = Some(new.server.commands + at);
        }
        new
    }

    /// Sends the messages of these numbers.
    fn send(&mut self, window: Window, numbers: &[usize]) {
        self.session.send_batch(window, self.now).unwrap();
        self.chunks = window.chunks;
        self.result = None;
        self.run(&mut numbers.iter().copied());
    }

    fn next(&mut self, number: Option<usize>) {
        let Some(number) = number else { return self.session.end_messages() };
        let message = &self.messages[number];
        let envelope = self.session.next_envelope();
        envelope.begin(ReversePath::parse(message.sender).unwrap());
        for recipient in &message.recipients {
            envelope.push(Mailbox::parse(recipient).unwrap());
        }
        envelope.set_size(Some(message.content.len() as u64));
        envelope.set_repeatable(true);
        envelope.set_chunks(self.chunks);
        envelope.set_all_or_nothing(message.all_or_nothing);
        self.session.add_message(u32::try_from(number).unwrap(), self.now);
    }

    fn note(&mut self) {
        for settled in self.session.settled() {
            let envelope = settled.envelope();
            let told = Told {
                outcome: settled.outcome(),
                error: settled.error().map(|error| error.code),
                states: (0..envelope.len()).map(|index| envelope.state(index)).collect(),
            };
            let place = &mut self.told[settled.number() as usize];
            let before = place.replace(told);
            assert!(before.is_none_or(|told| told.outcome == Outcome::NotSent), "told twice");
        }
        self.session.clear_settled();
    }

    fn run(&mut self, numbers: &mut dyn Iterator<Item = usize>) {
        let mut content = String::new();
        let mut at = 0;
        for _ in 0..100_000 {
            self.now = self.now + 1;
            self.note();
            match self.session.want() {
                Want::Done => {
                    self.result = Some(self.session.take_result().unwrap());
                    return;
                }
                Want::Next => {
                    let number = numbers.next();
                    self.next(number);
                }
                Want::Rewind => {
                    content = self.messages[self.session.message_number() as usize].content.clone();
                    at = 0;
                    self.session.handle_rewound();
                }
                want @ (Want::Gather | Want::Content) => {
                    let end = content.len().min(at + self.by);
                    let piece = &content.as_bytes()[at..end];
                    at = end;
                    match (want, piece.is_empty()) {
                        (Want::Gather, true) => self.session.finish_gathered(self.now),
                        (Want::Gather, false) => self.session.gather(piece),
                        (_, true) => self.session.finish_content(self.now),
                        (_, false) => self.session.content(piece, self.now),
                    }
                }
                Want::Write => self.write(),
                Want::Read => {
                    self.session.handle_flushed();
                    self.read();
                }
                Want::Renew => {
                    let mut server = Server::new(self.server.nature);
                    server.stored = std::mem::take(&mut self.server.stored);
                    self.said = server.greeting();
                    self.server = server;
                    self.session = self.session.renewed(config(self.server.nature), "nonce".into());
                    self.session.open(self.now);
                }
                Want::Tls => unreachable!("not asked for"),
            }
        }
        panic!(
            "no end to it: {:?} in {:?}, {:?}",
            self.session.want(),
            self.session.phase(),
            String::from_utf8_lossy(&self.sent)
        )
    }

    fn reset(&mut self) {
        self.session.handle_failure(Error::new(Code::CONNECTION_RESET, Phase::Idle, "a reset"));
    }

    fn write(&mut self) {
        let left = match self.fault {
            Fault::Sent(most) | Fault::SentUnheard(most) => most - self.sent.len(),
            _ => usize::MAX,
        };
        let count = self.session.output().len().min(self.by).min(left);
        let octets = self.session.output()[..count].to_vec();
        self.sent.extend_from_slice(&octets);
        self.session.handle_written(count, self.now);
        let said = self.server.read(&octets);
        self.said += &said;
        if count == left {
            if matches!(self.fault, Fault::Sent(_)) {
                let said = std::mem::take(&mut self.said);
                self.session.handle_input(said.as_bytes(), self.now);
            }
            self.reset();
        }
    }

    fn read(&mut self) {
        self.waits += 1;
        let left = match self.fault {
            Fault::Heard(most) | Fault::Silence(most) => most - self.heard,
            _ => usize::MAX,
        };
        let count = self.said.len().min(self.by).min(left);
        let piece: String = self.said.drain(..count).collect();
        self.heard += count;
        if count > 0 {
            return self.session.handle_input(piece.as_bytes(), self.now);
        }
        match self.fault {
            Fault::Silence(_) => {
                assert!(self.session.deadline().expect("waits for ever") > self.now);
                self.session.handle_timeout();
            }
            Fault::Heard(_) => self.reset(),
            _ => {
                assert!(self.server.closed, "waits for ever in {:?}", self.session.phase());
                self.session.handle_end_of_stream();
            }
        }
    }

    fn outcome(&self, number: usize) -> Outcome {
        self.told[number].as_ref().map(|told| told.outcome).unwrap_or_default()
    }

    fn outcomes(&self) -> Vec<Outcome> {
        (0..self.messages.len()).map(|number| self.outcome(number)).collect()
    }

    /// How often the server has the message for each of its recipients.
    fn copies(&self, number: usize) -> Vec<usize> {
        let message = &self.messages[number];
        let mine: Vec<_> = self.server.stored.iter().filter(|stored| stored.content == message.content).collect();
        for stored in &mine {
            assert_eq!(stored.sender, message.sender, "message {number} has another sender");
            for recipient in &stored.recipients {
                assert!(message.recipients.contains(recipient), "message {number} went to {recipient}");
            }
        }
        let copies = |recipient| mine.iter().filter(|stored| stored.recipients.contains(recipient)).count();
        message.recipients.iter().map(copies).collect()
    }

    /// What was said of each message is what became of it.
    fn check(&self, case: &dyn std::fmt::Debug) {
        for (number, message) in self.messages.iter().enumerate() {
            let copies = self.copies(number);
            let told = &self.told[number];
            let case = || format!("{case:?}: message {number} ({}): {told:?}, copies {copies:?}", message.sender);
            assert!(copies.iter().all(|copies| *copies <= 1), "twice: {}", case());
            match self.outcome(number) {
                Outcome::Accepted => {
                    let states = &told.as_ref().unwrap().states;
                    for (state, copies) in states.iter().zip(&copies) {
                        match state {
                            RecipientState::Accepted => assert_eq!(*copies, 1, "{}", case()),
                            RecipientState::Unknown => {}
                            _ => assert_eq!(*copies, 0, "{}", case()),
                        }
                    }
                    assert!(copies.contains(&1), "{}", case());
                }
                Outcome::Unknown => {}
                _ => assert!(copies.iter().all(|copies| *copies == 0), "{}", case()),
            }
        }
        let stored = self.server.stored.len();
        let known: usize = self.server.stored.iter().map(|stored| stored.recipients.len()).sum();
        let copies: usize = (0..self.messages.len()).flat_map(|number| self.copies(number)).sum();
        assert_eq!(known, copies, "{case:?}: something else was stored, {stored} in all");
    }
}

const WINDOW: Window = Window { messages: 32, octets: 256 * 1024, chunks: true, plain: false };

fn all(messages: &[Message]) -> Vec<usize> {
    (0..messages.len()).collect()
}

fn natures() -> Vec<Nature> {
    vec![
        GOOD,
        Nature { chunking: true, ..GOOD },
        Nature { pipelining: false, ..GOOD },
        Nature { pipelining: false, chunking: true, ..GOOD },
        Nature { size_lie: true, ..GOOD },
        Nature { size_lie: true, chunking: true, ..GOOD },
        Nature { most_recipients: 1, ..GOOD },
        Nature { most_recipients: 1, chunking: true, ..GOOD },
        Nature { mail_max: Some(3), ..GOOD },
        Nature { mail_max: Some(3), chunking: true, ..GOOD },
        Nature { lmtp: true, ..GOOD },
    ]
}

fn expected(nature: Nature) -> Vec<Outcome> {
    use Outcome::{Accepted, RejectedPermanent, RejectedTemporary};
    // The sender that DATA is refused for is fine for BDAT.
    let data = if nature.chunking { Accepted } else { RejectedTemporary };
    vec![
        Accepted,
        RejectedPermanent,
        RejectedPermanent,
        Accepted,
        data,
        RejectedTemporary,
        RejectedPermanent,
        RejectedPermanent,
        Accepted,
        Accepted,
    ]
}

#[test]
fn refusals_in_the_middle_concern_their_message_alone() {
    for nature in natures() {
        for by in [1, 7, usize::MAX / 2] {
            for messages in [1, 2, 3, 32] {
                let mut batch = Batch::connect(nature, &ten(), Fault::None, by);
                batch.send(Window { messages, ..WINDOW }, &all(&ten()));
                assert!(batch.result.as_ref().unwrap().is_ok(), "{nature:?}: {:?}", batch.result);
                batch.check(&(nature, by, messages));
                assert_eq!(batch.outcomes(), expected(nature), "{nature:?} by {by}, window {messages}");
                let told = |number: usize| batch.told[number].clone().unwrap();
                assert_eq!(told(1).error, Some(Code::SENDER_REJECTED));
                assert_eq!(told(2).error, Some(Code::RECIPIENTS_REJECTED));
                assert_eq!(told(6).error, Some(Code::MESSAGE_REJECTED));
                assert_eq!(told(7).error, Some(Code::RECIPIENT_REJECTED));
                let states = [RecipientState::Accepted, RecipientState::RefusedPermanent, RecipientState::Accepted];
                assert_eq!(told(3).states, states);
                assert_eq!(told(8).states, [RecipientState::Accepted; 2]);
                assert_eq!(told(3).error, None);
                assert_eq!(told(9).error, None);
            }
        }
    }
}

/// Breaks a batch at every place, checks what is told, and then sends what was not sent
/// over a new connection.
fn break_everywhere(nature: Nature, fault: fn(usize) -> Fault) {
    for by in [7, usize::MAX / 2] {
        for at in 0.. {
            let fault = fault(at);
            let mut batch = Batch::connect(nature, &ten(), fault, by);
            batch.send(WINDOW, &all(&ten()));
            let case = (nature, by, fault);
            batch.check(&case);
            if batch.result.as_ref().unwrap().is_ok() {
                assert_eq!(batch.outcomes(), expected(nature), "{case:?}");
                // No fault is met any more.
                break;
            }
            let open: Vec<usize> =
                all(&ten()).into_iter().filter(|number| batch.outcome(*number) == Outcome::NotSent).collect();
            let mut again = Batch::connect(nature, &ten(), Fault::None, by);
            again.server.stored = batch.server.stored.clone();
            again.told = batch.told.clone();
            again.send(WINDOW, &open);
            again.check(&case);
            for number in open {
                assert_eq!(again.outcome(number), expected(nature)[number], "{case:?}: message {number}");
            }
        }
    }
}

/// Where the number of octets is too large to be met; a session that is renewed begins
/// its count anew and is left out.
fn steady() -> impl Iterator<Item = Nature> {
    natures().into_iter().filter(|nature| nature.mail_max.is_none())
}

#[test]
fn resets_at_every_octet_that_is_sent() {
    steady().for_each(|nature| break_everywhere(nature, Fault::Sent));
}

#[test]
fn resets_at_every_octet_with_the_replies_lost() {
    steady().for_each(|nature| break_everywhere(nature, Fault::SentUnheard));
}

#[test]
fn resets_at_every_octet_that_is_heard() {
    steady().for_each(|nature| break_everywhere(nature, Fault::Heard));
}

#[test]
fn silence_at_every_octet() {
    steady().for_each(|nature| break_everywhere(nature, Fault::Silence));
}

#[test]
fn closing_at_every_command() {
    steady().for_each(|nature| break_everywhere(nature, Fault::Closing));
}

fn plain(count: usize) -> Vec<Message> {
    (0..count).map(|number| message(number, "a@x.example", &["r"], "words")).collect()
}

fn sent(nature: Nature, window: Window, count: usize) -> (Batch, String) {
    let mut batch = Batch::connect(nature, &plain(count), Fault::None, usize::MAX / 2);
    batch.send(window, &all(&plain(count)));
    batch.check(&nature);
    assert_eq!(batch.outcomes(), vec![Outcome::Accepted; count]);
    let octets = String::from_utf8(batch.sent.clone()).unwrap();
    (batch, octets)
}

fn data(number: usize) -> String {
    format!("Subject: {number}.\r\n\r\n..words\r\n.\r\n")
}

fn envelope(number: usize) -> String {
    format!("MAIL FROM:<a@x.example>\r\nRCPT TO:<r{number}@y.example>\r\n")
}

fn chunk(number: usize) -> String {
    let content = format!("Subject: {number}.\r\n\r\n.words\r\n");
    format!("BDAT {} LAST\r\n{content}", content.len())
}

#[test]
fn with_data_the_next_envelope_rides_behind_the_dot() {
    let (batch, octets) = sent(GOOD, WINDOW, 3);
    let envelope = |number| envelope(number) + "DATA\r\n";
    assert_eq!(octets, envelope(0) + &data(0) + &envelope(1) + &data(1) + &envelope(2) + &data(2));
    assert_eq!(batch.session.batch_mode(), BatchMode::Pipelined);
    // One round trip a message, and one for the first envelope.
    let (batch, _) = sent(GOOD, WINDOW, 100);
    assert_eq!(batch.waits, 101);
}

#[test]
fn with_bdat_whole_messages_are_in_flight() {
    let nature = Nature { chunking: true, ..GOOD };
    let (batch, octets) = sent(nature, WINDOW, 3);
    let whole = |number| envelope(number) + &chunk(number);
    assert_eq!(octets, whole(0) + "RSET\r\n" + &whole(1) + "RSET\r\n" + &whole(2));
    assert_eq!(batch.session.batch_mode(), BatchMode::InFlight);
    let (batch, _) = sent(nature, WINDOW, 320);
    assert_eq!(batch.waits, 10, "a window of 32");
    let octets = plain(100).iter().map(|message| message.content.len() as u64).sum::<u64>();
    let (batch, _) = sent(nature, Window { octets: octets / 10, messages: 1000, ..WINDOW }, 100);
    assert!((9..=11).contains(&batch.waits), "a window of a tenth: {}", batch.waits);
}

#[test]
fn where_it_is_not_to_be_messages_go_one_by_one() {
    let one_by_one = |number| envelope(number) + "DATA\r\n" + &data(number);
    for (nature, window) in [
        (GOOD, Window { plain: true, ..WINDOW }),
        (GOOD, Window { messages: 1, ..WINDOW }),
        (Nature { pipelining: false, ..GOOD }, WINDOW),
    ] {
        let (batch, octets) = sent(nature, window, 2);
        assert_eq!(octets, one_by_one(0) + &one_by_one(1));
        assert_eq!(batch.session.batch_mode(), BatchMode::OneByOne);
    }
    let (batch, _) = sent(Nature { chunking: true, ..GOOD }, Window { chunks: false, ..WINDOW }, 2);
    assert_eq!(batch.session.batch_mode(), BatchMode::Pipelined);
}

#[test]
fn a_server_that_does_not_bear_it_is_found_out_and_served_one_by_one() {
    let nature = Nature { out_of_place: true, ..GOOD };
    let (mut batch, octets) = sent(nature, WINDOW, 4);
    let blame = batch.session.take_blame().unwrap();
    assert!(blame.contains("503"), "{blame}");
    assert_eq!(batch.session.take_blame(), None);
    // The envelope that was out of place is repeated; those behind it wait their turn.
    let envelope = |number| envelope(number) + "DATA\r\n";
    let again = envelope(1) + "RSET\r\n" + &envelope(1);
    assert_eq!(octets, envelope(0) + &data(0) + &again + &data(1) + &envelope(2) + &data(2) + &envelope(3) + &data(3));
}

#[test]
fn a_connection_that_ends_with_the_first_ride_is_blamed_on_it() {
    // With DATA: MAIL, RCPT, DATA, end and the MAIL that rides; with BDAT it all rides at once.
    for (chunking, suspicious) in [(false, 3..=4), (true, 0..=4)] {
        let nature = Nature { chunking, ..GOOD };
        for at in 0..12 {
            let mut batch = Batch::connect(nature, &plain(4), Fault::Closing(at), usize::MAX / 2);
            batch.send(WINDOW, &all(&plain(4)));
            batch.check(&at);
            let error = batch.result.take().unwrap().unwrap_err();
            assert_eq!(error.code, Code::SERVER_CLOSING);
            assert_eq!(batch.session.take_blame().is_some(), suspicious.contains(&at), "{chunking}, {at}");
        }
    }
}

#[test]
fn a_message_that_does_not_fit_is_refused_alone_and_what_does_not_fly_waits() {
    let nature = Nature { chunking: true, ..GOOD };
    let mut messages = plain(6);
    messages[1].content = format!("Subject: 1.\r\n\r\n{}", "long line\r\n".repeat(10_000));
    messages[3].recipients.clear();
    messages[4].recipients = (0..150).map(|number| format!("r{number}@y.example")).collect();
    let mut batch = Batch::connect(nature, &messages, Fault::None, usize::MAX / 2);
    batch.send(WINDOW, &all(&messages));
    batch.check(&nature);
    assert_eq!(batch.told[3].as_ref().unwrap().error, Some(Code::NO_RECIPIENTS));
    for number in [0, 1, 2, 4, 5] {
        assert_eq!(batch.outcome(number), Outcome::Accepted, "{number}");
    }
}
