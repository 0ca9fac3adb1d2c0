//! A message and a server in one call.

use super::entry::{on_client, plain, settled};
use super::handle::SmtpClient;
use super::text::{null, octets, optional, required};
use crate::client::{Arguments, Client, Content, Options, Server};
use crate::error::{Code, Error, Result};
use crate::proto::Secret;
use std::ffi::{c_char, c_void};

/// The server for SmtpSubmitMessage.
#[repr(C)]
#[derive(Debug)]
pub struct SmtpServerInfo {
    /// The size of this structure in octets, set by the caller; later versions append members.
    pub size: u32,
    /// Port; 0 as for SmtpConnect.
    pub port: u32,
    /// Host name or address; NULL: SMTP_PROPERTY_HOST.
    pub host: *const c_char,
    /// User name; NULL: SMTP_PROPERTY_USER. Without one, nobody logs in.
    pub user: *const c_char,
    /// Password; NULL: SMTP_PROPERTY_PASSWORD.
    pub password: *const c_char,
    /// Limit of the call as a whole in milliseconds; 0: SMTP_PROPERTY_TIMEOUT.
    pub timeout_ms: u32,
    /// SMTP_OPTION_ bits; 0: SMTP_PROPERTY_OPTIONS.
    pub options: u32,
}

/// The message for SmtpSubmitMessage.
#[repr(C)]
#[derive(Debug)]
pub struct SmtpMessageInfo {
    /// The size of this structure in octets, set by the caller; later versions append members.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// The sender, as for SmtpSendMessage.
    pub sender: *const c_char,
    /// The recipients, as for SmtpSendMessage.
    pub recipients: *const c_char,
    /// Header, empty line and body in memory; NULL if path is given.
    pub message: *const c_void,
    /// The length of message in octets, or SMTP_NUL_TERMINATED.
    pub length: usize,
    /// The file that has the message, as for SmtpSendFile; NULL if message is given.
    pub path: *const c_char,
}

/// Sends one message in one call: connects, logs in if there is a user name, sends,
/// and disconnects, whatever happened. Programs that send more than one message
/// at a time do better with SmtpConnect and SmtpSendMessage.
///
/// @param client   the client, which must not be connected; its properties apply.
///                 NULL: one made for this call, of whose failure SmtpGetLastError(NULL) tells
/// @param message  the message
/// @param server   the server
/// @return 0, or an error code of SmtpConnect, SmtpAuthenticate or SmtpSendMessage;
///         SMTP_ERROR_INVALID_PARAMETER if the size of a structure is not one of it, or
///         message and path are both given
///
/// Threads: any; waits for its turn. SmtpCancel ends it. Everything is only read
/// during the call, and the copy of the password wiped. Since 0.1.
///
/// # Safety
///
/// Each structure is null or of the size that it says; what it points to is as
/// told there and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpSubmitMessage(
    client: *mut SmtpClient,
    message: *const SmtpMessageInfo,
    server: *const SmtpServerInfo,
) -> i32 {
    let submit = |client: &Client| {
        // SAFETY: as our caller promises.
        client.submit(|| unsafe { Ok((server_of(server)?, arguments_of(message)?)) }).map(settled)
    };
    if client.is_null() { plain(|| submit(&Client::new())) } else { on_client(client, submit) }
}

pub(super) unsafe fn server_of<'a>(server: *const SmtpServerInfo) -> Result<Server<'a>> {
    // SAFETY: as our caller promises.
    unsafe {
        let server = of_size(server, "server")?;
        let port = u16::try_from(server.port).map_err(|_| {
            let what = format!("the port {} is not between 0 and 65535", server.port);
            Error::caller(Code::INVALID_PARAMETER, what)
        })?;
        Ok(Server {
            host: optional(server.host, "host")?,
            port,
            user: optional(server.user, "user")?,
            password: optional(server.password, "password")?.map(Secret::new),
            timeout: server.timeout_ms,
            options: Options::parse(server.options)?,
        })
    }
}

pub(super) unsafe fn arguments_of<'a>(message: *const SmtpMessageInfo) -> Result<Arguments<'a>> {
    // SAFETY: as our caller promises.
    unsafe {
        let message = of_size(message, "message")?;
        if message.reserved != 0 {
            let what = format!("the member reserved of the message is {} and must be 0", message.reserved);
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        }
        let content = match optional(message.path, "path")? {
            Some(_) if !message.message.is_null() => {
                let what = "the message is given twice, in memory and by the path of a file";
                return Err(Error::caller(Code::INVALID_PARAMETER, what));
            }
            Some(path) => Content::File(path),
            None => Content::Memory(octets(message.message, message.length, "message")?),
        };
        Ok(Arguments {
            sender: required(message.sender, "sender")?,
            recipients: required(message.recipients, "recipients")?,
            message: content,
        })
    }
}

/// A structure of the caller's, once its size, which comes first, is found to be right.
pub(super) unsafe fn of_size<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: not null, and the caller promises as much as the size tells, itself included.
    let told = unsafe { pointer.cast::<u32>().read() };
    if usize::try_from(told).is_ok_and(|told| told >= size_of::<T>()) {
        // SAFETY: as above; it is as large as it says.
        return Ok(unsafe { &*pointer });
    }
    let what = format!("the size of {name}, {told}, is not that of its structure, {}", size_of::<T>());
    Err(Error::caller(Code::INVALID_PARAMETER, what))
}
