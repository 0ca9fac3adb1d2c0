//! Messages loaded, written out, and sent.

use super::entry::{on_client, on_message, settled};
use super::handle::{self, SmtpClient};
use super::message::SmtpMessage;
use super::send::{SmtpReadCallback, read_with};
use super::text::{copy_out_octets, null, octets, required};
use crate::client::{Arguments, Content, Property};
use crate::drive::Source as _;
use crate::error::{Code, Error, Result};
use crate::message::{EXPORT_OPTIONS, Message, MessageEnvelope, RenderOptions};
use std::ffi::{c_char, c_void};

/// Loads a finished message, such as the content of an .eml file; what was in the
/// message before is gone.
///
/// Its header fields and parts can be read; fields can be changed and things be
/// attached, but its texts not be replaced. Line ends become CRLF. The whole is kept
/// in memory.
///
/// @param message  the message
/// @param data     header fields, empty line and body
/// @param length   its length in octets, or SMTP_NUL_TERMINATED
/// @return 0, or SMTP_ERROR_NOT_A_MESSAGE, SMTP_ERROR_NULL_POINTER; the message is unchanged then
///
/// Threads: any. The data is copied. Since 0.1.
///
/// # Safety
///
/// `data` is null, or has `length` octets or a NUL, and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageLoad(message: *mut SmtpMessage, data: *const c_void, length: usize) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        let loaded = Message::load(unsafe { octets(data, length, "data") }?)?;
        held.replace(loaded);
        Ok(0)
    })
}

/// Loads the message of a file, as SmtpMessageLoad does from memory.
///
/// @param message  the message
/// @param path     the file, UTF-8
/// @return 0, or SMTP_ERROR_FILE, SMTP_ERROR_NOT_A_MESSAGE; the message is unchanged then
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `path` is null or a NUL-terminated string that lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageLoadFile(message: *mut SmtpMessage, path: *const c_char) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        let loaded = Message::load_file(unsafe { required(path, "path") }?)?;
        held.replace(loaded);
        Ok(0)
    })
}

/// Loads a message that a function of the program's gives, as SmtpMessageLoad does from memory.
///
/// @param message    the message
/// @param reader     the function, called until it returns 0
/// @param user_data  passed to it
/// @return 0, or SMTP_ERROR_READER if the reader gave up, SMTP_ERROR_NOT_A_MESSAGE; the
///         message is unchanged then
///
/// Threads: any. The reader is called with no lock of the library's held. Since 0.1.
///
/// # Safety
///
/// `reader` may be called with `user_data` during the call, and writes no more than it may.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageLoadStream(
    message: *mut SmtpMessage,
    reader: SmtpReadCallback,
    user_data: *mut c_void,
) -> i32 {
    on_message(message, |held| {
        const PIECE: usize = 64 * 1024;
        let mut read = read_with(reader, user_data);
        let (mut all, mut buffer) = (Vec::new(), vec![0; PIECE]);
        loop {
            let count = read(&mut buffer)?;
            let piece = buffer.get(..count).ok_or_else(|| {
                let what = format!("the reader says it gave {count} octets, but had room for {PIECE}");
                Error::caller(Code::READER, what)
            })?;
            if piece.is_empty() {
                break;
            }
            all.extend_from_slice(piece);
        }
        held.replace(Message::load(&all)?);
        Ok(0)
    })
}

fn options_of(options: u32) -> Result<RenderOptions> {
    let known = EXPORT_OPTIONS.iter().fold(0, |all, (_, bit, _)| all | bit);
    if options & !known != 0 {
        let what = format!("the options have bits without a meaning: {:#x}", options & !known);
        return Err(Error::caller(Code::INVALID_PARAMETER, what));
    }
    Ok(RenderOptions { all_headers: options & 1 != 0, keep_order: options & 2 != 0, eight_bit: true })
}

/// How many octets an export of the message has, with the same options.
///
/// @param message  the message
/// @param options  SMTP_EXPORT_ bits
/// @param size     set to the number; SMTP_SIZE_UNKNOWN if a reader was attached without its size
/// @return 0, or SMTP_ERROR_INVALID_PARAMETER, SMTP_ERROR_NULL_POINTER
///
/// Threads: any. Makes Date and Message-ID if they are missing. Since 0.1.
///
/// # Safety
///
/// `size` is null or points to a `uint64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageGetSize(message: *mut SmtpMessage, options: u32, size: *mut u64) -> i32 {
    on_message(message, |held| {
        if size.is_null() {
            return Err(null("size"));
        }
        let length = held.lock().render(options_of(options)?)?.length().unwrap_or(u64::MAX);
        // SAFETY: not null, and as our caller promises.
        unsafe { size.write(length) };
        Ok(0)
    })
}

/// Writes a message to the caller's buffer: header fields, empty line and body.
///
/// By default the fields are in the usual order, and Bcc, Received, Return-Path, Status
/// and X400-Received are left out. Texts that SMTP_ENCODING_8BIT was set for are 8bit.
///
/// @param message   the message
/// @param options   SMTP_EXPORT_ bits
/// @param buffer    room for the message; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the message; may be NULL
/// @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL with the buffer as it was, SMTP_ERROR_INVALID_PARAMETER,
///         and what reading a file or reader that was attached gives
///
/// Threads: any. Makes Date and Message-ID if they are missing. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageExport(
    message: *mut SmtpMessage,
    options: u32,
    buffer: *mut c_void,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    on_message(message, |held| {
        let rendering = held.lock().render(options_of(options)?)?;
        if buffer.is_null()
            && capacity == 0
            && !length.is_null()
            && let Some(known) = rendering.length()
        {
            // What is attached need not be read for this.
            let known = usize::try_from(known).unwrap_or(usize::MAX);
            // SAFETY: not null, and as our caller promises.
            unsafe { length.write(known) };
            return Ok(0);
        }
        // SAFETY: as our caller promises.
        unsafe { copy_out_octets(&rendering.into_octets()?, buffer, capacity, length) }
    })
}

/// Writes a message to a file, which is made or emptied, in constant memory. In all
/// else like SmtpMessageExport.
///
/// @param message  the message
/// @param options  SMTP_EXPORT_ bits
/// @param path     the file, UTF-8
/// @return 0, or SMTP_ERROR_WRITER if the file cannot be written, and as SmtpMessageExport
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `path` is null or a NUL-terminated string that lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageExportFile(message: *mut SmtpMessage, options: u32, path: *const c_char) -> i32 {
    on_message(message, |held| {
        // SAFETY: as our caller promises.
        let path = unsafe { required(path, "path") }?;
        let mut rendering = held.lock().render(options_of(options)?)?;
        rendering.write_file(path)?;
        Ok(0)
    })
}

/// Takes the next piece of a message; 0 if it did, else a number to give up with.
pub type SmtpWriteCallback =
    Option<unsafe extern "C" fn(data: *const c_void, length: usize, user_data: *mut c_void) -> i32>;

/// Gives a message to a function of the program's piece by piece, in constant memory.
/// In all else like SmtpMessageExport.
///
/// @param message    the message
/// @param options    SMTP_EXPORT_ bits
/// @param writer     the function
/// @param user_data  passed to it
/// @return 0, or SMTP_ERROR_WRITER if the writer gave up, and as SmtpMessageExport
///
/// Threads: any. The writer is called with no lock of the library's held. Since 0.1.
///
/// # Safety
///
/// `writer` may be called with `user_data` during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpMessageExportStream(
    message: *mut SmtpMessage,
    options: u32,
    writer: SmtpWriteCallback,
    user_data: *mut c_void,
) -> i32 {
    on_message(message, |held| {
        let writer = writer.ok_or_else(|| null("writer"))?;
        let mut rendering = held.lock().render(options_of(options)?)?;
        loop {
            let piece = rendering.next()?;
            if piece.is_empty() {
                return Ok(0);
            }
            // SAFETY: live octets, and as our caller promises.
            let answer = unsafe { writer(piece.as_ptr().cast(), piece.len(), user_data) };
            if answer != 0 {
                return Err(Error::caller(Code::WRITER, format!("the writer gave up with {answer}")));
            }
        }
    })
}

/// Sends a composed or loaded message. The sender of the envelope is the address of
/// its Sender field, or else the first one of From; the recipients are those of To,
/// Cc and Bcc, members of groups included, each once. Bcc is not sent.
///
/// What is attached is read and encoded while it is sent, in constant memory, and the
/// size told to the server in advance is exact. All else is as for SmtpSendMessage.
///
/// @param client   the client
/// @param message  the message, which may be changed or released meanwhile: it is sent as
///                 it was when the client's turn came
/// @return as SmtpSendMessage, and SMTP_ERROR_NO_SENDER, SMTP_ERROR_NO_RECIPIENTS,
///         SMTP_ERROR_ATTACHMENT, also if a file is not as long as when it was attached; the
///         message is not completed then, and the connection is closed
///
/// Threads: any; waits for its turn. SmtpCancel ends it. Makes Date and Message-ID if
/// they are missing. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpSendComposed(client: *mut SmtpClient, message: *mut SmtpMessage) -> i32 {
    on_client(client, |client| {
        let held = handle::find(message)?;
        held.check()?;
        // What the arguments borrow has to be somewhere until they were looked at.
        let mut addresses: Option<(String, String)> = None;
        let slot = &mut addresses;
        client
            .send_message(move || {
                // 8BITMIME, as the server offers it and the program left it on.
                let offered = client.integer(Property::ExtendedOptions as u32)?;
                let options = RenderOptions { eight_bit: offered & EIGHT_BIT_MIME != 0, ..RenderOptions::default() };
                let mut message = held.lock();
                let MessageEnvelope { sender, recipients } = message.envelope()?;
                let rendering = message.render(options)?;
                drop(message);
                let (sender, recipients) = slot.insert((sender, recipients.join(",")));
                let message = Content::Source {
                    size: rendering.length(),
                    repeatable: rendering.is_repeatable(),
                    eight_bit: rendering.is_eight_bit(),
                    header_utf8: rendering.has_utf8_header(),
                    source: Box::new(rendering),
                };
                Ok(Arguments { sender, recipients, message })
            })
            .map(settled)
    })
}

/// The bit of SMTP_EXTOPT_8BITMIME.
const EIGHT_BIT_MIME: i64 = 0x20;
