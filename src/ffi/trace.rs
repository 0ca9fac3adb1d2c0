//! The conversation as it goes over the wire.

use super::entry::on_client;
use super::event::{SmtpDestroyCallback, User};
use super::handle::SmtpClient;
use super::text::required;
use crate::client::{Property, TraceEntry, TraceSink};
use crate::error::{Code, Error};
use std::ffi::{c_char, c_void};

/// One record of the conversation. Valid during the callback only.
#[repr(C)]
#[derive(Debug)]
pub struct SmtpTraceRecord {
    /// The size of this structure in octets; later versions append members.
    pub size: u32,
    /// One of the SMTP_DIRECTION_ constants.
    pub direction: u32,
    /// When the record was made, in milliseconds since the beginning of 1970, UTC.
    pub time_ms: u64,
    /// The server's reply code for SMTP_DIRECTION_SERVER; else 0.
    pub result_code: i32,
    /// Always 0.
    pub reserved: u32,
    /// The text, any octets, without its last line end, not NUL-terminated; never NULL.
    pub text: *const c_char,
    /// The length of the text in octets.
    pub text_length: usize,
}

/// A callback for records. Returns 0 to go on, anything else to cancel the
/// running call. What SmtpEventCallback may do, it may do.
pub type SmtpTraceCallback =
    Option<unsafe extern "C" fn(record: *const SmtpTraceRecord, user_data: *mut c_void) -> i32>;

/// Registers a callback for the records of the conversation; it takes the place
/// of the one before. Passwords are masked, and the content of messages is only
/// counted, unless SMTP_PROPERTY_INSECURE_TRACE_SECRETS and SMTP_PROPERTY_TRACE_FLAGS
/// say otherwise. SMTP_PROPERTY_TRACE_FILE and SMTP_PROPERTY_TRACE_KEEP work besides.
///
/// @param client     the client
/// @param callback   the function; NULL removes the one before
/// @param user_data  passed to the callback
/// @param destroy    called with user_data when the callback is replaced or
///                   removed, or the client's last call has ended after its
///                   release; also if this call fails. May be NULL.
/// @return 0, or an error code
///
/// Threads: any; waits for its turn. Since 0.1.
///
/// # Safety
///
/// `callback` and `destroy` may be called with `user_data` from any thread that
/// uses the client, until `destroy` was called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpRegisterTrace(
    client: *mut SmtpClient,
    callback: SmtpTraceCallback,
    user_data: *mut c_void,
    destroy: SmtpDestroyCallback,
) -> i32 {
    let user = User::new(user_data, destroy);
    on_client(client, |client| {
        let sink = callback.map(|callback| {
            TraceSink(Box::new(move |entry: &TraceEntry<'_>| {
                let record = SmtpTraceRecord {
                    size: u32::try_from(size_of::<SmtpTraceRecord>()).unwrap_or(u32::MAX),
                    direction: entry.direction,
                    time_ms: entry.time,
                    result_code: i32::from(entry.result_code),
                    reserved: 0,
                    text: entry.text.as_ptr().cast(),
                    text_length: entry.text.len(),
                };
                // SAFETY: a live structure, and the data that belongs to this callback.
                unsafe { callback(&raw const record, user.data()) != 0 }
            }))
        });
        client.set_trace(sink)?;
        Ok(0)
    })
}

/// Has the conversation appended to a file: SMTP_PROPERTY_TRACE_FILE and
/// SMTP_PROPERTY_TRACE_FLAGS in one call.
///
/// @param client  the client; the original traced all of a thread instead
/// @param path    the file, UTF-8, made if it is not there; copied
/// @param flags   SMTP_TRACE_ bits
/// @return 0; SMTP_ERROR_FILE if the file cannot be opened; SMTP_ERROR_INVALID_PARAMETER
///         if the path is empty or the flags have bits without a meaning; nothing is
///         changed then
///
/// Threads: any; waits for its turn. Takes effect with the next call. Since 0.1.
///
/// # Safety
///
/// `path` is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpEnableTrace(client: *mut SmtpClient, path: *const c_char, flags: u32) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        let path = unsafe { required(path, "path") }?;
        if path.is_empty() {
            return Err(Error::caller(Code::INVALID_PARAMETER, "the path of the trace is empty"));
        }
        client.enable_trace(path, flags)?;
        Ok(0)
    })
}

/// Ends the trace to a file: empties SMTP_PROPERTY_TRACE_FILE. A callback, and what
/// SMTP_PROPERTY_TRACE_KEEP keeps, are not concerned.
///
/// @param client  the client
/// @return 0, or an error code
///
/// Threads: any; waits for its turn. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpDisableTrace(client: *mut SmtpClient) -> i32 {
    on_client(client, |client| {
        client.set_text(Property::TraceFile as u32, "")?;
        Ok(0)
    })
}
