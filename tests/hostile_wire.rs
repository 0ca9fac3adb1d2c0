//! Networks and servers that break, over real sockets and through the C
//! interface: resets and silence at every point of a conversation. The same in
//! memory, and much more, is in `hostile.rs`.

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/smtp.rs"]
mod smtp;

use scripted::{Scripted, Step};
use smtp::{Failure, Smtp};
use smtpclient::client::Property;
use smtpclient::error::{Class, Code, Phase};

/// A point of the conversation: what the client was told up to it, as the number
/// of steps, and what is true there.
struct Point {
    steps: usize,
    phase: Phase,
    limit: Property,
}

const MESSAGE: &[u8] = b"Subject: x\r\n\r\nx\r\n";

/// One reply a command, so that each phase has a moment of its own.
fn stepwise() -> Vec<Step> {
    let pairs: [(&str, &[u8]); 8] = [
        ("250 mail.example", b"EHLO client.example\r\n"),
        ("250 2.1.0 ok", b"MAIL FROM:<a@x.example>\r\n"),
        ("250 2.1.5 ok", b"RCPT TO:<b@y.example>\r\n"),
        ("550 5.1.1 no", b"RCPT TO:<c@z.example>\r\n"),
        ("354 go on", b"DATA\r\n"),
        ("250 2.0.0 ok", b"Subject: x\r\n\r\nx\r\n.\r\n"),
        ("250 2.0.0 ok", b"RSET\r\n"),
        ("250 2.0.0 ok", b"NOOP\r\n"),
    ];
    let mut steps = vec![Step::Send(b"220 mail.example\r\n".to_vec())];
    for (reply, command) in pairs {
        steps.push(Step::Expect(command.to_vec()));
        steps.push(Step::Send(format!("{reply}\r\n").into_bytes()));
    }
    steps
}

fn points() -> Vec<Point> {
    let table = [
        (Phase::Greeting, Property::TimeoutGreeting),
        (Phase::Ehlo, Property::TimeoutCommand),
        (Phase::Mail, Property::TimeoutMail),
        (Phase::Rcpt, Property::TimeoutRcpt),
        (Phase::Rcpt, Property::TimeoutRcpt),
        (Phase::Data, Property::TimeoutData),
        (Phase::End, Property::TimeoutEnd),
        (Phase::Reset, Property::TimeoutCommand),
        (Phase::Command, Property::TimeoutCommand),
    ];
    table.into_iter().enumerate().map(|(number, (phase, limit))| Point { steps: 2 * number, phase, limit }).collect()
}

/// The whole conversation, as far as it goes.
fn converse(client: &Smtp, port: u16) -> Result<(), Failure> {
    client.connect(port, 0)?;
    client.send("a@x.example", "b@y.example,c@z.example", MESSAGE)?;
    client.reset()?;
    client.command("NOOP", "")
}

/// Fails as it has to at a point, with everything that is told about it.
fn check(client: &Smtp, failure: &Failure, point: &Point, at: &str) {
    assert_eq!(failure.phase, point.phase, "{at}: {failure:?}");
    assert_eq!(failure.code.class(), Class::Wire, "{at}: {failure:?}");
    let outcome = match point.phase {
        Phase::End => "UNKNOWN",
        Phase::Reset | Phase::Command => "ACCEPTED",
        _ => "NOT_SENT",
    };
    assert_eq!(client.message_outcome(), outcome, "{at}");
    assert_eq!(client.integer(Property::SafeToRetry), i64::from(outcome == "NOT_SENT"), "{at}");
    assert_eq!(failure.sentence.contains("may have been delivered"), outcome == "UNKNOWN", "{at}: {failure:?}");
    // The one that was accepted shares the fate of the message.
    let decided = usize::from(outcome == "ACCEPTED") + usize::from(point.steps > 8);
    let known = client.integer(Property::RecipientsAccepted) + client.integer(Property::RecipientsRefused);
    assert_eq!(usize::try_from(known), Ok(decided), "{at}");
    assert_eq!(client.integer(Property::IsConnected), 0, "{at}");
    let again = client.send("a@x.example", "b@y.example", MESSAGE).expect_err("the connection is gone");
    assert_eq!(again.code, Code::NOT_CONNECTED, "{at}");
}

/// In front of a reply, in the middle of its code, in the middle of its text,
/// and with its CR the last to come.
#[test]
fn a_reset_in_the_middle_of_every_reply() {
    let whole = stepwise();
    for point in points() {
        let Step::Send(reply) = &whole[point.steps] else { panic!("the server speaks at every other step") };
        for told in [0, 2, 6, reply.len() - 1] {
            let mut script = whole[..point.steps].to_vec();
            if told > 0 {
                script.push(Step::Send(reply[..told].to_vec()));
            }
            // A reset overtakes what was sent before it; both are to arrive.
            script.extend([Step::Pause(10), Step::Reset]);
            let server = Scripted::start(script);
            let client = Smtp::new();
            let failure = converse(&client, server.port).expect_err("cut off");
            let at = format!("a reset after {told} octets of {}", reply.escape_ascii());
            assert!([Code::CONNECTION_RESET, Code::CONNECTION_CLOSED].contains(&failure.code), "{at}: {failure:?}");
            check(&client, &failure, &point, &at);
            server.finish().unwrap_or_else(|problem| panic!("{at}: {problem}"));
        }
    }
}

/// The connection is reset while a large message is under way: it was not sent.
#[test]
fn a_reset_in_the_middle_of_the_content() {
    for taken in [0, 1, 100_000] {
        let mut script = stepwise()[..11].to_vec();
        script.push(Step::Expect(vec![b'x'; taken]));
        script.push(Step::Reset);
        let server = Scripted::start(script);
        let client = Smtp::new();
        client.connect(server.port, 0).expect("connects");
        let message = vec![b'x'; 20_000_000];
        let failure = client.send("a@x.example", "b@y.example,c@z.example", &message).expect_err("cut off");
        assert_eq!((failure.code.class(), failure.phase), (Class::Wire, Phase::Content), "{failure:?}");
        assert_eq!((client.message_outcome(), client.integer(Property::SafeToRetry)), ("NOT_SENT", 1));
        server.finish().expect("as scripted");
    }
}

/// The server stays connected and says nothing, or half of something: the limit
/// of that phase ends the call, and the others have nothing to do with it.
#[test]
fn silence_in_every_phase() {
    let whole = stepwise();
    let points = points();
    let limits: Vec<Property> = points.iter().map(|point| point.limit).collect();
    // All at a time, so that the limit can be long enough for a busy machine.
    std::thread::scope(|scope| {
        for point in &points {
            for half in [false, true] {
                let (whole, limits) = (&whole, &limits);
                scope.spawn(move || silence_at(point, half, whole, limits));
            }
        }
    });
}

fn silence_at(point: &Point, half: bool, whole: &[Step], limits: &[Property]) {
    let mut script = whole[..point.steps].to_vec();
    if half {
        script.push(Step::Send(b"250-half of".to_vec()));
    }
    script.push(Step::AwaitClose);
    let server = Scripted::start(script);
    let client = Smtp::new();
    for limit in limits {
        client.set(*limit, 300_000);
    }
    client.set(point.limit, 700);
    let failure = converse(&client, server.port).expect_err("silent");
    let at = format!("silence in {:?}, half a reply before it: {half}", point.phase);
    assert_eq!(failure.code, Code::TIMEOUT, "{at}: {failure:?}");
    assert!(failure.sentence.contains(" 700 ms "), "{at}: {failure:?}");
    check(&client, &failure, point, &at);
    server.finish().unwrap_or_else(|problem| panic!("{at}: {problem}"));
}

/// A server that takes nothing of a large message: the limit of the content.
#[test]
fn silence_while_the_content_goes_out() {
    let mut script = stepwise()[..11].to_vec();
    script.push(Step::Pause(1500));
    script.push(Step::Reset);
    let server = Scripted::start(script);
    let client = Smtp::new();
    client.connect(server.port, 0).expect("connects");
    client.set(Property::TimeoutContent, 120);
    let failure =
        client.send("a@x.example", "b@y.example,c@z.example", &vec![b'x'; 50_000_000]).expect_err("not taken");
    assert_eq!((failure.code, failure.phase), (Code::TIMEOUT, Phase::Content), "{failure:?}");
    assert!(failure.sentence.contains("120 ms"), "{failure:?}");
    assert_eq!((client.message_outcome(), client.integer(Property::SafeToRetry)), ("NOT_SENT", 1));
    server.finish().expect("as scripted");
}
