//! Messages to be composed: made, filled, released.

use super::entry::{on_message, plain};
use super::handle::{self, Handle, Table};
use super::text::{copy_out, null, optional, required};
use crate::error::{Code, Error, Result};
use crate::message::{Message, Parts, Priority, TextEncoding, Unsubscribe};
use crate::net::sys::process_epoch;
use parking_lot::{Mutex, MutexGuard};
use std::ffi::c_char;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A message to compose, load, read and send. Made by SmtpMessageCreate, ended by
/// SmtpMessageRelease; usable from any thread. The pointer is a token: it does not
/// point to anything.
#[derive(Debug)]
pub struct SmtpMessage {
    _token: [u8; 0],
}

/// What a handle of a message stands for.
#[derive(Debug)]
pub(super) struct Held {
    message: Mutex<Message>,
    epoch: u64,
    poisoned: AtomicBool,
}

impl Held {
    fn new(message: Message) -> Self {
        Self { message: Mutex::new(message), epoch: process_epoch(), poisoned: AtomicBool::new(false) }
    }

    /// Before anything else: a child process must not wait for a lock of its parent's.
    pub(super) fn check(&self) -> Result<()> {
        if self.epoch != process_epoch() {
            return Err(Error::caller(Code::FORKED, "the handle was made before this process was forked"));
        }
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Error::caller(
                Code::HANDLE_POISONED,
                "an earlier call on this message failed inside the library",
            ));
        }
        Ok(())
    }

    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    /// The message; never held while a callback runs.
    pub(super) fn lock(&self) -> MutexGuard<'_, Message> {
        self.message.lock()
    }

    /// Puts another message in its place. The old one goes when nothing is locked any
    /// more, since its readers have functions of the program's to call.
    pub(super) fn replace(&self, message: Message) {
        let old = std::mem::replace(&mut *self.lock(), message);
        drop(old);
    }
}

impl Handle for SmtpMessage {
    type Object = Held;
    const TAG: usize = 0xC3;
    const NOUN: &'static str = "message";

    fn table() -> &'static Mutex<Table<Held>> {
        static TABLE: Mutex<Table<Held>> = Mutex::new(Table::new());
        &TABLE
    }
}

/// Creates an empty message.
///
/// @return the message, to be ended with SmtpMessageRelease; NULL on failure, of
///         which SmtpGetLastError(NULL) tells
///
/// Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpMessageCreate() -> *mut SmtpMessage {
    let mut created = std::ptr::null_mut();
    plain(|| {
        created = handle::insert(Arc::new(Held::new(Message::new())))?;
        Ok(0)
    });
    created
}

/// Releases a message. One that is being sent or exported is so to its end.
///
/// @param message  the message; NULL is allowed and does nothing
/// @return 0; SMTP_ERROR_INVALID_HANDLE if it was released before or never was a message
///
/// Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpMessageRelease(message: *mut SmtpMessage) -> i32 {
    plain(|| {
        if !message.is_null() {
            let found = handle::find(message)?;
            if found.check().is_err_and(|error| error.code == Code::FORKED) {
                return found.check().map(|()| 0);
            }
            // Only this call gets it out of the table; it goes with the last who use it.
            drop(handle::remove(message)?);
        }
        Ok(0)
    })
}

/// Empties a message: header fields, texts and attachments.
///
/// @param message  the message
/// @return 0, or an error code
///
/// Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpMessageClear(message: *mut SmtpMessage) -> i32 {
    on_message(message, |held| {
        held.replace(Message::new());
        Ok(0)
    })
}

/// Composes a message in one call; what was in it before is gone.
///
/// Each list takes addresses such as user@example.com or Name <user@example.com>,
/// names in any script, separated by commas or semicolons, with groups and
/// comments (RFC 5322 section 3.4). A text alone makes a plain message, an HTML text
/// alone one of HTML, and both an alternative of which a reader shows the better. Date
/// and Message-ID are made when the message is first exported or sent, if they are
/// not set, and stay.
///
/// @param message  the message
/// @param from     the author; any of these may be NULL to be left out
/// @param to       the recipients
/// @param cc       who gets a copy
/// @param bcc      who gets a copy that nobody else knows of
/// @param subject  the subject, without line ends
/// @param text     the plain text, with any line ends
/// @param html     the HTML text, with any line ends
/// @return 0, or SMTP_ERROR_INVALID_ADDRESS, SMTP_ERROR_HEADER, SMTP_ERROR_INVALID_UTF8;
///         the message is unchanged then
///
/// Threads: any. The strings are UTF-8 and copied. Since 0.1.
///
/// # Safety
///
/// Each string is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageCompose(
    message: *mut SmtpMessage,
    from: *const c_char,
    to: *const c_char,
    cc: *const c_char,
    bcc: *const c_char,
    subject: *const c_char,
    text: *const c_char,
    html: *const c_char,
) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        let parts = unsafe {
            Parts {
                from: optional(from, "from")?,
                to: optional(to, "to")?,
                cc: optional(cc, "cc")?,
                bcc: optional(bcc, "bcc")?,
                subject: optional(subject, "subject")?,
                text: optional(text, "text")?,
                html: optional(html, "html")?,
            }
        };
        let mut composed = Message::new();
        composed.compose(&parts)?;
        held.replace(composed);
        Ok(0)
    })
}

/// Sets the plain text of a message.
///
/// @param message  the message
/// @param text     the text, with any line ends; NULL removes it
/// @return 0, or SMTP_ERROR_LOADED_BODY if the message was loaded
///
/// Threads: any. The string is UTF-8 and copied. Since 0.1.
///
/// # Safety
///
/// `text` is null or a NUL-terminated string that lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageSetText(message: *mut SmtpMessage, text: *const c_char) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        held.lock().set_text(unsafe { optional(text, "text") }?)?;
        Ok(0)
    })
}

/// Sets the HTML text of a message. Images that go with it are attached with a
/// content id, say logo, and shown by it: <img src="cid:logo">.
///
/// @param message  the message
/// @param html     the text, with any line ends; NULL removes it
/// @return 0, or SMTP_ERROR_LOADED_BODY if the message was loaded
///
/// Threads: any. The string is UTF-8 and copied. Since 0.1.
///
/// # Safety
///
/// `html` is null or a NUL-terminated string that lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageSetHtml(message: *mut SmtpMessage, html: *const c_char) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        held.lock().set_html(unsafe { optional(html, "html") }?)?;
        Ok(0)
    })
}

/// Adds a calendar to a message as an alternative to its texts, as invitations have
/// it (RFC 6047).
///
/// @param message   the message
/// @param calendar  the calendar, from BEGIN:VCALENDAR to END:VCALENDAR (RFC 5545); NULL removes it
/// @param method    its method, such as REQUEST, CANCEL or REPLY, as it says itself; NULL: REQUEST
/// @return 0, or SMTP_ERROR_LOADED_BODY if the message was loaded, SMTP_ERROR_HEADER
///
/// Threads: any. The strings are UTF-8 and copied. Since 0.1.
///
/// # Safety
///
/// Each string is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageSetCalendar(
    message: *mut SmtpMessage,
    calendar: *const c_char,
    method: *const c_char,
) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        let (calendar, method) = unsafe { (optional(calendar, "calendar")?, optional(method, "method")?) };
        held.lock().set_calendar(calendar.map(|calendar| (calendar, method.unwrap_or("REQUEST"))))?;
        Ok(0)
    })
}

/// The plain text of a message that was composed or loaded: the first that is not attached.
///
/// @param message   the message
/// @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_NOT_FOUND if there is none, SMTP_ERROR_BUFFER_TOO_SMALL
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageGetText(
    message: *const SmtpMessage,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    on_message(message, |held| {
        let text = held.lock().text();
        // SAFETY: as our caller promises.
        unsafe { copy_found(text, "plain text", buffer, capacity, length) }
    })
}

/// The HTML text of a message that was composed or loaded: the first that is not attached.
///
/// @param message   the message
/// @param buffer    as for SmtpMessageGetText
/// @param capacity  as for SmtpMessageGetText
/// @param length    as for SmtpMessageGetText
/// @return as SmtpMessageGetText
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageGetHtml(
    message: *const SmtpMessage,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    on_message(message, |held| {
        let text = held.lock().html();
        // SAFETY: as our caller promises.
        unsafe { copy_found(text, "HTML text", buffer, capacity, length) }
    })
}

/// Copies a text out, if there is one.
///
/// # Safety
///
/// As [`copy_out`].
pub(super) unsafe fn copy_found(
    text: Option<String>,
    what: &str,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> Result<i32> {
    let text = text.ok_or_else(|| Error::caller(Code::NOT_FOUND, format!("the message has no {what}")))?;
    // SAFETY: as our own caller promises.
    unsafe { copy_out(&text.replace('\0', " "), buffer, capacity, length) }
}

/// How urgent the message is: an SMTP_PRIORITY_ constant.
pub const SMTP_MESSAGE_PRIORITY: u32 = 1;
/// 1 if paragraphs of the plain text may be wrapped by the reader's program (RFC 3676).
pub const SMTP_MESSAGE_FLOWED: u32 = 2;
/// How texts are encoded: an SMTP_ENCODING_ constant.
pub const SMTP_MESSAGE_ENCODING: u32 = 3;

/// Sets a number about a message.
///
/// @param message  the message
/// @param which    SMTP_MESSAGE_ constant
/// @param value    the value
/// @return 0, or SMTP_ERROR_INVALID_PARAMETER
///
/// Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpMessageSetInteger(message: *mut SmtpMessage, which: u32, value: i64) -> i32 {
    on_message(message, |held| {
        let refused = |what: &str| Err(Error::caller(Code::INVALID_PARAMETER, format!("{value} is not {what}")));
        match which {
            SMTP_MESSAGE_PRIORITY => match Priority::new(value) {
                None if value != 0 => return refused("a priority from 0 to 5"),
                priority => held.lock().set_priority(priority),
            },
            SMTP_MESSAGE_FLOWED if !(0..=1).contains(&value) => return refused("0 or 1"),
            SMTP_MESSAGE_FLOWED => held.lock().set_flowed(value == 1),
            SMTP_MESSAGE_ENCODING => match TextEncoding::ALL.iter().find(|(encoding, ..)| *encoding as i64 == value) {
                Some((encoding, ..)) => held.lock().set_text_encoding(*encoding),
                None => return refused("an SMTP_ENCODING_ constant"),
            },
            _ => return Err(unknown(which)),
        }
        Ok(0)
    })
}

/// Reads a number about a message.
///
/// @param message  the message
/// @param which    SMTP_MESSAGE_ constant
/// @param value    set to the value
/// @return 0, or SMTP_ERROR_INVALID_PARAMETER, SMTP_ERROR_NULL_POINTER
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `value` is null or points to an `int64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageGetInteger(message: *const SmtpMessage, which: u32, value: *mut i64) -> i32 {
    on_message(message, |held| {
        if value.is_null() {
            return Err(null("value"));
        }
        let found = match which {
            SMTP_MESSAGE_PRIORITY => i64::from(held.lock().priority()),
            SMTP_MESSAGE_FLOWED => i64::from(held.lock().is_flowed()),
            SMTP_MESSAGE_ENCODING => held.lock().text_encoding() as i64,
            _ => return Err(unknown(which)),
        };
        // SAFETY: not null, and as our caller promises.
        unsafe { value.write(found) };
        Ok(0)
    })
}

fn unknown(which: u32) -> Box<Error> {
    Error::caller(Code::INVALID_PARAMETER, format!("there is no number {which} about a message"))
}

/// Says how to leave the mailing list that a message is for: sets List-Unsubscribe
/// (RFC 2369), and with one click List-Unsubscribe-Post (RFC 8058), which large
/// mailbox providers want of newsletters.
///
/// @param message    the message
/// @param address    the mail address that takes the wish, perhaps with ?subject=...; may be NULL
/// @param page       the page that takes it, https://...; may be NULL
/// @param one_click  1 if the page takes a POST without asking back; else 0
/// @return 0, or SMTP_ERROR_HEADER, SMTP_ERROR_INVALID_ADDRESS
///
/// Threads: any. The strings are copied. For one click the message must be signed
/// (DKIM) with both fields. Since 0.1.
///
/// # Safety
///
/// Each string is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageSetUnsubscribe(
    message: *mut SmtpMessage,
    address: *const c_char,
    page: *const c_char,
    one_click: u32,
) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        let (address, page) = unsafe { (optional(address, "address")?, optional(page, "page")?) };
        held.lock().set_unsubscribe(Unsubscribe { address, page, one_click: one_click != 0 })?;
        Ok(0)
    })
}

/// Asks the reader's program for a receipt when the message is read (RFC 8098): sets
/// Disposition-Notification-To.
///
/// @param message  the message
/// @param address  who gets the receipt; NULL or empty: nobody
/// @return 0, or SMTP_ERROR_INVALID_ADDRESS
///
/// Threads: any. The string is UTF-8 and copied. Since 0.1.
///
/// # Safety
///
/// `address` is null or a NUL-terminated string that lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageSetReadReceipt(message: *mut SmtpMessage, address: *const c_char) -> i32 {
    const NAME: &str = "Disposition-Notification-To";
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        match unsafe { optional(address, "address") }?.filter(|address| !address.is_empty()) {
            Some(address) => held.lock().set_header(NAME, address)?,
            None => drop(held.lock().remove_header(NAME)),
        }
        Ok(0)
    })
}

/// A text that must be there; for the other files of messages.
///
/// # Safety
///
/// As [`required`].
pub(super) unsafe fn name<'a>(text: *const c_char) -> Result<&'a str> {
    // SAFETY: as our own caller promises.
    unsafe { required(text, "name") }
}
