//! The server's certificates, and settings that are octets.

use super::entry::{from_client, on_client};
use super::handle::SmtpClient;
use super::text::{copy_out, copy_out_octets, octets};
use std::ffi::{c_char, c_void};

/// Sets a property to octets that need not be a text: SMTP_PROPERTY_CLIENT_CERTIFICATE_DATA,
/// SMTP_PROPERTY_CLIENT_KEY_DATA or SMTP_PROPERTY_CLIENT_KEY_PASSWORD.
///
/// @param client    the client
/// @param property  one of these
/// @param data      the octets, copied; NULL with length 0 clears it
/// @param length    their number, or SMTP_NUL_TERMINATED
/// @return 0, or SMTP_ERROR_UNKNOWN_PROPERTY, SMTP_ERROR_NULL_POINTER, SMTP_ERROR_INVALID_PARAMETER
///
/// Threads: any; waits for its turn. Takes effect with the next connection. Since 0.1.
///
/// # Safety
///
/// `data` is null or points to `length` octets, or to a NUL-terminated string, that
/// live through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpSetData(
    client: *mut SmtpClient,
    property: u32,
    data: *const c_void,
    length: usize,
) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        let data = unsafe { octets(data, length, "data") }?;
        client.set_data(property, data)?;
        Ok(0)
    })
}

/// One of the certificates that the server sent, in DER form (X.509). Their number
/// is SMTP_PROPERTY_CERTIFICATE_COUNT.
///
/// @param client    the client
/// @param index     0 for the server's own, then those of its issuers as it sent them
/// @param buffer    room for it; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the certificate; may be NULL
/// @return 0, or SMTP_ERROR_INVALID_PARAMETER if there is none of this number;
///         SMTP_ERROR_BUFFER_TOO_SMALL, with the buffer untouched
///
/// Threads: any, also while a call runs and from within a callback. A failure
/// leaves the client's last error as it is. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpGetCertificate(
    client: *const SmtpClient,
    index: usize,
    buffer: *mut c_void,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    from_client(client, |client| {
        let der = client.certificate(index)?;
        // SAFETY: as our caller promises.
        unsafe { copy_out_octets(&der, buffer, capacity, length) }
    })
}

/// What one of the certificates that the server sent says of itself.
///
/// @param client    the client
/// @param index     0 for the server's own, then those of its issuers as it sent them
/// @param property  what to tell, one of SMTP_PROPERTY_CERTIFICATE_SUBJECT, _ISSUER, _ISSUED,
///                  _EXPIRES, _FINGERPRINT, _NAMES and _PIN
/// @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_INVALID_PARAMETER if there is none of this number;
///         SMTP_ERROR_UNKNOWN_PROPERTY; SMTP_ERROR_BUFFER_TOO_SMALL, with the
///         buffer filled with as much as fits and terminated
///
/// Threads: any, also while a call runs and from within a callback. A failure
/// leaves the client's last error as it is. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpGetCertificateString(
    client: *const SmtpClient,
    index: usize,
    property: u32,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    from_client(client, |client| {
        let text = client.certificate_text(index, property)?;
        // SAFETY: as our caller promises.
        unsafe { copy_out(&text, buffer, capacity, length) }
    })
}
