use super::super::Severity;
use super::*;
use proptest::prelude::*;

fn check(message: &[u8]) -> Report {
    let mut checker = Checker::new(0);
    checker.push(message);
    checker.finish()
}

/// The findings as `NAME header`, errors with `!`, hints with `?` before them.
fn found(message: &[u8]) -> Vec<String> {
    let line = |finding: &Finding| {
        let mark = match finding.severity {
            Severity::Error => "!",
            Severity::Warning => "",
            Severity::Hint => "?",
        };
        format!("{mark}{} {}", finding.check.name(), finding.header).trim_end().to_owned()
    };
    check(message).findings().iter().map(line).collect()
}

const HEADER: &str = "From: Bob <bob@a.example>\r\nTo: alice@b.example\r\nSubject: Hello\r\n\
    Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@a.example>\r\nMIME-Version: 1.0\r\n";

fn with(fields: &str, body: &str) -> Vec<String> {
    found(format!("{HEADER}{fields}\r\n{body}").as_bytes())
}

#[test]
fn good_messages_have_no_findings() {
    assert_eq!(with("", "Hello.\r\n"), [""; 0]);
    assert_eq!(
        with("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n", "YWJj\r\n"),
        [""; 0]
    );
    let parts = "preamble\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: multipart/alternative;\r\n boundary=\"b in\"\r\n\r\n\
        --b in\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<b>=C3=\r\n=A4</b>\r\n\
        --b in--\r\n\r\n--b--\r\nepilogue\r\n";
    assert_eq!(with("Content-Type: multipart/mixed; boundary=b\r\n", parts), [""; 0]);
}

#[test]
fn what_is_wrong_with_the_header() {
    assert_eq!(
        found(b""),
        [
            "!HEADER_MISSING From",
            "!HEADER_MISSING Date",
            "HEADER_MISSING Message-ID",
            "?HEADER_MISSING Subject",
            "?HEADER_MISSING To",
            "TEXT_EMPTY"
        ]
    );
    for (fields, expected) in [
        ("Subject: again\r\n", "!HEADER_REPEATED Subject"),
        ("subject: again\r\n", "!HEADER_REPEATED subject"),
        ("Cc: nobody\r\n", "!ADDRESS Cc"),
        ("Cc:\r\n", "!HEADER_EMPTY Cc"),
        ("Bcc: c@d.example\r\n", "BCC Bcc"),
        ("Return-Path: <a@b.example>\r\n", "LEFTOVER Return-Path"),
        ("DKIM-Signature: v=1\r\n", "?LEFTOVER DKIM-Signature"),
        ("no field\r\n", "!HEADER_LINE"),
        ("a b: c\r\n", "!HEADER_NAME"),
        (": c\r\n", "!HEADER_NAME"),
        ("X: b\r\n \r\n", "BLANK_FOLD"),
        ("X: \u{fc}\r\n", "HEADER_EIGHT_BIT X"),
        ("X: a\nY: b\r\n", "BARE_LINE_END"),
        ("X: a%0d%0aBcc: b\r\n", "INJECTION X"),
        ("X: =?utf-8?Q?=0ABcc:?=\r\n", "INJECTION X"),
        ("Cc: a@p\u{430}ypal.example\r\n", "HEADER_EIGHT_BIT Cc"),
        ("Cc: a@xn--pypal-4ve.example\r\n", "LOOK_ALIKE Cc"),
        ("Sender: a@b.example, c@d.example\r\n", "!ADDRESS Sender"),
        ("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", "UNSUBSCRIBE List-Unsubscribe"),
        ("Content-Type: text\r\n", "!CONTENT_TYPE Content-Type"),
        ("Content-Transfer-Encoding: 9bit\r\n", "!TRANSFER_ENCODING Content-Transfer-Encoding"),
        ("Content-Transfer-Encoding: binary\r\n", "BINARY Content-Transfer-Encoding"),
    ] {
        assert_eq!(with(fields, "text\r\n").first().map(String::as_str), Some(expected), "{fields}");
    }
    let mixed = with("X: a\nBcc: b@c.example\r\n", "text\r\n");
    assert_eq!(mixed, ["BARE_LINE_END", "BCC Bcc", "INJECTION"]);
    let replaced = |from: &str, to: &str| found(format!("{}\r\ntext\r\n", HEADER.replace(from, to)).as_bytes());
    assert_eq!(replaced("Mon, 02 Nov", "Mon, 32 Nov"), ["!DATE Date"]);
    assert_eq!(replaced("<1@a.example>", "1@a.example"), ["MESSAGE_ID Message-ID"]);
    assert_eq!(replaced("Bob <bob@a.example>", "a@b.example, c@d.example"), ["!SENDER_MISSING From"]);
    assert_eq!(replaced("MIME-Version: 1.0", "Content-Type: text/plain"), ["HEADER_MISSING MIME-Version"]);
    assert_eq!(replaced("Subject: Hello\r\n", ""), ["?HEADER_MISSING Subject"]);
    let latin_1 = [HEADER.as_bytes(), b"X: \xfc\r\n\r\ntext\r\n"].concat();
    assert_eq!(found(&latin_1), ["!HEADER_CHARSET X"]);
    let long = format!("X: {}\r\n", "a b\r\n c ".repeat(12_000));
    assert_eq!(with(&long, "text\r\n"), ["HEADER_LONG X"]);
    assert_eq!(found(format!(" a\r\n{HEADER}\r\ntext\r\n").as_bytes()), ["!HEADER_LINE"]);
}

#[test]
fn what_is_wrong_with_lines() {
    let line = |length: usize| "x".repeat(length) + "\r\n";
    assert_eq!(with("", &line(78)), [""; 0]);
    assert_eq!(with("", &line(79)), ["?LINE_LONG"]);
    assert_eq!(with("", &line(998)), ["?LINE_LONG"]);
    assert_eq!(with("", &line(999)), ["!LINE_TOO_LONG"]);
    assert_eq!(with("", "a\0b\r\n"), ["!NUL"]);
    for bare in ["a\nb\r\n", "a\rb\r\n", "a\r\n\r"] {
        assert_eq!(with("", bare), ["BARE_LINE_END"]);
    }
    let report = check(format!("{HEADER}\r\na\nb\nc\n").as_bytes());
    let finding = &report.findings()[0];
    assert_eq!((finding.line, finding.count, finding.check), (8, 3, Check::BareLineEnd));
}

#[test]
fn what_is_wrong_with_parts() {
    let typed = |kind: &str, encoding: &str, body: &str| {
        with(&format!("Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n"), body)
    };
    assert_eq!(with("", "\u{fc}\r\n"), ["!EIGHT_BIT_UNDECLARED Content-Transfer-Encoding", "CHARSET Content-Type"]);
    assert_eq!(typed("text/plain; charset=utf-8", "8bit", "\u{fc}\r\n"), ["?EIGHT_BIT"]);
    assert_eq!(typed("text/plain; charset=us-ascii", "8bit", "\u{fc}\r\n"), ["?EIGHT_BIT", "CHARSET Content-Type"]);
    assert_eq!(typed("text/plain", "base64", "YWJ\r\n"), ["!ENCODED_BODY Content-Transfer-Encoding"]);
    assert_eq!(typed("text/plain", "base64", "Y!J=\r\n"), ["!ENCODED_BODY Content-Transfer-Encoding"]);
    assert_eq!(typed("text/plain", "quoted-printable", "a=b\r\n"), ["!ENCODED_BODY Content-Transfer-Encoding"]);
    assert_eq!(typed("text/plain", "7bit", " \r\n\t\r\n"), ["TEXT_EMPTY"]);
    assert_eq!(typed("application/pdf", "base64", ""), [""; 0]);
    assert_eq!(with("", "Content-Type: text/html\r\n\r\nx\r\n"), ["INJECTION"]);
    let multipart =
        |parameters: &str, body: &str| with(&format!("Content-Type: multipart/mixed{parameters}\r\n"), body);
    assert_eq!(multipart("", "x\r\n"), ["!BOUNDARY_MISSING Content-Type"]);
    assert_eq!(multipart("; boundary=b", "x\r\n"), ["!BOUNDARY_UNUSED Content-Type"]);
    assert_eq!(multipart("; boundary=b", "--b--\r\n"), ["!BOUNDARY_UNUSED Content-Type"]);
    assert_eq!(multipart("; boundary=b", "--b\r\n\r\nx\r\n"), ["!BOUNDARY_OPEN Content-Type"]);
    assert_eq!(multipart("; boundary=b", "--b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n"), ["TEXT_EMPTY"]);
    let encoded = with(
        "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n",
        "--b\r\n\r\nx\r\n--b--\r\n",
    );
    assert_eq!(encoded, ["!TRANSFER_ENCODING Content-Transfer-Encoding"]);
    let report = check(
        format!(
            "{HEADER}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\n\r\n\u{fc}\r\n--b--\r\n"
        )
        .as_bytes(),
    );
    assert_eq!((report.findings()[0].part, report.findings()[0].line), (2, 14));
    let mut deep = String::new();
    for depth in 0..40 {
        deep += &format!("--b{depth}\r\nContent-Type: multipart/mixed; boundary=b{}\r\n\r\n", depth + 1);
    }
    let names = multipart("; boundary=b0", &deep);
    assert!(names.contains(&"?TOO_DEEP".to_owned()), "{names:?}");
}

#[test]
fn the_size_is_that_which_is_sent() {
    let size = |message: &[u8], limit| {
        let mut checker = Checker::new(limit);
        checker.push(message);
        checker.finish().findings().iter().any(|finding| finding.check == Check::Oversize)
    };
    assert!(!size(b"a\r\nb\r\n", 6) && size(b"a\r\nb\r\n", 5));
    assert!(!size(b"a\nb", 6) && size(b"a\nb", 5) && size(b"a\rb\r", 5) && !size(b"a\rb\r", 6));
}

proptest! {
    #[test]
    fn any_pieces_have_the_same_findings(
        message in proptest::collection::vec(
            prop_oneof![
                Just("From: a@b\r\n"), Just("To: x <y>\r\n"), Just("\r\n"), Just("\n"), Just("\r"), Just(" "), Just("--b"),
                Just("--"), Just("Content-Type: multipart/mixed; boundary=b\r\n"), Just("\u{fc}"), Just("\0"), Just("="),
                Just("Content-Transfer-Encoding: base64\r\n"), Just("YWJj"), Just("Bcc:"), Just("xxxxxxxxxxxxxxxxxxxxxxxxxxx"),
            ],
            0..40,
        ),
        cut in 1_usize..20,
    ) {
        let message = message.concat();
        let mut checker = Checker::new(100);
        message.as_bytes().chunks(cut).for_each(|piece| checker.push(piece));
        let mut whole = Checker::new(100);
        whole.push(message.as_bytes());
        prop_assert_eq!(checker.finish().to_json(), whole.finish().to_json());
    }
}
