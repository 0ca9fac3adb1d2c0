//! Finding what is wrong with a message before it is sent.

use super::entry::{on_message, plain};
use super::message::{Held, SmtpMessage};
use super::text::{copy_out, null, octets, required};
use crate::error::{Code, Error, Result};
use crate::message::RenderOptions;
use crate::message::check::{Finding, check_file, check_octets};
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

/// What is wrong with a message, one of its findings.
#[repr(C)]
#[derive(Debug)]
pub struct SmtpFinding {
    /// The size of this structure in octets, set by the caller; later versions append members.
    pub size: u32,
    /// One of the SMTP_CHECK_ constants.
    pub code: u32,
    /// One of the SMTP_SEVERITY_ constants.
    pub severity: u32,
    /// The part: 0 is the message's own header, parts follow as they begin.
    pub part: u32,
    /// The line where it is, or is first, from 1; 0 if it is of the message as a whole.
    pub line: u64,
    /// How often it is there.
    pub count: u64,
}

/// Looks for what is wrong with a message as it would be sent, Bcc left out, before a
/// connection is made; see SmtpCheckMessage. It is not signed for this.
///
/// @param message  the message
/// @param limit    the most octets that it may have, or 0
/// @param count    set to the number of findings; may be NULL
/// @return 0, also if there are findings; SMTP_ERROR_READ_ONCE if a reader was attached without
///         a rewind function; and as SmtpMessageExport
///
/// Threads: any. Makes Date and Message-ID if they are missing. The findings stay until the
/// next check of this message. Since 0.1.
///
/// # Safety
///
/// `count` is null or points to a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageCheck(message: *mut SmtpMessage, limit: u64, count: *mut usize) -> i32 {
    on_message(message, |held| {
        let options = RenderOptions { eight_bit: true, ..RenderOptions::default() };
        // Nothing is locked while it is read: readers have functions of the program's to call.
        let mut rendering = held.lock().render(options)?;
        let report = rendering.check(limit)?;
        let found = report.findings().len();
        held.set_report(report);
        if !count.is_null() {
            // SAFETY: not null, and as our caller promises.
            unsafe { count.write(found) };
        }
        Ok(0)
    })
}

fn finding_of(held: &Held, index: usize) -> Result<Finding> {
    let report = held.report();
    report.findings().get(index).cloned().ok_or_else(|| {
        let what = format!("there is no finding {index}; the last check found {}", report.findings().len());
        Error::caller(Code::INVALID_PARAMETER, what)
    })
}

/// A finding of the last SmtpMessageCheck.
///
/// @param message  the message
/// @param index    its number, from 0
/// @param finding  filled in; its member size must be set before
/// @return 0, or SMTP_ERROR_INVALID_PARAMETER if there is no such finding or the size is not
///         one of this structure
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `finding` is null or points to a structure of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageGetFinding(
    message: *const SmtpMessage,
    index: usize,
    finding: *mut SmtpFinding,
) -> i32 {
    on_message(message, |held| {
        if finding.is_null() {
            return Err(null("finding"));
        }
        // SAFETY: not null, and as our caller promises.
        let size = unsafe { (&raw const (*finding).size).read() };
        if (size as usize) < size_of::<SmtpFinding>() {
            let what = format!("the member size is {size}, and the structure has {} octets", size_of::<SmtpFinding>());
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        }
        let found = finding_of(held, index)?;
        let filled = SmtpFinding {
            size,
            code: found.check as u32,
            severity: found.severity as u32,
            part: found.part,
            line: found.line,
            count: found.count,
        };
        // SAFETY: not null, and at least of this size.
        unsafe { finding.write(filled) };
        Ok(0)
    })
}

/// The name of what was found, such as BARE_LINE_END.
pub const SMTP_FINDING_TEXT_NAME: u32 = 1;
/// The name of the header field, or nothing.
pub const SMTP_FINDING_TEXT_HEADER: u32 = 2;
/// What was found, in words.
pub const SMTP_FINDING_TEXT_WHAT: u32 = 3;
/// What to do about it.
pub const SMTP_FINDING_TEXT_REMEDY: u32 = 4;

/// A text about a finding of the last SmtpMessageCheck.
///
/// @param message   the message
/// @param index     its number, from 0
/// @param which     one of the SMTP_FINDING_TEXT_ constants
/// @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL, SMTP_ERROR_INVALID_PARAMETER
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageGetFindingString(
    message: *const SmtpMessage,
    index: usize,
    which: u32,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    on_message(message, |held| {
        let found = finding_of(held, index)?;
        let text = match which {
            SMTP_FINDING_TEXT_NAME => found.check.name(),
            SMTP_FINDING_TEXT_HEADER => &found.header,
            SMTP_FINDING_TEXT_WHAT => &found.what,
            SMTP_FINDING_TEXT_REMEDY => found.check.remedy(),
            _ => {
                let what = format!("there is no text {which} about a finding");
                return Err(Error::caller(Code::INVALID_PARAMETER, what));
            }
        };
        // SAFETY: as our caller promises.
        unsafe { copy_out(text, buffer, capacity, length) }
    })
}

/// All findings of the last SmtpMessageCheck, as one JSON object; see SmtpCheckMessage.
///
/// @param message   the message
/// @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageGetFindings(
    message: *const SmtpMessage,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        unsafe { copy_out(&held.report().to_json(), buffer, capacity, length) }
    })
}
