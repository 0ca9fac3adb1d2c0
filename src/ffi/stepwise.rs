//! A message by commands of the caller's own.

use super::entry::{on_client, settled};
use super::handle::SmtpClient;
use super::send::{SmtpReadCallback, read_with};
use super::text::{null, octets, required};
use crate::client::Content;
use std::ffi::{c_char, c_void};

/// Begins a message with MAIL (RFC 5321 section 4.1.1.2). Add the recipients with
/// SmtpAddRecipient, then give the content with SmtpWrite, SmtpAppendMessage,
/// SmtpAppendFile or SmtpAppendStream, then end it with SmtpCloseMessage; SmtpReset
/// drops it as long as there is no content, SmtpDisconnect at any time.
/// SmtpSendMessage does all of this in one call and with fewer round trips.
///
/// The properties of messages apply (SMTP_PROPERTY_DELIVERY_OPTIONS and the like),
/// except SMTP_PROPERTY_ALL_OR_NOTHING.
///
/// @param client  the client
/// @param sender  as for SmtpSendMessage
/// @param size    the length of the message in octets, which the server may refuse
///                at once (RFC 1870); 0 or SMTP_SIZE_UNKNOWN if it is not known
/// @return 0, or an error code, for instance SMTP_ERROR_INVALID_ADDRESS,
///         SMTP_ERROR_MESSAGE_TOO_LARGE, SMTP_ERROR_MESSAGE_OPEN (nothing was sent), or
///         SMTP_ERROR_SENDER_REJECTED
///
/// Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
///
/// # Safety
///
/// `sender` is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpCreateMessage(client: *mut SmtpClient, sender: *const c_char, size: u64) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        let sender = unsafe { required(sender, "sender") }?;
        client.create_message(sender, Some(size).filter(|size| !matches!(*size, 0 | u64::MAX))).map(settled)
    })
}

/// Adds one recipient to the message that was begun, with RCPT (RFC 5321 section
/// 4.1.1.3).
///
/// @param client   the client
/// @param address  one address, in the forms of SmtpSendMessage
/// @return 0 if the server accepted it; SMTP_ERROR_RECIPIENT_REJECTED if not, after
///         which the message is still open and others can be added;
///         SMTP_ERROR_NO_MESSAGE_OPEN before SmtpCreateMessage, SMTP_ERROR_MESSAGE_OPEN
///         when content was given (nothing was sent), or another error code
///
/// Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
///
/// # Safety
///
/// `address` is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpAddRecipient(client: *mut SmtpClient, address: *const c_char) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        client.add_recipient(unsafe { required(address, "address") }?).map(settled)
    })
}

/// Gives some octets of the message that was begun; the first time DATA is sent
/// before (RFC 5321 section 4.1.1.4). Line ends are repaired and dots stuffed across
/// calls, so the pieces may be cut anywhere. All octets are taken; a few may wait to
/// be sent along with those of the next call.
///
/// @param client  the client
/// @param buffer  the octets; NULL only with length 0
/// @param length  how many, or SMTP_NUL_TERMINATED
/// @return 0; SMTP_ERROR_NO_MESSAGE_OPEN before SmtpCreateMessage, SMTP_ERROR_NO_RECIPIENTS
///         as long as none was accepted, SMTP_ERROR_LINE_END (nothing of it was sent);
///         SMTP_ERROR_DATA_REJECTED, after which the message is no longer open, or
///         another error code
///
/// Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
///
/// # Safety
///
/// `buffer` is null, or has `length` octets or a NUL, and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpWrite(client: *mut SmtpClient, buffer: *const c_void, length: usize) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        client.append_message(|| Ok(Content::Memory(unsafe { octets(buffer, length, "buffer") }?))).map(settled)
    })
}

/// The same as SmtpWrite, under the name by which the original takes a message that
/// lies in memory.
///
/// @param client   the client
/// @param message  the octets; NULL only with length 0
/// @param length   how many, or SMTP_NUL_TERMINATED
/// @return as SmtpWrite
///
/// Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
///
/// # Safety
///
/// `message` is null, or has `length` octets or a NUL, and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpAppendMessage(client: *mut SmtpClient, message: *const c_void, length: usize) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        client.append_message(|| Ok(Content::Memory(unsafe { octets(message, length, "message") }?))).map(settled)
    })
}

/// Gives the octets of a file as content of the message that was begun, in
/// constant memory.
///
/// @param client  the client
/// @param path    the file, as for SmtpSendFile
/// @return as SmtpWrite, and SMTP_ERROR_FILE if the file cannot be opened (nothing of
///         it was sent) or read to its end (the connection is closed then)
///
/// Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
///
/// # Safety
///
/// `path` is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpAppendFile(client: *mut SmtpClient, path: *const c_char) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        client.append_message(|| Ok(Content::File(unsafe { required(path, "path") }?))).map(settled)
    })
}

/// Gives what a function of the program's gives piece by piece as content of the
/// message that was begun, in constant memory.
///
/// @param client     the client
/// @param reader     the function, called until it gives nothing
/// @param user_data  passed to it
/// @return as SmtpWrite, and SMTP_ERROR_READER if the reader gave up; the connection is
///         closed then
///
/// Threads: any; waits for its turn. SmtpCancel ends it, between two calls of
/// the reader. Since 0.1.
///
/// # Safety
///
/// `reader` may be called with `user_data` during the call, and writes no more than
/// it may.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpAppendStream(
    client: *mut SmtpClient,
    reader: SmtpReadCallback,
    user_data: *mut c_void,
) -> i32 {
    on_client(client, |client| {
        client
            .append_message(|| {
                if reader.is_none() {
                    return Err(null("reader"));
                }
                Ok(Content::Reader { size: None, read: read_with(reader, user_data) })
            })
            .map(settled)
    })
}

/// Ends the message that was begun and reads what the server makes of it. Without
/// content before, the message is empty.
///
/// @param client  the client
/// @return 0 if the server took the message; SMTP_ERROR_MESSAGE_REJECTED,
///         SMTP_ERROR_NO_MESSAGE_OPEN, SMTP_ERROR_NO_RECIPIENTS, or another error code.
///         SMTP_PROPERTY_OUTCOME says what became of the message.
///
/// Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpCloseMessage(client: *mut SmtpClient) -> i32 {
    on_client(client, |client| client.close_message().map(settled))
}
