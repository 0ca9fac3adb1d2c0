//! A login against a server that says whatever it likes.

use smtpclient::proto::Secret;
use smtpclient::proto::sasl::{Credentials, Exchange, Mechanism};

const PASSWORD: &str = "correct horse";

/// A mechanism by the first octet, and what the server says, each challenge behind the
/// one before with `SEPARATOR` between.
pub fn log_in(data: &[u8]) -> Exchange {
    const SEPARATOR: &[u8] = b"\n--\n";
    let (first, mut rest) = data.split_first().map_or((0, data), |(first, rest)| (usize::from(*first), rest));
    let mechanism = Mechanism::ALL[first % Mechanism::ALL.len()];
    let mut exchange = Exchange::new(mechanism, credentials());
    assert_eq!(exchange.mechanism(), mechanism);
    let initial = (first < 128).then(|| exchange.initial()).flatten();
    check(mechanism, initial.as_ref());
    let mut answers = 0;
    let mut more = true;
    while more {
        let end = rest.windows(SEPARATOR.len()).position(|part| part == SEPARATOR);
        let (challenge, behind) = match end {
            Some(end) => (&rest[..end], &rest[end + SEPARATOR.len()..]),
            None => (rest, &rest[rest.len()..]),
        };
        more = end.is_some();
        rest = behind;
        let was_proven = exchange.is_proven();
        match exchange.step(challenge) {
            Ok(answer) => {
                check(mechanism, Some(&answer));
                answers += 1;
                assert!(answers <= 4, "{mechanism:?} goes on for ever");
            }
            Err(objection) => {
                assert!(
                    !objection.is_empty() && !objection.contains(char::is_control) && !objection.contains(PASSWORD)
                );
                // What is over stays over.
                assert!(!mechanism.is_scram() || !exchange.is_proven() || was_proven);
            }
        }
        let told = [exchange.complaint().map(str::to_owned), exchange.token_remedy()];
        for text in told.iter().flatten() {
            assert!(!text.contains(char::is_control) && text.len() < 4000, "{text:?}");
        }
    }
    assert!(!format!("{exchange:?}").contains(PASSWORD));
    exchange
}

fn credentials() -> Credentials {
    Credentials {
        user: "user".into(),
        password: Secret::new(PASSWORD),
        // {"alg":"none"}.{"exp":1700000000,"email":"you@x.example","scope":"a b"}.x
        token: Secret::new(
            "eyJhbGciOiJub25lIn0.eyJleHAiOjE3MDAwMDAwMDAsImVtYWlsIjoieW91QHguZXhhbXBsZSIsInNjb3BlIjoiYSBiIn0.eA",
        ),
        host: "mail.example".into(),
        nonce: "fyko+d2lbbFgONRv9qkxdawL".into(),
        time: 1_800_000_000,
        binding: Some(Secret::new([7; 32])),
        ..Credentials::default()
    }
}

/// A mechanism that says that it keeps the password to itself does.
fn check(mechanism: Mechanism, answer: Option<&Secret>) {
    let Some(answer) = answer else { return };
    let shows = answer.expose().windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes());
    assert!(!shows || mechanism.reveals_secret(), "{mechanism:?}");
}
