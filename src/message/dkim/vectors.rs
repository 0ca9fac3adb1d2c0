//! Signatures of the standards, and the round trip through another implementation's verification.

use super::*;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::signature::{ED25519, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use std::sync::Arc;

/// RFC 8463 appendix A.3.
const MESSAGE: &str = "From: Joe SixPack <joe@football.example.com>\r\n\
    To: Suzie Q <suzie@shopping.example.net>\r\n\
    Subject: Is dinner ready?\r\n\
    Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\
    Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\r\n\
    Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
const BODY_HASH: &str = "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=";
const NAMES: &str = "from : to : subject : date : message-id : from : subject : date";
const ED25519_SIGNATURE: &str =
    "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==";
const RSA_SIGNATURE: &str = "F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\
    DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\
    dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=";
const RSA_PUBLIC: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bd\
    OKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3\
    Ip3G+2kryOTIKT+l/K4w3QIDAQAB";
const ED25519_SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const ED25519_PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

fn decoded(base64: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(base64).expect("base64")
}

/// The key of RFC 8463 in PKCS#8 form.
fn ed25519_pem() -> String {
    let der = [&[0x30, 0x2E, 2, 1, 0, 0x30, 5, 6, 3, 0x2B, 0x65, 0x70, 4, 0x22, 4, 0x20][..], &decoded(ED25519_SEED)];
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der.concat()))
}

fn parts(message: &str) -> (HeaderFields, [u8; 32]) {
    let mut fields = HeaderFields::default();
    let body = fields.push(message.as_bytes()).expect("short").expect("has a body");
    fields.divide().expect("good");
    let mut hash = BodyHash::new(Canonical::Relaxed);
    hash.push(body);
    (fields, hash.finish())
}

#[test]
fn the_signatures_of_rfc_8463() {
    let (fields, hash) = parts(MESSAGE);
    assert_eq!(BASE64_STANDARD.encode(hash), BODY_HASH);
    let names: Vec<String> = NAMES.split(" : ").map(str::to_owned).collect();
    let octets = |algorithm: &str, selector: &str| {
        let mut octets = fields.canonical(&names, Canonical::Relaxed);
        let field = format!(
            "DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed;\r\n d=football.example.com; \
             i=@football.example.com;\r\n q=dns/txt; s={selector}; t=1528637909; h={NAMES};\r\n bh={BODY_HASH};\r\n b="
        );
        relaxed_field(field.as_bytes(), &mut octets);
        octets.truncate(octets.len() - 2);
        octets
    };
    let key = SigningKey::read(ed25519_pem().as_bytes(), "", "a test").expect("good");
    let signature = key.sign(&octets("ed25519-sha256", "brisbane")).expect("signed");
    assert_eq!(BASE64_STANDARD.encode(signature), ED25519_SIGNATURE);
    // Its RSA key is too short for us to sign with.
    let public = decoded(RSA_PUBLIC);
    UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, &public[22..])
        .verify(&octets("rsa-sha256", "test"), &decoded(RSA_SIGNATURE))
        .expect("good");
}

fn signed(message: &[u8], options: &str, cut: usize) -> String {
    let settings = Settings::parse("football.example.com", "brisbane", options).expect("good");
    let key = SigningKey::read(ed25519_pem().as_bytes(), "", "a test").expect("good");
    let mut signer = Signer::new(&[Arc::new(Signature::new(settings, key))]);
    message.chunks(cut).for_each(|piece| signer.push(piece).expect("good"));
    signer.finish(1_528_637_909).expect("signed")
}

/// What is before the last tag, and that tag's value; base64 may end with `b=`.
fn divided(field: &str) -> (&str, &str) {
    let last = field.rfind(';').expect("there");
    let at = last + field[last..].find("b=").expect("there");
    (&field[..at], &field[at + 2..])
}

/// What a verifier does with our own field, written anew.
fn verify(field: &str, message: &str, header: Canonical) {
    let unfolded = field.replace("\r\n\t", " ");
    let (head, signature) = divided(field);
    let names = unfolded.split(" h=").nth(1).expect("there").split(';').next().expect("there");
    let names: Vec<String> = names.split(':').map(|name| name.trim().to_owned()).collect();
    let (fields, _) = parts(message);
    let mut octets = fields.canonical(&names, header);
    let head = format!("{head}b=");
    match header {
        Canonical::Simple => octets.extend_from_slice(head.as_bytes()),
        Canonical::Relaxed => {
            relaxed_field(head.as_bytes(), &mut octets);
            octets.truncate(octets.len() - 2);
        }
    }
    let signature: String = signature.split_whitespace().collect();
    let hash = ring::digest::digest(&ring::digest::SHA256, &octets);
    UnparsedPublicKey::new(&ED25519, decoded(ED25519_PUBLIC))
        .verify(hash.as_ref(), &decoded(&signature))
        .expect("good");
}

#[test]
fn a_field_as_a_whole() {
    let field = signed(MESSAGE.as_bytes(), "i=@football.example.com; x=+60; h=from:to:subject:from", usize::MAX);
    let (head, _) = divided(&field);
    assert_eq!(
        head,
        "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n\td=football.example.com; s=brisbane; \
         i=@football.example.com; t=1528637909;\r\n\tx=1528637969; h=from:to:subject:from;\r\n\t\
         bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; "
    );
    assert!(field.ends_with("\r\n") && field.lines().all(|line| line.len() <= 76), "{field}");
    verify(&field, MESSAGE, Canonical::Relaxed);
    for options in ["", "c=simple/simple;t=none", "c=simple/relaxed", "c=relaxed/simple;t=5;x=6"] {
        let field = signed(MESSAGE.as_bytes(), options, usize::MAX);
        verify(&field, MESSAGE, if options.starts_with("c=simple") { Canonical::Simple } else { Canonical::Relaxed });
    }
    assert!(!signed(MESSAGE.as_bytes(), "t=none", 9).contains("t=15"));
}

#[test]
fn the_names_that_are_signed() {
    let field = signed(MESSAGE.replace("Subject", "Sender: a@b\r\nList-Id: x\r\nSubject").as_bytes(), "", 100);
    let unfolded = field.replace("\r\n\t", "");
    let names = unfolded.split("h=").nth(1).expect("there").split(';').next().expect("there");
    assert_eq!(
        names,
        "From:From:Reply-To:To:To:Cc:Subject:Subject:MIME-Version:Content-Type:Content-Transfer-Encoding:Date:Date:\
         Message-ID:Message-ID:Sender:Sender:List-Id"
    );
}

/// What could take for ever is refused.
#[test]
fn more_fields_than_are_signed() {
    let key = || SigningKey::read(ed25519_pem().as_bytes(), "", "a test").expect("good");
    let settings = Settings::parse("a.example", "s", "").expect("good");
    let mut signer = Signer::new(&[Arc::new(Signature::new(settings, key()))]);
    signer.push(b"From: a@b\r\n").expect("short");
    signer.push(&b"To: a@b\r\n".repeat(2000)).expect("short");
    assert_eq!(signer.finish(1).expect_err("too many").code, crate::error::Code::DKIM_HEADER);
}

/// As it is sent, so it is signed: with its line ends repaired.
#[test]
fn any_pieces_and_any_line_ends_have_one_signature() {
    let whole = signed(MESSAGE.as_bytes(), "", usize::MAX);
    for cut in [1, 2, 3, 7, 100] {
        assert_eq!(signed(MESSAGE.as_bytes(), "", cut), whole);
        assert_eq!(signed(MESSAGE.replace("\r\n", "\n").as_bytes(), "", cut), whole);
        assert_eq!(signed(MESSAGE.replace("\r\n", "\r").as_bytes(), "", cut), whole);
        assert_eq!(signed(MESSAGE.trim_end().as_bytes(), "", cut), whole);
    }
}

#[test]
fn keys_that_cannot_be_used() {
    let reason = |octets: &[u8]| {
        let error = SigningKey::read(octets, "", "a test").expect_err("bad");
        assert_eq!(error.code, crate::error::Code::DKIM_KEY);
        error.what
    };
    assert!(reason(b"").contains("no key"));
    assert!(reason(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").contains("damaged"));
    assert!(
        reason(b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n").contains("RSA and Ed25519")
    );
    let error = SigningKey::open("/no/such/key.pem", "").expect_err("missing");
    assert!(error.what.contains("/no/such/key.pem") && error.os_error != 0);
}

/// What can be read once is refused before it is read; what grows or shrinks in between is noticed.
#[test]
fn rendered_messages() {
    use crate::drive::Source as _;
    use crate::error::{Code, Result};
    use crate::message::{Attachment, Data, Message, Parts, RenderOptions};
    let signatures = [Arc::new(Signature::new(
        Settings::parse("a.example", "s", "").expect("good"),
        SigningKey::read(ed25519_pem().as_bytes(), "", "a test").expect("good"),
    ))];
    let message = |data: Data| {
        let mut message = Message::new();
        let parts = Parts { from: Some("a@a.example"), to: Some("b@b.example"), text: Some("x"), ..Parts::default() };
        message.compose(&parts).expect("good");
        message.attach(Attachment::new("a.bin", None, None, data).expect("good"));
        message
    };
    let all = |rendering: &mut crate::message::Rendering| {
        let mut all = Vec::new();
        loop {
            match rendering.next() {
                Ok([]) => return Ok(all),
                Ok(piece) => all.extend_from_slice(piece),
                Err(error) => return Err(error.code),
            }
        }
    };
    let mut message_in_memory = message(Data::memory(vec![7; 100_000]));
    let mut plain = message_in_memory.render(RenderOptions::default()).expect("rendered");
    let mut signed = message_in_memory.render(RenderOptions::default()).expect("rendered");
    signed.sign(&signatures, 5).expect("signed");
    let (plain, octets) = (all(&mut plain).expect("read"), all(&mut signed).expect("read"));
    assert!(octets.starts_with(b"DKIM-Signature: ") && octets.ends_with(&plain));
    assert_eq!(signed.length(), Some(octets.len() as u64));

    let read = Box::new(|_: &mut [u8]| -> Result<usize> { panic!("not to be asked") });
    let mut once = message(Data::reader(Some(5), read, None)).render(RenderOptions::default()).expect("rendered");
    assert_eq!(once.sign(&signatures, 5).expect_err("once").code, Code::READ_ONCE);
    once.sign(&[], 5).expect("nothing to do");

    let path = std::env::temp_dir().join(format!("dkim-{}", std::process::id()));
    for after in [&b"1234"[..], b"123456"] {
        std::fs::write(&path, b"12345").expect("written");
        let data = Data::file(path.to_str().expect("UTF-8")).expect("there");
        let mut rendering = message(data).render(RenderOptions::default()).expect("rendered");
        rendering.sign(&signatures, 5).expect("signed");
        std::fs::write(&path, after).expect("written");
        assert_eq!(all(&mut rendering), Err(Code::ATTACHMENT));
    }
    std::fs::remove_file(&path).expect("there");
}
