//! Servers that break the protocol, and networks that break, at every point of a
//! conversation, in memory. What goes over real sockets is in `hostile_wire.rs`.

#[path = "support/memory_server.rs"]
mod memory_server;

use memory_server::{Answer, Break, Conversation, Point, Report, good};
use proptest::prelude::*;
use smtpclient::error::{Class, Phase};
use smtpclient::proto::{Outcome, RecipientState};
use std::cell::Cell;
use std::rc::Rc;

/// The normal conversation: opened, two messages, the first of them to two
/// recipients, closed. These are the server's replies, in order.
const POINTS: [Point; 12] = [
    Point::Greeting,
    Point::Ehlo,
    Point::Mail,
    Point::Rcpt,
    Point::Rcpt,
    Point::Data,
    Point::End,
    Point::Mail,
    Point::Rcpt,
    Point::Data,
    Point::End,
    Point::Quit,
];

/// The operation to which a reply belongs: open, first message, second, quit.
fn operation_of(number: usize) -> usize {
    match number {
        0..=1 => 0,
        2..=6 => 1,
        7..=10 => 2,
        _ => 3,
    }
}

const CONTENT: &[u8] = b"Subject: x\r\n\r\n.\r\nQUIT\r\n";

/// The whole conversation; a report for each operation.
fn converse(conversation: &mut Conversation) -> [Report; 4] {
    let opened = conversation.open();
    let first = conversation.send(2, false, CONTENT);
    let second = conversation.send(1, false, CONTENT);
    [opened, first, second, conversation.quit()]
}

/// A good server, but for what it says at one point.
fn but_for(number: usize, reply: &[u8], pipelining: bool) -> Answer {
    let reply = reply.to_vec();
    Box::new(move |point, at| if at == number { reply.clone() } else { good(point, pipelining) })
}

fn in_general(reports: &[Report; 4], at: &str) {
    let mut closed = false;
    for (operation, report) in reports.iter().enumerate() {
        if closed {
            assert_eq!((report.result, report.class), ("NOT_CONNECTED", Some(Class::Caller)), "{at}");
            // What is read behind a message is that message's.
            assert!(operation == 3 || report.outcome == Outcome::NotSent, "{at}: nothing more was sent");
        }
        if report.outcome == Outcome::Unknown && !closed {
            assert!(report.sentence.contains("may have been delivered"), "{at}: {}", report.sentence);
            assert!(!report.outcome.safe_to_retry());
        }
        assert!(!matches!(report.class, Some(Class::Internal)), "{at}: {}", report.sentence);
        closed |= !report.open && report.result != "NOT_CONNECTED";
    }
}

#[test]
fn a_good_server() {
    for pipelining in [false, true] {
        for by in [1, usize::MAX] {
            let answer: Answer = Box::new(move |point, _| good(point, pipelining));
            let mut conversation = Conversation::new(answer, None, by);
            let reports = converse(&mut conversation);
            assert_eq!(reports.each_ref().map(|report| report.result), ["OK"; 4]);
            assert_eq!(reports[1].states, [RecipientState::Accepted; 2]);
            assert_eq!(conversation.contents(), [CONTENT, CONTENT]);
        }
    }
}

/// What a reply means at a point: the result, the outcome, and whether the
/// session goes on. Written from RFC 5321 section 4.3.2 and the rules of the
/// session, for the conversation above.
fn meaning(number: usize, reply: &str) -> (&'static str, Outcome, bool) {
    let point = POINTS[number];
    let (digits, rest) = reply.split_at(reply.len().min(3));
    let is_reply = rest.starts_with(' ') || rest == "\r\n";
    let code = digits.parse().ok().filter(|code| is_reply && (200..600).contains(code));
    let refused = |code| if code >= 500 { Outcome::RejectedPermanent } else { Outcome::RejectedTemporary };
    let lost = match point {
        Point::End => Outcome::Unknown,
        // The message before it was taken.
        Point::Quit => Outcome::Accepted,
        _ => Outcome::NotSent,
    };
    match (point, code) {
        (_, None) => ("PROTOCOL", lost, false),
        (Point::Quit, _) => ("OK", lost, false),
        (Point::End, Some(421)) => ("SERVER_CLOSING", Outcome::RejectedTemporary, false),
        (_, Some(421)) => ("SERVER_CLOSING", Outcome::NotSent, false),
        (Point::Greeting, Some(220)) => ("OK", Outcome::NotSent, true),
        (Point::Greeting, _) => ("SERVER_REFUSED", Outcome::NotSent, false),
        // HELO comes next.
        (Point::Ehlo, Some(200..=299 | 500..)) => ("OK", Outcome::NotSent, true),
        (Point::Ehlo, _) => ("COMMAND_REJECTED", Outcome::NotSent, false),
        (Point::Data, Some(354)) | (Point::Mail | Point::Rcpt | Point::End, Some(200..=299)) => {
            ("OK", Outcome::Accepted, true)
        }
        (_, Some(200..=399)) => ("PROTOCOL", lost, false),
        // The other recipient is enough.
        (Point::Rcpt, _) if number <= 4 => ("OK", Outcome::Accepted, true),
        (Point::Mail, Some(code)) => ("SENDER_REJECTED", refused(code), true),
        (Point::Rcpt, Some(code)) => ("RECIPIENTS_REJECTED", refused(code), true),
        (Point::Data, Some(code)) => ("DATA_REJECTED", refused(code), true),
        (_, Some(code)) => ("MESSAGE_REJECTED", refused(code), true),
    }
}

/// Every code there is, and what is none, at every point.
#[test]
fn every_code_at_every_point() {
    let mut replies: Vec<String> = (200..600).map(|code| format!("{code} so it is\r\n")).collect();
    let odd = ["000 x", "100 x", "199 x", "600 x", "999 x", "25", "2", "abc", "", "250x", "-250 x", "25O x", "2500 x"];
    replies.extend(odd.map(|line| format!("{line}\r\n")));
    let numbers_only = ["250", "354", "421", "450", "550"];
    replies.extend(numbers_only.map(|line| format!("{line}\r\n")));
    for pipelining in [false, true] {
        for (number, point) in POINTS.into_iter().enumerate() {
            for reply in &replies {
                let at = format!("{:?} ({number}) answered {reply:?}, pipelining {pipelining}", point);
                let means = meaning(number, reply);
                let answer = but_for(number, reply.as_bytes(), pipelining);
                let mut conversation = Conversation::new(answer, None, usize::MAX);
                let reports = converse(&mut conversation);
                let operation = operation_of(number);
                let report = &reports[operation];
                assert_eq!((report.result, report.outcome, report.open), means, "{at}: {}", report.sentence);
                if let Some(phase) = report.phase {
                    assert_eq!(phase, point.phase(), "{at}: {}", report.sentence);
                    assert_eq!(report.class, Some(Class::Server), "{at}");
                }
                for before in &reports[..operation] {
                    assert_eq!(before.result, "OK", "{at}");
                }
                if report.open {
                    assert!(reports[operation + 1..].iter().all(|after| after.result == "OK"), "{at}");
                }
                in_general(&reports, &at);
                let taken = reports[1..3].iter().filter(|report| report.outcome == Outcome::Accepted).count();
                assert!(taken <= conversation.contents().len(), "{at}: more accepted than received");
            }
        }
    }
}

/// One reply more than was asked for, behind any other: the session ends, and
/// nothing is taken for accepted that the server had not answered by then.
#[test]
fn a_reply_too_many_behind_every_reply() {
    for pipelining in [false, true] {
        for (number, point) in POINTS.into_iter().enumerate() {
            for extra in ["220 hi\r\n", "250 ok\r\n", "354 go\r\n", "451 later\r\n", "550 no\r\n", "421 bye\r\n"] {
                let at = format!("{extra:?} behind the reply to {:?} ({number}), pipelining {pipelining}", point);
                let reply = [good(point, pipelining), extra.as_bytes().to_vec()].concat();
                let answer = but_for(number, &reply, pipelining);
                let mut conversation = Conversation::new(answer, None, usize::MAX);
                let reports = converse(&mut conversation);
                for (operation, last) in [(1, 6), (2, 10)] {
                    let accepted = reports[operation].result == "OK";
                    assert_eq!(accepted, number >= last, "{at}: {}", reports[operation].sentence);
                    assert!(accepted || reports[operation].outcome != Outcome::Accepted || number >= 6, "{at}");
                }
                assert!(!reports[2].open || number == 11, "{at}");
                in_general(&reports, &at);
            }
        }
    }
}

/// All that a server will ever say, in one piece with its greeting.
#[test]
fn all_replies_ahead() {
    for pipelining in [false, true] {
        let everything: Vec<u8> = POINTS.iter().flat_map(|point| good(*point, pipelining)).collect();
        let answer = but_for(0, &everything, pipelining);
        let mut conversation = Conversation::new(answer, None, usize::MAX);
        let reports = converse(&mut conversation);
        assert_eq!((reports[0].result, reports[0].phase), ("PROTOCOL", Some(Phase::Ehlo)), "{}", reports[0].sentence);
        assert!(conversation.sent.is_empty(), "{}", conversation.sent.escape_ascii());
        in_general(&reports, "all replies ahead");
    }
}

/// The end of the stream and silence, after every octet of the server's.
#[test]
fn broken_off_after_every_octet_of_the_server() {
    for pipelining in [false, true] {
        let replies = POINTS.map(|point| good(point, pipelining));
        let total: usize = replies.iter().map(Vec::len).sum();
        for after in 0..total {
            // The reply that is not complete, or not begun.
            let mut left = after;
            let number = replies.iter().position(|reply| {
                let whole = left >= reply.len();
                left -= if whole { reply.len() } else { 0 };
                !whole
            });
            let number = number.expect("not all of it is sent");
            for breaks in [Break::EndOfStream(after), Break::Silence(after)] {
                let at = format!("{breaks:?} at {:?} ({number}), pipelining {pipelining}", POINTS[number]);
                let answer: Answer = Box::new(move |point, _| good(point, pipelining));
                let reports = converse(&mut Conversation::new(answer, Some(breaks), usize::MAX));
                let report = &reports[operation_of(number)];
                let end = matches!(breaks, Break::EndOfStream(_));
                let (result, outcome) = match POINTS[number] {
                    // Who has said QUIT does not mind.
                    Point::Quit if end => ("OK", Outcome::Accepted),
                    Point::Quit => ("TIMEOUT", Outcome::Accepted),
                    Point::End => (if end { "CONNECTION_CLOSED" } else { "TIMEOUT" }, Outcome::Unknown),
                    _ => (if end { "CONNECTION_CLOSED" } else { "TIMEOUT" }, Outcome::NotSent),
                };
                assert_eq!((report.result, report.outcome), (result, outcome), "{at}: {}", report.sentence);
                assert_eq!(report.outcome.safe_to_retry(), !matches!(POINTS[number], Point::End | Point::Quit), "{at}");
                assert!(report.phase.is_none_or(|phase| phase == POINTS[number].phase()), "{at}: {}", report.sentence);
                assert!(report.class.is_none_or(|class| class == Class::Wire), "{at}");
                assert!(!report.open, "{at}");
                assert!(reports[..operation_of(number)].iter().all(|before| before.result == "OK"), "{at}");
                in_general(&reports, &at);
            }
        }
    }
}

/// A reset after every octet of the client's: unknown is exactly the message
/// whose end has left as a whole, and left the buffers of TLS as well.
#[test]
fn reset_after_every_octet_of_the_client() {
    for pipelining in [false, true] {
        let answer = move || -> Answer { Box::new(move |point, _| good(point, pipelining)) };
        let mut whole = Conversation::new(answer(), None, usize::MAX);
        converse(&mut whole);
        let end = b"\r\n.\r\n";
        let places = whole.sent.windows(end.len()).enumerate().filter(|(_, octets)| *octets == end);
        let ends: Vec<usize> = places.map(|(at, _)| at + end.len()).collect();
        assert_eq!(ends.len(), 2, "the dot of the content is stuffed");
        for after in 1..=whole.sent.len() {
            for flushed in [true, false] {
                let breaks = if flushed { Break::Reset(after) } else { Break::ResetUnflushed(after) };
                let at = format!("{breaks:?} of {}, pipelining {pipelining}", whole.sent.len());
                let reports = converse(&mut Conversation::new(answer(), Some(breaks), usize::MAX));
                let outcomes = [reports[1].outcome, reports[2].outcome];
                let expected = ends.iter().map(|end| match after.cmp(end) {
                    std::cmp::Ordering::Less => Outcome::NotSent,
                    std::cmp::Ordering::Equal if flushed => Outcome::Unknown,
                    std::cmp::Ordering::Equal => Outcome::NotSent,
                    std::cmp::Ordering::Greater => Outcome::Accepted,
                });
                assert!(expected.eq(outcomes), "{at}: {outcomes:?}");
                let failed: Vec<&Report> =
                    reports.iter().filter(|report| report.result == "CONNECTION_RESET").collect();
                assert_eq!(failed.len(), 1, "{at}");
                assert_eq!(failed[0].phase == Some(Phase::End), failed[0].outcome == Outcome::Unknown, "{at}");
                in_general(&reports, &at);
            }
        }
    }
}

/// Replies that come before the end of the message has left, at each moment:
/// none of them is the answer to it.
#[test]
fn replies_before_the_end_has_left() {
    use smtpclient::proto::{Moment, Want};
    let now = Moment(2000);
    let table = [
        ("250 queued\r\n", "PROTOCOL", Outcome::NotSent),
        ("354 go on\r\n", "PROTOCOL", Outcome::NotSent),
        ("421 bye\r\n", "SERVER_CLOSING", Outcome::NotSent),
        ("452 full\r\n", "MESSAGE_REJECTED", Outcome::RejectedTemporary),
        ("552 too big\r\n", "MESSAGE_REJECTED", Outcome::RejectedPermanent),
    ];
    for (reply, result, outcome) in table {
        for moment in 0..6 {
            let at = format!("{reply:?} at moment {moment}");
            let mut conversation = Conversation::new(Box::new(|point, _| good(point, true)), None, usize::MAX);
            assert_eq!(conversation.open().result, "OK");
            let session = &mut conversation.session;
            let mut envelope = smtpclient::proto::Envelope::default();
            envelope.begin(smtpclient::proto::ReversePath::Null);
            envelope.push(smtpclient::proto::Mailbox::parse("b@y.example").expect("good"));
            session.send(&mut envelope, now).expect("begins");
            session.handle_written(session.output().len(), now);
            session.handle_input(b"250 ok\r\n250 ok\r\n354 go on\r\n", now);
            assert_eq!(session.want(), Want::Content);
            if moment >= 1 {
                session.content(b"some of it", now);
            }
            if moment >= 2 {
                session.handle_written(session.output().len(), now);
                session.handle_flushed();
            }
            if moment >= 3 {
                session.finish_content(now);
            }
            if moment >= 4 {
                session.handle_written(session.output().len() - 1, now);
                session.handle_flushed();
            }
            if moment >= 5 {
                // Written, but not known to have left.
                session.handle_written(1, now);
            }
            session.handle_input(reply.as_bytes(), now);
            let error = session.take_result().expect(&at).expect_err(&at);
            assert_eq!(error.code.name(), format!("SMTP_ERROR_{result}"), "{at}: {error}");
            assert_eq!((error.phase, session.outcome()), (Phase::Content, outcome), "{at}");
            assert!(!session.is_open() && session.output().is_empty(), "{at}");
        }
    }
}

/// One message to a server that answers as told.
#[derive(Clone, Debug)]
struct Case {
    pipelining: bool,
    all_or_nothing: bool,
    mail: u16,
    rcpt: Vec<u16>,
    data: u16,
    end: u16,
}

fn case() -> impl Strategy<Value = Case> {
    let codes = |usual: u16| {
        let others = prop::sample::select(vec![250_u16, 251, 354, 399, 421, 450, 451, 550, 554]);
        prop_oneof![3 => Just(usual), 2 => others]
    };
    let rcpt = prop::collection::vec(codes(250), 1..6);
    (any::<bool>(), any::<bool>(), codes(250), rcpt, codes(354), codes(250)).prop_map(
        |(pipelining, all_or_nothing, mail, rcpt, data, end)| Case {
            pipelining,
            all_or_nothing,
            mail,
            rcpt,
            data,
            end,
        },
    )
}

type Fate = (Vec<RecipientState>, Outcome, &'static str);

/// What must become of it: who was accepted shares the fate of the message.
fn model(case: &Case) -> Fate {
    let (mut states, outcome, result) = conversation(case);
    for state in states.iter_mut().filter(|state| **state == RecipientState::Accepted) {
        *state = match outcome {
            Outcome::Accepted => RecipientState::Accepted,
            Outcome::Unknown => RecipientState::Unknown,
            Outcome::RejectedTemporary if result != "RECIPIENT_REJECTED" => RecipientState::RefusedTemporary,
            Outcome::RejectedPermanent if result != "RECIPIENT_REJECTED" => RecipientState::RefusedPermanent,
            _ => RecipientState::NotTried,
        };
    }
    (states, outcome, result)
}

/// What the server says of each, and of the message.
fn conversation(case: &Case) -> Fate {
    let refused = |code: u16| if code >= 500 { Outcome::RejectedPermanent } else { Outcome::RejectedTemporary };
    let fatal = |code: u16| match code {
        421 => Some("SERVER_CLOSING"),
        300..=399 => Some("PROTOCOL"),
        _ => None,
    };
    let mut states = vec![RecipientState::NotTried; case.rcpt.len()];
    if let Some(result) = fatal(case.mail) {
        return (states, Outcome::NotSent, result);
    }
    let sender_refused = case.mail >= 400;
    let so_far = if sender_refused { refused(case.mail) } else { Outcome::NotSent };
    if !sender_refused || case.pipelining {
        for (state, code) in states.iter_mut().zip(&case.rcpt) {
            if let Some(result) = fatal(*code) {
                return (states, so_far, result);
            }
            *state = match code {
                _ if sender_refused => RecipientState::NotTried,
                200..=299 => RecipientState::Accepted,
                400..=499 => RecipientState::RefusedTemporary,
                _ => RecipientState::RefusedPermanent,
            };
        }
    }
    let accepted = states.iter().filter(|state| **state == RecipientState::Accepted).count();
    let goes = if case.all_or_nothing { accepted == states.len() } else { accepted > 0 };
    if goes {
        let (outcome, result) = match (case.data, case.end) {
            (421, _) => (Outcome::NotSent, "SERVER_CLOSING"),
            (354, 421) => (Outcome::RejectedTemporary, "SERVER_CLOSING"),
            (354, 200..=299) => (Outcome::Accepted, "OK"),
            (354, 300..=399) => (Outcome::Unknown, "PROTOCOL"),
            (354, end) => (refused(end), "MESSAGE_REJECTED"),
            (200..=399, _) => (Outcome::NotSent, "PROTOCOL"),
            (data, _) => (refused(data), "DATA_REJECTED"),
        };
        return (states, outcome, result);
    }
    // DATA went along with the rest, and a server may say yes to it.
    if case.pipelining && !case.all_or_nothing {
        match (case.data, case.end) {
            (421, _) | (354, 421) => return (states, so_far, "SERVER_CLOSING"),
            (200..=353 | 355..=399, _) => return (states, so_far, "PROTOCOL"),
            _ => {}
        }
    }
    if sender_refused {
        return (states, so_far, "SENDER_REJECTED");
    }
    let temporary = states.contains(&RecipientState::RefusedTemporary);
    let outcome = if temporary { Outcome::RejectedTemporary } else { Outcome::RejectedPermanent };
    (states, outcome, if accepted == 0 { "RECIPIENTS_REJECTED" } else { "RECIPIENT_REJECTED" })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    /// A message to a server that gives any answers, and a second one if the
    /// session goes on: as the model says.
    #[test]
    fn any_answers_come_out_as_in_the_model(case in case(), by in prop_oneof![Just(usize::MAX), 1_usize..20]) {
        let answers = case.clone();
        let mut asked = 0;
        let over = Rc::new(Cell::new(false));
        let is_over = Rc::clone(&over);
        let answer: Answer = Box::new(move |point, _| {
            let code = match point {
                _ if is_over.get() => return good(point, answers.pipelining),
                Point::Mail => answers.mail,
                Point::Rcpt => {
                    asked += 1;
                    answers.rcpt[asked - 1]
                }
                Point::Data => answers.data,
                Point::End => answers.end,
                _ => return good(point, answers.pipelining),
            };
            format!("{code} as told\r\n").into_bytes()
        });
        let mut conversation = Conversation::new(answer, None, by);
        conversation.open();
        let report = conversation.send(case.rcpt.len(), case.all_or_nothing, CONTENT);
        prop_assert_eq!((report.states, report.outcome, report.result), model(&case));
        let goes_on = !matches!(report.result, "PROTOCOL" | "SERVER_CLOSING");
        prop_assert_eq!(report.open, goes_on);
        if goes_on {
            over.set(true);
            let before = conversation.contents().len();
            let second = conversation.send(1, false, CONTENT);
            prop_assert_eq!((second.result, second.outcome), ("OK", Outcome::Accepted), "{}", second.sentence);
            prop_assert_eq!(&conversation.contents()[before..], [CONTENT]);
        }
    }
}
