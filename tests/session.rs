//! The session in memory: every transcript whole, octet by octet, line by line,
//! and cut off at every octet by the end of the stream or by silence. Time is invented.

#[path = "support/transcript.rs"]
mod transcript;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use proptest::prelude::*;
use smtpclient::error::{Class, Code, Error, Phase};
use smtpclient::proto::sasl::{Credentials, Mechanism};
use smtpclient::proto::{
    CommandText, Config, DateTime, DeliverBy, Delivery, Demands, Direction, Envelope, Hold, HostName, Mailbox, Measure,
    Measurer, Moment, Outcome, RecipientDelivery, RecipientState, ReversePath, Secret, Security, Session, Timeouts,
    Want, Wishes, Withheld, split_list,
};
use transcript::{Action, Transcript};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Whole,
    Octets,
    Lines,
    /// Each thing the server says in two pieces, the first of so many octets.
    Split(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CutBy {
    EndOfStream,
    Silence,
}

struct Player {
    session: Session,
    envelope: Envelope,
    wishes: Transcript,
    content: Vec<u8>,
    content_given: bool,
    sent: Vec<u8>,
    now: Moment,
    result: Option<Result<(), Box<Error>>>,
}

impl Player {
    fn new(transcript: &Transcript) -> Self {
        Self {
            session: Session::new(config_of(transcript)),
            envelope: Envelope::default(),
            wishes: transcript.clone(),
            content: Vec::new(),
            content_given: false,
            sent: Vec::new(),
            now: Moment(1_000_000),
            result: None,
        }
    }

    fn credentials(&self, user: &str, password: &str) -> Credentials {
        let Transcript { mechanism, methods, token, identity, nonce, .. } = self.wishes.clone();
        let (user, password, token) = (user.into(), Secret::new(password), Secret::new(token));
        let host = "mail.example".into();
        Credentials { mechanism, methods, user, password, token, identity, nonce, host, ..Credentials::default() }
    }

    fn command(&mut self, action: &Action) {
        assert!(self.result.is_none(), "the command before is over");
        let begun = match action {
            Action::Open => {
                self.session.open(self.now);
                Ok(())
            }
            Action::Auth(user, password) => {
                let credentials = self.credentials(user, password);
                self.session.authenticate(credentials, self.now)
            }
            Action::Send { sender, recipients, content } => {
                self.envelope.begin(ReversePath::parse(sender).expect("a good sender"));
                for recipient in split_list(recipients) {
                    self.envelope.push(Mailbox::parse(recipient).expect("a good recipient"));
                }
                self.envelope.set_size(Some(content.len() as u64));
                self.envelope.set_repeatable(true);
                self.envelope.set_eight_bit(!content.is_ascii());
                self.wish();
                self.measure(content);
                self.content.clone_from(content);
                self.content_given = false;
                self.session.send(&mut self.envelope, self.now)
            }
            Action::Create { sender, size } => {
                self.envelope.begin(ReversePath::parse(sender).expect("a good sender"));
                self.envelope.set_size(Some(*size).filter(|size| *size > 0));
                self.wish();
                self.session.begin_message(&mut self.envelope, self.now)
            }
            Action::Recipient(address) => {
                self.session.add_recipient(Mailbox::parse(address).expect("a good recipient"), None, self.now)
            }
            Action::Write(content) => {
                self.content.clone_from(content);
                self.content_given = false;
                self.session.take_content(false, self.now)
            }
            Action::Close => {
                self.content.clear();
                self.session.take_content(true, self.now)
            }
            Action::Reset => self.session.reset(self.now),
            Action::Command(verb, parameters) => {
                CommandText::parse(verb, parameters).and_then(|text| self.session.command(&text, self.now))
            }
            Action::Ask(verb, address) => self.session.ask(verb, address, self.now),
            Action::Turn(node) => {
                CommandText::extended_turn(node).and_then(|text| self.session.command(&text, self.now))
            }
            Action::Quit => self.session.quit(self.now),
            _ => unreachable!("not a command"),
        };
        match begun {
            Ok(()) => self.pump(),
            Err(error) => self.result = Some(Err(error)),
        }
    }

    fn wish(&mut self) {
        self.envelope.set_all_or_nothing(self.wishes.all_or_nothing);
        let delivery = Delivery::parse(self.wishes.delivery).expect("good bits");
        self.envelope.set_delivery(delivery, &self.wishes.envelope_id);
        self.envelope.set_leaves_out(self.wishes.leave_out);
        self.envelope.set_extra_parameters(&self.wishes.parameters);
        self.envelope.set_chunks(self.wishes.chunking == 2);
        self.envelope.set_binary(self.wishes.binary);
        self.envelope.set_demands(&demands(&self.wishes));
        for (address, bits, original) in &self.wishes.recipients {
            let own = RecipientDelivery::parse(*bits, original.as_deref()).expect("a good wish");
            for index in 0..self.envelope.len() {
                if self.envelope.recipient(index) == Some(address) {
                    self.envelope.set_recipient_delivery(index, own.clone());
                }
            }
        }
    }

    /// As the client does it where the content goes out with BDAT.
    fn measure(&mut self, content: &[u8]) {
        if self.envelope.is_binary() {
            self.envelope.set_measure(Measure::of_binary(content.len() as u64));
        } else if self.envelope.prefers_chunks() {
            let mut measurer = Measurer::default();
            measurer.push(content);
            self.envelope.set_measure(measurer.finish());
        }
    }

    /// A new connection, over which the session goes on.
    fn reconnect(&mut self) {
        self.session = self.session.renewed(config_of(&self.wishes), "again".to_owned());
        self.session.open(self.now);
        self.pump();
    }

    /// Does all that can be done without the server; writes seven octets at a
    /// time, as a socket with little room would.
    fn pump(&mut self) {
        loop {
            match self.session.want() {
                Want::Write => {
                    let count = self.session.output().len().min(7);
                    self.sent.extend_from_slice(&self.session.output()[..count]);
                    self.now = self.now + 1;
                    self.session.handle_written(count, self.now);
                }
                Want::Content if self.content_given || self.content.is_empty() => self.session.finish_content(self.now),
                Want::Content => {
                    self.content_given = true;
                    self.session.content(&self.content, self.now);
                }
                Want::Rewind => {
                    self.content_given = false;
                    self.session.handle_rewound();
                }
                Want::Read => {
                    self.session.handle_flushed();
                    if self.session.want() != Want::Done {
                        return;
                    }
                }
                Want::Tls | Want::Renew | Want::Next | Want::Gather => return,
                Want::Done => {
                    self.result = self.session.take_result();
                    return;
                }
            }
        }
    }

    fn feed(&mut self, octets: &[u8], delivery: Pace) {
        let pieces: Vec<&[u8]> = match delivery {
            Pace::Whole => vec![octets],
            Pace::Octets => octets.chunks(1).collect(),
            Pace::Lines => octets.split_inclusive(|octet| *octet == b'\n').collect(),
            Pace::Split(at) => {
                let (first, rest) = octets.split_at(octets.len().min(at));
                vec![first, rest]
            }
        };
        for piece in pieces {
            self.now = self.now + 1000;
            self.session.handle_input(piece, self.now);
            self.pump();
        }
    }

    fn expect_sent(&mut self, expected: &[u8], at: &str) {
        let found = &self.sent[..self.sent.len().min(expected.len())];
        assert_eq!(found.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{at}");
        self.sent.drain(..expected.len());
    }
}

fn config(security: Security, extended: bool, private_path: bool) -> Config {
    Config {
        local_name: HostName::parse("client.example").expect("a good name"),
        extended,
        security,
        timeouts: Timeouts::default(),
        private_path,
        insecure_auth: false,
        lmtp: false,
        skips_verify: false,
        withheld: Vec::new(),
    }
}

fn demands(wishes: &Transcript) -> Demands {
    let until = |text: &String| Hold::Until(DateTime::parse(text).expect("a good moment"));
    let given = |text: &String| (!text.is_empty()).then(|| text.clone());
    Demands {
        deliver_by: given(&wishes.deliver_by).map(|text| DeliverBy::parse(&text).expect("a good time")),
        hold: given(&wishes.hold_until)
            .as_ref()
            .map(until)
            .or((wishes.hold_for > 0).then_some(Hold::For(wishes.hold_for))),
        priority: wishes.priority,
        require_tls: wishes.require_tls,
        auth_sender: wishes.auth_sender.clone(),
    }
}

fn config_of(transcript: &Transcript) -> Config {
    let withheld = |keyword: &str| Withheld { keyword: keyword.to_owned(), reason: "a test".to_owned() };
    Config {
        lmtp: transcript.lmtp,
        withheld: transcript.disabled.split_whitespace().map(withheld).collect(),
        ..config(transcript.security, transcript.extended, transcript.private_path)
    }
}

fn play(transcript: &Transcript, delivery: Pace) {
    let mut player = Player::new(transcript);
    for (number, action) in transcript.actions.iter().enumerate() {
        let at = format!("{} {delivery:?}, action {number}: {action:?}", transcript.name);
        match action {
            Action::Client(expected) => player.expect_sent(expected, &at),
            Action::Server(octets) => {
                assert!(player.sent.is_empty(), "{at}: not expected: {}", player.sent.escape_ascii());
                player.feed(octets, delivery);
            }
            Action::Tls(verified) => {
                assert_eq!(player.session.want(), Want::Tls, "{at}");
                player.session.bind_channel(player.wishes.binding.clone().map(Secret::new));
                player.session.handle_tls(*verified, player.now);
                player.pump();
            }
            Action::Ok => {
                let result = player.result.take().unwrap_or_else(|| panic!("{at}: not over"));
                result.unwrap_or_else(|error| panic!("{at}: {error}"));
            }
            Action::Fail { code, phase } => {
                let result = player.result.take().unwrap_or_else(|| panic!("{at}: not over"));
                let error = result.expect_err(&at);
                assert_eq!((error.code.name(), error.phase.name()), (code.as_str(), phase.as_str()), "{at}: {error}");
            }
            Action::Outcome(name) => assert_eq!(player.session.outcome().name(), name, "{at}"),
            Action::Recipients(names) => {
                let envelope = player.session.envelope();
                let found: Vec<_> = (0..envelope.len()).map(|index| envelope.state(index).name()).collect();
                assert_eq!(found, *names, "{at}");
            }
            Action::Reconnect => {
                assert_eq!(player.session.want(), Want::Renew, "{at}");
                player.reconnect();
            }
            command => player.command(command),
        }
    }
    assert!(player.sent.is_empty(), "{}: not expected at the end: {}", transcript.name, player.sent.escape_ascii());
}

/// Plays until `cut` octets of the server's have been sent, and then ends the
/// stream or lets the time run out; gives the outcome of the last message.
fn play_cut(transcript: &Transcript, cut: usize, by: CutBy) {
    let mut player = Player::new(transcript);
    let mut left = cut;
    for action in &transcript.actions {
        match action {
            Action::Server(octets) => {
                let count = octets.len().min(left);
                player.feed(&octets[..count], Pace::Whole);
                left -= count;
                if count < octets.len() {
                    break;
                }
            }
            Action::Tls(verified) => {
                player.session.bind_channel(player.wishes.binding.clone().map(Secret::new));
                player.session.handle_tls(*verified, player.now);
                player.pump();
            }
            Action::Ok | Action::Fail { .. } => player.result = None,
            Action::Client(_) | Action::Outcome(_) | Action::Recipients(_) => {}
            Action::Reconnect => player.reconnect(),
            command => player.command(command),
        }
    }
    let at = format!("{} cut after {cut} by {by:?}", transcript.name);
    if player.result.is_none() && !matches!(player.session.want(), Want::Tls | Want::Renew) {
        match by {
            CutBy::EndOfStream => player.session.handle_end_of_stream(),
            CutBy::Silence => {
                let deadline = player.session.deadline().unwrap_or_else(|| panic!("{at}: waits for ever"));
                assert!(deadline > player.now, "{at}");
                player.session.handle_timeout();
            }
        }
        player.pump();
        if player.session.want() == Want::Renew {
            return;
        }
        let has = |end: &[u8]| player.sent.windows(end.len()).any(|octets| octets == end);
        let sent_everything = has(b"\r\n.\r\n") || has(b" LAST\r\n");
        match player.result.take() {
            None => panic!("{at}: left hanging"),
            // Only QUIT does not mind.
            Some(Ok(())) => assert!(player.sent.ends_with(b"QUIT\r\n"), "{at}"),
            Some(Err(error)) => {
                assert!(matches!(error.class(), Class::Wire | Class::Server), "{at}: {error}");
                if error.code == Code::TIMEOUT {
                    assert!(error.what.contains(" ms while "), "{at}: {error}");
                }
                if error.phase == Phase::End && player.session.outcome() == Outcome::Unknown {
                    assert!(sent_everything && error.to_string().contains("may have been delivered"), "{at}: {error}");
                }
            }
        }
        assert!(!player.session.is_open(), "{at}: cannot go on");
    }
}

#[test]
fn transcripts_whole_by_octets_and_by_lines() {
    for transcript in transcript::all() {
        for delivery in [Pace::Whole, Pace::Octets, Pace::Lines] {
            // What is behind the reply to STARTTLS shows only if it comes along with it.
            if transcript.name == "starttls_injection" && delivery != Pace::Whole {
                continue;
            }
            // Octets that arrive one by one let the client send its message first.
            if transcript.name.starts_with("early_") && delivery != Pace::Whole {
                continue;
            }
            play(&transcript, delivery);
        }
    }
}

#[test]
fn transcripts_split_at_every_octet() {
    for transcript in transcript::all() {
        // As above: what came too early no longer does.
        if transcript.name == "starttls_injection" || transcript.name.starts_with("early_") {
            continue;
        }
        let longest = transcript.actions.iter().filter_map(|action| match action {
            Action::Server(octets) => Some(octets.len()),
            _ => None,
        });
        for at in 1..longest.max().unwrap_or_default() {
            play(&transcript, Pace::Split(at));
        }
    }
}

#[test]
fn transcripts_cut_at_every_octet() {
    for transcript in transcript::all() {
        for cut in 0..transcript.server_octets() {
            play_cut(&transcript, cut, CutBy::EndOfStream);
            play_cut(&transcript, cut, CutBy::Silence);
        }
    }
}

/// A session that is ready, with the extensions given.
fn ready(extensions: &str) -> Player {
    let transcript = Transcript::new("");
    let mut player = Player::new(&transcript);
    player.command(&Action::Open);
    player.feed(b"220 hi\r\n", Pace::Whole);
    let reply = extensions
        .split_whitespace()
        .fold("250-mail.example\r\n".to_owned(), |all, word| format!("{all}250-{word}\r\n"));
    player.feed(format!("{reply}250 HELP\r\n").as_bytes(), Pace::Whole);
    player.result.take().expect("over").expect("open");
    player.sent.clear();
    player
}

fn send(player: &mut Player, recipients: usize, content: &[u8]) {
    let recipients = (0..recipients).map(|number| format!("r{number}@y.example")).collect::<Vec<_>>().join(",");
    player.command(&Action::Send { sender: "a@x.example".into(), recipients, content: content.to_vec() });
}

#[test]
fn each_phase_has_its_own_limit() {
    let mut player = ready("PIPELINING");
    assert_eq!(player.session.deadline(), None, "nothing is awaited");
    let waits = |player: &Player| player.session.deadline().expect("a limit") - player.now;
    send(&mut player, 1, b"x\r\n");
    assert_eq!((player.session.phase(), waits(&player)), (Phase::Mail, 300_000));
    player.feed(b"250 ok\r\n", Pace::Whole);
    assert_eq!((player.session.phase(), waits(&player)), (Phase::Rcpt, 300_000));
    player.feed(b"250 ok\r\n", Pace::Whole);
    assert_eq!((player.session.phase(), waits(&player)), (Phase::Data, 120_000));
    player.feed(b"354 go on\r\n", Pace::Whole);
    assert_eq!((player.session.phase(), waits(&player)), (Phase::End, 600_000));
    player.session.handle_timeout();
    player.pump();
    let error = player.result.take().expect("over").expect_err("timed out");
    assert_eq!((error.code, error.phase), (Code::TIMEOUT, Phase::End));
    assert!(error.what.contains("600000 ms"));
    assert_eq!(player.session.outcome(), Outcome::Unknown);
}

#[test]
fn a_reply_that_drips_does_not_move_the_limit() {
    let mut player = ready("PIPELINING");
    send(&mut player, 1, b"x\r\n");
    let deadline = player.session.deadline();
    for octet in b"250-never en" {
        player.feed(&[*octet], Pace::Whole);
    }
    assert_eq!(player.session.deadline(), deadline);
}

#[test]
fn a_silent_greeting_suggests_implicit_tls() {
    let mut session = Session::new(config(Security::None, true, true));
    session.open(Moment(0));
    assert_eq!(session.deadline(), Some(Moment(300_000)));
    session.handle_timeout();
    let error = session.take_result().expect("over").expect_err("timed out");
    assert!(error.to_string().contains("implicit TLS"), "{error}");
}

#[test]
fn a_long_list_is_queued_in_bounded_pieces_and_ends_without_deadlock() {
    const MANY: usize = 12_000;
    let mut player = ready("PIPELINING");
    let recipients = (0..MANY).map(|number| format!("r{number}@y.example")).collect::<Vec<_>>().join(",");
    let mut envelope = Envelope::default();
    envelope.begin(ReversePath::Null);
    for recipient in split_list(&recipients) {
        envelope.push(Mailbox::parse(recipient).expect("good"));
    }
    player.session.send(&mut envelope, player.now).expect("begins");
    let mut most = 0;
    // The server answers each command as soon as it has come in, and the client
    // reads before it has written everything.
    let mut unanswered = Vec::new();
    let mut answers = 0;
    while player.session.want() == Want::Write {
        most = most.max(player.session.output().len());
        let count = player.session.output().len().min(1000);
        unanswered.extend_from_slice(&player.session.output()[..count]);
        player.session.handle_written(count, player.now);
        while let Some(end) = unanswered.iter().position(|octet| *octet == b'\n') {
            let line: Vec<u8> = unanswered.drain(..=end).collect();
            answers += 1;
            let reply: &[u8] = if line == b"DATA\r\n" { b"354 go\r\n" } else { b"250 ok\r\n" };
            player.session.handle_input(reply, player.now);
        }
    }
    assert_eq!(answers, MANY + 2);
    assert!(most < 64 * 1024, "{most} octets were queued at once");
    assert_eq!(player.session.want(), Want::Content);
    assert_eq!(player.session.envelope().count(RecipientState::Accepted), MANY);
}

#[test]
fn refused_recipients_keep_the_servers_words() {
    let mut player = ready("PIPELINING");
    send(&mut player, 3, b"x\r\n");
    player.feed(
        b"250 ok\r\n250 ok\r\n550-5.1.1 no\r\n550 5.1.1 such user\r\n451 4.2.0 later\r\n354 go\r\n250 ok\r\n",
        Pace::Lines,
    );
    player.result.take().expect("over").expect("one was accepted");
    let envelope = player.session.envelope();
    assert_eq!(envelope.state(0), RecipientState::Accepted);
    assert_eq!(envelope.state(1), RecipientState::RefusedPermanent);
    assert_eq!(envelope.state(2), RecipientState::RefusedTemporary);
    let refusal = envelope.refusal(1).expect("kept");
    assert_eq!(
        (refusal.code, refusal.enhanced, refusal.text.as_str()),
        (550, Some((5, 1, 1)), "5.1.1 no\n5.1.1 such user")
    );
}

#[test]
fn a_cancel_tells_whether_the_message_may_have_gone() {
    let cancel = || Error::new(Code::CANCELLED, Phase::Idle, "cancelled");
    let mut player = ready("PIPELINING");
    send(&mut player, 1, b"x\r\n");
    player.session.handle_failure(cancel());
    assert_eq!(player.session.outcome(), Outcome::NotSent);
    let mut player = ready("PIPELINING");
    send(&mut player, 1, b"x\r\n");
    player.session.handle_input(b"250 ok\r\n250 ok\r\n354 go\r\n", player.now);
    player.session.content(b"x\r\n", player.now);
    player.session.finish_content(player.now);
    // All but one octet of the end was written: the server cannot take it.
    let most = player.session.output().len() - 1;
    player.session.handle_written(most, player.now);
    player.session.handle_flushed();
    player.session.handle_failure(cancel());
    assert_eq!(player.session.outcome(), Outcome::NotSent);
    let error = player.session.take_result().expect("over").expect_err("cancelled");
    assert_eq!(error.phase, Phase::Content);
}

#[test]
fn records_hide_the_secrets_and_nothing_else() {
    let mut player = ready("AUTH=LOGIN");
    player.session.set_trace(Wishes { records: true, ..Wishes::default() });
    player.command(&Action::Auth("tim".into(), "hunter2".into()));
    player.feed(b"334 UGFzc3dvcmQ6\r\n", Pace::Whole);
    player.feed(b"235 welcome\r\n", Pace::Whole);
    let records = player.session.take_trace();
    let texts: Vec<String> = records
        .iter()
        .map(|record| {
            let who = if record.direction == Direction::Client { "C" } else { "S" };
            format!("{who} {} {}", record.code, String::from_utf8_lossy(&record.text))
        })
        .collect();
    assert_eq!(texts, ["C 0 AUTH LOGIN ********", "S 334 ********", "C 0 ********", "S 235 welcome"]);
}

#[test]
fn a_refused_token_tells_the_servers_reason() {
    for (mechanism, answer) in [("XOAUTH2", "\r\n"), ("OAUTHBEARER", "AQ==\r\n")] {
        let mut player = ready(&format!("AUTH={mechanism}"));
        player.wishes.token = "abc.def".into();
        player.command(&Action::Auth("tim".into(), String::new()));
        player.sent.clear();
        // {"status":"401","scope":"mail"}, with a line end in it.
        player.feed(b"334 eyJzdGF0dXMiOiI0MDEiLA0KInNjb3BlIjoibWFpbCJ9\r\n", Pace::Whole);
        player.expect_sent(answer.as_bytes(), mechanism);
        player.feed(b"535 5.7.8 no\r\n", Pace::Whole);
        let error = player.result.take().expect("over").expect_err("refused");
        assert_eq!(error.code, Code::AUTHENTICATION_FAILED);
        let sentence = error.to_string();
        assert!(sentence.contains("(status 401, scope mail)"), "{sentence}");
        assert!(sentence.contains(mechanism) && sentence.contains("has not expired"), "{sentence}");
        assert!(!sentence.contains("abc.def"), "{sentence}");
    }
}

#[test]
fn a_refusal_names_the_way_out_where_the_password_may_be_right() {
    for (mechanism, expected) in [("CRAM-MD5", true), ("PLAIN", false)] {
        let mut player = ready(&format!("AUTH={mechanism}"));
        player.command(&Action::Auth("tim".into(), "secret".into()));
        player.feed(b"535 5.7.8 no\r\n", Pace::Whole);
        let error = player.result.take().expect("over").expect_err("refused");
        assert_eq!(error.to_string().contains("SMTP_AUTH_PLAIN"), expected, "{error}");
    }
}

#[test]
fn a_server_without_proof_is_left() {
    let mut player = ready("AUTH=SCRAM-SHA-256");
    player.wishes.nonce = "nonce".into();
    player.command(&Action::Auth("tim".into(), "secret".into()));
    player.feed(b"235 come in\r\n", Pace::Whole);
    let error = player.result.take().expect("over").expect_err("no proof");
    assert!(error.to_string().contains("without proving that it knows the password"), "{error}");
    assert!(!player.session.is_open() && player.session.authenticated().is_none());
}

#[test]
fn a_long_login_goes_without_its_initial_response() {
    let mut player = ready("AUTH=PLAIN");
    player.command(&Action::Auth("u".repeat(200), "p".repeat(300)));
    player.expect_sent(b"AUTH PLAIN\r\n", "512 octets are a command line's limit");
    player.feed(b"334 \r\n", Pace::Whole);
    assert!(player.sent.len() > 600 && player.sent.ends_with(b"\r\n"));
    player.feed(b"235 ok\r\n", Pace::Whole);
    player.result.take().expect("over").expect("logged in");
    let mut player = ready("AUTH=PLAIN");
    player.command(&Action::Auth("u".repeat(200), "p".repeat(12_000)));
    let error = player.result.take().expect("over").expect_err("too long for any line");
    assert_eq!(error.code, Code::TOO_LONG);
}

/// Whatever the mechanism: an answer that fits into no line is not sent, and none is cut.
#[test]
fn names_and_passwords_of_any_length() {
    let challenges: [&[u8]; 4] = [
        b"",
        b"r=nonceX,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"realm=\"a\",nonce=\"b\",algorithm=md5-sess,charset=utf-8",
        b"NTLMSSP\0\x02\0\0\0\0\0\0\0\0\0\0\0\x01\x02\0\0abcdefgh",
    ];
    for mechanism in Mechanism::ALL {
        if mechanism == Mechanism::Gssapi {
            continue;
        }
        for length in [1, 300, 9000, 40_000] {
            let mut player = ready(&format!("AUTH={}", mechanism.name()));
            player.wishes.mechanism = Some(mechanism);
            player.wishes.nonce = "nonce".into();
            player.wishes.token = "t".repeat(length);
            player.session.bind_channel(Some(Secret::new([7; 32])));
            player.command(&Action::Auth("u".repeat(length), "p".repeat(length)));
            for challenge in challenges.iter().cycle().take(12) {
                let longest = player.sent.split(|octet| *octet == b'\n').map(<[u8]>::len).max().unwrap_or(0);
                assert!(longest <= 12_290, "{mechanism:?} {length}: {longest}");
                assert!(!player.sent.starts_with(b"AUTH") || player.sent.len() <= 512, "{mechanism:?} {length}");
                if player.result.is_some() {
                    break;
                }
                player.sent.clear();
                player.feed(format!("334 {}\r\n", BASE64_STANDARD.encode(challenge)).as_bytes(), Pace::Whole);
                if player.sent.ends_with(b"*\r\n") {
                    player.sent.clear();
                    player.feed(b"501 5.7.0 cancelled\r\n", Pace::Whole);
                }
            }
            assert!(player.result.take().expect("no login goes on for ever").is_err());
            assert!(player.session.is_open());
        }
    }
}

#[test]
fn commands_out_of_order_are_errors_and_harmless() {
    let mut session = Session::new(config(Security::None, true, true));
    let credentials = || Credentials { user: "u".into(), password: Secret::new("p"), ..Credentials::default() };
    assert_eq!(session.authenticate(credentials(), Moment(0)).expect_err("new").code, Code::NOT_CONNECTED);
    let mut player = ready("PIPELINING");
    let mut empty = Envelope::default();
    assert_eq!(player.session.send(&mut empty, player.now).expect_err("empty").code, Code::NO_RECIPIENTS);
    player.session.content(b"nobody asked", player.now);
    player.session.finish_content(player.now);
    assert!(player.session.output().is_empty());
    assert!(player.session.is_open());
}

/// A stream that takes less than it is given must not make the session keep what
/// was sent already.
#[test]
fn memory_does_not_grow_with_the_message() {
    let mut player = ready("PIPELINING");
    send(&mut player, 1, b"");
    player.session.handle_input(b"250 ok\r\n250 ok\r\n354 go\r\n", player.now);
    let piece = [&[b'x'; 998][..], b"\r\n"].concat();
    let (mut given, mut most) = (0_usize, 0);
    while given < 4_000_000 {
        match player.session.want() {
            Want::Content => {
                given += piece.len();
                player.session.content(&piece, player.now);
            }
            Want::Write => {
                most = most.max(player.session.output_memory());
                let count = player.session.output().len().min(4099);
                player.session.handle_written(count, player.now);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(most <= 256 * 1024, "{most} octets were kept");
}

/// What a server may say at any point, likely and unlikely.
fn any_speech() -> impl Strategy<Value = Vec<u8>> {
    let lines = [
        "220 hi\r\n",
        "250-mail\r\n250-PIPELINING\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE 10\r\n",
        "250 ok\r\n",
        "250 2.1.5 ok\r\n",
        "354 go\r\n",
        "550 5.1.1 no\r\n",
        "452 4.5.3 too many\r\n",
        "421 bye\r\n",
        "334 \r\n",
        "235 in\r\n",
        "535 out\r\n",
        "221 bye\r\n",
        "500 what?\r\n",
        "251-\r\n",
        "250-a\r\n251 b\r\n",
        "250",
        "\r\n",
        "\n",
    ];
    prop_oneof![
        8 => proptest::sample::select(lines.map(|line| line.as_bytes().to_vec()).to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    /// Against a server that says anything at any time: no panic, nothing left
    /// hanging, bounded memory, and never a success that the server did not give.
    #[test]
    fn a_server_that_says_anything(speeches in proptest::collection::vec(any_speech(), 0..16), steps in any::<[u8; 6]>()) {
        let transcript = Transcript { security: Security::Opportunistic, ..Transcript::new("") };
        let mut player = Player::new(&transcript);
        player.command(&Action::Open);
        let mut commands = steps.into_iter();
        for speech in &speeches {
            let ended = player.sent.windows(5).any(|octets| octets == b"\r\n.\r\n");
            let before = player.session.outcome();
            player.session.handle_input(speech, player.now);
            player.pump();
            if player.session.outcome() == Outcome::Accepted && before != Outcome::Accepted {
                prop_assert!(ended, "accepted before the end was sent");
                prop_assert!((200..300).contains(&player.session.last_reply().code()) || !player.session.is_open());
            }
            prop_assert!(player.session.output_memory() < 300_000);
            while let (Some(_), Some(step)) = (player.result.take(), commands.next()) {
                player.sent.clear();
                player.command(&match step % 5 {
                    0 => Action::Auth("u".into(), "p".into()),
                    1 => Action::Reset,
                    2 => Action::Command("NOOP".into(), String::new()),
                    3 => Action::Quit,
                    _ => Action::Send { sender: "a@x".into(), recipients: "b@y,c@z".into(), content: b"x\r\n".to_vec() },
                });
            }
            if player.session.want() == Want::Tls {
                player.session.handle_tls(false, player.now);
                player.pump();
            }
        }
        let waits = player.session.is_open() && player.session.phase() != Phase::Idle && player.result.is_none();
        prop_assert!(!waits || player.session.deadline().is_some(), "waits for ever in {:?}", player.session.phase());
        player.session.handle_end_of_stream();
        prop_assert!(!player.session.is_open());
    }
}
