//! A whole session against a server, a caller and a network that do anything.
//!
//! The input is read as a list of steps. Whatever they are, the rules of
//! `proto::session` have to hold, and they are checked here from outside: by
//! what went over the wire, not by what the session says of itself.

use smtpclient::error::{Class, Code, Error, Phase, Result};
use smtpclient::proto::sasl::Credentials;
use smtpclient::proto::{
    CommandText, Config, Delivery, Direction, Envelope, HostName, Mailbox, Moment, Outcome, RecipientState,
    ReversePath, Secret, Security, Session, Timeouts, Want, Wishes,
};

const USER: &str = "user";
const PASSWORD: &str = "secret-of-the-caller";
/// The password as it stands on the wire. Behind the NULs and the user name of
/// PLAIN, which are six octets together, it is encoded as it is alone.
const PASSWORD_ENCODED: &[u8] = b"c2VjcmV0LW9mLXRoZS1jYWxsZX";

/// What servers say, well or badly.
const SPEECHES: [&[u8]; 32] = [
    b"220 hi\r\n",
    b"250-mail\r\n250-PIPELINING\r\n250-AUTH PLAIN LOGIN\r\n250-STARTTLS\r\n250 SIZE 1000\r\n",
    b"250-mail\r\n250-PIPELINING\r\n250-DSN\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH LOGIN\r\n",
    b"250-mail\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=1 MAILMAX=2\r\n",
    b"250 ok\r\n",
    b"250 2.1.5 ok\r\n",
    b"354 go\r\n",
    b"550 5.1.1 no\r\n",
    b"451 4.2.0 later\r\n",
    b"452 4.5.3 too many\r\n",
    b"421 bye\r\n",
    b"334 \r\n",
    b"334 VXNlcm5hbWU6\r\n",
    b"334 UGFzc3dvcmQ6\r\n",
    b"235 in\r\n",
    b"535 out\r\n",
    b"500 what?\r\n",
    b"221 bye\r\n",
    b"250 ok\r\n250 ok\r\n354 go\r\n",
    b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n",
    b"250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n",
    b"250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n",
    b"220 go on\r\n250 more\r\n",
    b"250-a\r\n251 b\r\n",
    b"250-half",
    b"250",
    b"25",
    b"\r\n",
    b"\n",
    b"150 x\r\n",
    b"000 x\r\n",
    b"abc\r\n",
];

/// Actions from this one on are steps of a message.
const STEPS: usize = 128;

/// Pieces of messages.
const PIECES: [&[u8]; 8] = [b"x", b".", b"\r\n", b"\n", b"\r", b".\r\n", b"\r\n.\r\n", b"a longer line\r\n"];

/// The input, read octet by octet.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn octet(&mut self) -> Option<usize> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(usize::from(*first))
    }

    fn octets(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(self.0.len().min(most));
        self.0 = rest;
        taken
    }
}

/// The session, and what an onlooker knows of it.
struct Onlooker {
    session: Session,
    config: Config,
    /// Messages are sent with BDAT where it is offered.
    chunks: bool,
    now: Moment,
    /// Everything the client has written since the last handshake.
    sent: Vec<u8>,
    /// Whether the password may be among it.
    private: bool,
    /// What the present call gives is not the end of the message.
    pauses: bool,
    /// The message under way has been ended by the caller.
    finished: bool,
    /// All of that has left the machine.
    ended: bool,
    /// An earlier transaction of the message was accepted.
    delivered: bool,
    /// What the server has said since, with the beginning of a line before it.
    said: Vec<u8>,
    /// The line that the server is in the middle of.
    line: Vec<u8>,
    /// What the commands came to.
    results: Vec<String>,
}

/// A session driven by the input; gives the results in short.
pub fn play(data: &[u8]) -> Vec<String> {
    let mut choices = Choices(data);
    let settings = choices.octet().unwrap_or_default();
    let security = [Security::Opportunistic, Security::None, Security::Required, Security::Implicit][settings % 4];
    let (private_path, insecure_auth) = (settings & 4 != 0, settings & 8 != 0);
    let config = Config {
        local_name: HostName::parse("client.example").unwrap(),
        extended: settings & 16 == 0,
        security,
        timeouts: Timeouts::default(),
        private_path,
        insecure_auth,
        lmtp: settings & 128 != 0,
        skips_verify: false,
        withheld: Vec::new(),
    };
    let mut onlooker = Onlooker {
        session: Session::new(config.clone()),
        config,
        chunks: settings & 64 != 0,
        now: Moment(1000),
        sent: Vec::new(),
        private: private_path || insecure_auth,
        pauses: false,
        finished: false,
        ended: false,
        delivered: false,
        said: Vec::new(),
        line: Vec::new(),
        results: Vec::new(),
    };
    onlooker.session.set_trace(Wishes { records: settings & 32 != 0, ..Wishes::default() });
    onlooker.session.open(onlooker.now);
    let mut running = true;
    while let Some(step) = choices.octet() {
        onlooker.now = onlooker.now + 1;
        let before = onlooker.session.outcome();
        onlooker.step(step, &mut choices, &mut running);
        onlooker.check(before);
    }
    onlooker.end(running);
    onlooker.results
}

impl Onlooker {
    fn step(&mut self, step: usize, choices: &mut Choices<'_>, running: &mut bool) {
        match step % 16 {
            0..=4 => {
                let speech = SPEECHES[choices.octet().unwrap_or_default() % SPEECHES.len()];
                self.hear(speech);
            }
            5 => {
                let count = choices.octet().unwrap_or_default() % 64;
                let octets = choices.octets(count);
                self.hear(octets);
            }
            6 => {
                // Octet by octet, with what the client then has to say in between.
                let speech = SPEECHES[choices.octet().unwrap_or_default() % SPEECHES.len()];
                for octet in speech {
                    self.hear(&[*octet]);
                    self.follow();
                }
            }
            7..=9 => self.follow(),
            10 => {
                let most = choices.octet().unwrap_or_default();
                self.write(most);
            }
            11 => self.flush(),
            12 if *running => self.take_result(running),
            12 | 13 => {
                let action = choices.octet().unwrap_or_default();
                self.command(action, choices, running);
            }
            14 if self.session.want() == Want::Content => match choices.octet().unwrap_or_default() {
                192.. => self.finish_content(),
                piece => self.session.content(PIECES[piece % PIECES.len()], self.now),
            },
            14 => {}
            _ => self.disturb(choices.octet().unwrap_or_default()),
        }
    }

    /// The server says something. A driver hands nothing over while a handshake is due.
    fn hear(&mut self, octets: &[u8]) {
        if self.session.want() == Want::Tls {
            return;
        }
        if self.ended {
            self.said.extend_from_slice(octets);
        }
        for octet in octets {
            if *octet == b'\n' {
                self.line.clear();
            } else {
                self.line.push(*octet);
            }
        }
        self.session.handle_input(octets, self.now);
    }

    /// Does what the session wants until that is up to the server; it has to
    /// come to an end by itself.
    fn follow(&mut self) {
        for _ in 0..1000 {
            match self.session.want() {
                Want::Write => {
                    assert!(!self.session.output().is_empty());
                    self.write(usize::MAX);
                }
                Want::Content => self.finish_content(),
                Want::Rewind => self.session.handle_rewound(),
                Want::Renew => self.renew(),
                Want::Read => {
                    self.flush();
                    if self.session.want() == Want::Read {
                        return;
                    }
                }
                Want::Done => return self.flush(),
                Want::Tls => return,
                want @ (Want::Next | Want::Gather) => unreachable!("{want:?} was not asked for"),
            }
        }
        panic!("no end to it: {:?} in {:?}", self.session.want(), self.session.phase());
    }

    fn write(&mut self, most: usize) {
        if self.session.want() != Want::Write {
            return;
        }
        let count = self.session.output().len().min(most);
        self.sent.extend_from_slice(&self.session.output()[..count]);
        self.session.handle_written(count, self.now);
    }

    /// What was written has left; that may be less than there is to write.
    fn flush(&mut self) {
        // A session that has failed has nothing to write any more, written or not.
        if self.session.is_open() && self.session.output().is_empty() && self.finished && !self.ended {
            assert!(self.chunks || self.sent.ends_with(b".\r\n"), "{}", self.sent.escape_ascii());
            self.ended = true;
            self.said.clone_from(&self.line);
        }
        self.session.handle_flushed();
    }

    /// Another session takes over from one that took as many messages as it may.
    fn renew(&mut self) {
        self.session = self.session.renewed(self.config.clone(), "again".to_owned());
        (self.finished, self.ended) = (false, false);
        self.line.clear();
        self.session.open(self.now);
    }

    fn finish_content(&mut self) {
        self.session.finish_content(self.now);
        if !self.pauses {
            (self.finished, self.ended) = (true, false);
        }
    }

    fn take_result(&mut self, running: &mut bool) {
        if self.session.want() == Want::Done {
            let result = self.session.take_result().expect("it is over");
            *running = false;
            let name = match &result {
                Ok(()) => "OK",
                Err(error) => error.code.name(),
            };
            self.results.push(format!("{name} {}", self.session.outcome().name()));
            if let Err(error) = result {
                self.check_error(&error);
            }
            assert!(self.session.take_result().is_none(), "there is one result");
        }
    }

    fn command(&mut self, action: usize, choices: &mut Choices<'_>, running: &mut bool) {
        if *running {
            return;
        }
        let was_open = self.session.is_open();
        let begun = match action {
            STEPS.. => self.step_of_message(action, choices),
            _ => self.whole_command(action, choices),
        };
        match begun {
            Ok(()) => *running = true,
            Err(error) => {
                assert!(
                    was_open
                        || matches!(
                            error.code,
                            Code::NOT_CONNECTED | Code::INVALID_PARAMETER | Code::UNSUITABLE_COMMAND
                        )
                );
                assert!(matches!(error.class(), Class::Caller | Class::Server), "{error}");
                assert!(self.session.outcome() != Outcome::Unknown || self.ended);
            }
        }
    }

    fn whole_command(&mut self, action: usize, choices: &mut Choices<'_>) -> Result<()> {
        let session = &mut self.session;
        match action % 8 {
            0 => {
                let credentials =
                    Credentials { user: USER.into(), password: Secret::new(PASSWORD), ..Credentials::default() };
                session.authenticate(credentials, self.now)
            }
            1 => session.reset(self.now),
            2 => session.quit(self.now),
            3 => {
                let text = std::str::from_utf8(choices.octets(8)).unwrap_or_default();
                let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
                CommandText::parse(verb, rest).and_then(|text| session.command(&text, self.now))
            }
            _ => {
                self.begin_message();
                let mut envelope = envelope(action, choices.octet().unwrap_or_default());
                envelope.set_repeatable(true);
                envelope.set_chunks(self.chunks);
                self.session.send(&mut envelope, self.now)
            }
        }
    }

    /// A message that is under way is not over because another one is asked for.
    fn begin_message(&mut self) {
        if !self.session.is_message_open() {
            (self.finished, self.ended, self.delivered) = (false, false, false);
            self.pauses = false;
        }
    }

    /// The commands of a message one by one, in any order.
    fn step_of_message(&mut self, action: usize, choices: &mut Choices<'_>) -> Result<()> {
        let was_open = self.session.is_message_open();
        match action % 4 {
            0 => {
                self.begin_message();
                // Without a recipient.
                let mut envelope = envelope(0, choices.octet().unwrap_or_default() & !2);
                envelope.set_chunks(self.chunks);
                let begun = self.session.begin_message(&mut envelope, self.now);
                assert!(!was_open || begun.is_err(), "two messages at a time");
                begun
            }
            1 => {
                let addresses = ["b@y.example", "c@z.example", "j\u{f6}rg@y.example"];
                let address = addresses[choices.octet().unwrap_or_default() % addresses.len()];
                let before = self.session.envelope().len();
                let begun = self.session.add_recipient(Mailbox::parse(address).unwrap(), None, self.now);
                assert!(was_open || begun.is_err(), "a recipient for no message");
                assert_eq!(self.session.envelope().len(), before + usize::from(begun.is_ok()));
                begun
            }
            last => {
                let begun = self.session.take_content(last == 3, self.now);
                assert!(was_open || begun.is_err(), "content for no message");
                if begun.is_ok() {
                    self.pauses = last != 3;
                }
                begun
            }
        }
    }

    /// The network, the clock or the caller does something.
    fn disturb(&mut self, what: usize) {
        match what % 8 {
            0 => self.session.handle_end_of_stream(),
            1 if self.session.deadline().is_some() => self.session.handle_timeout(),
            2 => self.session.handle_failure(Error::new(Code::CONNECTION_RESET, Phase::Idle, "a reset")),
            3..=6 if self.session.want() == Want::Tls => {
                let verified = what.is_multiple_of(2);
                assert!(self.session.output().is_empty(), "nothing is sent in the clear any more");
                self.session.handle_tls(verified, self.now);
                self.private |= verified;
                self.line.clear();
            }
            _ => {}
        }
    }

    /// What has to hold after every step.
    fn check(&mut self, before: Outcome) {
        let session = &self.session;
        assert!(session.output_memory() < 300_000, "{} octets", session.output_memory());
        let outcome = session.outcome();
        if outcome == Outcome::Accepted && before != Outcome::Accepted && !self.delivered {
            assert!(self.ended, "accepted before its end had left");
            let lines = self.said.split_inclusive(|octet| *octet == b'\n');
            let taken = lines.into_iter().any(|line| line.starts_with(b"2") && line.ends_with(b"\n"));
            assert!(taken, "accepted after {}", self.said.escape_ascii());
        }
        self.delivered |= outcome == Outcome::Accepted;
        assert!(outcome != Outcome::Unknown || self.ended, "unknown before its end had left");
        let envelope = session.envelope();
        assert_eq!(RecipientState::ALL.iter().map(|state| envelope.count(*state)).sum::<usize>(), envelope.len());
        let waits = session.is_open() && session.want() == Want::Read && session.phase() != Phase::Idle;
        assert!(!waits || session.deadline().is_some(), "waits for ever in {:?}", session.phase());
        if !self.private {
            let given_away = self.sent.windows(PASSWORD_ENCODED.len()).any(|octets| octets == PASSWORD_ENCODED);
            assert!(!given_away, "the password in the clear");
        }
        // A server that knows the password may say it; the client does not.
        for record in self.session.take_trace().iter().filter(|record| record.direction == Direction::Client) {
            let text = String::from_utf8_lossy(&record.text).into_owned();
            assert!(!text.contains("c2VjcmV0LW9m") && !text.contains(PASSWORD), "{text}");
        }
    }

    fn check_error(&self, error: &Error) {
        assert_ne!(error.class(), Class::Internal, "{error}");
        assert!(!error.what.is_empty() && !error.to_string().contains(|c: char| c.is_control()), "{error}");
        assert_ne!(error.phase, Phase::Argument, "{error}");
        // A connection that is of no use any more is not gone on with.
        if matches!(error.code, Code::PROTOCOL | Code::REPLY_TOO_LONG) && error.phase != Phase::Auth {
            assert!(!self.session.is_open(), "{error}");
        }
        if error.class() == Class::Wire || error.code == Code::SERVER_CLOSING {
            assert!(!self.session.is_open(), "{error}");
        }
    }

    /// The end of the stream: whatever was under way ends with it.
    fn end(&mut self, running: bool) {
        let before = self.session.outcome();
        self.session.handle_end_of_stream();
        if self.session.want() == Want::Renew {
            self.session.handle_failure(Error::new(Code::CONNECTION_REFUSED, Phase::Connect, "no other session"));
        }
        self.check(before);
        assert!(!self.session.is_open());
        assert!(!running || self.session.want() == Want::Done, "left hanging");
        for (at, octet) in self.sent.iter().enumerate() {
            let fits = match octet {
                b'\n' => at > 0 && self.sent[at - 1] == b'\r',
                b'\r' => self.sent.get(at + 1).is_none_or(|next| *next == b'\n'),
                _ => true,
            };
            assert!(fits, "a bare CR or LF: {}", self.sent.escape_ascii());
        }
        assert!(!self.sent.contains(&0));
        assert_eq!(self.session.reset(self.now).expect_err("closed").code, Code::NOT_CONNECTED);
    }
}

fn envelope(action: usize, wishes: usize) -> Envelope {
    let mut envelope = Envelope::default();
    let sender = if wishes & 1 == 0 { "a@x.example" } else { "<>" };
    envelope.begin(ReversePath::parse(sender).unwrap());
    for recipient in ["b@y.example", "c@z.example", "d@y.example"].iter().take(action % 4) {
        envelope.push(Mailbox::parse(recipient).unwrap());
    }
    if wishes & 2 != 0 {
        envelope.push(Mailbox::parse("j\u{f6}rg@y.example").unwrap());
    }
    envelope.set_size((wishes & 4 != 0).then_some(wishes as u64 * 10));
    envelope.set_all_or_nothing(wishes & 8 != 0);
    envelope.set_eight_bit(wishes & 16 != 0);
    envelope.set_leaves_out(wishes & 64 != 0);
    if wishes & 32 != 0 {
        envelope.set_delivery(Delivery::NOTIFY_SUCCESS, "id");
    }
    envelope
}
