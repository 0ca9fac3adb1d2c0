//! Long lists of recipients and LMTP in memory, against a model that is written
//! from the standards: who goes into which transaction, and what each is told.

use proptest::prelude::*;
use smtpclient::proto::{
    Config, Envelope, HostName, Mailbox, Measurer, Moment, Outcome, RecipientState, ReversePath, Security, Session,
    Timeouts, Want,
};

/// What a server does with a list.
#[derive(Clone, Debug)]
struct Case {
    pipelining: bool,
    chunks: bool,
    /// The size of the content is known, so that with chunks it is one.
    measured: bool,
    lmtp: bool,
    /// LIMITS RCPTMAX and RCPTDOMAINMAX, as told.
    rcpt_max: Option<usize>,
    domain_max: Option<usize>,
    /// After so many the server says 452 4.5.3.
    takes: usize,
    /// The domain of each recipient, and what the server thinks of it.
    recipients: Vec<(usize, u16)>,
    /// LMTP: what it says of each at the end. Else the first one is that of the whole.
    ends: Vec<u16>,
    /// How much is handed over at a time.
    by: usize,
}

fn case() -> impl Strategy<Value = Case> {
    let code = prop_oneof![6 => Just(250_u16), 1 => Just(451), 1 => Just(550)];
    let end = prop_oneof![5 => Just(250_u16), 1 => Just(452), 1 => Just(554)];
    let limit = || prop::option::of(1_usize..5);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let recipients = prop::collection::vec((0_usize..4, code), 1..14);
    let by = prop_oneof![Just(usize::MAX), 1_usize..30];
    (
        flags,
        limit(),
        limit(),
        prop_oneof![1 => Just(usize::MAX), 2 => 1_usize..6],
        recipients,
        prop::collection::vec(end, 14),
        by,
    )
        .prop_map(|((pipelining, chunks, measured, lmtp), rcpt_max, domain_max, takes, recipients, ends, by)| {
            Case { pipelining, chunks, measured, lmtp, rcpt_max, domain_max, takes, recipients, ends, by }
        })
}

fn address(case: &Case, number: usize) -> String {
    format!("r{number}@d{}.example", case.recipients[number].0)
}

/// What is to come of it: the recipients of each transaction that ended, in order,
/// and what became of each recipient and of the message.
#[derive(Debug, PartialEq, Eq)]
struct Fate {
    transactions: Vec<Vec<usize>>,
    states: Vec<RecipientState>,
    outcome: Outcome,
    is_ok: bool,
}

fn refused(code: u16) -> RecipientState {
    if code >= 500 { RecipientState::RefusedPermanent } else { RecipientState::RefusedTemporary }
}

/// Each transaction takes, in order, who still waits, as many as the limits allow:
/// those that were told, and how many the server took when it first said that there
/// were too many. Who is told so while others were accepted waits for the next.
fn model(case: &Case) -> Fate {
    let mut states = vec![RecipientState::NotTried; case.recipients.len()];
    let mut waits: Vec<usize> = (0..case.recipients.len()).collect();
    let mut learnt = None;
    let (mut transactions, mut delivered) = (Vec::new(), false);
    while !waits.is_empty() {
        let most = [case.rcpt_max, learnt].into_iter().flatten().min().unwrap_or(usize::MAX);
        let mut domains = Vec::new();
        let mut asked = Vec::new();
        for number in &waits {
            if asked.len() == most {
                break;
            }
            let domain = case.recipients[*number].0;
            if !domains.contains(&domain) {
                if case.domain_max == Some(domains.len()) {
                    continue;
                }
                domains.push(domain);
            }
            asked.push(*number);
        }
        let (mut accepted, mut again) = (Vec::new(), Vec::new());
        for number in &asked.clone() {
            let code = case.recipients[*number].1;
            if code != 250 {
                states[*number] = refused(code);
            } else if accepted.len() < case.takes {
                accepted.push(*number);
            } else {
                // It is refused for now, unless there is a transaction to come.
                states[*number] = RecipientState::RefusedTemporary;
                again.push(*number);
                learnt.get_or_insert(accepted.len());
                if !case.pipelining {
                    // Whoever comes behind it is not asked any more.
                    let count = asked.iter().position(|other| other == number).map_or(0, |at| at + 1);
                    asked.truncate(count);
                    break;
                }
            }
        }
        waits.retain(|number| !asked.contains(number) || again.contains(number));
        if accepted.is_empty() {
            continue;
        }
        let ends: Vec<u16> = match case.lmtp {
            true => accepted.iter().map(|number| case.ends[*number]).collect(),
            false => vec![case.ends[transactions.len()]; accepted.len()],
        };
        for (number, end) in accepted.iter().zip(&ends) {
            states[*number] = if *end == 250 { RecipientState::Accepted } else { refused(*end) };
        }
        transactions.push(accepted);
        if ends.contains(&250) {
            delivered = true;
        } else if !(case.lmtp && delivered) {
            // The message, or what is left of it, was refused: nothing more is tried.
            let temporary = states.contains(&RecipientState::RefusedTemporary);
            let outcome = match (delivered, case.lmtp) {
                (true, _) => Outcome::Accepted,
                (_, true) if temporary => Outcome::RejectedTemporary,
                _ if ends[0] < 500 => Outcome::RejectedTemporary,
                _ => Outcome::RejectedPermanent,
            };
            return Fate { transactions, states, outcome, is_ok: false };
        }
    }
    let outcome = match (delivered, states.contains(&RecipientState::RefusedTemporary)) {
        (true, _) => Outcome::Accepted,
        (false, true) => Outcome::RejectedTemporary,
        (false, false) => Outcome::RejectedPermanent,
    };
    Fate { transactions, states, outcome, is_ok: delivered }
}

const CONTENT: &[u8] = b"Subject: x\r\n\r\n.\r\nRCPT TO:<r0@d0.example>\r\n";

/// A server that does as the case says, and writes down what it gets.
struct Server<'a> {
    case: &'a Case,
    unread: Vec<u8>,
    in_content: bool,
    accepted: Vec<usize>,
    transactions: Vec<Vec<usize>>,
    content: Vec<u8>,
}

impl Server<'_> {
    fn read(&mut self, octets: &[u8]) -> String {
        self.unread.extend_from_slice(octets);
        let mut said = String::new();
        while let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
            let line = String::from_utf8(self.unread[..end].to_vec()).expect("ASCII");
            if self.in_content {
                self.unread.drain(..end + 2);
                if line == "." {
                    self.in_content = false;
                    said += &self.end();
                } else {
                    self.content.extend_from_slice(line.strip_prefix('.').unwrap_or(&line).as_bytes());
                    self.content.extend_from_slice(b"\r\n");
                }
                continue;
            }
            if let Some(chunk) = line.strip_prefix("BDAT ") {
                let size: usize = chunk.trim_end_matches(" LAST").parse().expect("a size");
                if self.unread.len() < end + 2 + size {
                    return said;
                }
                self.content.extend_from_slice(&self.unread[end + 2..end + 2 + size]);
                self.unread.drain(..end + 2 + size);
                said += &if chunk.ends_with(" LAST") { self.end() } else { "250 go on\r\n".to_owned() };
                continue;
            }
            self.unread.drain(..end + 2);
            said += &self.answer(&line);
        }
        said
    }

    fn answer(&mut self, line: &str) -> String {
        let case = self.case;
        match line.split_once(' ').map_or(line, |(verb, _)| verb) {
            "EHLO" | "LHLO" => {
                let mut reply = "250-mail.example\r\n".to_owned();
                reply += if case.pipelining { "250-PIPELINING\r\n" } else { "" };
                reply += if case.chunks { "250-CHUNKING\r\n" } else { "" };
                let limit = |name, most: Option<usize>| most.map_or(String::new(), |most| format!(" {name}={most}"));
                let limits = limit("RCPTMAX", case.rcpt_max) + &limit("RCPTDOMAINMAX", case.domain_max);
                reply + &format!("250-LIMITS{limits}\r\n250 HELP\r\n")
            }
            "MAIL" | "RSET" => {
                self.accepted.clear();
                "250 ok\r\n".to_owned()
            }
            "RCPT" => {
                let number = line.trim_start_matches("RCPT TO:<r").split('@').next().expect("a part");
                let number: usize = number.parse().expect("a number");
                match case.recipients[number].1 {
                    250 if self.accepted.len() < case.takes => {
                        self.accepted.push(number);
                        "250 ok\r\n".to_owned()
                    }
                    250 => "452 4.5.3 too many recipients\r\n".to_owned(),
                    code => format!("{code} as told\r\n"),
                }
            }
            "DATA" if self.accepted.is_empty() => "503 nobody\r\n".to_owned(),
            "DATA" => {
                self.in_content = true;
                "354 go on\r\n".to_owned()
            }
            _ => "500 what?\r\n".to_owned(),
        }
    }

    fn end(&mut self) -> String {
        assert_eq!(self.content.escape_ascii().to_string(), CONTENT.escape_ascii().to_string());
        self.content.clear();
        let accepted = std::mem::take(&mut self.accepted);
        if accepted.is_empty() {
            let may_be_in_vain = self.case.pipelining && self.case.chunks && self.case.measured && !self.case.lmtp;
            assert!(may_be_in_vain, "content for nobody");
            return "503 nobody\r\n".to_owned();
        }
        let codes: Vec<u16> = match self.case.lmtp {
            true => accepted.iter().map(|number| self.case.ends[*number]).collect(),
            false => vec![self.case.ends[self.transactions.len()]],
        };
        self.transactions.push(accepted);
        codes.iter().map(|code| format!("{code} so be it\r\n")).collect()
    }
}

/// Runs a session against the server, to the end of its command.
fn run(session: &mut Session, server: &mut Server<'_>, mut said: String, by: usize) -> bool {
    let now = Moment(1000);
    let mut content = CONTENT;
    for _ in 0..100_000 {
        match session.want() {
            Want::Done => return session.take_result().expect("it is over").is_ok(),
            Want::Rewind => {
                content = CONTENT;
                session.handle_rewound();
            }
            Want::Content if content.is_empty() => session.finish_content(now),
            Want::Content => {
                let (piece, rest) = content.split_at(content.len().min(by));
                session.content(piece, now);
                content = rest;
            }
            Want::Write => {
                let count = session.output().len().min(by);
                let octets = session.output()[..count].to_vec();
                session.handle_written(count, now);
                said += &server.read(&octets);
            }
            Want::Read => {
                session.handle_flushed();
                assert!(!said.is_empty() || session.want() != Want::Read, "waits for ever in {:?}", session.phase());
                let count = said.len().min(by);
                let piece: String = said.drain(..count).collect();
                session.handle_input(piece.as_bytes(), now);
            }
            want @ (Want::Renew | Want::Tls | Want::Next | Want::Gather) => unreachable!("{want:?} was not asked for"),
        }
    }
    panic!("no end to it")
}

fn play(case: &Case) -> Fate {
    let config = Config {
        local_name: HostName::parse("client.example").expect("good"),
        extended: true,
        security: Security::None,
        timeouts: Timeouts::default(),
        private_path: true,
        insecure_auth: false,
        lmtp: case.lmtp,
        skips_verify: false,
        withheld: Vec::new(),
    };
    let mut session = Session::new(config);
    let mut server = Server {
        case,
        unread: Vec::new(),
        in_content: false,
        accepted: Vec::new(),
        transactions: Vec::new(),
        content: Vec::new(),
    };
    session.open(Moment(1));
    assert!(run(&mut session, &mut server, "220 hi\r\n".to_owned(), case.by));
    let mut envelope = Envelope::default();
    envelope.begin(ReversePath::parse("a@x.example").expect("good"));
    for number in 0..case.recipients.len() {
        envelope.push(Mailbox::parse(&address(case, number)).expect("good"));
    }
    envelope.set_repeatable(true);
    envelope.set_chunks(case.chunks);
    if case.measured {
        let mut measurer = Measurer::default();
        measurer.push(CONTENT);
        envelope.set_measure(measurer.finish());
    }
    session.send(&mut envelope, Moment(2)).expect("nothing is asked for");
    let is_ok = run(&mut session, &mut server, String::new(), case.by);
    let envelope = session.envelope();
    let fate = Fate {
        transactions: std::mem::take(&mut server.transactions),
        states: (0..envelope.len()).map(|number| envelope.state(number)).collect(),
        outcome: session.outcome(),
        is_ok,
    };
    for number in 0..envelope.len() {
        assert_eq!(envelope.recipient(number), Some(address(case, number).as_str()));
        let is_refused =
            matches!(fate.states[number], RecipientState::RefusedTemporary | RecipientState::RefusedPermanent);
        assert_eq!(envelope.refusal(number).is_some(), is_refused, "the reply of number {number}");
    }
    assert!(session.is_open() && server.unread.is_empty());
    fate
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn lists_are_split_as_in_the_model(case in case()) {
        let fate = play(&case);
        prop_assert_eq!(&fate, &model(&case));
        // Nobody gets it twice.
        let mut all: Vec<usize> = fate.transactions.concat();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        prop_assert_eq!(all.len(), count);
    }
}
