//! Files and pictures that go with a message.

use super::data::Data;
use super::media_type::guess;
use super::message::Message;
use super::parameter::{Parameters, is_token};
use crate::error::{Code, Error, Result};

/// Something attached to a message.
#[derive(Clone, Debug)]
pub struct Attachment {
    pub(super) name: String,
    pub(super) media_type: String,
    /// By which the HTML text shows it; then it is inline.
    pub(super) content_id: Option<String>,
    pub(super) content: Attached,
}

#[derive(Clone, Debug)]
pub(super) enum Attached {
    Data(Data),
    Message(Box<Message>),
}

impl Attachment {
    /// An attachment with a name; the type is guessed from it if it is not given.
    /// With a content id it is inline, for the HTML text to show as `cid:...`.
    ///
    /// # Errors
    ///
    /// `ATTACHMENT` if the name, the type or the content id cannot be written.
    pub fn new(name: &str, media_type: Option<&str>, content_id: Option<&str>, data: Data) -> Result<Self> {
        check_name(name)?;
        let media_type = match media_type.filter(|media_type| !media_type.is_empty()) {
            Some(media_type) => checked_type(media_type)?,
            None => guess(name).to_owned(),
        };
        let content_id = content_id.filter(|id| !id.is_empty()).map(checked_id).transpose()?;
        Ok(Self { name: name.to_owned(), media_type, content_id, content: Attached::Data(data) })
    }

    /// A message as an attachment of another one.
    ///
    /// # Errors
    ///
    /// `ATTACHMENT` if the name cannot be written.
    pub(super) fn message(name: &str, message: Message) -> Result<Self> {
        check_name(name)?;
        let media_type = "message/rfc822".to_owned();
        Ok(Self { name: name.to_owned(), media_type, content_id: None, content: Attached::Message(Box::new(message)) })
    }
}

/// The last part of a path, whichever system it is of.
pub(super) fn file_name(path: &str) -> &str {
    let name = std::path::Path::new(path).file_name().and_then(|name| name.to_str());
    name.unwrap_or(path)
}

fn check_name(name: &str) -> Result<()> {
    const MOST: usize = 2000;
    if let Some(bad) = name.chars().find(|c| c.is_control()) {
        let what = format!("the name of an attachment has the control character U+{:04X}", u32::from(bad));
        return Err(Error::caller(Code::ATTACHMENT, what));
    }
    if name.len() > MOST {
        let what = format!("the name of an attachment has {} octets, and may have {MOST}", name.len());
        return Err(Error::caller(Code::ATTACHMENT, what));
    }
    Ok(())
}

/// A type with its parameters, such as `text/csv; charset=utf-8`.
fn checked_type(text: &str) -> Result<String> {
    let refused = |why: &str| {
        let what = format!("\"{}\" cannot be the type of an attachment: {why}", text.escape_debug());
        Err(Error::caller(Code::ATTACHMENT, what))
    };
    if text.len() > 500 || !text.bytes().all(|octet| (b' '..=b'~').contains(&octet)) {
        return refused("it must be printable ASCII, 500 characters at most");
    }
    let (value, parameters) = text.split_once(';').map_or((text, None), |(value, rest)| (value, Some(rest)));
    match value.trim().split_once('/') {
        Some((kind, sub)) if is_token(kind) && is_token(sub) => {
            if kind.eq_ignore_ascii_case("multipart") || kind.eq_ignore_ascii_case("message") {
                let error = refused("its transfer encoding must not be base64 (RFC 2046 section 5)");
                return error.map_err(|error| error.with_remedy("Attach a message with SmtpMessageAttachMessage."));
            }
        }
        _ => return refused("it is not like application/pdf"),
    }
    let Some(parameters) = parameters else { return Ok(value.trim().to_owned()) };
    // Each must be name=value, the value in quotes if it needs them.
    let rest = format!("x;{parameters}");
    let count = parameters.split(';').filter(|part| !part.trim().is_empty()).count();
    let read = Parameters::parse(rest.as_bytes());
    if read.count() != count || parameters.matches('"').count() % 2 != 0 || parameters.contains(['(', ')', '\\']) {
        return refused("its parameters are not like charset=utf-8");
    }
    Ok(text.trim().trim_end_matches(';').trim_end().to_owned())
}

fn checked_id(id: &str) -> Result<String> {
    let bare = id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(id);
    let is_fine = bare.bytes().all(|octet| octet.is_ascii_graphic() && !b"<>\"()\\,".contains(&octet));
    if bare.is_empty() || bare.len() > 200 || !is_fine {
        let what = format!(
            "\"{}\" cannot be a content id: it must be printable ASCII without blanks and brackets",
            id.escape_debug()
        );
        return Err(Error::caller(Code::ATTACHMENT, what).with_remedy("Use something like logo or logo@example.com."));
    }
    Ok(bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attach(name: &str, media_type: Option<&str>, id: Option<&str>) -> std::result::Result<Attachment, Code> {
        Attachment::new(name, media_type, id, Data::memory(*b"x")).map_err(|error| error.code)
    }

    #[test]
    fn types_are_guessed_or_checked() {
        let found = |name, media_type| attach(name, media_type, None).map(|attachment| attachment.media_type);
        assert_eq!(found("a.PDF", None).as_deref(), Ok("application/pdf"));
        assert_eq!(found("a.pdf", Some("text/x")).as_deref(), Ok("text/x"));
        assert_eq!(found("a", Some("text/csv; charset=utf-8")).as_deref(), Ok("text/csv; charset=utf-8"));
        for bad in
            ["text", "text/", "a b/c", "a/b\r\nX: y", "multipart/mixed", "message/rfc822", "a/b; x", "a/b; x=\"y"]
        {
            assert_eq!(found("a", Some(bad)), Err(Code::ATTACHMENT), "{bad}");
        }
    }

    #[test]
    fn names_and_ids_are_checked() {
        assert_eq!(attach("a\r\nb", None, None).err(), Some(Code::ATTACHMENT));
        assert_eq!(attach("a", None, Some("a b")).err(), Some(Code::ATTACHMENT));
        assert_eq!(attach("a", None, Some("<a\r\nb>")).err(), Some(Code::ATTACHMENT));
        assert_eq!(attach("a", None, Some("<a@b>")).map(|found| found.content_id), Ok(Some("a@b".into())));
        assert_eq!(file_name("/tmp/\u{fc} b.pdf"), "\u{fc} b.pdf");
    }
}
