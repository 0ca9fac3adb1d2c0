//! Properties in and out.

use super::entry::{from_client, on_client};
use super::handle::SmtpClient;
use super::text::{copy_out, null, optional};
use std::ffi::c_char;

/// Sets a text property.
///
/// @param client    the client
/// @param property  SMTP_PROPERTY_ constant of a text that can be written
/// @param value     the new value, UTF-8, copied; NULL is the same as empty
/// @return 0, or SMTP_ERROR_UNKNOWN_PROPERTY, SMTP_ERROR_READ_ONLY_PROPERTY,
///         SMTP_ERROR_INVALID_PARAMETER, SMTP_ERROR_INVALID_UTF8
///
/// Threads: any; waits for its turn. Takes effect with the next call. Since 0.1.
///
/// # Safety
///
/// `value` is null or a NUL-terminated string that lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpSetString(client: *mut SmtpClient, property: u32, value: *const c_char) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        let value = unsafe { optional(value, "value") }?;
        client.set_text(property, value.unwrap_or_default())?;
        Ok(0)
    })
}

/// Reads a text property into the caller's buffer.
///
/// @param client    the client
/// @param property  SMTP_PROPERTY_ constant of a text that can be read
/// @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL, with the buffer filled with as
///         much as fits and terminated; SMTP_ERROR_UNKNOWN_PROPERTY, SMTP_ERROR_WRITE_ONLY_PROPERTY
///
/// Threads: any, also while a call runs and from within a callback. A failure
/// leaves the client's last error as it is. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpGetString(
    client: *const SmtpClient,
    property: u32,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    from_client(client, |client| {
        let text = client.text(property)?.replace('\0', " ");
        // SAFETY: as our caller promises.
        unsafe { copy_out(&text, buffer, capacity, length) }
    })
}

/// Sets an integer property.
///
/// @param client    the client
/// @param property  SMTP_PROPERTY_ constant of an integer that can be written
/// @param value     the new value, in the property's unit and range
/// @return 0, or SMTP_ERROR_UNKNOWN_PROPERTY, SMTP_ERROR_READ_ONLY_PROPERTY,
///         SMTP_ERROR_INVALID_PARAMETER
///
/// Threads: any; waits for its turn. Takes effect with the next call. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpSetInteger(client: *mut SmtpClient, property: u32, value: i64) -> i32 {
    on_client(client, |client| {
        client.set_integer(property, value)?;
        Ok(0)
    })
}

/// Reads an integer property.
///
/// @param client    the client
/// @param property  SMTP_PROPERTY_ constant of an integer
/// @param value     set to the value
/// @return 0, or SMTP_ERROR_UNKNOWN_PROPERTY, SMTP_ERROR_NULL_POINTER
///
/// Threads: any, also while a call runs and from within a callback. A failure
/// leaves the client's last error as it is. Since 0.1.
///
/// # Safety
///
/// `value` is null or points to an `int64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpGetInteger(client: *const SmtpClient, property: u32, value: *mut i64) -> i32 {
    from_client(client, |client| {
        if value.is_null() {
            return Err(null("value"));
        }
        let found = client.integer(property)?;
        // SAFETY: not null, and as our caller promises.
        unsafe { value.write(found) };
        Ok(0)
    })
}
