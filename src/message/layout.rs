//! From what a message is made of to the tree of its parts, and from there to
//! segments.
//!
//! ```text
//! mixed [ alternative [ plain, related [ html, inline... ], calendar ], attachments... ]
//! ```
//!
//! Levels with one part only are left out.

use super::attachment::{Attached, Attachment};
use super::data::Data;
use super::field::Field;
use super::flowed::flow;
use super::fold::Folder;
use super::message::{Message, TextEncoding};
use super::parameter::write_parameter;
use super::part::{Content, Part};
use super::render::{RenderOptions, Rendering, Segment};
use super::transfer_encoding::{Encoding, Look, base64_lines, quoted_printable, with_crlf};
use crate::error::Result;

/// A part that is to be written.
struct Node {
    media_type: String,
    parameters: Vec<(&'static str, String)>,
    encoding: Encoding,
    /// `attachment` or `inline`, and the file name.
    disposition: Option<(&'static str, String)>,
    content_id: Option<String>,
    body: Body,
}

enum Body {
    Parts(Vec<Node>),
    Text(Vec<u8>),
    Data(Data),
    Message(Box<Message>),
    /// What was loaded: its own header fields, and the octets as they are.
    Loaded(Vec<Field>, Data),
}

impl Node {
    fn new(media_type: &str, encoding: Encoding, body: Body) -> Self {
        Self {
            media_type: media_type.to_owned(),
            parameters: Vec::new(),
            encoding,
            disposition: None,
            content_id: None,
            body,
        }
    }

    /// A multipart, unless there is only one part.
    fn of(subtype: &str, mut parts: Vec<Self>) -> Self {
        if parts.len() == 1
            && let Some(single) = parts.pop()
        {
            return single;
        }
        let eight_bit = parts.iter().any(|part| part.encoding == Encoding::EightBit);
        let encoding = if eight_bit { Encoding::EightBit } else { Encoding::SevenBit };
        Self::new(&format!("multipart/{subtype}"), encoding, Body::Parts(parts))
    }
}

// The tree
impl Message {
    fn root(&self, eight_bit: bool) -> Result<Node> {
        let mut inline: Vec<&Attachment> = Vec::new();
        let mut attached: Vec<&Attachment> = Vec::new();
        let has_html = self.html.is_some() && self.loaded.is_none();
        for attachment in &self.attachments {
            let is_inline = has_html && attachment.content_id.is_some();
            if is_inline { inline.push(attachment) } else { attached.push(attachment) }
        }
        let mut parts = vec![match &self.loaded {
            Some(loaded) => {
                let own = self.fields.iter().filter(|field| field.is_of_content()).cloned().collect();
                let is_ascii = loaded.body().in_memory().is_none_or(<[u8]>::is_ascii);
                let encoding = if is_ascii { Encoding::SevenBit } else { Encoding::EightBit };
                Node::new("", encoding, Body::Loaded(own, loaded.body()))
            }
            None => self.texts(&inline, eight_bit)?,
        }];
        for attachment in attached {
            parts.push(self.attachment(attachment, eight_bit)?);
        }
        Ok(Node::of("mixed", parts))
    }

    fn texts(&self, inline: &[&Attachment], eight_bit: bool) -> Result<Node> {
        let mut parts = Vec::new();
        if self.text.is_some() || self.html.is_none() && self.calendar.is_none() {
            parts.push(self.plain(self.text.as_deref().unwrap_or_default(), eight_bit));
        }
        if let Some(html) = &self.html {
            let mut related = vec![self.text_node("text/html", html, eight_bit)];
            for attachment in inline {
                related.push(self.attachment(attachment, eight_bit)?);
            }
            parts.push(Node::of("related", related));
        }
        if let Some(calendar) = &self.calendar {
            let mut node = self.text_node("text/calendar", &calendar.text, eight_bit);
            node.parameters.push(("method", calendar.method.clone()));
            parts.push(node);
        }
        Ok(Node::of("alternative", parts))
    }

    fn plain(&self, text: &str, eight_bit: bool) -> Node {
        if !self.flowed {
            return self.text_node("text/plain", text, eight_bit);
        }
        let lines = with_crlf(text.as_bytes());
        let flowed = flow(&String::from_utf8_lossy(&lines));
        let mut node = self.text_node("text/plain", &flowed, eight_bit);
        node.parameters.push(("format", "flowed".into()));
        node
    }

    fn text_node(&self, media_type: &str, text: &str, eight_bit: bool) -> Node {
        let text = with_crlf(text.as_bytes());
        let look = Look::at(&text);
        let encoding = match self.text_encoding {
            TextEncoding::QuotedPrintable => Encoding::QuotedPrintable,
            TextEncoding::Base64 => Encoding::Base64,
            TextEncoding::EightBit if eight_bit && look.fits_eight_bit() && !text.is_ascii() => Encoding::EightBit,
            TextEncoding::Automatic | TextEncoding::EightBit => look.safest(),
        };
        let mut node = Node::new(media_type, encoding, Body::Text(text));
        node.parameters.push(("charset", "utf-8".into()));
        node
    }

    fn attachment(&self, attachment: &Attachment, eight_bit: bool) -> Result<Node> {
        let kind = if attachment.content_id.is_some() { "inline" } else { "attachment" };
        let mut node = match &attachment.content {
            Attached::Data(data) => Node::new(&attachment.media_type, Encoding::Base64, Body::Data(data.clone())),
            Attached::Message(message) => {
                let rendering = message.clone().render(RenderOptions { eight_bit, ..RenderOptions::default() })?;
                // With such a header it is another type (RFC 6532 section 3.7).
                let media_type = if rendering.has_utf8_header() { "message/global" } else { "message/rfc822" };
                let encoding = if rendering.is_eight_bit() { Encoding::EightBit } else { Encoding::SevenBit };
                Node::new(media_type, encoding, Body::Message(message.clone()))
            }
        };
        node.disposition = Some((kind, attachment.name.clone()));
        node.content_id.clone_from(&attachment.content_id);
        Ok(node)
    }

    /// Its parts: the outermost first, each before those in it.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        if let (Some(loaded), true) = (&self.loaded, self.attachments.is_empty()) {
            return loaded.parts(&self.fields);
        }
        let mut found = Vec::new();
        if let Ok(root) = self.root(true) {
            list(&root, None, 0, &mut found);
        }
        found
    }
}

fn list(node: &Node, parent: Option<usize>, depth: usize, found: &mut Vec<Part>) {
    let parameter = |name| node.parameters.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone());
    let (content, inner) = match &node.body {
        Body::Loaded(fields, data) => {
            let below = super::load::parts_of(fields, data, depth);
            let base = found.len();
            found.extend(below.into_iter().map(|mut part| {
                part.parent = part.parent.map_or(parent, |at| Some(at + base));
                part
            }));
            return;
        }
        Body::Parts(parts) => (Content::Parts, parts.as_slice()),
        Body::Text(text) => (Content::Plain(Data::memory(text.as_slice())), [].as_slice()),
        Body::Data(data) => (Content::Plain(data.clone()), [].as_slice()),
        Body::Message(message) => (Content::Message(message.clone()), [].as_slice()),
    };
    let at = found.len();
    let media_type = node.media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let disposition = node.disposition.as_ref();
    found.push(Part {
        parent,
        depth,
        media_type,
        name: disposition.map(|(_, name)| name.clone()).filter(|name| !name.is_empty()),
        disposition: disposition.map(|(kind, _)| (*kind).to_owned()),
        content_id: node.content_id.clone(),
        charset: parameter("charset"),
        encoding: node.encoding,
        content,
    });
    for part in inner {
        list(part, Some(at), depth + 1, found);
    }
}

/// Segments in the making.
struct Plan<'a> {
    segments: Vec<Segment>,
    octets: Vec<u8>,
    options: RenderOptions,
    seed: &'a str,
    boundaries: usize,
    header_utf8: bool,
    eight_bit: bool,
    /// Whether the last octets are a line end.
    at_line_start: bool,
}

impl Plan<'_> {
    fn push(&mut self, segment: Segment) {
        self.segments.push(Segment::Octets(std::mem::take(&mut self.octets)));
        self.segments.push(segment);
    }

    /// The header fields that tell of a part, and its body.
    fn part(&mut self, node: &Node) -> Result<()> {
        let boundary = matches!(node.body, Body::Parts(_)).then(|| {
            self.boundaries += 1;
            format!("=_{}_{}", self.seed, self.boundaries)
        });
        if let Body::Loaded(fields, _) = &node.body {
            for field in fields {
                self.header_utf8 |= field.write(&mut self.octets)?;
            }
        } else {
            self.content_header(node, boundary.as_deref());
        }
        self.octets.extend_from_slice(b"\r\n");
        self.at_line_start = false;
        match &node.body {
            Body::Parts(parts) => {
                let boundary = boundary.unwrap_or_default();
                for (at, part) in parts.iter().enumerate() {
                    self.delimiter(&boundary, at == 0, "");
                    self.part(part)?;
                }
                self.delimiter(&boundary, false, "--");
                self.at_line_start = true;
            }
            Body::Text(text) => match node.encoding {
                Encoding::QuotedPrintable => self.octets.extend(quoted_printable(text)),
                Encoding::Base64 => {
                    base64_lines(text, &mut self.octets);
                    self.at_line_start = !text.is_empty();
                }
                _ => {
                    self.eight_bit |= !text.is_ascii();
                    self.octets.extend_from_slice(text);
                }
            },
            Body::Data(data) => {
                self.at_line_start = data.length().is_some_and(|length| length > 0);
                self.push(Segment::Base64(data.clone()));
            }
            Body::Message(message) => {
                let options = RenderOptions { eight_bit: self.options.eight_bit, ..RenderOptions::default() };
                let inner = message.clone().render(options)?;
                self.eight_bit |= inner.is_eight_bit();
                self.segments.push(Segment::Octets(std::mem::take(&mut self.octets)));
                self.segments.extend(inner.into_segments());
            }
            Body::Loaded(_, data) => {
                self.eight_bit |= node.encoding == Encoding::EightBit;
                self.push(Segment::Plain(data.clone()));
            }
        }
        Ok(())
    }

    fn delimiter(&mut self, boundary: &str, is_first: bool, end: &str) {
        if !is_first && !self.at_line_start {
            // It belongs to the delimiter: the part before it ends where its content does.
            self.octets.extend_from_slice(b"\r\n");
        }
        self.octets.extend_from_slice(format!("--{boundary}{end}\r\n").as_bytes());
    }

    fn content_header(&mut self, node: &Node, boundary: Option<&str>) {
        let mut folder = Folder::begin("Content-Type", &mut self.octets);
        folder.word(" ", &node.media_type);
        for (name, value) in &node.parameters {
            write_parameter(&mut folder, name, value);
        }
        if let Some(boundary) = boundary {
            write_parameter(&mut folder, "boundary", boundary);
        }
        folder.end();
        if node.encoding != Encoding::SevenBit {
            let line = format!("Content-Transfer-Encoding: {}\r\n", node.encoding.name());
            self.octets.extend_from_slice(line.as_bytes());
        }
        if let Some(id) = &node.content_id {
            self.octets.extend_from_slice(format!("Content-ID: <{id}>\r\n").as_bytes());
        }
        if let Some((kind, name)) = &node.disposition {
            let mut folder = Folder::begin("Content-Disposition", &mut self.octets);
            folder.word(" ", kind);
            if !name.is_empty() {
                write_parameter(&mut folder, "filename", name);
            }
            folder.end();
        }
    }
}

/// What a plain export leaves out, as the original does.
const LEFT_OUT: [&str; 5] = ["Bcc", "Received", "Return-Path", "Status", "X400-Received"];

/// The usual order. What was added on the way comes first, what is not listed after
/// all of these, and what tells of the content last.
const ORDER: [&str; 11] =
    ["Date", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject", "Message-ID", "In-Reply-To", "References"];

fn rank(field: &Field) -> usize {
    let starts_with = |start: &str| field.name.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    let is_trace = ["Return-Path", "Received", "X400-Received", "DKIM-Signature", "Authentication-Results"];
    if is_trace.iter().any(|name| field.is(name)) || starts_with("ARC-") || starts_with("Resent-") {
        return 0;
    }
    if field.is_of_content() || field.is("MIME-Version") {
        return ORDER.len() + 2;
    }
    ORDER.iter().position(|name| field.is(name)).unwrap_or(ORDER.len()) + 1
}

// The octets
impl Message {
    /// Plans its octets. What must be in every message is added to it before.
    ///
    /// # Errors
    ///
    /// If an address cannot be written, or the system gives no random numbers.
    pub fn render(&mut self, options: RenderOptions) -> Result<Rendering> {
        self.complete()?;
        let root = self.root(options.eight_bit)?;
        let mut plan = Plan {
            segments: Vec::new(),
            octets: Vec::new(),
            options,
            seed: &self.seed,
            boundaries: 0,
            header_utf8: false,
            eight_bit: false,
            at_line_start: false,
        };
        let is_as_loaded = matches!(root.body, Body::Loaded(..));
        let mut fields: Vec<&Field> = self.fields.iter().collect();
        if !options.all_headers {
            fields.retain(|field| !LEFT_OUT.iter().any(|name| field.is(name)));
        }
        if !options.keep_order {
            fields.sort_by_key(|field| rank(field));
        }
        let mut has_version = false;
        for field in fields {
            if field.is_of_content() && self.loaded.is_some() && !is_as_loaded {
                // It is of what was loaded, which is a part by now.
                continue;
            }
            has_version |= field.is("MIME-Version");
            plan.header_utf8 |= field.write(&mut plan.octets)?;
        }
        if !is_as_loaded && !has_version {
            plan.octets.extend_from_slice(b"MIME-Version: 1.0\r\n");
        }
        if let Body::Loaded(_, data) = &root.body {
            // Its own fields are among the others, in their order.
            plan.octets.extend_from_slice(b"\r\n");
            plan.eight_bit = root.encoding == Encoding::EightBit;
            plan.push(Segment::Plain(data.clone()));
        } else {
            plan.part(&root)?;
            let is_text = matches!(root.body, Body::Text(_));
            if is_text && !plan.octets.ends_with(b"\r\n") {
                plan.octets.extend_from_slice(b"\r\n");
            }
        }
        plan.segments.push(Segment::Octets(std::mem::take(&mut plan.octets)));
        Ok(Rendering::new(plan.segments, plan.header_utf8, plan.eight_bit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::compose::Parts;

    fn sample() -> Message {
        let mut message = Message::new();
        let parts = Parts {
            from: Some("Ann <ann@a.example>"),
            to: Some("b@b.example"),
            bcc: Some("secret@b.example"),
            subject: Some("Hello"),
            text: Some("one\ntwo"),
            ..Parts::default()
        };
        message.compose(&parts).expect("fine");
        message.set_header("Date", "Thu, 01 Jan 1970 00:00:00 +0000").expect("fine");
        message.set_header("Message-ID", "<1@a.example>").expect("fine");
        message.seed = "seed".into();
        message
    }

    fn text_of(message: &mut Message, options: RenderOptions) -> String {
        let rendering = message.render(options).expect("rendered");
        let length = rendering.length();
        let octets = rendering.into_octets().expect("memory");
        assert_eq!(Some(octets.len() as u64), length);
        String::from_utf8(octets).expect("UTF-8")
    }

    #[test]
    fn a_plain_message() {
        assert_eq!(
            text_of(&mut sample(), RenderOptions::default()),
            "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\nFrom: Ann <ann@a.example>\r\nTo: b@b.example\r\nSubject: Hello\r\n\
             Message-ID: <1@a.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\none\r\ntwo\r\n"
        );
        let all = text_of(&mut sample(), RenderOptions { all_headers: true, keep_order: true, eight_bit: false });
        assert!(all.starts_with("From: Ann <ann@a.example>\r\nTo: b@b.example\r\nBcc: secret@b.example\r\nSubject"));
    }

    #[test]
    fn every_level() {
        let mut message = sample();
        message
            .set_html(Some("<p>Gr\u{fc}\u{df}e <img src=\"cid:logo\"> und noch etwas mehr Text</p>"))
            .expect("composed");
        message.set_calendar(Some(("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "REQUEST"))).expect("composed");
        let logo = Attachment::new("logo.png", None, Some("logo"), Data::memory(*b"png")).expect("fine");
        let file = Attachment::new("Gr\u{fc}n.txt", None, None, Data::memory(*b"text")).expect("fine");
        message.attach(logo);
        message.attach(file);
        let text = text_of(&mut message, RenderOptions::default());
        let body = text.split_once("MIME-Version: 1.0\r\n").expect("there").1;
        assert_eq!(
            body,
            "Content-Type: multipart/mixed; boundary=\"=_seed_1\"\r\n\r\n--=_seed_1\r\n\
             Content-Type: multipart/alternative; boundary=\"=_seed_2\"\r\n\r\n--=_seed_2\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\none\r\ntwo\r\n--=_seed_2\r\n\
             Content-Type: multipart/related; boundary=\"=_seed_3\"\r\n\r\n--=_seed_3\r\n\
             Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
             <p>Gr=C3=BC=C3=9Fe <img src=3D\"cid:logo\"> und noch etwas mehr Text</p>\r\n--=_seed_3\r\n\
             Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\nContent-ID: <logo>\r\n\
             Content-Disposition: inline; filename=logo.png\r\n\r\ncG5n\r\n--=_seed_3--\r\n--=_seed_2\r\n\
             Content-Type: text/calendar; charset=utf-8; method=REQUEST\r\n\r\n\
             BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n\r\n--=_seed_2--\r\n--=_seed_1\r\n\
             Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment; filename*=utf-8''Gr%C3%BCn.txt\r\n\r\ndGV4dA==\r\n--=_seed_1--\r\n"
        );
        let types: Vec<_> = message.parts().into_iter().map(|part| (part.depth, part.media_type)).collect();
        let expected = [
            (0, "multipart/mixed"),
            (1, "multipart/alternative"),
            (2, "text/plain"),
            (2, "multipart/related"),
            (3, "text/html"),
            (3, "image/png"),
            (2, "text/calendar"),
            (1, "text/plain"),
        ];
        assert_eq!(types, expected.map(|(depth, media_type)| (depth, media_type.to_owned())));
    }

    #[test]
    fn eight_bit_where_it_is_allowed() {
        let mut message = sample();
        message.set_text(Some("\u{fc}\n")).expect("composed");
        message.set_text_encoding(TextEncoding::EightBit);
        let eight = RenderOptions { eight_bit: true, ..RenderOptions::default() };
        assert!(text_of(&mut message, eight).ends_with("Content-Transfer-Encoding: 8bit\r\n\r\n\u{fc}\r\n"));
        assert!(message.render(eight).expect("rendered").is_eight_bit());
        let seven = text_of(&mut message, RenderOptions::default());
        assert!(seven.is_ascii() && seven.contains("base64"), "{seven}");
    }

    #[test]
    fn messages_in_messages() {
        let mut inner = sample();
        inner.attach(Attachment::new("a", None, None, Data::memory(*b"x")).expect("fine"));
        let mut outer = sample();
        outer.attach_message(inner.clone(), Some("inner.eml")).expect("shallow");
        let text = text_of(&mut outer, RenderOptions::default());
        assert!(text.contains(
            "Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename=inner.eml\r\n\r\nDate:"
        ));
        assert!(!text.contains("secret"));
        let parts = outer.parts();
        assert_eq!(
            parts[2].octets().ok(),
            inner.render(RenderOptions::default()).and_then(Rendering::into_octets).ok()
        );
        let mut deep = sample();
        let mut refused = None;
        for _ in 0..30 {
            let mut next = sample();
            refused = next.attach_message(deep, None).err();
            if refused.is_some() {
                break;
            }
            deep = next;
        }
        assert!(refused.is_some());
    }

    #[test]
    fn addresses_of_other_scripts_are_told() {
        let mut message = sample();
        message.set_header("To", "\u{7528}\u{6237}@example.com").expect("fine");
        let rendering = message.render(RenderOptions::default()).expect("rendered");
        assert!(rendering.has_utf8_header() && rendering.is_eight_bit());
    }
}
