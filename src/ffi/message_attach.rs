//! What is attached to messages.

use super::entry::on_message;
use super::event::{SmtpDestroyCallback, User};
use super::handle;
use super::message::SmtpMessage;
use super::send::SmtpReadCallback;
use super::text::{null, octets, optional, required};
use crate::error::{Code, Error, Result};
use crate::message::{Attachment, Data, Read, Rewind};
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// Attaches octets in memory to a message.
///
/// @param message     the message
/// @param name        the file name, in any script; NULL or empty: none
/// @param type        the type, such as application/pdf, perhaps with parameters; NULL: guessed from the name
/// @param content_id  for an image in the HTML text, the name by which that shows it as
///                    cid:..., without brackets; NULL: an attachment
/// @param data        the octets
/// @param length      how many, or SMTP_NUL_TERMINATED
/// @return 0, or SMTP_ERROR_ATTACHMENT if name, type or content id cannot be written,
///         SMTP_ERROR_NULL_POINTER
///
/// Threads: any. Everything is copied. Since 0.1.
///
/// # Safety
///
/// Each string is null or NUL-terminated; `data` is null, or has `length` octets or a
/// NUL; all live through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageAttach(
    message: *mut SmtpMessage,
    name: *const c_char,
    r#type: *const c_char,
    content_id: *const c_char,
    data: *const c_void,
    length: usize,
) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        let (name, media_type, content_id, data) = unsafe {
            (
                optional(name, "name")?,
                optional(r#type, "type")?,
                optional(content_id, "content_id")?,
                octets(data, length, "data")?,
            )
        };
        let attachment = Attachment::new(name.unwrap_or_default(), media_type, content_id, Data::memory(data))?;
        held.lock().attach(attachment);
        Ok(0)
    })
}

/// Attaches a file to a message. It is read and encoded while the message is sent or
/// exported, so that its size costs no memory, and must not change until then.
///
/// @param message     the message
/// @param path        the file, UTF-8, not a pipe or device
/// @param name        the name that the reader sees; NULL: that of the file
/// @param type        as for SmtpMessageAttach
/// @param content_id  as for SmtpMessageAttach
/// @return 0, or SMTP_ERROR_ATTACHMENT, also if the file cannot be opened
///
/// Threads: any. The strings are copied. Since 0.1.
///
/// # Safety
///
/// Each string is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageAttachFile(
    message: *mut SmtpMessage,
    path: *const c_char,
    name: *const c_char,
    r#type: *const c_char,
    content_id: *const c_char,
) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        let (path, name, media_type, content_id) = unsafe {
            (
                required(path, "path")?,
                optional(name, "name")?,
                optional(r#type, "type")?,
                optional(content_id, "content_id")?,
            )
        };
        held.lock().attach_file(path, name, media_type, content_id)?;
        Ok(0)
    })
}

/// Has a reader begin anew: 0 if it did, else a negative number.
pub type SmtpRewindCallback = Option<unsafe extern "C" fn(user_data: *mut c_void) -> i32>;

/// Attaches what a function of the program's gives. It is asked while the message is
/// sent or exported.
///
/// @param message     the message
/// @param name        as for SmtpMessageAttach
/// @param type        as for SmtpMessageAttach
/// @param content_id  as for SmtpMessageAttach
/// @param size        how many octets it will give, exactly; SMTP_SIZE_UNKNOWN if it is not
///                    known, and then the server is not told the size of the message
/// @param reader      the function
/// @param rewind      has it begin anew, for each time but the first that the content is needed;
///                    NULL if it gives its content once
/// @param user_data   passed to the functions
/// @param destroy     called with user_data when the message no longer needs the functions, also
///                    if this call fails; may be NULL
/// @return 0, or SMTP_ERROR_ATTACHMENT, SMTP_ERROR_NULL_POINTER
///
/// Threads: any. The strings are copied. The functions are called on the thread that
/// sends or exports, with no lock of the library's held but one for this attachment.
/// Since 0.1.
///
/// # Safety
///
/// Each string is null or NUL-terminated and lives through the call; the functions
/// may be called with `user_data` from any thread until `destroy` was called, and
/// `reader` writes no more than it may.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageAttachReader(
    message: *mut SmtpMessage,
    name: *const c_char,
    r#type: *const c_char,
    content_id: *const c_char,
    size: u64,
    reader: SmtpReadCallback,
    rewind: SmtpRewindCallback,
    user_data: *mut c_void,
    destroy: SmtpDestroyCallback,
) -> i32 {
    let user = Arc::new(User::new(user_data, destroy));
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        let (name, media_type, content_id) =
            unsafe { (optional(name, "name")?, optional(r#type, "type")?, optional(content_id, "content_id")?) };
        let reader = reader.ok_or_else(|| null("reader"))?;
        let for_rewind = Arc::clone(&user);
        let rewind: Option<Rewind> = rewind.map(|rewind| -> Rewind {
            Box::new(move || {
                // SAFETY: as our caller promises.
                match unsafe { rewind(for_rewind.data()) } {
                    0 => Ok(()),
                    other => Err(gave_up(format!("the reader of an attachment could not begin anew ({other})"))),
                }
            })
        });
        let read: Read = Box::new(move |buffer: &mut [u8]| -> Result<usize> {
            // SAFETY: as our caller promises.
            let count = unsafe { reader(buffer.as_mut_ptr().cast(), buffer.len(), user.data()) };
            usize::try_from(count).map_err(|_| gave_up(format!("the reader of an attachment gave up with {count}")))
        });
        let length = (size != u64::MAX).then_some(size);
        let data = Data::reader(length, read, rewind);
        let attachment = Attachment::new(name.unwrap_or_default(), media_type, content_id, data)?;
        held.lock().attach(attachment);
        Ok(0)
    })
}

fn gave_up(what: String) -> Box<Error> {
    Error::caller(Code::READER, what)
}

/// Attaches a message to another one, as it is now, as in forwarding (message/rfc822).
///
/// @param message   the message that gets it
/// @param attached  the message to attach; a change to it later changes nothing here
/// @param name      the file name, such as original.eml; NULL: none
/// @return 0, or SMTP_ERROR_ATTACHMENT if 20 messages are in each other already
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `name` is null or a NUL-terminated string that lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageAttachMessage(
    message: *mut SmtpMessage,
    attached: *const SmtpMessage,
    name: *const c_char,
) -> i32 {
    on_message(message, |held| {
        let other = handle::find(attached)?;
        other.check()?;
        // SAFETY: as our caller promises.
        let name = unsafe { optional(name, "name") }?;
        // Not both locks at once: a message may be attached to itself.
        let copy = {
            let mut other = other.lock();
            other.complete()?;
            other.clone()
        };
        held.lock().attach_message(copy, name)?;
        Ok(0)
    })
}
