//! Sending: from memory, from a file, from a reader.

use super::entry::{on_client, settled};
use super::handle::SmtpClient;
use super::text::{null, octets, required};
use crate::client::{Arguments, Content, Read};
use crate::error::{Code, Error, Phase, Result};
use std::ffi::{c_char, c_void};

/// Sends a finished message to one or many recipients.
///
/// The headers of the message are not read: the envelope is made of the
/// arguments alone, so an address in no header is a blind copy, and a Bcc header
/// left in the message is seen by everybody. Bare CR and bare LF become CRLF,
/// dots are stuffed (RFC 5321 section 4.5.2), and a line end is added if the last one
/// is missing; nothing else is changed.
///
/// A refused recipient does not stop the message: the call succeeds if the
/// server took the message for at least one. SMTP_PROPERTY_RECIPIENTS_REFUSED and
/// SMTP_PROPERTY_REFUSED_RECIPIENTS tell of the others. SMTP_PROPERTY_OUTCOME says
/// what became of the message, whatever the call returned; after
/// SMTP_OUTCOME_UNKNOWN, sending it again may deliver it twice.
///
/// A list that is longer than the server takes at a time (452 4.5.3, or LIMITS of
/// RFC 9422) is served in further transactions, if need be over a new connection, and
/// the report is one. If one of them fails, the call fails, and the report tells
/// who was served.
///
/// @param client      the client
/// @param sender      the envelope's sender: user@example.com, Name <user@example.com>,
///                    or <> for none
/// @param recipients  the recipients in the same forms, separated by commas
/// @param message     header, empty line and body; NULL only with length 0
/// @param length      its length in octets, or SMTP_NUL_TERMINATED
/// @return 0, or an error code, for instance SMTP_ERROR_INVALID_ADDRESS (nothing
///         was sent), SMTP_ERROR_RECIPIENTS_REJECTED, SMTP_ERROR_MESSAGE_REJECTED,
///         SMTP_ERROR_CONNECTION_RESET
///
/// Threads: any; waits for its turn. SmtpCancel ends it. The message is read in
/// place during the call and never changed. Since 0.1.
///
/// # Safety
///
/// Each string is null or NUL-terminated; `message` is null, or has `length`
/// octets or a NUL; all live through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpSendMessage(
    client: *mut SmtpClient,
    sender: *const c_char,
    recipients: *const c_char,
    message: *const c_void,
    length: usize,
) -> i32 {
    on_client(client, |client| {
        client
            .send_message(|| {
                // SAFETY: as our caller promises.
                unsafe {
                    Ok(Arguments {
                        sender: required(sender, "sender")?,
                        recipients: required(recipients, "recipients")?,
                        message: Content::Memory(octets(message, length, "message")?),
                    })
                }
            })
            .map(settled)
    })
}

/// Sends a finished message that is in a file, in constant memory. In all else
/// like SmtpSendMessage.
///
/// @param client      the client
/// @param sender      as for SmtpSendMessage
/// @param recipients  as for SmtpSendMessage
/// @param path        the file, UTF-8, not a pipe or device; it is opened before
///                    anything is sent, and must not change meanwhile
/// @return as SmtpSendMessage, and SMTP_ERROR_FILE if the file cannot be opened
///         (nothing was sent) or read to its end (the message is not completed
///         and the connection is closed)
///
/// Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
///
/// # Safety
///
/// Each string is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpSendFile(
    client: *mut SmtpClient,
    sender: *const c_char,
    recipients: *const c_char,
    path: *const c_char,
) -> i32 {
    on_client(client, |client| {
        client
            .send_message(|| {
                // SAFETY: as our caller promises.
                unsafe {
                    Ok(Arguments {
                        sender: required(sender, "sender")?,
                        recipients: required(recipients, "recipients")?,
                        message: Content::File(required(path, "path")?),
                    })
                }
            })
            .map(settled)
    })
}

/// Gives the next piece of a message: fills the buffer with up to capacity
/// octets and returns how many, 0 at the end, or a negative number to give up.
///
/// Called on the thread of SmtpSendStream, with no lock of the library's held; on
/// the same client it may call SmtpCancel and the getters only. A reader that
/// waits cannot be interrupted; what it takes counts towards SMTP_PROPERTY_TIMEOUT,
/// looked at when it returns, and not towards the limits of the phases.
pub type SmtpReadCallback =
    Option<unsafe extern "C" fn(buffer: *mut c_void, capacity: usize, user_data: *mut c_void) -> i64>;

/// Sends a finished message that a function of the program's gives piece by
/// piece, in constant memory. In all else like SmtpSendMessage.
///
/// @param client      the client
/// @param sender      as for SmtpSendMessage
/// @param recipients  as for SmtpSendMessage
/// @param size        the length of the message in octets, told to the server in
///                    advance (RFC 1870) and not checked against what the reader
///                    gives; SMTP_SIZE_UNKNOWN if it is not known
/// @param reader      the function; asked for the first time when the server
///                    waits for the message
/// @param user_data   passed to it
/// @return as SmtpSendMessage, and SMTP_ERROR_READER if the reader gave up; the
///         message is not completed then, and the connection is closed
///
/// Threads: any; waits for its turn. SmtpCancel ends it, between two calls of
/// the reader. Since 0.1.
///
/// # Safety
///
/// Each string is null or NUL-terminated and lives through the call; `reader` may
/// be called with `user_data` during the call, and writes no more than it may.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpSendStream(
    client: *mut SmtpClient,
    sender: *const c_char,
    recipients: *const c_char,
    size: u64,
    reader: SmtpReadCallback,
    user_data: *mut c_void,
) -> i32 {
    on_client(client, |client| {
        client
            .send_message(|| {
                if reader.is_none() {
                    return Err(null("reader"));
                }
                // SAFETY: as our caller promises.
                let (sender, recipients) =
                    unsafe { (required(sender, "sender")?, required(recipients, "recipients")?) };
                let size = (size != u64::MAX).then_some(size);
                Ok(Arguments {
                    sender,
                    recipients,
                    message: Content::Reader { size, read: read_with(reader, user_data) },
                })
            })
            .map(settled)
    })
}

/// The caller's reader as a function of ours.
pub(super) fn read_with(reader: SmtpReadCallback, user_data: *mut c_void) -> Box<Read> {
    let caller = Caller { reader, user_data };
    Box::new(move |buffer| caller.read(buffer))
}

struct Caller {
    reader: SmtpReadCallback,
    user_data: *mut c_void,
}

// SAFETY: whoever gives a reader allows it to be called by any thread that goes on
// with the operation, one at a time.
unsafe impl Send for Caller {}

impl Caller {
    fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        let Some(reader) = self.reader else { return Err(null("reader")) };
        // SAFETY: as the caller of the function that was given it promises.
        let count = unsafe { reader(buffer.as_mut_ptr().cast(), buffer.len(), self.user_data) };
        usize::try_from(count).map_err(|_| {
            let what = format!("the reader gave up with {count}, so the message was not completed");
            Error::new(Code::READER, Phase::Content, what)
        })
    }
}
