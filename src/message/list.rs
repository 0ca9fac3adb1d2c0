//! How to leave a mailing list (RFC 2369, RFC 8058).

use super::message::Message;
use crate::error::{Code, Error, Result};
use crate::proto::Mailbox;

/// The ways to leave a list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unsubscribe<'a> {
    /// The address that takes the wish.
    pub address: Option<&'a str>,
    /// The page that takes it.
    pub page: Option<&'a str>,
    /// The page takes a POST without asking back, so that one click is enough.
    pub one_click: bool,
}

impl Message {
    /// Sets List-Unsubscribe, and List-Unsubscribe-Post for one click.
    ///
    /// # Errors
    ///
    /// `HEADER` if neither way is given, or one cannot be written; `INVALID_ADDRESS`.
    pub fn set_unsubscribe(&mut self, ways: Unsubscribe<'_>) -> Result<()> {
        let mut value = Vec::new();
        if let Some(address) = ways.address.filter(|address| !address.is_empty()) {
            let bare = address.strip_prefix("mailto:").unwrap_or(address);
            // What follows a question mark is the subject and the like.
            let (mailbox, rest) = bare.split_once('?').map_or((bare, ""), |(mailbox, rest)| (mailbox, rest));
            Mailbox::parse(mailbox)?;
            check_uri(rest)?;
            check_uri(mailbox)?;
            value.push(format!("<mailto:{bare}>"));
        }
        if let Some(page) = ways.page.filter(|page| !page.is_empty()) {
            check_uri(page)?;
            let scheme = page.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
            match scheme.as_deref() {
                Some("https") => {}
                Some("http") if !ways.one_click => {}
                _ => {
                    let what =
                        format!("the page to unsubscribe, \"{}\", does not begin with https://", page.escape_debug());
                    return Err(Error::caller(Code::HEADER, what));
                }
            }
            value.push(format!("<{page}>"));
        } else if ways.one_click {
            let what = "one click to unsubscribe needs a page (RFC 8058 section 3.1)";
            return Err(Error::caller(Code::HEADER, what));
        }
        if value.is_empty() {
            let what = "neither an address nor a page to unsubscribe was given";
            return Err(Error::caller(Code::HEADER, what));
        }
        self.set_header("List-Unsubscribe", &value.join(", "))?;
        self.remove_header("List-Unsubscribe-Post");
        if ways.one_click {
            self.set_header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")?;
        }
        Ok(())
    }
}

fn check_uri(text: &str) -> Result<()> {
    match text.chars().find(|c| !c.is_ascii_graphic() || "<>\"".contains(*c)) {
        Some(bad) => {
            let what = format!("a way to unsubscribe has {bad:?}, which must be written as %XX there");
            Err(Error::caller(Code::HEADER, what))
        }
        None if text.len() > 900 => {
            let what = format!("a way to unsubscribe has {} characters, and may have 900", text.len());
            Err(Error::caller(Code::HEADER, what))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_leave() {
        let mut message = Message::new();
        let both = Unsubscribe {
            address: Some("leave@l.example?subject=x"),
            page: Some("https://l.example/u?t=1"),
            one_click: true,
        };
        message.set_unsubscribe(both).expect("fine");
        let value = message.header("List-Unsubscribe", 0).expect("set");
        assert_eq!(value, "<mailto:leave@l.example?subject=x>, <https://l.example/u?t=1>");
        assert_eq!(message.header("list-unsubscribe-post", 0).as_deref(), Some("List-Unsubscribe=One-Click"));
        message
            .set_unsubscribe(Unsubscribe { page: Some("http://l.example/"), ..Unsubscribe::default() })
            .expect("fine");
        assert_eq!(message.header("list-unsubscribe-post", 0), None);
        for (address, page, one_click) in [
            (None, None, false),
            (Some("a@b"), None, true),
            (None, Some("http://x/"), true),
            (None, Some("javascript:x"), false),
            (None, Some("https://x/>\r\nBcc: y"), false),
            (Some("a@b?x\r\nBcc: c@d"), None, false),
            (Some("nobody"), None, false),
        ] {
            assert!(message.set_unsubscribe(Unsubscribe { address, page, one_click }).is_err(), "{address:?} {page:?}");
        }
    }
}
