//! A message: its header fields and what it is made of.

use super::attachment::{Attachment, file_name};
use super::data::Data;
use super::field::{Field, Value, check_name, check_value};
use super::load::Loaded;
use super::part::Part;
use super::transfer_encoding::with_crlf;
use crate::error::{Code, Error, Result};
use std::sync::Arc;

/// A message that is composed, or was loaded. Copies share their content.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub(super) fields: Vec<Field>,
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
    pub(super) calendar: Option<Calendar>,
    pub(super) attachments: Vec<Attachment>,
    pub(super) loaded: Option<Loaded>,
    pub(super) flowed: bool,
    pub(super) text_encoding: TextEncoding,
    /// What the boundaries between parts are made of; the same for every rendering.
    pub(super) seed: String,
    /// The parts, once somebody asked for them; a change makes it none.
    pub(super) listed: Option<Arc<Vec<Part>>>,
}

/// An invitation or the like (RFC 6047).
#[derive(Clone, Debug)]
pub struct Calendar {
    /// The calendar (RFC 5545).
    pub text: String,
    /// Its method, such as REQUEST.
    pub method: String,
}

/// How texts are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextEncoding {
    /// 7bit if that is enough, else quoted-printable or base64, whichever is shorter.
    #[default]
    Automatic = 0,
    /// Quoted-printable.
    QuotedPrintable = 1,
    /// Base64.
    Base64 = 2,
    /// As they are, where the server takes that; else as automatic.
    EightBit = 3,
}

impl TextEncoding {
    /// Every choice: its value, its name behind `SMTP_ENCODING_` and what it means.
    pub const ALL: [(Self, &'static str, &'static str); 4] = [
        (
            Self::Automatic,
            "AUTOMATIC",
            "7bit if that is enough, else quoted-printable or base64, whichever is shorter.",
        ),
        (Self::QuotedPrintable, "QUOTED", "Quoted-printable."),
        (Self::Base64, "BASE64", "Base64."),
        (Self::EightBit, "8BIT", "As they are, where the server offers 8BITMIME; else as automatic."),
    ];
}

/// How urgent a message is, 1 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority(u8);

impl Priority {
    /// Every value: its number, its name behind `SMTP_PRIORITY_` and what it means.
    pub const ALL: [(u8, &'static str, &'static str); 6] = [
        (0, "NONE", "Nothing is said."),
        (1, "HIGHEST", "Most urgent."),
        (2, "HIGH", "Urgent."),
        (3, "NORMAL", "Neither."),
        (4, "LOW", "Can wait."),
        (5, "LOWEST", "Can wait longest."),
    ];

    /// The priority of that number.
    #[must_use]
    pub fn new(number: i64) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| (1..=5).contains(number)).map(Self)
    }
}

// Header fields
impl Message {
    /// An empty message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Sets a field: the first one of that name gets the value, others are removed.
    ///
    /// # Errors
    ///
    /// `HEADER` or `INVALID_ADDRESS` with what is wrong; nothing is changed then.
    pub fn set_header(&mut self, name: &str, value: &str) -> Result<()> {
        self.listed = None;
        check_name(name)?;
        check_value(name, value)?;
        let value = Value::Text(value.to_owned());
        match self.fields.iter().position(|field| field.is(name)) {
            Some(first) => {
                self.fields[first].value = value;
                let mut at = 0;
                self.fields.retain(|field| {
                    at += 1;
                    at - 1 <= first || !field.is(name)
                });
            }
            None => self.fields.push(Field { name: name.to_owned(), value }),
        }
        Ok(())
    }

    /// Adds a field behind all others.
    ///
    /// # Errors
    ///
    /// As [`Self::set_header`].
    pub fn add_header(&mut self, name: &str, value: &str) -> Result<()> {
        self.listed = None;
        check_name(name)?;
        check_value(name, value)?;
        self.fields.push(Field { name: name.to_owned(), value: Value::Text(value.to_owned()) });
        Ok(())
    }

    /// Removes all fields of a name; tells how many there were.
    pub fn remove_header(&mut self, name: &str) -> usize {
        self.listed = None;
        let before = self.fields.len();
        self.fields.retain(|field| !field.is(name));
        before - self.fields.len()
    }

    /// Removes the field of an index.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND`
    pub fn remove_header_at(&mut self, index: usize) -> Result<()> {
        self.listed = None;
        self.check_index(index)?;
        self.fields.remove(index);
        Ok(())
    }

    /// Sets the value of the field of an index.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND`, or as [`Self::set_header`].
    pub fn set_header_at(&mut self, index: usize, value: &str) -> Result<()> {
        self.listed = None;
        self.check_index(index)?;
        check_value(&self.fields[index].name, value)?;
        self.fields[index].value = Value::Text(value.to_owned());
        Ok(())
    }

    /// The decoded value of one of the fields of a name, counted from 0.
    #[must_use]
    pub fn header(&self, name: &str, occurrence: usize) -> Option<String> {
        self.fields.iter().filter(|field| field.is(name)).nth(occurrence).map(Field::text)
    }

    /// How many fields there are.
    #[must_use]
    pub fn header_count(&self) -> usize {
        self.fields.len()
    }

    /// Name and decoded value of the field of an index.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND`
    pub fn header_at(&self, index: usize) -> Result<(&str, String)> {
        self.check_index(index)?;
        let field = &self.fields[index];
        Ok((&field.name, field.text()))
    }

    fn check_index(&self, index: usize) -> Result<()> {
        if index < self.fields.len() {
            return Ok(());
        }
        let what = format!("there is no header field {index}; the message has {}, counted from 0", self.fields.len());
        Err(Error::caller(Code::NOT_FOUND, what))
    }

    /// Says how urgent it is, in the three fields that programs look at; `None` removes them.
    pub fn set_priority(&mut self, priority: Option<Priority>) {
        let Some(Priority(number)) = priority else {
            for name in ["X-Priority", "Importance", "Priority"] {
                self.remove_header(name);
            }
            return;
        };
        let (importance, urgency) = match number {
            1 | 2 => ("high", "urgent"),
            3 => ("normal", "normal"),
            _ => ("low", "non-urgent"),
        };
        for (name, value) in
            [("X-Priority", number.to_string().as_str()), ("Importance", importance), ("Priority", urgency)]
        {
            // A word of ASCII is never refused.
            let _ = self.set_header(name, value);
        }
    }

    /// How urgent it says that it is; 0 if it says nothing.
    #[must_use]
    pub fn priority(&self) -> u8 {
        let value = self.header("X-Priority", 0).unwrap_or_default();
        let number = value.trim_start().bytes().next().map_or(0, |digit| digit.wrapping_sub(b'0'));
        if (1..=5).contains(&number) {
            return number;
        }
        match self.header("Importance", 0).unwrap_or_default().to_ascii_lowercase().as_str() {
            "high" => 2,
            "normal" => 3,
            "low" => 4,
            _ => 0,
        }
    }
}

// Content
impl Message {
    /// Sets the plain text; `None` removes it.
    ///
    /// # Errors
    ///
    /// `LOADED_BODY` if the body was loaded.
    pub fn set_text(&mut self, text: Option<&str>) -> Result<()> {
        self.expect_composed()?;
        self.text = text.map(str::to_owned);
        Ok(())
    }

    /// Sets the HTML text; `None` removes it.
    ///
    /// # Errors
    ///
    /// `LOADED_BODY` if the body was loaded.
    pub fn set_html(&mut self, html: Option<&str>) -> Result<()> {
        self.expect_composed()?;
        self.html = html.map(str::to_owned);
        Ok(())
    }

    /// Sets the calendar, an alternative to the texts; `None` removes it.
    ///
    /// # Errors
    ///
    /// `LOADED_BODY`, or `HEADER` if the method is not a word.
    pub fn set_calendar(&mut self, calendar: Option<(&str, &str)>) -> Result<()> {
        self.expect_composed()?;
        if let Some((_, method)) = calendar
            && (method.is_empty()
                || method.len() > 40
                || !method.bytes().all(|octet| octet.is_ascii_alphabetic() || octet == b'-'))
        {
            let what = format!("\"{}\" is not the method of a calendar, such as REQUEST", method.escape_debug());
            return Err(Error::caller(Code::HEADER, what));
        }
        self.calendar = calendar.map(|(text, method)| Calendar { text: text.to_owned(), method: method.to_owned() });
        Ok(())
    }

    /// The plain text, also of a loaded message.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        self.body_text("text/plain", &self.text)
    }

    /// The HTML text, also of a loaded message.
    #[must_use]
    pub fn html(&self) -> Option<String> {
        self.body_text("text/html", &self.html)
    }

    fn body_text(&self, media_type: &str, composed: &Option<String>) -> Option<String> {
        if self.loaded.is_none() {
            return composed.clone();
        }
        let parts = self.parts();
        // What is in an attached message is not this one's.
        let is_inside = |part: &Part| {
            let mut at = part.parent;
            while let Some(parent) = at {
                if parts[parent].media_type.starts_with("message/") {
                    return true;
                }
                at = parts[parent].parent;
            }
            false
        };
        let found = parts.iter().find(|part| {
            part.media_type == media_type && part.disposition.as_deref() != Some("attachment") && !is_inside(part)
        });
        found.and_then(|part| part.text().ok())
    }

    /// Attaches something.
    pub fn attach(&mut self, attachment: Attachment) {
        self.listed = None;
        self.attachments.push(attachment);
    }

    /// Attaches a file, by its own name if no other is given.
    ///
    /// # Errors
    ///
    /// `ATTACHMENT` if there is no such file, or its name or type cannot be written.
    pub fn attach_file(
        &mut self,
        path: &str,
        name: Option<&str>,
        media_type: Option<&str>,
        content_id: Option<&str>,
    ) -> Result<()> {
        let name = name.unwrap_or_else(|| file_name(path));
        self.attach(Attachment::new(name, media_type, content_id, Data::file(path)?)?);
        Ok(())
    }

    /// Attaches a message as it is now.
    ///
    /// # Errors
    ///
    /// `ATTACHMENT` if the name cannot be written.
    pub fn attach_message(&mut self, mut message: Self, name: Option<&str>) -> Result<()> {
        let depth = message.depth();
        if depth >= MAX_DEPTH {
            let what = format!("there are {depth} messages in each other already, and no more may be");
            return Err(Error::caller(Code::ATTACHMENT, what));
        }
        message.complete()?;
        self.attach(Attachment::message(name.unwrap_or_default(), message)?);
        Ok(())
    }

    /// How many messages are in each other, this one included.
    fn depth(&self) -> usize {
        use super::attachment::Attached;
        let below = self.attachments.iter().map(|attachment| match &attachment.content {
            Attached::Message(message) => message.depth(),
            Attached::Data(_) => 0,
        });
        below.max().unwrap_or(0) + 1
    }

    /// Whether paragraphs of the plain text may be wrapped by the reader's program (RFC 3676).
    pub fn set_flowed(&mut self, flowed: bool) {
        self.listed = None;
        self.flowed = flowed;
    }

    /// See [`Self::set_flowed`].
    #[must_use]
    pub fn is_flowed(&self) -> bool {
        self.flowed
    }

    /// How texts are encoded.
    pub fn set_text_encoding(&mut self, encoding: TextEncoding) {
        self.listed = None;
        self.text_encoding = encoding;
    }

    /// See [`Self::set_text_encoding`].
    #[must_use]
    pub fn text_encoding(&self) -> TextEncoding {
        self.text_encoding
    }

    /// Its parts, which are looked for once as long as nothing changes.
    pub fn listed_parts(&mut self) -> Arc<Vec<Part>> {
        let found = self.listed.take().unwrap_or_else(|| Arc::new(self.parts()));
        Arc::clone(self.listed.insert(found))
    }

    fn expect_composed(&mut self) -> Result<()> {
        self.listed = None;
        if self.loaded.is_none() {
            return Ok(());
        }
        let what = "the body of the message was loaded, and its texts cannot be replaced";
        Err(Error::caller(Code::LOADED_BODY, what))
    }

    /// Loads a message: whatever was there before is gone. Line ends become CRLF.
    ///
    /// # Errors
    ///
    /// `NOT_A_MESSAGE` if it does not begin with header fields.
    pub fn load(octets: &[u8]) -> Result<Self> {
        super::load::load(with_crlf(octets))
    }

    /// Loads the message of a file.
    ///
    /// # Errors
    ///
    /// `FILE`, or as [`Self::load`].
    pub fn load_file(path: &str) -> Result<Self> {
        let failed = |error: std::io::Error| {
            let what = format!("the message file {path} cannot be read ({error})");
            Error::caller(Code::FILE, what).with_os(&error)
        };
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            let what = format!("the message file {path} is a folder, pipe or device, not a file");
            return Err(Error::caller(Code::FILE, what));
        }
        Self::load(&std::fs::read(path).map_err(failed)?)
    }
}

/// Messages in messages beyond this are nobody's wish, and would use up the stack.
const MAX_DEPTH: usize = 20;
