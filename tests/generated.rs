//! Files that are made from the library's tables and sources: the header, the
//! reference pages and the Python binding's tables. The test compares them;
//! `UPDATE_GENERATED=1 cargo test --test generated` writes them anew.

#![allow(clippy::unwrap_used)]

use smtpclient::client::{
    AUTH_TYPES, Access, Chunking, DIRECTIONS, EVENTS, EXTENDED_OPTIONS, Kind, OPTIONS, PORTS, PROTOCOLS, ReportText,
    STATES, TABLE as PROPERTIES, TRACE_FLAGS, auth_type_number,
};
use smtpclient::error::{Class, Phase, TABLE as ERRORS};
use smtpclient::ffi::{
    SMTP_ABI_VERSION, SMTP_MESSAGE_ENCODING, SMTP_MESSAGE_FLOWED, SMTP_MESSAGE_PRIORITY, SMTP_PART_TEXT_CHARSET,
    SMTP_PART_TEXT_CONTENT, SMTP_PART_TEXT_CONTENT_ID, SMTP_PART_TEXT_DISPOSITION, SMTP_PART_TEXT_ENCODING,
    SMTP_PART_TEXT_NAME, SMTP_PART_TEXT_TYPE, SMTP_PENDING, SMTP_POLL_READ, SMTP_POLL_WRITE,
    SMTP_RECIPIENT_TEXT_ADDRESS, SMTP_RECIPIENT_TEXT_REPLY,
};
use smtpclient::message::{EXPORT_OPTIONS, Priority, TextEncoding};
use smtpclient::net::certificate::CertificateStatus;
use smtpclient::net::local::Family;
use smtpclient::net::tls_settings::TlsVersion;
use smtpclient::proto::{BatchMode, DELIVERIES, Outcome, RecipientState, Security};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const NOTE: &str = "Generated from the sources by tests/generated.rs; do not edit.";

/// One group of integer constants: what it is about, and name, value and meaning of each.
struct Group {
    prefix: &'static str,
    about: &'static str,
    members: Vec<(String, i64, String)>,
}

fn groups() -> Vec<Group> {
    let group = |prefix, about, members| Group { prefix, about, members };
    let option = |(name, value, doc): &(&str, u32, &str)| ((*name).to_owned(), i64::from(*value), (*doc).to_owned());
    let modes = [
        (
            Security::Opportunistic,
            "OPPORTUNISTIC",
            "STARTTLS if the server offers it; the certificate need not be good, but then no password is sent.",
        ),
        (Security::None, "NONE", "No TLS."),
        (Security::Required, "REQUIRED", "STARTTLS with a good certificate, or no session at all."),
        (Security::Implicit, "IMPLICIT", "TLS with a good certificate before the first octet of SMTP."),
    ];
    let outcomes = |outcome: Outcome| match outcome {
        Outcome::NotSent => "The end of the message did not leave this machine: the server cannot have taken it.",
        Outcome::Accepted => "The server took the message, for at least one recipient.",
        Outcome::RejectedTemporary => "The server refused it with a 4xx reply; a later try may succeed.",
        Outcome::RejectedPermanent => "The server refused it with a 5xx reply.",
        Outcome::Unknown => "The end of the message was sent and no answer came: it may have been taken.",
    };
    let states = |state: RecipientState| match state {
        RecipientState::NotTried => "The server was not asked, or nothing was completed for it.",
        RecipientState::Accepted => "The server took the message for it; while the message is under way, the address.",
        RecipientState::RefusedTemporary => {
            "The server refused it, or the message, with a 4xx reply; a later try may succeed."
        }
        RecipientState::RefusedPermanent => "The server refused it, or the message, with a 5xx reply.",
        RecipientState::Unknown => "The end of the message was sent and no answer came: it may have been taken.",
    };
    let classes = [
        (Class::Caller, "CALLER", "The program misused the library, or cancelled."),
        (Class::Server, "SERVER", "The server refused, or broke the protocol."),
        (Class::Wire, "WIRE", "Name resolution, the network, TLS or time failed."),
        (Class::Internal, "INTERNAL", "A defect of the library."),
    ];
    vec![
        group(
            "SMTP_OPTION_",
            "Options of SmtpConnect and SMTP_PROPERTY_OPTIONS; bits.",
            OPTIONS.iter().map(option).collect(),
        ),
        group("SMTP_PORT_", "Ports for SmtpConnect.", PORTS.iter().map(option).collect()),
        group("SMTP_DELIVERY_", "Bits of SMTP_PROPERTY_DELIVERY_OPTIONS.", DELIVERIES.iter().map(option).collect()),
        group(
            "SMTP_EXTOPT_",
            "Bits of SMTP_PROPERTY_EXTENDED_OPTIONS: what the server offers.",
            EXTENDED_OPTIONS
                .iter()
                .map(|option| (option.name.to_owned(), i64::from(option.value), option.doc.to_owned()))
                .collect(),
        ),
        group(
            "SMTP_TLS_",
            "Values of SMTP_PROPERTY_TLS_MODE.",
            modes.iter().map(|(mode, name, doc)| ((*name).to_owned(), *mode as i64, (*doc).to_owned())).collect(),
        ),
        group(
            "SMTP_PROTOCOL_",
            "Values of SmtpSecurityInfo: the version of TLS.",
            PROTOCOLS
                .iter()
                .map(|(name, value, doc, _)| ((*name).to_owned(), i64::from(*value), (*doc).to_owned()))
                .collect(),
        ),
        group(
            "SMTP_TLS_VERSION_",
            "Values of SMTP_PROPERTY_TLS_MIN_VERSION and SMTP_PROPERTY_TLS_MAX_VERSION.",
            TlsVersion::ALL
                .iter()
                .map(|(version, name, doc)| ((*name).to_owned(), *version as i64, (*doc).to_owned()))
                .collect(),
        ),
        group(
            "SMTP_AUTH_",
            "Values of SMTP_PROPERTY_AUTH_TYPE: how to log in.",
            AUTH_TYPES
                .iter()
                .map(|(mechanism, name, doc)| ((*name).to_owned(), auth_type_number(*mechanism), (*doc).to_owned()))
                .collect(),
        ),
        group(
            "SMTP_CERTIFICATE_",
            "Values of SMTP_PROPERTY_CERTIFICATE_STATUS.",
            CertificateStatus::ALL
                .iter()
                .map(|(status, name, doc)| ((*name).to_owned(), *status as i64, (*doc).to_owned()))
                .collect(),
        ),
        group(
            "SMTP_CHUNKING_",
            "Values of SMTP_PROPERTY_CHUNKING: when to send with BDAT.",
            Chunking::ALL
                .iter()
                .map(|(choice, name, doc)| ((*name).to_owned(), *choice as i64, (*doc).to_owned()))
                .collect(),
        ),
        group(
            "SMTP_FAMILY_",
            "Values of SMTP_PROPERTY_ADDRESS_FAMILY.",
            Family::ALL
                .iter()
                .map(|(family, name, doc)| ((*name).to_owned(), *family as i64, (*doc).to_owned()))
                .collect(),
        ),
        group(
            "SMTP_OUTCOME_",
            "Values of SMTP_PROPERTY_OUTCOME: what became of the last message.",
            Outcome::ALL
                .iter()
                .map(|outcome| (outcome.name().to_owned(), *outcome as i64, outcomes(*outcome).to_owned()))
                .collect(),
        ),
        group(
            "SMTP_RECIPIENT_",
            "States of SmtpRecipient: what became of the message for one recipient.",
            RecipientState::ALL
                .iter()
                .map(|state| (state.name().to_owned(), *state as i64, states(*state).to_owned()))
                .collect(),
        ),
        group(
            "SMTP_RECIPIENT_TEXT_",
            "Texts of SmtpGetRecipientString.",
            vec![
                ("ADDRESS".into(), i64::from(SMTP_RECIPIENT_TEXT_ADDRESS), "The address, without brackets.".into()),
                (
                    "REPLY".into(),
                    i64::from(SMTP_RECIPIENT_TEXT_REPLY),
                    "The text of the reply that refused it, its lines joined by line feeds.".into(),
                ),
            ],
        ),
        group(
            "SMTP_BATCH_MODE_",
            "Values of SMTP_PROPERTY_BATCH_MODE: how the messages of a batch followed on each other.",
            [
                (BatchMode::OneByOne, "ONE_BY_ONE", "Each when the one before was settled."),
                (BatchMode::Pipelined, "PIPELINED", "The envelope of each right behind the end of the one before."),
                (BatchMode::InFlight, "IN_FLIGHT", "Whole messages behind each other, with BDAT."),
            ]
            .iter()
            .map(|(mode, name, doc)| ((*name).to_owned(), *mode as i64, (*doc).to_owned()))
            .collect(),
        ),
        group(
            "SMTP_BATCH_TEXT_",
            "Texts of SmtpBatchGetString.",
            ReportText::ALL
                .iter()
                .map(|(text, name, doc)| ((*name).to_owned(), *text as i64, (*doc).to_owned()))
                .collect(),
        ),
        group(
            "SMTP_EXPORT_",
            "Options of SmtpMessageExport, SmtpMessageExportFile, SmtpMessageExportStream and SmtpMessageGetSize; bits.",
            EXPORT_OPTIONS.iter().map(option).collect(),
        ),
        group("SMTP_MESSAGE_", "Numbers of SmtpMessageSetInteger and SmtpMessageGetInteger.", message_numbers()),
        group(
            "SMTP_ENCODING_",
            "Values of SMTP_MESSAGE_ENCODING: how texts are encoded.",
            TextEncoding::ALL
                .iter()
                .map(|(encoding, name, doc)| ((*name).to_owned(), *encoding as i64, (*doc).to_owned()))
                .collect(),
        ),
        group(
            "SMTP_PRIORITY_",
            "Values of SMTP_MESSAGE_PRIORITY: how urgent a message is.",
            Priority::ALL
                .iter()
                .map(|(number, name, doc)| ((*name).to_owned(), i64::from(*number), (*doc).to_owned()))
                .collect(),
        ),
        group("SMTP_PART_TEXT_", "Texts of SmtpMessageGetPartString.", part_texts()),
        group(
            "SMTP_EVENT_",
            "Events of SmtpRegisterEvent; bits.",
            EVENTS.iter().map(|(kind, name, doc)| ((*name).to_owned(), *kind as i64, (*doc).to_owned())).collect(),
        ),
        group(
            "SMTP_POLL_",
            "Directions in SmtpPollInfo; bits.",
            vec![
                ("READ".into(), i64::from(SMTP_POLL_READ), "Wait until the descriptor can be read.".into()),
                ("WRITE".into(), i64::from(SMTP_POLL_WRITE), "Wait until the descriptor can be written.".into()),
            ],
        ),
        group("SMTP_TRACE_", "Bits of SMTP_PROPERTY_TRACE_FLAGS.", TRACE_FLAGS.iter().map(option).collect()),
        group("SMTP_DIRECTION_", "Directions of SmtpTraceRecord.", DIRECTIONS.iter().map(option).collect()),
        group(
            "SMTP_STATUS_",
            "Values of SMTP_PROPERTY_STATE and SmtpGetStatus: what a client is doing.",
            STATES.iter().map(|(state, name, doc)| ((*name).to_owned(), *state as i64, (*doc).to_owned())).collect(),
        ),
        group(
            "SMTP_CLASS_",
            "Values of SMTP_PROPERTY_ERROR_CLASS: who has to act.",
            classes.iter().map(|(class, name, doc)| ((*name).to_owned(), *class as i64, (*doc).to_owned())).collect(),
        ),
        group(
            "SMTP_PHASE_",
            "Values of SMTP_PROPERTY_ERROR_PHASE and SMTP_PROPERTY_PHASE: what was or is being done.",
            Phase::ALL
                .iter()
                .map(|phase| (phase.name().to_owned(), *phase as i64, format!("While {}.", phase.doing())))
                .collect(),
        ),
        group(
            "SMTP_PROPERTY_",
            "Properties. Text: SmtpSetString, SmtpGetString; integer: SmtpSetInteger, SmtpGetInteger.",
            PROPERTIES
                .iter()
                .map(|row| {
                    (
                        row.name.to_owned(),
                        row.property as i64,
                        format!("{}. {}", how(row.kind, row.access, row.default), row.doc),
                    )
                })
                .collect(),
        ),
        group(
            "SMTP_ERROR_",
            "Error codes: 0x8004 and a Winsock number, or one of the library's own.",
            ERRORS
                .iter()
                .map(|entry| {
                    let name = entry.name.trim_start_matches("SMTP_ERROR_").to_owned();
                    (name, i64::from(entry.code.0), format!("{}. {}", capital(entry.text), entry.remedy))
                })
                .collect(),
        ),
    ]
}

fn message_numbers() -> Vec<(String, i64, String)> {
    [
        ("PRIORITY", SMTP_MESSAGE_PRIORITY, "How urgent the message is: an SMTP_PRIORITY_ constant."),
        (
            "FLOWED",
            SMTP_MESSAGE_FLOWED,
            "1 if paragraphs of the plain text may be wrapped by the reader's program (RFC 3676); else 0.",
        ),
        ("ENCODING", SMTP_MESSAGE_ENCODING, "How texts are encoded: an SMTP_ENCODING_ constant."),
    ]
    .map(|(name, value, doc)| (name.to_owned(), i64::from(value), doc.to_owned()))
    .into()
}

fn part_texts() -> Vec<(String, i64, String)> {
    [
        ("TYPE", SMTP_PART_TEXT_TYPE, "Its type in lower case, such as text/plain."),
        ("NAME", SMTP_PART_TEXT_NAME, "Its file name."),
        ("DISPOSITION", SMTP_PART_TEXT_DISPOSITION, "attachment or inline, if it says so."),
        ("CONTENT_ID", SMTP_PART_TEXT_CONTENT_ID, "Its content id, without brackets."),
        ("CHARSET", SMTP_PART_TEXT_CHARSET, "The character set that it says it has."),
        ("ENCODING", SMTP_PART_TEXT_ENCODING, "Its transfer encoding."),
        ("CONTENT", SMTP_PART_TEXT_CONTENT, "Its content as UTF-8, from its character set."),
    ]
    .map(|(name, value, doc)| (name.to_owned(), i64::from(value), doc.to_owned()))
    .into()
}

fn how(kind: Kind, access: Access, default: &str) -> String {
    let kind = match kind {
        Kind::Text => "Text",
        Kind::Integer => "Integer",
    };
    match access {
        Access::ReadOnly => format!("{kind}, read only"),
        Access::WriteOnly => format!("{kind}, write only"),
        Access::ReadWrite if default.is_empty() => format!("{kind}, default empty"),
        Access::ReadWrite => format!("{kind}, default {default}"),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let mut out = String::new();
    let mut line = indent.to_owned();
    for word in text.split(' ') {
        if line.len() > indent.len() && line.len() + 1 + word.len() > width {
            out.push_str(line.trim_end());
            out.push('\n');
            line = indent.to_owned();
        }
        if line.len() > indent.len() {
            line.push(' ');
        }
        line.push_str(word);
    }
    out + line.trim_end()
}

fn constants() -> String {
    let mut out = String::new();
    for group in groups() {
        writeln!(out, "\n/** @name {}\n *  {}\n *  @{{ */", group.prefix.trim_end_matches('_'), group.about).unwrap();
        for (name, value, doc) in group.members {
            let number = match group.prefix {
                // A literal of the least value would be too large before its sign.
                "SMTP_ERROR_" => format!("((int32_t)({value}))  /* {:#010X} */", value & 0xFFFF_FFFF),
                "SMTP_OPTION_" | "SMTP_EXPORT_" | "SMTP_EVENT_" | "SMTP_DELIVERY_" | "SMTP_EXTOPT_" | "SMTP_TRACE_"
                | "SMTP_PROTOCOL_" => {
                    format!("{value:#x}")
                }
                _ if value < 0 => format!("({value})"),
                _ => value.to_string(),
            };
            writeln!(out, "\n/**\n{}\n */\n#define {}{name} {number}", wrapped(&doc, " * ", 96), group.prefix).unwrap();
        }
        out.push_str("\n/** @} */\n");
    }
    out
}

fn version_macros() -> String {
    let mut parts = env!("CARGO_PKG_VERSION").split('.');
    let mut part = || parts.next().unwrap().to_owned();
    format!(
        "\n/** The version of this header. */\n#define SMTP_VERSION_STRING \"{}\"\n#define SMTP_VERSION_MAJOR {}\n\
         #define SMTP_VERSION_MINOR {}\n#define SMTP_VERSION_PATCH {}\n\n\
         /** The number of this interface; compare with SmtpGetAbiVersion. */\n#define SMTP_ABI_VERSION {}\n\n\
         /** What operations return on success. */\n#define SMTP_OK 0\n\n\
         /** What operations return that have to wait, with SMTP_PROPERTY_BLOCKING 0. */\n#define SMTP_PENDING {}\n\n\
         /** A length for a message that ends with its first NUL. */\n#define SMTP_NUL_TERMINATED ((size_t)-1)\n\n\
         /** A size of a message that is not known beforehand. */\n#define SMTP_SIZE_UNKNOWN ((uint64_t)-1)\n",
        env!("CARGO_PKG_VERSION"),
        part(),
        part(),
        part(),
        SMTP_ABI_VERSION,
        SMTP_PENDING
    )
}

const MAIN_PAGE: &str = r#"/**
 * @file smtpclient.h
 * @mainpage libsmtpclient
 *
 * An SMTP client: connect, authenticate, send, disconnect.
 *
 * @section ownership Ownership
 * Strings and messages passed in belong to the caller and need to live through the call only; the
 * library copies what it keeps, and reads a message in place. Strings out are copied to the
 * caller's buffer; the few that are returned as pointers belong to the library, as each says.
 * Handles are ended with the function that their create function names.
 *
 * @section threads Threads
 * Any handle may be used from any thread. Calls on one client queue up in the order they came;
 * SmtpCancel and the getters never wait. Several clients work side by side.
 *
 * @section callbacks Callbacks
 * Callbacks come on the thread whose call caused them, with no lock of the library's held. In one,
 * SmtpCancel and the getters may be called on the same client; all else gives SMTP_ERROR_REENTRANT.
 *
 * @section errors Errors
 * Operations return 0, or a negative code. SmtpGetLastErrorString has one sentence with the
 * cause, the server's own words and what to do; the SMTP_PROPERTY_ERROR_ properties have the parts.
 * Outputs are untouched on failure, unless the function says otherwise.
 *
 * @section versions Versions
 * Within one SMTP_ABI_VERSION, functions and constants are only added, and structures grow at
 * their end; a structure tells its size in its first member.
 */
"#;

fn header() -> String {
    let root = root();
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    config.header = Some(format!("/* {NOTE} */\n#ifndef SMTPCLIENT_H\n#define SMTPCLIENT_H\n\n{MAIN_PAGE}"));
    config.sys_includes = vec!["stddef.h".into(), "stdint.h".into()];
    config.after_includes =
        Some(format!("{}{}\n#ifdef __cplusplus\nextern \"C\" {{\n#endif\n", version_macros(), constants()));
    config.trailer = Some("#ifdef __cplusplus\n}\n#endif\n\n#endif /* SMTPCLIENT_H */".into());
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in [
        "handle",
        "event",
        "version",
        "client",
        "capability",
        "certificate",
        "send",
        "stepwise",
        "submit",
        "poll",
        "delivery",
        "recipient",
        "batch",
        "command",
        "error",
        "property",
        "token",
        "trace",
        "state",
        "security",
        "setting",
        "message",
        "message_header",
        "message_attach",
        "message_part",
        "message_export",
    ] {
        builder = builder.with_src(root.join(format!("src/ffi/{file}.rs")));
    }
    let mut made = Vec::new();
    builder.generate().expect("cbindgen").write(&mut made);
    // What is a socket on any system cbindgen can only call a difference of pointers.
    without_rust_sections(&String::from_utf8(made).expect("UTF-8")).replace("ptrdiff_t", "intptr_t")
}

/// Takes out what rustdoc wants to be said to Rust programmers.
fn without_rust_sections(header: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut dropping = false;
    for line in header.lines() {
        if line.trim() == "* # Safety" {
            dropping = true;
            while kept.last().is_some_and(|last| last.trim() == "*") {
                kept.pop();
            }
        }
        dropping &= line.trim() != "*/";
        if !dropping {
            kept.push(line.trim_end());
        }
    }
    kept.join("\n") + "\n"
}

fn python_tables() -> String {
    let mut out = format!("\"\"\"Constants, properties and error codes of libsmtpclient.\n\n{NOTE}\n\"\"\"\n\n");
    out.push_str("from __future__ import annotations\n\nfrom typing import NamedTuple\n\n");
    writeln!(
        out,
        "VERSION = \"{}\"\nABI_VERSION = {SMTP_ABI_VERSION}\nPENDING = {SMTP_PENDING}",
        env!("CARGO_PKG_VERSION")
    )
    .unwrap();
    for group in groups().iter().filter(|group| !["SMTP_PROPERTY_", "SMTP_ERROR_"].contains(&group.prefix)) {
        writeln!(out, "\n# {}", group.about).unwrap();
        for (name, value, _) in &group.members {
            writeln!(out, "{}{name} = {value}", group.prefix.trim_start_matches("SMTP_")).unwrap();
        }
    }
    out.push_str(
        "\n\nclass PropertyRow(NamedTuple):\n    \"\"\"One property: its number, type (text or integer), access (rw, r or w) and meaning.\"\"\"\n\n    \
         id: int\n    kind: str\n    access: str\n    doc: str\n\n\nPROPERTIES: dict[str, PropertyRow] = {\n",
    );
    for row in PROPERTIES {
        let kind = if row.kind == Kind::Text { "text" } else { "integer" };
        let access = match row.access {
            Access::ReadWrite => "rw",
            Access::ReadOnly => "r",
            Access::WriteOnly => "w",
        };
        let (name, id) = (row.name.to_lowercase(), row.property as u32);
        writeln!(out, "    \"{name}\": PropertyRow({id}, \"{kind}\", \"{access}\", {:?}),", row.doc).unwrap();
    }
    out.push_str("}\n\n# Code: (name, class).\nERRORS: dict[int, tuple[str, int]] = {\n");
    for entry in ERRORS {
        writeln!(out, "    {}: (\"{}\", {}),", entry.code.0, entry.name, entry.class as i32).unwrap();
    }
    out.push_str("}\n");
    out
}

fn reference(prefix: &str, title: &str, value: fn(i64) -> String) -> String {
    let group = groups().into_iter().find(|group| group.prefix == prefix).expect("a group");
    let mut out =
        format!("<!-- {NOTE} -->\n\n# {title}\n\n{}\n\n| name | value | meaning |\n|---|---|---|\n", group.about);
    for (name, number, doc) in group.members {
        writeln!(out, "| `{prefix}{name}` | {} | {doc} |", value(number)).unwrap();
    }
    out
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn compare(path: &str, made: &str) {
    let path = root().join(path);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, made).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let difference = kept.lines().zip(made.lines()).position(|(kept, made)| kept != made);
    assert!(
        kept == made,
        "{} differs from what the sources make, first at line {}; run: UPDATE_GENERATED=1 cargo test --test generated",
        path.display(),
        difference.map_or(kept.lines().count().min(made.lines().count()), |line| line) + 1
    );
}

#[test]
fn the_header_is_what_the_sources_make() {
    compare("include/smtpclient.h", &header());
}

#[test]
fn the_python_tables_are_what_the_sources_make() {
    compare("bindings/python/smtpclient/_tables.py", &python_tables());
}

#[test]
fn the_reference_pages_are_what_the_sources_make() {
    compare(
        "docs/reference/errors.md",
        &reference("SMTP_ERROR_", "Error codes", |value| format!("0x{:08X}", value & 0xFFFF_FFFF)),
    );
    compare("docs/reference/properties.md", &reference("SMTP_PROPERTY_", "Properties", |value| value.to_string()));
}
