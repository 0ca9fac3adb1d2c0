//! Lists of addresses as header fields have them (RFC 5322 section 3.4): names,
//! groups and comments.

use super::encoded_word::{needs_encoding, write_encoded};
use super::fold::{Folder, LINE, words};
use super::parameter::quote;
use crate::error::{Code, Error, Result};
use crate::proto::{Mailbox, to_ascii};

/// A mailbox with the name that is shown for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedMailbox {
    /// The name; empty if there is none.
    pub name: String,
    /// The address, such as `user@example.com`.
    pub address: String,
}

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// One mailbox.
    Mailbox(NamedMailbox),
    /// A group: its name and its members, who may be none.
    Group(String, Vec<NamedMailbox>),
}

/// Reads a list of addresses, separated by commas or semicolons.
///
/// # Errors
///
/// `INVALID_ADDRESS` with the entry and what is wrong with it.
pub fn parse_addresses(text: &str) -> Result<Vec<Address>> {
    if let Some(bad) = text.chars().find(|c| c.is_control() && *c != '\t') {
        return Err(invalid(text, &format!("it has the control character U+{:04X}", u32::from(bad))));
    }
    let mut found = Vec::new();
    let mut group: Option<(String, Vec<NamedMailbox>)> = None;
    let mut rest = text;
    while !rest.is_empty() {
        let entry = Entry::scan(rest)?;
        rest = entry.behind;
        match entry.end {
            Some(':') if group.is_some() => return Err(invalid(text, "a group is in another group")),
            Some(':') => {
                let name = entry.phrase();
                if name.is_empty() {
                    return Err(invalid(text, "a group has no name"));
                }
                group = Some((name, Vec::new()));
                continue;
            }
            _ => {}
        }
        if let Some(mailbox) = entry.mailbox()? {
            match &mut group {
                Some((_, members)) => members.push(mailbox),
                None => found.push(Address::Mailbox(mailbox)),
            }
        }
        if entry.end == Some(';')
            && let Some((name, members)) = group.take()
        {
            found.push(Address::Group(name, members));
        }
    }
    match group {
        Some((name, _)) => Err(invalid(text, &format!("the group {name:?} does not end with a semicolon"))),
        None => Ok(found),
    }
}

/// Every mailbox of a list, those in groups included.
pub(super) fn mailboxes(list: Vec<Address>) -> impl Iterator<Item = NamedMailbox> {
    list.into_iter().flat_map(|address| match address {
        Address::Mailbox(mailbox) => vec![mailbox],
        Address::Group(_, members) => members,
    })
}

/// What stands between two separators.
#[derive(Default)]
struct Entry<'a> {
    /// Everything outside comments and angle brackets, as it stands.
    raw: String,
    /// The same with quotes undone.
    plain: String,
    /// How many quoted strings there are, and whether there is something beside them.
    quotes: usize,
    has_more_than_quotes: bool,
    /// What is in quotes, outside angle brackets.
    quoted: String,
    angle: Option<String>,
    comment: String,
    has_more_behind_angle: bool,
    /// The separator; `None` at the end of the text.
    end: Option<char>,
    behind: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    Words,
    Quotes,
    Angle,
    QuotesInAngle,
    Literal,
    Comment(usize),
}

impl<'a> Entry<'a> {
    fn scan(text: &'a str) -> Result<Self> {
        let mut entry = Self::default();
        let mut place = In::Words;
        let mut escaped = false;
        for (at, c) in text.char_indices() {
            let was_escaped = std::mem::take(&mut escaped);
            if c == '\\' && !was_escaped && !matches!(place, In::Words | In::Angle | In::Literal) {
                escaped = true;
                if matches!(place, In::Quotes) {
                    entry.raw.push(c);
                } else if let (In::QuotesInAngle, Some(angle)) = (place, &mut entry.angle) {
                    angle.push(c);
                }
                continue;
            }
            match place {
                In::Words => match c {
                    ',' | ';' | ':' => {
                        entry.end = Some(c);
                        entry.behind = &text[at + 1..];
                        return Ok(entry);
                    }
                    '(' => place = In::Comment(0),
                    '"' => {
                        place = In::Quotes;
                        entry.quotes += 1;
                        entry.raw.push(c);
                    }
                    '<' if entry.angle.is_some() => {
                        return Err(invalid(text, "there is no comma between two addresses"));
                    }
                    '<' => {
                        place = In::Angle;
                        entry.angle = Some(String::new());
                    }
                    _ => {
                        if c == '[' {
                            place = In::Literal;
                        }
                        entry.push(c);
                    }
                },
                In::Quotes => {
                    entry.raw.push(c);
                    if c == '"' && !was_escaped {
                        place = In::Words;
                    } else {
                        entry.plain.push(c);
                        entry.quoted.push(c);
                    }
                }
                In::Literal => {
                    entry.push(c);
                    if c == ']' {
                        place = In::Words;
                    }
                }
                In::Angle | In::QuotesInAngle => {
                    match (place, c) {
                        (In::Angle, '>') => {
                            place = In::Words;
                            continue;
                        }
                        (In::Angle, '"') => place = In::QuotesInAngle,
                        (In::QuotesInAngle, '"') if !was_escaped => place = In::Angle,
                        _ => {}
                    }
                    if let Some(angle) = &mut entry.angle {
                        angle.push(c);
                    }
                }
                In::Comment(depth) => match c {
                    '(' if !was_escaped => {
                        place = In::Comment(depth + 1);
                        entry.comment.push(c);
                    }
                    ')' if !was_escaped && depth == 0 => place = In::Words,
                    _ => {
                        if c == ')' && !was_escaped {
                            place = In::Comment(depth - 1);
                        }
                        entry.comment.push(c);
                    }
                },
            }
        }
        match place {
            In::Words => Ok(entry),
            In::Quotes | In::QuotesInAngle => Err(invalid(text, "a quote in it does not end")),
            In::Angle => Err(invalid(text, "it has < without >")),
            In::Literal => Err(invalid(text, "it has [ without ]")),
            In::Comment(_) => Err(invalid(text, "a comment in it does not end")),
        }
    }

    fn push(&mut self, c: char) {
        let is_blank = c == ' ' || c == '\t';
        self.has_more_behind_angle |= self.angle.is_some() && !is_blank;
        self.has_more_than_quotes |= !is_blank;
        self.raw.push(c);
        self.plain.push(c);
    }

    /// The words before an address or a colon, with single blanks between them.
    fn phrase(&self) -> String {
        match self.quotes {
            0 => {}
            // What is in quotes is meant as it is.
            1 if !self.has_more_than_quotes => return self.quoted.clone(),
            _ => return self.plain.trim_matches([' ', '\t']).to_owned(),
        }
        self.plain.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// The mailbox; `None` if there is nothing at all.
    fn mailbox(&self) -> Result<Option<NamedMailbox>> {
        let raw = self.raw.trim_matches([' ', '\t']);
        let (name, address) = match &self.angle {
            Some(_) if self.has_more_behind_angle => {
                return Err(invalid(&self.shown(), "there is something behind its >"));
            }
            Some(angle) => (self.phrase(), angle.trim_matches([' ', '\t'])),
            None if raw.is_empty() => return Ok(None),
            // The old way to give a name.
            None => (self.comment.trim_matches([' ', '\t']).to_owned(), raw),
        };
        let is_bare_word = !address.contains('@');
        let refused = |what: &str| Err(invalid(&self.shown(), what));
        if address.is_empty() {
            return refused("it has nothing between < and >");
        }
        if is_bare_word {
            return refused("it has no @; a name with a comma in it belongs in quotes");
        }
        // What it takes has no name and no brackets any more.
        if address.ends_with('>') || address.starts_with('<') {
            return refused("it has too many angle brackets");
        }
        let address = Mailbox::parse(address)?.as_str().to_owned();
        Ok(Some(NamedMailbox { name, address }))
    }

    fn shown(&self) -> String {
        match &self.angle {
            Some(angle) => format!("{}<{angle}>", self.raw),
            None => self.raw.clone(),
        }
    }
}

fn invalid(text: &str, reason: &str) -> Box<Error> {
    let shown: String = text.chars().take(200).collect();
    let what = format!("\"{}\" is not a valid list of mail addresses: {reason}", shown.trim().escape_debug());
    Error::caller(Code::INVALID_ADDRESS, what).with_address(shown.trim().escape_debug().to_string())
}

/// A list as a text: names in quotes where they need them, in any script.
#[must_use]
pub(super) fn to_text(list: &[Address]) -> String {
    let mailbox = |mailbox: &NamedMailbox| match mailbox.name.as_str() {
        "" => mailbox.address.clone(),
        name => format!("{} <{}>", name_text(name), mailbox.address),
    };
    let entry = |address: &Address| match address {
        Address::Mailbox(one) => mailbox(one),
        Address::Group(name, members) => {
            format!("{}: {};", name_text(name), members.iter().map(mailbox).collect::<Vec<_>>().join(", "))
        }
    };
    list.iter().map(entry).collect::<Vec<_>>().join(", ")
}

fn name_text(name: &str) -> String {
    let is_plain = name.chars().all(|c| c == ' ' || !c.is_ascii() || is_atom_char(c));
    if is_plain && !has_odd_blanks(name) { name.to_owned() } else { quote(name) }
}

fn is_atom_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

fn has_odd_blanks(name: &str) -> bool {
    name.starts_with(' ') || name.ends_with(' ') || name.contains("  ") || name.contains('\t')
}

/// Writes a list as the value of a header field. Returns whether it has
/// characters beyond ASCII, as local parts of other scripts need them.
pub(super) fn write_list(folder: &mut Folder<'_>, list: &[Address]) -> Result<bool> {
    let mut beyond_ascii = false;
    let last = list.len().saturating_sub(1);
    for (at, address) in list.iter().enumerate() {
        let comma = if at == last { "" } else { "," };
        match address {
            Address::Mailbox(mailbox) => beyond_ascii |= write_mailbox(folder, mailbox, comma)?,
            Address::Group(name, members) => {
                write_name(folder, name);
                folder.word("", ":");
                let last = members.len().saturating_sub(1);
                for (at, member) in members.iter().enumerate() {
                    beyond_ascii |= write_mailbox(folder, member, if at == last { "" } else { "," })?;
                }
                folder.word("", ";");
                folder.word("", comma);
            }
        }
    }
    Ok(beyond_ascii)
}

fn write_mailbox(folder: &mut Folder<'_>, mailbox: &NamedMailbox, behind: &str) -> Result<bool> {
    let address = to_ascii(&mailbox.address)?;
    if mailbox.name.is_empty() {
        folder.word(" ", &format!("{address}{behind}"));
    } else {
        write_name(folder, &mailbox.name);
        folder.word(" ", &format!("<{address}>{behind}"));
    }
    Ok(!address.is_ascii())
}

fn write_name(folder: &mut Folder<'_>, name: &str) {
    let quoted = quote(name);
    if needs_encoding(name) || name.contains('\t') || quoted.len() > LINE - 20 && name_text(name) != name {
        return write_encoded(folder, " ", name);
    }
    if name_text(name) == name {
        words(name).for_each(|(_, word)| folder.word(" ", word));
    } else {
        folder.word(" ", &quoted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::encoded_word::decode_words;
    use proptest::prelude::*;

    fn one(name: &str, address: &str) -> Address {
        Address::Mailbox(NamedMailbox { name: name.into(), address: address.into() })
    }

    fn parse(text: &str) -> Vec<Address> {
        parse_addresses(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn lists() {
        assert_eq!(parse(""), []);
        assert_eq!(parse(" , ;; "), []);
        assert_eq!(parse("a@b"), [one("", "a@b")]);
        assert_eq!(parse("<a@b>, c@d; e@f"), [one("", "a@b"), one("", "c@d"), one("", "e@f")]);
        assert_eq!(parse("John Q.  Public <a@b>"), [one("John Q. Public", "a@b")]);
        assert_eq!(parse("\"Doe, \\\"Jane\\\"\" <a@b>"), [one("Doe, \"Jane\"", "a@b")]);
        assert_eq!(parse("M\u{fc}ller <a@b>"), [one("M\u{fc}ller", "a@b")]);
        assert_eq!(parse("a@b (Jane (Jim) Doe)"), [one("Jane (Jim) Doe", "a@b")]);
        assert_eq!(parse("(x) Jane (y) <a@b> (z)"), [one("Jane", "a@b")]);
        assert_eq!(parse("\"a b\"@c"), [one("", "\"a b\"@c")]);
        assert_eq!(parse("\"a\\\"b\"@c"), [one("", "\"a\\\"b\"@c")]);
        assert_eq!(parse("a@[192.0.2.1], x <b@[IPv6:::1]>"), [one("", "a@[192.0.2.1]"), one("x", "b@[IPv6:::1]")]);
        let mailbox = |text: &str| NamedMailbox { name: String::new(), address: text.into() };
        assert_eq!(
            parse("Friends: a@b, c@d;, e@f"),
            [Address::Group("Friends".into(), vec![mailbox("a@b"), mailbox("c@d")]), one("", "e@f")]
        );
        assert_eq!(parse("undisclosed recipients:;"), [Address::Group("undisclosed recipients".into(), vec![])]);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, reason) in [
            ("Doe, Jane <a@b>", "belongs in quotes"),
            ("a@b c@d", "its domain"),
            ("<a@b> <c@d>", "no comma"),
            ("<a@b> x", "behind its >"),
            ("\"a <b@c>", "quote"),
            ("a <b@c", "< without >"),
            ("a@[1.2.3.4", "[ without ]"),
            ("a@b (c", "comment"),
            ("<>", "nothing between"),
            ("g: a@b", "semicolon"),
            ("g: h: a@b;;", "another group"),
            (": a@b;", "no name"),
            ("a@b\r\nBcc: c@d", "U+000D"),
            ("a@b\nc", "U+000A"),
            ("<<a@b>>", ""),
            ("a@", "no domain"),
        ] {
            let error = parse_addresses(text).expect_err(text);
            assert_eq!(error.code, Code::INVALID_ADDRESS, "{text}");
            assert!(error.to_string().contains(reason), "{text}: {error}");
        }
    }

    fn written(list: &[Address]) -> String {
        let mut out = Vec::new();
        let mut folder = Folder::begin("To", &mut out);
        write_list(&mut folder, list).expect("written");
        folder.end();
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn fields() {
        assert_eq!(written(&parse("Jane Doe <a@b>, c@d")), "To: Jane Doe <a@b>, c@d\r\n");
        assert_eq!(written(&parse("\"Doe, J.\" <a@b>")), "To: \"Doe, J.\" <a@b>\r\n");
        assert_eq!(
            written(&parse("J\u{fc}rgen <a@b\u{fc}cher.example>")),
            "To: =?utf-8?q?J=C3=BCrgen?= <a@xn--bcher-kva.example>\r\n"
        );
        assert_eq!(written(&parse("G: a@b, c@d;, e@f")), "To: G: a@b, c@d;, e@f\r\n");
        assert_eq!(written(&parse("\u{7528}\u{6237}@example.com")), "To: \u{7528}\u{6237}@example.com\r\n");
    }

    /// What a reader makes of a field: names are decoded after the list was taken apart.
    fn read(field: &str) -> Vec<Address> {
        let unfolded = field.trim_end_matches("\r\n").replace("\r\n", "");
        let mut list = parse(unfolded.strip_prefix("To:").expect("a name"));
        for address in &mut list {
            match address {
                Address::Mailbox(mailbox) => mailbox.name = decode_words(mailbox.name.as_bytes()),
                Address::Group(name, _) => *name = decode_words(name.as_bytes()),
            }
        }
        list
    }

    proptest! {
        #[test]
        fn names_read_back(names in proptest::collection::vec("([a-z ,.\"\\\\()<>@:;=?]|\\PC){0,60}", 1..5)) {
            let list: Vec<_> = names.iter().map(|name| one(name, "user@example.com")).collect();
            let field = written(&list);
            prop_assert!(field.split("\r\n").all(|line| line.len() <= 78 && line.is_ascii()), "{}", field);
            prop_assert_eq!(read(&field), list.clone());
            // And as the text that programs get.
            prop_assert_eq!(parse(&to_text(&list)), list);
        }

        #[test]
        fn anything_is_parsed(text in "([a-z@,;:<>()\"\\\\\\[\\] ]|\\PC){0,100}") {
            if let Ok(list) = parse_addresses(&text) {
                let again = to_text(&list);
                prop_assert_eq!(parse(&again), list, "{}", again);
            }
        }
    }
}
