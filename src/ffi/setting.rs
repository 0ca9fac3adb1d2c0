//! Settings and the date: thin over the properties, for programs that look for
//! the original's functions.

use super::entry::{from_client, on_client, plain};
use super::handle::SmtpClient;
use super::state::number;
use super::text::copy_out;
use crate::client::{Property, current_date};
use std::ffi::c_char;

/// The limit of one call as a whole: SMTP_PROPERTY_TIMEOUT.
///
/// In milliseconds, as every time in this library; the original's function of
/// this name has seconds.
///
/// @param client  the client
/// @return the limit in milliseconds, 0 for none, or SMTP_ERROR_INVALID_HANDLE
///
/// Threads: any, also while a call runs and from within a callback. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpGetTimeout(client: *const SmtpClient) -> i32 {
    from_client(client, |client| number(client, Property::Timeout))
}

/// Sets the limit of one call as a whole: SMTP_PROPERTY_TIMEOUT.
///
/// In milliseconds, as every time in this library; the original's function of
/// this name has seconds.
///
/// @param client      the client
/// @param timeout_ms  the limit in milliseconds; 0 is none
/// @return 0, or SMTP_ERROR_INVALID_PARAMETER if it is more than 2147483647
///
/// Threads: any; waits for its turn. Takes effect with the next call. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpSetTimeout(client: *mut SmtpClient, timeout_ms: u32) -> i32 {
    on_client(client, |client| {
        client.set_integer(Property::Timeout as u32, i64::from(timeout_ms))?;
        Ok(0)
    })
}

/// Which notifications are asked for: SMTP_PROPERTY_DELIVERY_OPTIONS.
///
/// @param client  the client
/// @return the SMTP_DELIVERY_ bits, or SMTP_ERROR_INVALID_HANDLE
///
/// Threads: any, also while a call runs and from within a callback. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpGetDeliveryOptions(client: *const SmtpClient) -> i32 {
    from_client(client, |client| number(client, Property::DeliveryOptions))
}

/// Sets which notifications to ask for with every message:
/// SMTP_PROPERTY_DELIVERY_OPTIONS.
///
/// @param client   the client
/// @param options  SMTP_DELIVERY_ bits; 0 leaves it to the servers
/// @return 0, or SMTP_ERROR_INVALID_PARAMETER
///
/// Threads: any; waits for its turn. Takes effect with the next call. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpSetDeliveryOptions(client: *mut SmtpClient, options: u32) -> i32 {
    on_client(client, |client| {
        client.set_integer(Property::DeliveryOptions as u32, i64::from(options))?;
        Ok(0)
    })
}

/// The present date as a message's Date header has it (RFC 5322 section 3.3), such
/// as "Mon, 23 Nov 2026 18:30:00 +0100": in local time with its offset, or in UTC
/// if the system does not tell local time.
///
/// @param buffer    room for the text and its NUL: 32 octets; NULL with capacity 0
///                  asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL, with the buffer filled with as
///         much as fits and terminated
///
/// Threads: any; the environment variable TZ is read. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpGetCurrentDate(buffer: *mut c_char, capacity: usize, length: *mut usize) -> i32 {
    plain(|| {
        // SAFETY: as our caller promises.
        unsafe { copy_out(&current_date(), buffer, capacity, length) }
    })
}
