//! What became of each recipient.

use super::entry::from_client;
use super::handle::SmtpClient;
use super::text::{copy_out, null};
use crate::client::Recipient;
use crate::error::{Code, Error, Result};
use std::ffi::c_char;

/// What became of one recipient of the last message.
#[repr(C)]
#[derive(Debug)]
pub struct SmtpRecipient {
    /// The size of this structure in octets, set by the caller; later versions append members.
    pub size: u32,
    /// One of the SMTP_RECIPIENT_ constants.
    pub state: u32,
    /// The code of the reply that refused it, or the message for it; else 0.
    pub result_code: i32,
    /// The enhanced status code of that reply, its three numbers; else 0.
    pub enhanced_class: i32,
    /// See enhanced_class.
    pub enhanced_subject: i32,
    /// See enhanced_class.
    pub enhanced_detail: i32,
}

/// How many recipients the last message had; 0 while a message is being sent, and
/// after a call whose arguments were no good.
///
/// @param client  the client
/// @param count   set to the number
/// @return 0, or SMTP_ERROR_NULL_POINTER, SMTP_ERROR_INVALID_HANDLE
///
/// Threads: any, also while a call runs and from within a callback. Since 0.1.
///
/// # Safety
///
/// `count` is null or points to a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpGetRecipientCount(client: *const SmtpClient, count: *mut usize) -> i32 {
    from_client(client, |client| {
        if count.is_null() {
            return Err(null("count"));
        }
        // SAFETY: not null, and as our caller promises.
        unsafe { count.write(client.recipient_count()) };
        Ok(0)
    })
}

/// What became of one recipient of the last message.
///
/// @param client     the client
/// @param index      its number, from 0, in the order in which they were given
/// @param recipient  filled in; its member size must be set before
/// @return 0, or SMTP_ERROR_INVALID_PARAMETER if there is no such recipient or
///         the size is not one of this structure
///
/// Threads: any, also while a call runs and from within a callback. Since 0.1.
///
/// # Safety
///
/// `recipient` is null or points to a structure of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpGetRecipient(
    client: *const SmtpClient,
    index: usize,
    recipient: *mut SmtpRecipient,
) -> i32 {
    from_client(client, |client| {
        // SAFETY: as our caller promises.
        unsafe { fill_recipient(recipient, || client.recipient(index)) }
    })
}

/// Fills the caller's structure with what is found.
///
/// # Safety
///
/// As [`SmtpGetRecipient`].
pub(super) unsafe fn fill_recipient(
    recipient: *mut SmtpRecipient,
    find: impl FnOnce() -> Result<Recipient>,
) -> Result<i32> {
    if recipient.is_null() {
        return Err(null("recipient"));
    }
    // SAFETY: not null, and as our caller promises.
    let size = unsafe { (&raw const (*recipient).size).read() };
    if (size as usize) < size_of::<SmtpRecipient>() {
        let what = format!("the member size is {size}, and the structure has {} octets", size_of::<SmtpRecipient>());
        return Err(Error::caller(Code::INVALID_PARAMETER, what));
    }
    let found = find()?;
    let (class, subject, detail) = found.refusal.as_ref().and_then(|reply| reply.enhanced).unwrap_or_default();
    let filled = SmtpRecipient {
        size,
        state: found.state as u32,
        result_code: found.refusal.as_ref().map_or(0, |reply| i32::from(reply.code)),
        enhanced_class: i32::from(class),
        enhanced_subject: i32::from(subject),
        enhanced_detail: i32::from(detail),
    };
    // SAFETY: not null, and at least of this size.
    unsafe { recipient.write(filled) };
    Ok(0)
}

/// The address of a recipient of the last message: SMTP_RECIPIENT_TEXT_ADDRESS.
pub const SMTP_RECIPIENT_TEXT_ADDRESS: u32 = 1;
/// The text of the reply that refused it, its lines joined by line feeds.
pub const SMTP_RECIPIENT_TEXT_REPLY: u32 = 2;

/// A text about one recipient of the last message.
///
/// @param client    the client
/// @param index     its number, from 0
/// @param which     SMTP_RECIPIENT_TEXT_ADDRESS, or SMTP_RECIPIENT_TEXT_REPLY, which
///                  is empty unless the recipient was refused
/// @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL, SMTP_ERROR_INVALID_PARAMETER
///
/// Threads: any, also while a call runs and from within a callback. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpGetRecipientString(
    client: *const SmtpClient,
    index: usize,
    which: u32,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    from_client(client, |client| {
        let found = client.recipient(index)?;
        let text = match which {
            SMTP_RECIPIENT_TEXT_ADDRESS => found.address,
            SMTP_RECIPIENT_TEXT_REPLY => found.refusal.map(|reply| reply.text).unwrap_or_default(),
            _ => {
                let what = format!("there is no text {which} about a recipient");
                return Err(Error::caller(Code::INVALID_PARAMETER, what));
            }
        };
        // SAFETY: as our caller promises.
        unsafe { copy_out(&text.replace('\0', " "), buffer, capacity, length) }
    })
}
