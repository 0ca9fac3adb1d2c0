//! Header fields of messages.

use super::entry::on_message;
use super::message::{SmtpMessage, copy_found, name as name_of};
use super::text::{copy_out, null, required};
use std::ffi::c_char;

/// Sets a header field of a message. If there are several of the name, the first
/// gets the value and the others are removed.
///
/// From, To and the like take lists of addresses, as SmtpMessageCompose does.
/// Message-ID, References, Date and the like take ASCII. All others take text of any
/// script, which is encoded as it needs to be (RFC 2047). No value can make a second
/// field: one with a line end is refused. What tells of the content (Content-Type
/// and the like) is made by the library.
///
/// @param message  the message
/// @param name     the name, such as Reply-To or X-Customer
/// @param value    the value
/// @return 0, or SMTP_ERROR_HEADER, SMTP_ERROR_INVALID_ADDRESS, SMTP_ERROR_INVALID_UTF8
///
/// Threads: any. The strings are UTF-8 and copied. Since 0.1.
///
/// # Safety
///
/// Each string is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageSetHeader(
    message: *mut SmtpMessage,
    name: *const c_char,
    value: *const c_char,
) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        let (name, value) = unsafe { (name_of(name)?, required(value, "value")?) };
        held.lock().set_header(name, value)?;
        Ok(0)
    })
}

/// Adds a header field to a message, behind all others, also if there are some of
/// the name already.
///
/// @param message  the message
/// @param name     as for SmtpMessageSetHeader
/// @param value    as for SmtpMessageSetHeader
/// @return as SmtpMessageSetHeader
///
/// Threads: any. The strings are UTF-8 and copied. Since 0.1.
///
/// # Safety
///
/// Each string is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageAddHeader(
    message: *mut SmtpMessage,
    name: *const c_char,
    value: *const c_char,
) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        let (name, value) = unsafe { (name_of(name)?, required(value, "value")?) };
        held.lock().add_header(name, value)?;
        Ok(0)
    })
}

/// The value of a header field by its name, decoded.
///
/// @param message     the message
/// @param name        the name, in any case
/// @param occurrence  which of the fields of this name, from 0
/// @param buffer      room for the value and its NUL; NULL with capacity 0 asks for the length only
/// @param capacity    its size in octets
/// @param length      set to the length of the whole value without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_NOT_FOUND, SMTP_ERROR_BUFFER_TOO_SMALL
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `name` is null or NUL-terminated; `buffer` is null or has `capacity` octets;
/// `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageGetHeader(
    message: *const SmtpMessage,
    name: *const c_char,
    occurrence: usize,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        let name = unsafe { name_of(name) }?;
        let value = held.lock().header(name, occurrence);
        let what = format!("header field \"{}\" number {occurrence}", name.escape_debug());
        // SAFETY: as our caller promises.
        unsafe { copy_found(value, &what, buffer, capacity, length) }
    })
}

/// How many header fields a message has.
///
/// @param message  the message
/// @param count    set to the number
/// @return 0, or SMTP_ERROR_NULL_POINTER
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `count` is null or points to a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageGetHeaderCount(message: *const SmtpMessage, count: *mut usize) -> i32 {
    on_message(message, |held| {
        if count.is_null() {
            return Err(null("count"));
        }
        // SAFETY: not null, and as our caller promises.
        unsafe { count.write(held.lock().header_count()) };
        Ok(0)
    })
}

/// The name of a header field by its index.
///
/// @param message   the message
/// @param index     its number, from 0
/// @param buffer    room for the name and its NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole name without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_NOT_FOUND, SMTP_ERROR_BUFFER_TOO_SMALL
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageGetHeaderName(
    message: *const SmtpMessage,
    index: usize,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    on_message(message, |held| {
        let name = held.lock().header_at(index)?.0.to_owned();
        // SAFETY: as our caller promises.
        unsafe { copy_out(&name, buffer, capacity, length) }
    })
}

/// The value of a header field by its index, decoded.
///
/// @param message   the message
/// @param index     its number, from 0
/// @param buffer    room for the value and its NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole value without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_NOT_FOUND, SMTP_ERROR_BUFFER_TOO_SMALL
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageGetHeaderValue(
    message: *const SmtpMessage,
    index: usize,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    on_message(message, |held| {
        let value = held.lock().header_at(index)?.1;
        // SAFETY: as our caller promises.
        unsafe { copy_out(&value.replace('\0', " "), buffer, capacity, length) }
    })
}

/// Sets the value of a header field by its index.
///
/// @param message  the message
/// @param index    its number, from 0
/// @param value    as for SmtpMessageSetHeader
/// @return 0, or SMTP_ERROR_NOT_FOUND, and as SmtpMessageSetHeader
///
/// Threads: any. The string is UTF-8 and copied. Since 0.1.
///
/// # Safety
///
/// `value` is null or a NUL-terminated string that lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageSetHeaderValue(
    message: *mut SmtpMessage,
    index: usize,
    value: *const c_char,
) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        held.lock().set_header_at(index, unsafe { required(value, "value") }?)?;
        Ok(0)
    })
}

/// Removes all header fields of a name.
///
/// @param message  the message
/// @param name     the name, in any case
/// @return 0, also if there was none
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `name` is null or a NUL-terminated string that lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageRemoveHeader(message: *mut SmtpMessage, name: *const c_char) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        held.lock().remove_header(unsafe { name_of(name) }?);
        Ok(0)
    })
}

/// Removes a header field by its index; those behind it move up.
///
/// @param message  the message
/// @param index    its number, from 0
/// @return 0, or SMTP_ERROR_NOT_FOUND
///
/// Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpMessageRemoveHeaderAt(message: *mut SmtpMessage, index: usize) -> i32 {
    on_message(message, |held| {
        held.lock().remove_header_at(index)?;
        Ok(0)
    })
}
