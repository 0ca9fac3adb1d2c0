//! The server's extensions one by one.

use super::entry::from_client;
use super::handle::SmtpClient;
use super::text::{copy_out, null, required};
use crate::client::Property;
use std::ffi::c_char;

/// What the server says of one extension in its reply to EHLO. All of them are in
/// SMTP_PROPERTY_EXTENSIONS, and the known ones as bits in SMTP_PROPERTY_EXTENDED_OPTIONS.
///
/// @param client    the client
/// @param keyword   the extension, such as "SIZE", in any case
/// @param buffer    room for what stands behind the keyword, which may be nothing, and
///                  its NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0 if it is offered; SMTP_ERROR_EXTENSION_UNAVAILABLE if it is not, or is
///         left out (SMTP_PROPERTY_LEFT_OUT_EXTENSIONS), or there is no connection;
///         SMTP_ERROR_INVALID_PARAMETER if that is no keyword; SMTP_ERROR_BUFFER_TOO_SMALL
///
/// Threads: any, also while a call runs and from within a callback. A failure
/// leaves the client's last error as it is. Since 0.1.
///
/// # Safety
///
/// `keyword` is null or NUL-terminated and lives through the call; `buffer` is
/// null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpGetCapability(
    client: *const SmtpClient,
    keyword: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    from_client(client, |client| {
        // SAFETY: as our caller promises.
        let keyword = unsafe { required(keyword, "keyword") }?;
        let parameters = client.capability(keyword)?;
        // SAFETY: as our caller promises.
        unsafe { copy_out(&parameters, buffer, capacity, length) }
    })
}

/// The known extensions that the server offers: SMTP_PROPERTY_EXTENDED_OPTIONS.
///
/// @param client   the client
/// @param options  set to SMTP_EXTOPT_ bits; 0 without a connection
/// @return 0, or SMTP_ERROR_NULL_POINTER, SMTP_ERROR_INVALID_HANDLE
///
/// Threads: any, also while a call runs and from within a callback. Since 0.1.
///
/// # Safety
///
/// `options` is null or a `uint64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpGetExtendedOptions(client: *const SmtpClient, options: *mut u64) -> i32 {
    from_client(client, |client| {
        if options.is_null() {
            return Err(null("options"));
        }
        let bits = client.integer(Property::ExtendedOptions as u32)?;
        // SAFETY: not null, and as our caller promises.
        unsafe { options.write(bits.cast_unsigned()) };
        Ok(0)
    })
}
