//! Finding what is wrong with a message before it is sent.

use super::entry::plain;
use super::text::{copy_out, octets, required};
use crate::message::check::{check_file, check_octets};
use std::ffi::{c_char, c_void};

/// Looks for what is wrong with a message in memory, without a connection: missing and
/// repeated fields, bad addresses and look-alikes, traces of header injection, lines and
/// octets that servers refuse, parts that are not what they say.
///
/// @param message   the message, its header included; it may be NULL if length is 0
/// @param length    its length in octets, or SMTP_NUL_TERMINATED
/// @param limit     the most octets that it may have, or 0
/// @param buffer    room for the findings and a NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param written   set to the length of the whole text without its NUL; may be NULL
/// @return 0, also if there are findings, or SMTP_ERROR_BUFFER_TOO_SMALL, SMTP_ERROR_NULL_POINTER
///
/// The findings are one JSON object: the numbers "errors", "warnings", "hints" and "more" (how
/// many there were beyond the 100 that are kept), and "findings", a list of objects with "code" and
/// "name" (SMTP_CHECK_), "severity" (ERROR, WARNING or HINT), "line" (from 1, or 0), "part" (0 is the
/// message's own header, parts follow as they begin), "count", "header", "what" and "remedy".
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `message` has `length` octets; `buffer` is null or has `capacity` octets; `written`
/// is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpCheckMessage(
    message: *const c_void,
    length: usize,
    limit: u64,
    buffer: *mut c_char,
    capacity: usize,
    written: *mut usize,
) -> i32 {
    plain(|| {
        // SAFETY: as our caller promises.
        let message = unsafe { octets(message, length, "message") }?;
        let report = check_octets(message, limit).to_json();
        // SAFETY: as our caller promises.
        unsafe { copy_out(&report, buffer, capacity, written) }
    })
}

/// As SmtpCheckMessage, of a message in a file, of which little is in memory at a time.
///
/// @param path      the path of the file
/// @param limit     the most octets that it may have, or 0
/// @param buffer    room for the findings and a NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param written   set to the length of the whole text without its NUL; may be NULL
/// @return 0, also if there are findings, or SMTP_ERROR_FILE, SMTP_ERROR_BUFFER_TOO_SMALL
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `path` is null or a NUL-terminated string; the rest as for SmtpCheckMessage.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpCheckFile(
    path: *const c_char,
    limit: u64,
    buffer: *mut c_char,
    capacity: usize,
    written: *mut usize,
) -> i32 {
    plain(|| {
        // SAFETY: as our caller promises.
        let path = unsafe { required(path, "path") }?;
        let report = check_file(path, limit)?.to_json();
        // SAFETY: as our caller promises.
        unsafe { copy_out(&report, buffer, capacity, written) }
    })
}
