//! The fuzz targets of `fuzz/` on stable Rust, for a moment: the seeds that are
//! committed there, and octets invented from them. The same every time.

#[path = "../fuzz/src/lib.rs"]
mod bodies;

use std::path::Path;

/// How many inputs are made from each target's seeds.
const ROUNDS: usize = 20_000;

/// Numbers that look like chance (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).expect("31 bits") % limit
    }

    fn octet(&mut self) -> u8 {
        u8::try_from(self.below(256)).expect("an octet")
    }
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{name} has no seeds");
    paths.iter().map(|path| std::fs::read(path).expect("readable")).collect()
}

/// One input made from another: octets changed, put in, taken out, doubled.
fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], chance: &mut Chance) {
    for _ in 0..=chance.below(6) {
        let at = chance.below(input.len() + 1);
        let end = at + chance.below(input.len() - at + 1).min(16);
        match chance.below(6) {
            0 if at < input.len() => input[at] = chance.octet(),
            1 if at < input.len() => input[at] ^= 1 << chance.below(8),
            2 => input.insert(at, chance.octet()),
            3 => drop(input.drain(at..end)),
            4 => {
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece);
            }
            _ => {
                let other = &seeds[chance.below(seeds.len())];
                let from = chance.below(other.len() + 1);
                let piece = other[from..].iter().take(40).copied().collect::<Vec<_>>();
                input.splice(at..at, piece);
            }
        }
    }
}

fn run(name: &str) {
    let (_, body) = bodies::TARGETS.into_iter().find(|(known, _)| *known == name).expect("a target");
    let seeds = seeds(name);
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    let mut input = Vec::new();
    for round in 0..ROUNDS {
        match round.checked_sub(seeds.len()) {
            None => input.clone_from(&seeds[round]),
            // Sometimes out of nothing.
            Some(_) if chance.below(4) == 0 => input = (0..chance.below(200)).map(|_| chance.octet()).collect(),
            Some(_) => {
                if chance.below(3) > 0 || input.len() > 2000 {
                    input.clone_from(&seeds[chance.below(seeds.len())]);
                }
                mutate(&mut input, &seeds, &mut chance);
            }
        }
        let shown = Shown(name, &input);
        body(&input);
        std::mem::forget(shown);
    }
}

/// Prints the input if the target panics.
struct Shown<'a>(&'a str, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        eprintln!("{} failed with: \"{}\"", self.0, self.1.escape_ascii());
    }
}

/// The seeds of the session get where they are meant to get: a target that gives
/// up at its first step would never fail.
#[test]
fn the_seeds_of_the_session_go_far() {
    let table: [(&str, &[&str]); 15] = [
        ("one_message", &["OK NOT_SENT", "OK ACCEPTED"]),
        ("pipelined", &["OK NOT_SENT", "OK ACCEPTED", "MESSAGE_REJECTED REJECTED_PERMANENT", "OK REJECTED_PERMANENT"]),
        ("login", &["OK NOT_SENT", "OK NOT_SENT"]),
        ("login_in_steps", &["OK NOT_SENT", "OK NOT_SENT"]),
        ("login_in_the_clear", &["OK NOT_SENT"]),
        ("starttls", &["OK NOT_SENT", "OK NOT_SENT"]),
        ("implicit", &["OK NOT_SENT", "OK ACCEPTED"]),
        ("injection", &["STARTTLS_INJECTION NOT_SENT"]),
        ("refused_recipients", &["OK NOT_SENT", "RECIPIENT_REJECTED REJECTED_PERMANENT"]),
        ("half_written", &["OK NOT_SENT", "PROTOCOL NOT_SENT"]),
        ("end_half_written", &["OK NOT_SENT", "CONNECTION_RESET NOT_SENT"]),
        ("reset_at_end", &["OK NOT_SENT", "CONNECTION_RESET UNKNOWN"]),
        ("timeout_at_end", &["OK NOT_SENT", "TIMEOUT UNKNOWN"]),
        (
            "steps",
            &[
                "OK NOT_SENT",
                "OK NOT_SENT",
                "RECIPIENT_REJECTED NOT_SENT",
                "OK NOT_SENT",
                "OK NOT_SENT",
                "OK NOT_SENT",
                "OK ACCEPTED",
            ],
        ),
        (
            "steps_reset",
            &[
                "OK NOT_SENT",
                "OK NOT_SENT",
                "OK NOT_SENT",
                "OK NOT_SENT",
                "OK NOT_SENT",
                "OK NOT_SENT",
                "DATA_REJECTED REJECTED_TEMPORARY",
                "OK NOT_SENT",
            ],
        ),
    ];
    for (name, expected) in table {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/session").join(name);
        let found = bodies::play(&std::fs::read(&path).expect("readable"));
        let found: Vec<&str> = found.iter().map(|result| result.trim_start_matches("SMTP_ERROR_")).collect();
        assert_eq!(found, expected, "{name}");
    }
}

/// As above: the seeds of logins in which the server proves itself, or has its say.
#[test]
fn the_seeds_of_logins_go_far() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/sasl");
    let log_in = |name: &str| bodies::log_in(&std::fs::read(folder.join(name)).expect("readable"));
    for name in ["scram_sha_512_plus", "scram_sha_256", "scram_sha_1_plus", "digest_md5"] {
        assert!(log_in(name).is_proven(), "{name}");
    }
    assert!(!log_in("scram_wrong_proof").is_proven());
    assert_eq!(log_in("oauthbearer").complaint(), Some("status invalid_token, scope mail"));
    assert!(log_in("xoauth2").token_remedy().is_some_and(|remedy| remedy.contains("expired")));
    // The challenge was answered, so the login is over.
    assert_eq!(log_in("ntlm").step(b"").expect_err("over"), "it is not one of this method's");
}

macro_rules! targets {
    ($($name:ident)+) => {
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })+

        #[test]
        fn every_target_is_run_and_built() {
            let names = [$(stringify!($name)),+];
            assert_eq!(bodies::TARGETS.map(|(name, _)| name), names);
            let manifest = include_str!("../fuzz/Cargo.toml");
            for name in names {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz/fuzz_targets/{name}.rs"));
                let text = std::fs::read_to_string(&path).expect("the target's file");
                assert!(text.contains(&format!("bodies::{name}(data)")), "{}", path.display());
                assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
            }
        }
    };
}

targets! {
    reply ehlo address enhanced_code parameters dot_stuffing session proxy sasl message message_header message_address
}
