//! Messages: loaded, and filled with header fields and addresses of anybody's.

use super::choice;
use smtpclient::message::{Address, Attachment, Data, Message, RenderOptions, parse_addresses};

fn rendered(message: &mut Message, options: RenderOptions) -> Vec<u8> {
    let rendering = message.render(options).unwrap();
    let length = rendering.length().unwrap();
    let octets = rendering.into_octets().unwrap();
    assert_eq!(octets.len() as u64, length, "the length is exact");
    octets
}

/// Whatever is loaded can be read, written out, and loaded again to the same.
pub fn message(data: &[u8]) {
    let Ok(mut loaded) = Message::load(data) else { return };
    assert!(loaded.header_count() > 0);
    for index in 0..loaded.header_count() {
        let (name, value) = loaded.header_at(index).unwrap();
        assert!(name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':'), "{name:?}");
        assert!(!value.contains(['\r', '\n', '\0']), "{value:?}");
    }
    let parts = loaded.parts();
    assert!(!parts.is_empty());
    for (index, part) in parts.iter().enumerate() {
        assert!(part.parent.is_none_or(|parent| parent < index));
        if part.has_content() {
            assert!(part.octets().unwrap().len() <= 2 * data.len(), "no content grows");
            let _ = part.text();
        }
    }
    let (_, _, _) = (loaded.text(), loaded.html(), loaded.envelope());
    loaded.complete().unwrap();
    let all = RenderOptions { all_headers: true, keep_order: true, eight_bit: true };
    let once = rendered(&mut loaded, all);
    assert!(!has_bare_line_end(&once));
    let again = rendered(&mut Message::load(&once).unwrap(), all);
    assert_eq!(once.escape_ascii().to_string(), again.escape_ascii().to_string());
    // A field that is to be left out is not there, however it was written.
    let plain = Message::load(&rendered(&mut loaded, RenderOptions::default())).unwrap();
    assert!(plain.header("Bcc", 0).is_none());
    // With something attached, what was loaded is a part as it was.
    let before = loaded.parts().len();
    loaded.attach(Attachment::new("a", None, None, Data::memory(*b"x")).unwrap());
    let more = Message::load(&rendered(&mut loaded, all)).unwrap();
    assert!(more.parts().len() >= before.min(2), "{before}");
}

fn has_bare_line_end(octets: &[u8]) -> bool {
    octets.iter().enumerate().any(|(at, octet)| match octet {
        b'\n' => at == 0 || octets[at - 1] != b'\r',
        b'\r' => octets.get(at + 1) != Some(&b'\n'),
        _ => false,
    })
}

/// Names and values of header fields: what is taken is one field, and reads back.
pub fn message_header(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (name, value) = text.split_once(':').unwrap_or(("Subject", text));
    let mut message = Message::new();
    message.complete().unwrap();
    let before = Message::load(&rendered(&mut message, RenderOptions::default())).unwrap().header_count();
    if message.add_header(name, value).is_err() {
        return;
    }
    let all = RenderOptions { all_headers: true, ..RenderOptions::default() };
    let Ok(rendering) = message.render(all) else { return };
    let octets = rendering.into_octets().unwrap();
    for line in octets.split(|octet| *octet == b'\n') {
        // A structured field may have a long word; nothing is longer than a line may be.
        assert!(line.len() <= 999, "{}", line.escape_ascii());
    }
    let again = Message::load(&octets).unwrap();
    assert_eq!(again.header_count(), before + 1, "{}", octets.escape_ascii());
    let occurrence = usize::from(["Date", "Message-ID"].iter().any(|own| name.eq_ignore_ascii_case(own)));
    let found = again.header(name, occurrence).or_else(|| again.header(name, 0)).expect("it is there");
    assert!(!found.contains(['\r', '\n']), "{found:?}");
    if name == "Subject" && !value.is_empty() {
        assert_eq!(found, value);
    }
}

/// Lists of addresses: what is taken is written so that it reads back.
pub fn message_address(data: &[u8]) {
    let (_, rest) = choice(data);
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let Ok(list) = parse_addresses(text) else { return };
    let mut message = Message::new();
    message.set_header("To", text).unwrap();
    let Ok(rendering) = message.render(RenderOptions::default()) else { return };
    let octets = rendering.into_octets().unwrap();
    let again = Message::load(&octets).unwrap();
    let addresses = |list: &[Address]| -> Vec<String> {
        let members = |address: &Address| match address {
            Address::Mailbox(mailbox) => vec![mailbox.clone()],
            Address::Group(_, members) => members.clone(),
        };
        list.iter().flat_map(members).map(|mailbox| mailbox.name).collect()
    };
    let read = parse_addresses(&again.header("To", 0).expect("it is there")).unwrap();
    // Domains become A-labels on the way; names stay.
    assert_eq!(addresses(&read), addresses(&list), "{}", octets.escape_ascii());
}
