//! Transcripts: the form is told in tests/transcripts/README.md.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use smtpclient::client::AUTH_TYPES;
use smtpclient::proto::Security;
use smtpclient::proto::sasl::Mechanism;
use std::path::Path;

/// One action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Open,
    Auth(String, String),
    Send {
        sender: String,
        recipients: String,
        content: Vec<u8>,
    },
    Create {
        sender: String,
        size: u64,
    },
    Recipient(String),
    Write(Vec<u8>),
    Close,
    Reset,
    Quit,
    Command(String, String),
    Ask(String, String),
    Turn(String),
    Client(Vec<u8>),
    /// A line of the client's that begins so: what follows was masked.
    ClientMasked(Vec<u8>),
    /// So many octets of the client's.
    ClientOctets(usize),
    Server(Vec<u8>),
    Tls(bool),
    Ok,
    Fail {
        code: String,
        phase: String,
    },
    Outcome(String),
    /// What became of each recipient.
    Recipients(Vec<String>),
    /// The server is left, and another session begins over a new connection.
    Reconnect,
}

/// One conversation.
#[derive(Clone, Debug)]
pub struct Transcript {
    pub name: String,
    pub security: Security,
    pub extended: bool,
    pub private_path: bool,
    pub all_or_nothing: bool,
    pub delivery: u32,
    pub envelope_id: String,
    pub leave_out: bool,
    pub parameters: String,
    pub lmtp: bool,
    pub chunking: i64,
    pub binary: bool,
    pub deliver_by: String,
    pub hold_for: u32,
    pub hold_until: String,
    pub priority: i8,
    pub require_tls: bool,
    pub auth_sender: String,
    pub disabled: String,
    /// Address, bits, original recipient.
    pub recipients: Vec<(String, u32, Option<String>)>,
    pub mechanism: Option<Mechanism>,
    pub methods: Vec<Mechanism>,
    pub binding: Option<String>,
    pub token: String,
    pub identity: String,
    pub nonce: String,
    pub actions: Vec<Action>,
}

impl Transcript {
    /// A conversation without TLS over a private path, in which nothing happens yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            security: Security::None,
            extended: true,
            private_path: true,
            all_or_nothing: false,
            delivery: 0,
            envelope_id: String::new(),
            leave_out: false,
            parameters: String::new(),
            lmtp: false,
            chunking: 1,
            binary: false,
            deliver_by: String::new(),
            hold_for: 0,
            hold_until: String::new(),
            priority: 0,
            require_tls: false,
            auth_sender: String::new(),
            disabled: String::new(),
            recipients: Vec::new(),
            mechanism: None,
            methods: Vec::new(),
            binding: None,
            token: String::new(),
            identity: String::new(),
            nonce: String::new(),
            actions: Vec::new(),
        }
    }

    /// Whether it can be played over a socket as it stands.
    pub fn is_plain(&self) -> bool {
        self.private_path
            && self.nonce.is_empty()
            && !self.actions.iter().any(|action| matches!(action, Action::Tls(_)))
    }

    /// How many octets the server sends in all.
    pub fn server_octets(&self) -> usize {
        let length = |action: &Action| if let Action::Server(octets) = action { octets.len() } else { 0 };
        self.actions.iter().map(length).sum()
    }
}

/// Every transcript of the folder.
pub fn all() -> Vec<Transcript> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of transcripts")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.iter().map(|path| parse(path)).collect()
}

/// One transcript, or a trace that the library has written.
pub fn parse(path: &Path) -> Transcript {
    let text = std::fs::read_to_string(path).expect("readable");
    let mut transcript = Transcript::new(path.file_stem().expect("a name").to_string_lossy());
    for line in text.lines() {
        let line = without_time(line);
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.splitn(if word == "recipients" { 100 } else { 4 }, ' ').collect();
        let action = match (word, words.as_slice()) {
            ("#", _) => continue,
            ("set", ["security", mode]) => {
                transcript.security = match *mode {
                    "none" => Security::None,
                    "opportunistic" => Security::Opportunistic,
                    "required" => Security::Required,
                    "implicit" => Security::Implicit,
                    _ => panic!("{}: {line}", transcript.name),
                };
                continue;
            }
            ("set", ["basic"]) => {
                transcript.extended = false;
                continue;
            }
            ("set", ["public"]) => {
                transcript.private_path = false;
                continue;
            }
            ("set", ["delivery", bits, id]) => {
                transcript.delivery = u32::from_str_radix(bits.trim_start_matches("0x"), 16).expect("bits");
                transcript.envelope_id = (*id).to_owned();
                continue;
            }
            ("set", ["leave-out"]) => {
                transcript.leave_out = true;
                continue;
            }
            ("set", ["parameters", ..]) => {
                transcript.parameters = rest.trim_start_matches("parameters ").to_owned();
                continue;
            }
            ("set", ["lmtp"]) => {
                transcript.lmtp = true;
                continue;
            }
            ("set", ["chunking", choice]) => {
                transcript.chunking =
                    ["never", "needed", "always"].iter().position(|c| c == choice).expect("a choice") as i64;
                continue;
            }
            ("set", ["binary"]) => {
                transcript.binary = true;
                continue;
            }
            ("set", ["deliver-by", value]) => {
                transcript.deliver_by = (*value).to_owned();
                continue;
            }
            ("set", ["hold-for", value]) => {
                transcript.hold_for = value.parse().expect("seconds");
                continue;
            }
            ("set", ["hold-until", value]) => {
                transcript.hold_until = (*value).to_owned();
                continue;
            }
            ("set", ["priority", value]) => {
                transcript.priority = value.parse().expect("a priority");
                continue;
            }
            ("set", ["require-tls"]) => {
                transcript.require_tls = true;
                continue;
            }
            ("set", ["auth-sender", value]) => {
                transcript.auth_sender = (*value).to_owned();
                continue;
            }
            ("set", ["disabled", ..]) => {
                transcript.disabled = rest.trim_start_matches("disabled ").to_owned();
                continue;
            }
            ("set", ["recipient", address, bits, original]) => {
                let bits = u32::from_str_radix(bits.trim_start_matches("0x"), 16).expect("bits");
                let original = (*original != "-").then(|| (*original).to_owned());
                transcript.recipients.push(((*address).to_owned(), bits, original));
                continue;
            }
            ("set", ["auth", name]) => {
                let found = AUTH_TYPES.iter().find(|(_, known, _)| known == name);
                transcript.mechanism = found.expect("a type of login").0;
                continue;
            }
            ("set", ["methods", names @ ..]) => {
                transcript.methods = names.iter().map(|name| Mechanism::of_name(name).expect("a method")).collect();
                continue;
            }
            ("set", ["binding", text]) => {
                transcript.binding = Some((*text).to_owned());
                continue;
            }
            ("set", ["token", token]) => {
                transcript.token = (*token).to_owned();
                continue;
            }
            ("set", ["identity", identity]) => {
                transcript.identity = (*identity).to_owned();
                continue;
            }
            ("set", ["nonce", nonce]) => {
                transcript.nonce = (*nonce).to_owned();
                continue;
            }
            ("set", ["all-or-nothing"]) => {
                transcript.all_or_nothing = true;
                continue;
            }
            ("do", ["command", verb, parameters @ ..]) => Action::Command((*verb).into(), parameters.join(" ")),
            ("do", ["ask", verb, address]) => Action::Ask((*verb).into(), (*address).into()),
            ("do", ["turn", node]) => Action::Turn((*node).into()),
            ("do", ["open"]) => Action::Open,
            ("do", ["create", sender, size]) => {
                Action::Create { sender: (*sender).into(), size: size.parse().expect("a number") }
            }
            ("do", ["recipient", address]) => Action::Recipient((*address).into()),
            ("do", ["write", ..]) => Action::Write(unescaped(rest.trim_start_matches("write "))),
            ("do", ["close"]) => Action::Close,
            ("reconnect", _) => Action::Reconnect,
            ("recipients", names) => Action::Recipients(names.iter().map(|name| (*name).to_owned()).collect()),
            ("do", ["reset"]) => Action::Reset,
            ("do", ["quit"]) => Action::Quit,
            ("do", ["auth", user, password]) => Action::Auth((*user).into(), (*password).into()),
            ("do", ["send", sender, recipients, content]) => Action::Send {
                sender: (*sender).into(),
                recipients: (*recipients).into(),
                content: if *content == "-" { Vec::new() } else { unescaped(content) },
            },
            ("C", _) if rest.ends_with(MASK) => Action::ClientMasked(rest.trim_end_matches('*').into()),
            ("C#", [count]) => Action::ClientOctets(count.parse().expect("a number")),
            ("C", _) => Action::Client(format!("{rest}\r\n").into_bytes()),
            ("S", _) => Action::Server(format!("{rest}\r\n").into_bytes()),
            ("C=", _) => Action::Client(unescaped(rest)),
            ("S=", _) => Action::Server(unescaped(rest)),
            ("tls", ["good"]) => Action::Tls(true),
            ("tls", ["bad"]) => Action::Tls(false),
            ("ok", _) => Action::Ok,
            ("fail", [code, phase]) => Action::Fail { code: format!("SMTP_ERROR_{code}"), phase: (*phase).into() },
            ("outcome", [name]) => Action::Outcome((*name).into()),
            _ => panic!("{}: {line}", transcript.name),
        };
        transcript.actions.push(action);
    }
    transcript
}

/// What the library writes in the place of a secret.
const MASK: &str = "********";

/// A trace has the time in front of each line.
fn without_time(line: &str) -> &str {
    match line.split_once(' ') {
        Some((time, rest)) if time.starts_with(|c: char| c.is_ascii_digit()) && time.ends_with('Z') => rest,
        _ => line,
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let (octet, length) = match behind.as_bytes() {
            [b'r', ..] => (b'\r', 1),
            [b'n', ..] => (b'\n', 1),
            [b't', ..] => (b'\t', 1),
            [b'\\', ..] => (b'\\', 1),
            [b'x', ..] => (u8::from_str_radix(&behind[1..3], 16).expect("two digits"), 3),
            _ => panic!("an escape that is not known: {text}"),
        };
        out.push(octet);
        rest = &behind[length..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}
