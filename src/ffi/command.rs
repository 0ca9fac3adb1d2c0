//! Commands beside the sending of messages.

use super::entry::{on_client, settled};
use super::handle::SmtpClient;
use super::poll::SMTP_PENDING;
use super::text::{copy_out, null, optional, required};
use crate::client::Progress;
use std::ffi::c_char;

/// Sends a command that the library has no function for, and reads its reply
/// into SMTP_PROPERTY_RESULT_CODE and SMTP_PROPERTY_RESULT_STRING.
///
/// Commands that the library has to keep track of (EHLO, STARTTLS, AUTH, MAIL,
/// RCPT, DATA, QUIT and their like) are refused with
/// SMTP_ERROR_UNSUITABLE_COMMAND, and nothing is sent.
///
/// @param client      the client
/// @param command     the verb: letters, digits, hyphens
/// @param parameters  what follows it, ASCII without control characters; may be NULL
/// @return 0 if the reply begins with 2, SMTP_ERROR_COMMAND_REJECTED if with 4 or
///         5, SMTP_ERROR_PROTOCOL if with 3 (the connection is closed then), or
///         another error code
///
/// Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
///
/// # Safety
///
/// Each string is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpCommand(
    client: *mut SmtpClient,
    command: *const c_char,
    parameters: *const c_char,
) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        let (command, parameters) = unsafe { (required(command, "command")?, optional(parameters, "parameters")?) };
        client.command(command, parameters.unwrap_or_default()).map(settled)
    })
}

/// Sends NOOP (RFC 5321 section 4.1.1.9): asks whether the connection is alive.
/// Not needed before a message.
///
/// @param client  the client
/// @return 0, or an error code, for instance SMTP_ERROR_NOT_CONNECTED,
///         SMTP_ERROR_SERVER_CLOSING
///
/// Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpNoop(client: *mut SmtpClient) -> i32 {
    on_client(client, |client| client.command("NOOP", "").map(settled))
}

/// Asks the server whether an address is valid, with VRFY (RFC 5321 section
/// 4.1.1.6). Most public servers refuse, or answer 252: "cannot tell, will try". What
/// it says of the address is in SMTP_PROPERTY_RESULT_STRING.
///
/// @param client   the client
/// @param address  a mailbox, or a user name alone; beyond ASCII it needs SMTPUTF8
/// @return 0 if the reply begins with 2; SMTP_PROPERTY_RESULT_CODE tells 250 from
///         252. SMTP_ERROR_SMTPUTF8_REQUIRED before anything is sent,
///         SMTP_ERROR_COMMAND_REJECTED, or another error code
///
/// Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
///
/// # Safety
///
/// `address` is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpVerifyAddress(client: *mut SmtpClient, address: *const c_char) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        client.ask("VRFY", unsafe { required(address, "address") }?).map(settled)
    })
}

/// Asks the server who is on a mailing list, with EXPN (RFC 5321 section
/// 4.1.1.7). Most public servers refuse.
///
/// @param client    the client
/// @param address   the list; beyond ASCII it needs SMTPUTF8
/// @param buffer    room for the members as the server wrote them, one a line
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0; SMTP_ERROR_BUFFER_TOO_SMALL, with the buffer filled with as much
///         as fits and the whole in SMTP_PROPERTY_RESULT_STRING, until the next call;
///         SMTP_ERROR_COMMAND_REJECTED, or another error code
///
/// Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
///
/// # Safety
///
/// `address` is null or NUL-terminated and lives through the call; `buffer` is
/// null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpExpandAddress(
    client: *mut SmtpClient,
    address: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        let address = unsafe { required(address, "address") }?;
        if buffer.is_null() && capacity != 0 {
            return Err(null("buffer"));
        }
        match client.ask("EXPN", address)? {
            // SAFETY: as our caller promises.
            Progress::Done(members) => unsafe { copy_out(&members, buffer, capacity, length) },
            Progress::Pending => Ok(SMTP_PENDING),
        }
    })
}

/// Asks the server to explain itself, with HELP (RFC 5321 section 4.1.1.8).
///
/// @param client    the client
/// @param topic     what about, such as a command; NULL or empty is in general
/// @param buffer    room for the text as the server wrote it, its lines joined by line feeds
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0; SMTP_ERROR_BUFFER_TOO_SMALL, with the buffer filled with as much
///         as fits and the whole in SMTP_PROPERTY_RESULT_STRING, until the next call;
///         SMTP_ERROR_COMMAND_REJECTED, or another error code
///
/// Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
///
/// # Safety
///
/// `topic` is null or NUL-terminated and lives through the call; `buffer` is
/// null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpHelp(
    client: *mut SmtpClient,
    topic: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        let topic = unsafe { optional(topic, "topic") }?;
        if buffer.is_null() && capacity != 0 {
            return Err(null("buffer"));
        }
        match client.command("HELP", topic.unwrap_or_default())? {
            // SAFETY: as our caller promises.
            Progress::Done(text) => unsafe { copy_out(&text, buffer, capacity, length) },
            Progress::Pending => Ok(SMTP_PENDING),
        }
    })
}

/// Has the server send the mail that it holds for a node, over connections of its
/// own, with ETRN (RFC 1985).
///
/// @param client  the client
/// @param node    a domain; behind @, a domain and all below it; or behind #, the
///                name of a queue
/// @return 0 if the server does so, or has nothing to send: SMTP_PROPERTY_RESULT_CODE
///         is 250, 251 (nothing), 252 or 253 (so many messages);
///         SMTP_ERROR_COMMAND_REJECTED if it does not (458, 459), or another error code
///
/// Threads: any; waits for its turn. SmtpCancel ends it. Since 0.1.
///
/// # Safety
///
/// `node` is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpExtendedTurn(client: *mut SmtpClient, node: *const c_char) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        client.extended_turn(unsafe { required(node, "node") }?).map(settled)
    })
}
