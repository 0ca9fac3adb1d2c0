//! Many messages in one call.

use super::entry::{on_client, plain, settled};
use super::handle::{self, Handle, SmtpClient, Table};
use super::recipient::{SMTP_RECIPIENT_TEXT_ADDRESS, SMTP_RECIPIENT_TEXT_REPLY, SmtpRecipient, fill_recipient};
use super::text::{copy_out, null, octets, required};
use crate::client::{Batch, ReportText};
use crate::error::{Code, Error, Result};
use parking_lot::Mutex;
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// A batch of messages. Made by SmtpBatchCreate, ended by SmtpBatchRelease; usable
/// from any thread. The pointer is a token: it does not point to anything.
#[derive(Debug)]
pub struct SmtpBatch {
    _token: [u8; 0],
}

impl Handle for SmtpBatch {
    type Object = Batch;
    const TAG: usize = 0xC5;
    const NOUN: &'static str = "batch";

    fn table() -> &'static Mutex<Table<Batch>> {
        static TABLE: Mutex<Table<Batch>> = Mutex::new(Table::new());
        &TABLE
    }
}

/// What became of one message of a batch.
#[repr(C)]
#[derive(Debug)]
pub struct SmtpBatchResult {
    /// The size of this structure in octets, set by the caller; later versions append members.
    pub size: u32,
    /// 0, or the error code; SMTP_ERROR_BATCH_ENDED if the message was not begun.
    pub code: i32,
    /// One of the SMTP_OUTCOME_ constants.
    pub outcome: u32,
    /// 1 if sending the message again cannot deliver it twice, else 0.
    pub safe_to_retry: u32,
    /// The code of the reply that decided it; 0 if there was none.
    pub result_code: i32,
    /// The enhanced status code of that reply, its three numbers; else 0.
    pub enhanced_class: i32,
    /// See enhanced_class.
    pub enhanced_subject: i32,
    /// See enhanced_class.
    pub enhanced_detail: i32,
    /// How many recipients the message has.
    pub recipients: u32,
    /// How many of them the server took it for.
    pub recipients_accepted: u32,
    /// How many of them the server refused.
    pub recipients_refused: u32,
}

fn find(batch: *const SmtpBatch) -> Result<Arc<Batch>> {
    let found = handle::find(batch)?;
    found.check_process()?;
    Ok(found)
}

/// Creates an empty batch, to which messages are added.
///
/// @return the batch, or NULL; SmtpGetLastError(NULL) tells why
///
/// Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpBatchCreate() -> *mut SmtpBatch {
    let mut created = std::ptr::null_mut();
    plain(|| {
        created = handle::insert(Arc::new(Batch::new()))?;
        Ok(0)
    });
    created
}

/// Releases a batch. A call that is sending it goes on.
///
/// @param batch  the batch; the handle is invalid from now on
/// @return 0, or SMTP_ERROR_INVALID_HANDLE
///
/// Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpBatchRelease(batch: *mut SmtpBatch) -> i32 {
    plain(|| {
        find(batch)?;
        drop(handle::remove(batch)?);
        Ok(0)
    })
}

/// Adds a message, which is copied.
///
/// @param batch       the batch
/// @param sender      as for SmtpSendMessage
/// @param recipients  as for SmtpSendMessage
/// @param message     header, empty line and body; NULL only with length 0
/// @param length      its length in octets, or SMTP_NUL_TERMINATED
/// @return 0, or an error code, for instance SMTP_ERROR_INVALID_ADDRESS,
///         SMTP_ERROR_BATCH_BUSY while the batch is being sent; nothing is added then
///
/// Threads: any. Allocates nothing in a batch that was cleared and held as much before.
/// Since 0.1.
///
/// # Safety
///
/// Each string is null or NUL-terminated; `message` is null, or has `length`
/// octets or a NUL; all live through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpBatchAdd(
    batch: *mut SmtpBatch,
    sender: *const c_char,
    recipients: *const c_char,
    message: *const c_void,
    length: usize,
) -> i32 {
    plain(|| {
        let batch = find(batch)?;
        // SAFETY: as our caller promises.
        let (sender, recipients, message) = unsafe {
            (required(sender, "sender")?, required(recipients, "recipients")?, octets(message, length, "message")?)
        };
        batch.add(sender, recipients, message)?;
        Ok(0)
    })
}

/// Adds a message that is in a file.
///
/// @param batch       the batch
/// @param sender      as for SmtpSendMessage
/// @param recipients  as for SmtpSendMessage
/// @param path        the file, UTF-8, not a pipe or device; opened when the message's
///                    turn comes, and if that fails, SMTP_ERROR_FILE is the result of
///                    this message alone; it must not change meanwhile
/// @return as SmtpBatchAdd
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// Each string is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpBatchAddFile(
    batch: *mut SmtpBatch,
    sender: *const c_char,
    recipients: *const c_char,
    path: *const c_char,
) -> i32 {
    plain(|| {
        let batch = find(batch)?;
        // SAFETY: as our caller promises.
        let (sender, recipients, path) =
            unsafe { (required(sender, "sender")?, required(recipients, "recipients")?, required(path, "path")?) };
        batch.add_file(sender, recipients, path)?;
        Ok(0)
    })
}

/// Forgets all messages and their results; the memory is kept for the next ones.
///
/// @param batch  the batch
/// @return 0, or SMTP_ERROR_BATCH_BUSY while the batch is being sent
///
/// Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpBatchClear(batch: *mut SmtpBatch) -> i32 {
    plain(|| {
        find(batch)?.clear()?;
        Ok(0)
    })
}

/// How many messages a batch has.
///
/// @param batch  the batch
/// @param count  set to the number
/// @return 0, or SMTP_ERROR_NULL_POINTER, SMTP_ERROR_INVALID_HANDLE
///
/// Threads: any, also while it is being sent and from within a callback. Since 0.1.
///
/// # Safety
///
/// `count` is null or points to a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpBatchGetCount(batch: *const SmtpBatch, count: *mut usize) -> i32 {
    plain(|| {
        let batch = find(batch)?;
        if count.is_null() {
            return Err(null("count"));
        }
        // SAFETY: not null, and as our caller promises.
        unsafe { count.write(batch.len()) };
        Ok(0)
    })
}

/// Sends the messages of a batch over the open connection, one behind the other and
/// with as little waiting as the server allows: with PIPELINING the next envelope goes
/// out behind the end of each message, with CHUNKING too whole messages are in flight,
/// up to SMTP_PROPERTY_BATCH_MESSAGES and SMTP_PROPERTY_BATCH_OCTETS, unless
/// SMTP_PROPERTY_CHUNKING forbids it. SMTP_PROPERTY_BATCH_MODE tells which it was.
///
/// Each message has a result of its own (SmtpBatchGetResult), and a refused one does not
/// stop the others. What the properties wish of messages is wished of each. Only messages
/// whose outcome is SMTP_OUTCOME_NOT_SENT are sent, so that after a failure, or when
/// more were added, the same batch can be sent again, and none is sent twice: neither
/// one that was accepted or refused, nor one whose outcome is unknown.
///
/// If the connection ends, so does the call. The messages that were not begun have the
/// code SMTP_ERROR_BATCH_ENDED. If it ends when for the first time something goes out
/// behind a message, the server is remembered for the client's life, and batches go to
/// it one by one.
///
/// SMTP_PROPERTY_OUTCOME, SMTP_PROPERTY_FINAL_REPLY and the recipients of the last
/// message do not tell of batches. SMTP_PROPERTY_TIMEOUT limits the call as a whole.
///
/// @param client  the client, which must be connected
/// @param batch   the batch; it cannot be changed or sent by another call meanwhile
/// @return 0 if the server has accepted every message for at least one recipient, also
///         if there is none; else the error of the first that it has not, whose
///         sentence tells how many there are
///
/// Threads: any; waits for its turn. SmtpCancel ends it. SMTP_EVENT_MESSAGE tells of each
/// message. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpSendBatch(client: *mut SmtpClient, batch: *mut SmtpBatch) -> i32 {
    on_client(client, |client| client.send_batch(&find(batch)?).map(settled))
}

/// What became of one message.
///
/// @param batch   the batch
/// @param index   its number, from 0, in the order in which they were added
/// @param result  filled in; its member size must be set before
/// @return 0, or SMTP_ERROR_INVALID_PARAMETER if there is no such message or the size is
///         not one of this structure
///
/// Threads: any, also while it is being sent and from within a callback. Since 0.1.
///
/// # Safety
///
/// `result` is null or points to a structure of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpBatchGetResult(
    batch: *const SmtpBatch,
    index: usize,
    result: *mut SmtpBatchResult,
) -> i32 {
    plain(|| {
        let batch = find(batch)?;
        if result.is_null() {
            return Err(null("result"));
        }
        // SAFETY: not null, and as our caller promises.
        let size = unsafe { (&raw const (*result).size).read() };
        if (size as usize) < size_of::<SmtpBatchResult>() {
            let what =
                format!("the member size is {size}, and the structure has {} octets", size_of::<SmtpBatchResult>());
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        }
        let report = batch.report(index)?;
        let (class, subject, detail) = report.enhanced.unwrap_or_default();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let filled = SmtpBatchResult {
            size,
            code: report.code,
            outcome: report.outcome as u32,
            safe_to_retry: u32::from(report.outcome.safe_to_retry()),
            result_code: i32::from(report.reply),
            enhanced_class: i32::from(class),
            enhanced_subject: i32::from(subject),
            enhanced_detail: i32::from(detail),
            recipients: count(report.recipients),
            recipients_accepted: count(report.accepted),
            recipients_refused: count(report.refused),
        };
        // SAFETY: not null, and at least of this size.
        unsafe { result.write(filled) };
        Ok(0)
    })
}

/// A text about one message.
///
/// @param batch     the batch
/// @param index     its number, from 0
/// @param which     one of the SMTP_BATCH_TEXT_ constants
/// @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL, SMTP_ERROR_INVALID_PARAMETER
///
/// Threads: any, also while it is being sent and from within a callback. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpBatchGetString(
    batch: *const SmtpBatch,
    index: usize,
    which: u32,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    plain(|| {
        let batch = find(batch)?;
        let Some((which, ..)) = ReportText::ALL.into_iter().find(|(text, ..)| *text as u32 == which) else {
            let what = format!("there is no text {which} about a message of a batch");
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        };
        let text = batch.report_text(index, which)?;
        // SAFETY: as our caller promises.
        unsafe { copy_out(&text.replace('\0', " "), buffer, capacity, length) }
    })
}

/// What became of one recipient of one message.
///
/// @param batch      the batch
/// @param index      the number of the message, from 0
/// @param number     the number of the recipient, from 0
/// @param recipient  filled in; its member size must be set before
/// @return 0, or SMTP_ERROR_INVALID_PARAMETER if there is no such message or recipient or
///         the size is not one of this structure
///
/// Threads: any, also while it is being sent and from within a callback. Since 0.1.
///
/// # Safety
///
/// `recipient` is null or points to a structure of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpBatchGetRecipient(
    batch: *const SmtpBatch,
    index: usize,
    number: usize,
    recipient: *mut SmtpRecipient,
) -> i32 {
    plain(|| {
        let batch = find(batch)?;
        // SAFETY: as our caller promises.
        unsafe { fill_recipient(recipient, || batch.recipient(index, number)) }
    })
}

/// A text about one recipient of one message.
///
/// @param batch     the batch
/// @param index     the number of the message, from 0
/// @param number    the number of the recipient, from 0
/// @param which     SMTP_RECIPIENT_TEXT_ADDRESS, or SMTP_RECIPIENT_TEXT_REPLY, which
///                  is empty unless the recipient was refused
/// @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL, SMTP_ERROR_INVALID_PARAMETER
///
/// Threads: any, also while it is being sent and from within a callback. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpBatchGetRecipientString(
    batch: *const SmtpBatch,
    index: usize,
    number: usize,
    which: u32,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    plain(|| {
        let found = find(batch)?.recipient(index, number)?;
        let text = match which {
            SMTP_RECIPIENT_TEXT_ADDRESS => found.address,
            SMTP_RECIPIENT_TEXT_REPLY => found.refusal.map(|reply| reply.text).unwrap_or_default(),
            _ => {
                let what = format!("there is no text {which} about a recipient");
                return Err(Error::caller(Code::INVALID_PARAMETER, what));
            }
        };
        // SAFETY: as our caller promises.
        unsafe { copy_out(&text.replace('\0', " "), buffer, capacity, length) }
    })
}
