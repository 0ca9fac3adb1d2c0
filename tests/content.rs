//! Whatever a message is and whichever way it is given: over a socket, and through
//! the C interface, comes what was given, with its line ends repaired, and with BDAT
//! for a binary message octet for octet; and nothing of the envelope is in it.

#[path = "support/smtp.rs"]
mod smtp;

use proptest::prelude::*;
use smtp::Smtp;
use smtpclient::client::Property;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

const HIDDEN: &str = "hidden@y.example";

/// Takes messages, and gives the content of each: without the stuffing of DATA.
fn serve(stream: TcpStream, taken: &Sender<Vec<u8>>) -> std::io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    writer.write_all(b"220 hi\r\n")?;
    let mut content = Vec::new();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let mut reply: &[u8] = b"250 ok\r\n";
        if line.starts_with(b"EHLO") {
            reply = b"250-x\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-BINARYMIME\r\n250 CHUNKING\r\n";
        } else if line.starts_with(b"DATA") {
            writer.write_all(b"354 go\r\n")?;
            let mut wire = Vec::new();
            // Only CRLF ends a line, so only that begins one.
            while !(wire == b".\r\n" || wire.ends_with(b"\r\n.\r\n")) {
                let mut octet = [0];
                reader.read_exact(&mut octet)?;
                wire.push(octet[0]);
            }
            wire.truncate(wire.len() - 3);
            let mut at_start = true;
            for (at, octet) in wire.iter().enumerate() {
                if !(at_start && *octet == b'.') {
                    content.push(*octet);
                }
                at_start = *octet == b'\n' && at > 0 && wire[at - 1] == b'\r';
            }
            taken.send(std::mem::take(&mut content)).expect("somebody asks");
        } else if line.starts_with(b"BDAT") {
            let text = String::from_utf8_lossy(&line[5..]).into_owned();
            let size: usize = text.split_whitespace().next().and_then(|size| size.parse().ok()).expect("a size");
            let before = content.len();
            content.resize(before + size, 0);
            reader.read_exact(&mut content[before..])?;
            if text.contains("LAST") {
                assert!(size > 0, "an empty last chunk");
                taken.send(std::mem::take(&mut content)).expect("somebody asks");
            }
        } else if line.starts_with(b"QUIT") {
            return writer.write_all(b"221 bye\r\n");
        }
        writer.write_all(reply)?;
    }
}

fn start() -> (u16, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        serve(stream, &sender).expect("a whole conversation");
    });
    (port, receiver)
}

/// An octet at a time: a CR or LF alone is a line end, and the last line has one.
fn repaired(input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = input;
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            b'\r' => {
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
                out.extend_from_slice(b"\r\n");
            }
            b'\n' => out.extend_from_slice(b"\r\n"),
            other => out.push(*other),
        }
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The input in pieces, none of them empty.
fn pieces<'a>(input: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    at.extend([0, input.len()]);
    at.sort_unstable();
    at.windows(2).map(|ends| &input[ends[0]..ends[1]]).filter(|piece| !piece.is_empty()).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Memory,
    File,
    Reader,
    Steps,
}

fn give(client: &Smtp, way: Way, input: &[u8], cuts: &[prop::sample::Index]) {
    let recipients = format!("b@y.example,{HIDDEN}");
    let folder = env!("CARGO_TARGET_TMPDIR");
    let file = |number: usize, octets: &[u8]| {
        let path = format!("{folder}/content-{}-{number}.eml", std::process::id());
        std::fs::write(&path, octets).expect("written");
        path
    };
    match way {
        Way::Memory => client.send("a@x.example", &recipients, input),
        Way::File => client.send_file("a@x.example", &recipients, &file(0, input)),
        Way::Reader => {
            let mut left: Vec<&[u8]> = pieces(input, cuts);
            left.reverse();
            client.send_stream_to(&recipients, u64::MAX, &mut |buffer| {
                let Some(piece) = left.pop() else { return 0 };
                let (now, later) = piece.split_at(piece.len().min(buffer.len()));
                buffer[..now.len()].copy_from_slice(now);
                if !later.is_empty() {
                    left.push(later);
                }
                i64::try_from(now.len()).expect("small")
            })
        }
        Way::Steps => {
            client.create("a@x.example", 0).expect("begun");
            client.add_recipient("b@y.example").expect("taken");
            client.add_recipient(HIDDEN).expect("taken");
            for (number, piece) in pieces(input, cuts).into_iter().enumerate() {
                if number % 3 == 2 {
                    client.append_file(&file(1, piece)).expect("given");
                } else {
                    client.write(piece).expect("given");
                }
            }
            client.close_message()
        }
    }
    .unwrap_or_else(|failure| panic!("{way:?}: {failure:?}"));
    assert_eq!((client.message_outcome(), client.states()), ("ACCEPTED", vec!["ACCEPTED"; 2]), "{way:?}");
}

/// Messages in which what is special is common; some of more than one chunk.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let special = prop::sample::select(vec![
        &b"."[..],
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n.\r\n",
        b"\n.\n",
        b"..",
        b"\0",
        b"\xff",
        b"x",
        b"BDAT 3 LAST\r\n",
        b"a longer line",
    ]);
    let special = prop::collection::vec(special, 0..60).prop_map(|parts| parts.concat());
    (special, prop::collection::vec(any::<u8>(), 0..40), prop_oneof![8 => 1_usize..3, 1 => 500_usize..2500])
        .prop_map(|(special, any, times)| [special, any].concat().repeat(times))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn what_is_given_is_what_comes(input in message(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let (port, taken) = start();
        let client = Smtp::new();
        // The header of a random message may be anything.
        client.set(Property::LeaveOut, 1);
        client.connect(port, 0).expect("connects");
        for (chunking, binary) in [(0, 0), (2, 0), (1, 1)] {
            client.set(Property::Chunking, chunking);
            client.set(Property::Binary, binary);
            // The last chunk must have something in it.
            let expected = match (binary, repaired(&input)) {
                (1, _) if !input.is_empty() => input.clone(),
                (_, whole) if whole.is_empty() && chunking > 0 => b"\r\n".to_vec(),
                (_, whole) => whole,
            };
            for way in [Way::Memory, Way::File, Way::Reader, Way::Steps] {
                give(&client, way, &input, &cuts);
                let found = taken.recv().expect("a message");
                let same = found == expected;
                prop_assert!(same, "{:?}, chunking {}, binary {}: {} octets, {} expected", way, chunking, binary, found.len(), expected.len());
                let hidden = HIDDEN.as_bytes();
                prop_assert!(!found.windows(hidden.len()).any(|octets| octets == hidden));
            }
        }
        client.disconnect().expect("always");
    }
}
