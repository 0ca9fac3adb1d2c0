//! DKIM signatures.

use super::entry::{on_message, plain};
use super::message::SmtpMessage;
use super::text::{copy_out, octets, optional, required};
use crate::error::Result;
use crate::message::dkim::{Settings, Signature, SigningKey, sign_file, sign_octets};
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// A signature to be made, from the arguments of a function.
///
/// # Safety
///
/// Each is null or a NUL-terminated string.
unsafe fn signature(
    domain: *const c_char,
    selector: *const c_char,
    key: *const c_char,
    password: *const c_char,
    options: *const c_char,
) -> Result<Arc<Signature>> {
    // SAFETY: as our own caller promises.
    let (domain, selector) = unsafe { (required(domain, "domain")?, required(selector, "selector")?) };
    // SAFETY: as our own caller promises.
    let (key, password) = unsafe { (required(key, "key")?, optional(password, "password")?) };
    // SAFETY: as our own caller promises.
    let options = unsafe { optional(options, "options") }?;
    let settings = Settings::parse(domain, selector, options.unwrap_or_default())?;
    let key = SigningKey::open(key, password.unwrap_or_default())?;
    Ok(Arc::new(Signature::new(settings, key)))
}

/// Makes a DKIM signature (RFC 6376) of a message in memory: the DKIM-Signature field that
/// is to be put in front of it, with its line end.
///
/// @param message   the message, its header included; line ends count as they are sent, as CRLF
/// @param length    its length in octets, or SMTP_NUL_TERMINATED
/// @param domain    the domain that signs, such as example.com
/// @param selector  the name of the key in that domain's DNS
/// @param key       an RSA key of 2048 to 4096 bits (rsa-sha256) or an Ed25519 key (ed25519-sha256):
///                  its text in PEM form, or the path of a file with it
/// @param password  the password of the key; NULL if it is not encrypted
/// @param options   tags as they stand in a signature, separated by semicolons; may be NULL. c: simple or
///                  relaxed for header and body, as in relaxed/simple (relaxed/relaxed); h: the
///                  fields to sign, separated by colons, a name as often as wanted; i: the
///                  identity; t: when it was made, in seconds, or none; x: until when it is
///                  good, or +seconds
/// @param buffer    room for the field and a NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param written   set to the length of the field without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_DKIM_KEY, SMTP_ERROR_DKIM_SETTING, SMTP_ERROR_DKIM_HEADER, SMTP_ERROR_BUFFER_TOO_SMALL
///
/// Without h, the usual fields are signed, and names are given once more than there are fields
/// where nobody should put another in. 8192 octets are room enough for all but unusual fields.
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `message` has `length` octets; the texts are null or NUL-terminated strings; `buffer` is null or
/// has `capacity` octets; `written` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpSignMessage(
    message: *const c_void,
    length: usize,
    domain: *const c_char,
    selector: *const c_char,
    key: *const c_char,
    password: *const c_char,
    options: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
    written: *mut usize,
) -> i32 {
    plain(|| {
        // SAFETY: as our caller promises.
        let message = unsafe { octets(message, length, "message") }?;
        // SAFETY: as our caller promises.
        let signature = unsafe { signature(domain, selector, key, password, options) }?;
        let field = sign_octets(message, &[signature])?;
        // SAFETY: as our caller promises.
        unsafe { copy_out(&field, buffer, capacity, written) }
    })
}

/// As SmtpSignMessage, of a message in a file, of which little is in memory at a time.
///
/// @param path      the path of the file
/// @param domain    as for SmtpSignMessage
/// @param selector  as for SmtpSignMessage
/// @param key       as for SmtpSignMessage
/// @param password  as for SmtpSignMessage
/// @param options   as for SmtpSignMessage
/// @param buffer    room for the field and a NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param written   set to the length of the field without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_FILE, SMTP_ERROR_DKIM_KEY, SMTP_ERROR_DKIM_SETTING, SMTP_ERROR_DKIM_HEADER,
///         SMTP_ERROR_BUFFER_TOO_SMALL
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// As SmtpSignMessage; `path` is null or a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpSignFile(
    path: *const c_char,
    domain: *const c_char,
    selector: *const c_char,
    key: *const c_char,
    password: *const c_char,
    options: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
    written: *mut usize,
) -> i32 {
    plain(|| {
        // SAFETY: as our caller promises.
        let path = unsafe { required(path, "path") }?;
        // SAFETY: as our caller promises.
        let signature = unsafe { signature(domain, selector, key, password, options) }?;
        let field = sign_file(path, &[signature])?;
        // SAFETY: as our caller promises.
        unsafe { copy_out(&field, buffer, capacity, written) }
    })
}

/// Has a message signed with DKIM whenever it is sent or exported, besides other signatures.
///
/// It is read twice then: once to make the signatures, once to be sent; what is attached
/// with a reader needs its rewind function. A loaded message is signed as it is sent, its
/// header fields in the usual order.
///
/// @param message   the message
/// @param domain    the domain that signs, such as example.com
/// @param selector  the name of the key in that domain's DNS
/// @param key       as for SmtpSignMessage; it is read now
/// @param password  the password of the key; NULL if it is not encrypted
/// @param options   as for SmtpSignMessage; may be NULL
/// @return 0, or SMTP_ERROR_DKIM_KEY, SMTP_ERROR_DKIM_SETTING; the message is unchanged then
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// The texts are null or NUL-terminated strings that live through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageAddSignature(
    message: *mut SmtpMessage,
    domain: *const c_char,
    selector: *const c_char,
    key: *const c_char,
    password: *const c_char,
    options: *const c_char,
) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        let signature = unsafe { signature(domain, selector, key, password, options) }?;
        held.lock().add_signature(signature);
        Ok(0)
    })
}

/// Has a message signed no more. SmtpMessageClear and the functions that load a message
/// do that too.
///
/// @param message  the message
/// @return 0, or an error code
///
/// Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpMessageClearSignatures(message: *mut SmtpMessage) -> i32 {
    on_message(message, |held| {
        held.lock().clear_signatures();
        Ok(0)
    })
}
