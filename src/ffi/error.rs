//! The last error.

use super::entry::{clear_last_failure, last_failure, on_client, plain, query};
use super::handle::{self, SmtpClient};
use super::text::copy_out;
use crate::client::Property;
use crate::error::{Code, Error};
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::sync::Arc;

thread_local! {
    /// What the last pointer given to this thread points to.
    static TEXT: RefCell<CString> = RefCell::default();
}

/// The code of a client's last failure. A success leaves it as it was; set
/// SMTP_PROPERTY_LAST_ERROR to 0 to clear it.
///
/// @param client  the client; NULL asks for this thread's last call instead,
///                which a success clears
/// @return the code, 0 if there was no failure, SMTP_ERROR_INVALID_HANDLE
///
/// Threads: any, also while a call runs and from within a callback. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpGetLastError(client: *const SmtpClient) -> i32 {
    query(Code::INTERNAL.0, || last_of(client).map_or(0, |error| error.code.0))
}

/// One sentence on a client's last failure: what happened, the server's own
/// words, what to do. UTF-8, without a line end; empty if there was no failure.
///
/// @param client  the client; NULL asks for this thread's last call instead
/// @return the sentence, never NULL; it belongs to the library and lives until
///         the same thread calls this function again or ends
///
/// Threads: any, as SmtpGetLastError. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpGetLastErrorString(client: *const SmtpClient) -> *const c_char {
    query(c"".as_ptr(), || {
        let text = CString::new(sentence(client).into_bytes()).unwrap_or_default();
        // Gone while the thread's own destructors run.
        let kept = TEXT.try_with(|kept| {
            *kept.borrow_mut() = text;
            kept.borrow().as_ptr()
        });
        kept.unwrap_or(c"".as_ptr())
    })
}

/// The same sentence, copied to the caller's buffer: for bindings.
///
/// @param client    the client, or NULL
/// @param buffer    room for the text; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL, with the buffer filled with as much as fits
///
/// Threads: any, as SmtpGetLastError, whose answer it never changes. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpCopyLastErrorString(
    client: *const SmtpClient,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    query(Code::INTERNAL.0, || {
        let text = sentence(client);
        // SAFETY: as our caller promises.
        let copied = unsafe { copy_out(&text, buffer, capacity, length) };
        copied.unwrap_or_else(|error| error.code.0)
    })
}

/// What an error code means, and what to do about it, whoever met it. The
/// sentence of SmtpGetLastErrorString is better where there was a failure.
///
/// @param code      one of the SMTP_ERROR_ constants
/// @param buffer    room for the text; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0; SMTP_ERROR_INVALID_PARAMETER if there is no such code;
///         SMTP_ERROR_BUFFER_TOO_SMALL, with the buffer filled with as much as fits
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpGetErrorString(
    code: i32,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    plain(|| {
        let Some(entry) = Code(code).entry() else {
            return Err(Error::caller(Code::INVALID_PARAMETER, format!("there is no error code {code}")));
        };
        // SAFETY: as our caller promises.
        unsafe { copy_out(&format!("{}. {}", entry.text, entry.remedy), buffer, capacity, length) }
    })
}

/// Clears the last failure, so that a later look tells of a new one only.
///
/// @param client  the client; NULL clears this thread's instead
/// @param code    0; failures are the library's to set
/// @return 0, or SMTP_ERROR_INVALID_PARAMETER
///
/// Threads: any; with a client, waits for its turn. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpSetLastError(client: *mut SmtpClient, code: i32) -> i32 {
    if client.is_null() && code == 0 {
        return query(Code::INTERNAL.0, || {
            clear_last_failure();
            0
        });
    }
    if client.is_null() {
        let what = "the last error can only be set to 0, which clears it";
        return plain(|| Err(Error::caller(Code::INVALID_PARAMETER, what)));
    }
    on_client(client, |client| {
        client.set_integer(Property::LastError as u32, i64::from(code))?;
        Ok(0)
    })
}

fn last_of(client: *const SmtpClient) -> Option<Arc<Error>> {
    if client.is_null() {
        return last_failure();
    }
    let found = handle::find(client).and_then(|client| {
        client.check_process()?;
        Ok(client.last_error())
    });
    found.unwrap_or_else(|error| Some(Arc::from(error)))
}

fn sentence(client: *const SmtpClient) -> String {
    last_of(client).map(|error| error.to_string().replace('\0', " ")).unwrap_or_default()
}
