//! What a client is doing and how far it is: thin over the properties, for
//! programs that look for the original's functions.

use super::entry::from_client;
use super::handle::SmtpClient;
use super::text::{copy_out, null};
use crate::client::{Client, Property};
use crate::error::{Code, Error, Result};
use std::ffi::c_char;

/// How far the content of a message is.
#[repr(C)]
#[derive(Debug)]
pub struct SmtpTransferStatus {
    /// The size of this structure in octets, set by the caller; later versions append members.
    pub size: u32,
    /// 1 while the content is on its way, 0 if the members tell of the last message.
    pub active: u32,
    /// The length of the message in octets, 0 if it is not known.
    pub bytes_total: u64,
    /// How many octets were taken from its source.
    pub bytes_copied: u64,
    /// bytes_copied in a second; a time below a millisecond counts as one.
    pub bytes_per_second: u64,
    /// The milliseconds since the first octet was taken, or that the content took.
    pub time_elapsed_ms: u64,
    /// The milliseconds that it is likely to take yet; 0 if that cannot be told.
    pub time_estimated_ms: u64,
}

/// How far the content of the message under way is, or of the last one. All
/// members are 0 before the first.
///
/// @param client  the client
/// @param status  filled in; its member size must be set before
/// @return 0, or SMTP_ERROR_INVALID_PARAMETER if the size is not one of this structure
///
/// Threads: any, also while a call runs and from within a callback. Since 0.1.
///
/// # Safety
///
/// `status` is null or points to a structure of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpGetTransferStatus(client: *const SmtpClient, status: *mut SmtpTransferStatus) -> i32 {
    from_client(client, |client| {
        if status.is_null() {
            return Err(null("status"));
        }
        // SAFETY: not null, and as our caller promises.
        let size = unsafe { (&raw const (*status).size).read() };
        if (size as usize) < size_of::<SmtpTransferStatus>() {
            let what =
                format!("the member size is {size}, and the structure has {} octets", size_of::<SmtpTransferStatus>());
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        }
        let transfer = client.transfer();
        let filled = SmtpTransferStatus {
            size,
            active: u32::from(transfer.active),
            bytes_total: transfer.total,
            bytes_copied: transfer.copied,
            bytes_per_second: transfer.rate(),
            time_elapsed_ms: transfer.elapsed,
            time_estimated_ms: transfer.estimated(),
        };
        // SAFETY: not null, and at least of this size.
        unsafe { status.write(filled) };
        Ok(0)
    })
}

/// What the client is doing: SMTP_PROPERTY_STATE.
///
/// @param client  the client
/// @return one of the SMTP_STATUS_ constants, or SMTP_ERROR_INVALID_HANDLE
///
/// Threads: any, also while a call runs and from within a callback. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpGetStatus(client: *const SmtpClient) -> i32 {
    from_client(client, |client| number(client, Property::State))
}

/// Whether the client is connected, as far as it has noticed:
/// SMTP_PROPERTY_IS_CONNECTED.
///
/// @param client  the client
/// @return 1 or 0, or SMTP_ERROR_INVALID_HANDLE
///
/// Threads: any, also while a call runs and from within a callback. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpIsConnected(client: *const SmtpClient) -> i32 {
    from_client(client, |client| number(client, Property::IsConnected))
}

/// The three-digit code of the server's last reply: SMTP_PROPERTY_RESULT_CODE.
///
/// @param client  the client
/// @return the code, 0 if there was no reply, or SMTP_ERROR_INVALID_HANDLE
///
/// Threads: any, also while a call runs and from within a callback. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpGetResultCode(client: *const SmtpClient) -> i32 {
    from_client(client, |client| number(client, Property::ResultCode))
}

/// The text of the server's last reply, its lines joined by line feeds:
/// SMTP_PROPERTY_RESULT_STRING.
///
/// @param client    the client
/// @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL, with the buffer filled with as
///         much as fits and terminated; SMTP_ERROR_INVALID_HANDLE
///
/// Threads: any, also while a call runs and from within a callback. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpGetResultString(
    client: *const SmtpClient,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    from_client(client, |client| {
        let text = client.text(Property::ResultString as u32)?.replace('\0', " ");
        // SAFETY: as our caller promises.
        unsafe { copy_out(&text, buffer, capacity, length) }
    })
}

/// An integer property whose values fit.
pub(super) fn number(client: &Client, property: Property) -> Result<i32> {
    Ok(i32::try_from(client.integer(property as u32)?).unwrap_or(i32::MAX))
}
