//! The parts of messages, composed or loaded.

use super::entry::on_message;
use super::message::{Held, SmtpMessage, copy_found};
use super::text::{copy_out_octets, null, required};
use crate::error::{Code, Error, Result};
use crate::message::Part;
use std::ffi::{c_char, c_void};

/// One part of a message.
#[repr(C)]
#[derive(Debug)]
pub struct SmtpMessagePart {
    /// The size of this structure in octets, set by the caller; later versions append members.
    pub size: u32,
    /// How many parts it is in.
    pub depth: u32,
    /// The number of the part that it is in; -1 for the outermost.
    pub parent: i64,
    /// 1 if it has content of its own, 0 if it only holds other parts.
    pub has_content: u32,
    /// 1 if it says that it is an attachment.
    pub is_attachment: u32,
}

/// How many parts a message has: texts, attachments, and those that hold others.
///
/// @param message  the message, composed or loaded
/// @param count    set to the number
/// @return 0, or SMTP_ERROR_NULL_POINTER
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `count` is null or points to a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageGetPartCount(message: *const SmtpMessage, count: *mut usize) -> i32 {
    on_message(message, |held| {
        if count.is_null() {
            return Err(null("count"));
        }
        let found = held.lock().listed_parts().len();
        // SAFETY: not null, and as our caller promises.
        unsafe { count.write(found) };
        Ok(0)
    })
}

/// Where a part of a message is among the others. The outermost is first, and each is
/// before those in it.
///
/// @param message  the message
/// @param index    its number, from 0
/// @param part     filled in; its member size must be set before
/// @return 0, or SMTP_ERROR_NOT_FOUND, SMTP_ERROR_INVALID_PARAMETER
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `part` is null or points to a structure of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageGetPart(
    message: *const SmtpMessage,
    index: usize,
    part: *mut SmtpMessagePart,
) -> i32 {
    on_message(message, |held| {
        if part.is_null() {
            return Err(null("part"));
        }
        // SAFETY: not null, and as our caller promises.
        let size = unsafe { (&raw const (*part).size).read() };
        if (size as usize) < size_of::<SmtpMessagePart>() {
            let what =
                format!("the member size is {size}, and the structure has {} octets", size_of::<SmtpMessagePart>());
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        }
        let found = part_of(held, index)?;
        let filled = SmtpMessagePart {
            size,
            depth: u32::try_from(found.depth).unwrap_or(u32::MAX),
            parent: found.parent.and_then(|parent| i64::try_from(parent).ok()).unwrap_or(-1),
            has_content: u32::from(found.has_content()),
            is_attachment: u32::from(found.disposition.as_deref() == Some("attachment")),
        };
        // SAFETY: not null, and at least of this size.
        unsafe { part.write(filled) };
        Ok(0)
    })
}

/// The part, so that the message is not locked while it is read.
fn part_of(held: &Held, index: usize) -> Result<Part> {
    let parts = held.lock().listed_parts();
    parts.get(index).cloned().ok_or_else(|| {
        let what = format!("there is no part {index}; the message has {}, counted from 0", parts.len());
        Error::caller(Code::NOT_FOUND, what)
    })
}

/// The type of a part in lower case, such as text/plain.
pub const SMTP_PART_TEXT_TYPE: u32 = 1;
/// Its file name.
pub const SMTP_PART_TEXT_NAME: u32 = 2;
/// attachment or inline.
pub const SMTP_PART_TEXT_DISPOSITION: u32 = 3;
/// Its content id, without brackets.
pub const SMTP_PART_TEXT_CONTENT_ID: u32 = 4;
/// The character set that it says it has.
pub const SMTP_PART_TEXT_CHARSET: u32 = 5;
/// Its transfer encoding.
pub const SMTP_PART_TEXT_ENCODING: u32 = 6;
/// Its content as UTF-8, from its character set.
pub const SMTP_PART_TEXT_CONTENT: u32 = 7;

/// A text about a part of a message.
///
/// @param message   the message
/// @param index     the number of the part, from 0
/// @param which     SMTP_PART_TEXT_ constant
/// @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_NOT_FOUND if there is no such part, or it does not have that;
///         SMTP_ERROR_BUFFER_TOO_SMALL, SMTP_ERROR_INVALID_PARAMETER
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageGetPartString(
    message: *const SmtpMessage,
    index: usize,
    which: u32,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    on_message(message, |held| {
        let part = part_of(held, index)?;
        let (text, name) = match which {
            SMTP_PART_TEXT_TYPE => (Some(part.media_type), "type"),
            SMTP_PART_TEXT_NAME => (part.name, "file name"),
            SMTP_PART_TEXT_DISPOSITION => (part.disposition, "disposition"),
            SMTP_PART_TEXT_CONTENT_ID => (part.content_id, "content id"),
            SMTP_PART_TEXT_CHARSET => (part.charset, "character set"),
            SMTP_PART_TEXT_ENCODING => (Some(part.encoding.name().to_owned()), "encoding"),
            SMTP_PART_TEXT_CONTENT => (Some(part.text()?), "content"),
            _ => {
                let what = format!("there is no text {which} about a part");
                return Err(Error::caller(Code::INVALID_PARAMETER, what));
            }
        };
        // SAFETY: as our caller promises.
        unsafe { copy_found(text, &format!("{name} of part {index}"), buffer, capacity, length) }
    })
}

/// The content of a part of a message, decoded.
///
/// @param message   the message
/// @param index     the number of the part, from 0
/// @param buffer    room for the content; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole content; may be NULL
/// @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL with the buffer as it was, SMTP_ERROR_NOT_FOUND,
///         SMTP_ERROR_NO_CONTENT if it only holds other parts, and what reading a file
///         or reader that was attached gives
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageGetPartContent(
    message: *const SmtpMessage,
    index: usize,
    buffer: *mut c_void,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    on_message(message, |held| {
        let content = part_of(held, index)?.octets()?;
        // SAFETY: as our caller promises.
        unsafe { copy_out_octets(&content, buffer, capacity, length) }
    })
}

/// Writes the content of a part of a message, decoded, to a file, which is made or
/// emptied. The name that the message gives the file is no path to be trusted.
///
/// @param message  the message
/// @param index    the number of the part, from 0
/// @param path     the file, UTF-8
/// @return 0, or SMTP_ERROR_WRITER if the file cannot be written, and as SmtpMessageGetPartContent
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `path` is null or a NUL-terminated string that lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageSavePart(message: *const SmtpMessage, index: usize, path: *const c_char) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        let path = unsafe { required(path, "path") }?;
        part_of(held, index)?.save(path)?;
        Ok(0)
    })
}
