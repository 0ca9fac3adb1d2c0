//! Many messages over connections that are kept.

use super::entry::{contained, plain};
use super::event::{SmtpDestroyCallback, User};
use super::handle::{self, Handle, Table};
use super::poll::SMTP_PENDING;
use super::submit::{SmtpMessageInfo, SmtpServerInfo, arguments_of, of_size, server_of};
use super::text::{copy_out, null, optional};
use crate::client::{Pool, PoolResult, Statistics, Teller};
use crate::error::{Code, Error, Result};
use parking_lot::Mutex;
use std::cell::RefCell;
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// A pool of connections. Made by SmtpPoolCreate, ended by SmtpPoolRelease; usable from
/// any thread. The pointer is a token: it does not point to anything.
#[derive(Debug)]
pub struct SmtpPool {
    _token: [u8; 0],
}

impl Handle for SmtpPool {
    type Object = Pool;
    const TAG: usize = 0xC9;
    const NOUN: &'static str = "pool";

    fn table() -> &'static Mutex<Table<Pool>> {
        static TABLE: Mutex<Table<Pool>> = Mutex::new(Table::new());
        &TABLE
    }
}

thread_local! {
    /// The result that was last told to this thread, for the texts about it.
    static TOLD: RefCell<Option<PoolResult>> = const { RefCell::new(None) };
}

/// What became of a message of a pool.
#[repr(C)]
#[derive(Debug)]
pub struct SmtpPoolResult {
    /// The size of this structure in octets, set by who makes it; later versions append members.
    pub size: u32,
    /// 0, or the error code.
    pub code: i32,
    /// The number that SmtpPoolSubmit gave.
    pub id: u64,
    /// The tag that was given to SmtpPoolSubmit.
    pub tag: *mut c_void,
    /// One of the SMTP_OUTCOME_ constants.
    pub outcome: u32,
    /// 1 if sending the message again cannot deliver it twice.
    pub safe_to_retry: u32,
    /// The code of the reply that decided on the message; 0 if none did.
    pub reply_code: i32,
    /// The enhanced status code of that reply, its three numbers; else 0.
    pub enhanced_class: i32,
    /// See enhanced_class.
    pub enhanced_subject: i32,
    /// See enhanced_class.
    pub enhanced_detail: i32,
    /// For how many recipients the message was accepted.
    pub accepted: u32,
    /// How many recipients were refused.
    pub refused: u32,
    /// How often the message was begun to be sent: 2 if the first time met a connection
    /// that the server had ended before.
    pub attempts: u32,
    /// 0.
    pub reserved: u32,
}

/// What a pool has done so far, and has to do.
#[repr(C)]
#[derive(Debug)]
pub struct SmtpPoolStatistics {
    /// The size of this structure in octets, set by the caller; later versions append members.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Messages that wait to be sent.
    pub queued: u64,
    /// Messages that are being sent.
    pub in_flight: u64,
    /// Messages that servers took, for at least one recipient.
    pub accepted: u64,
    /// Messages that servers refused.
    pub rejected: u64,
    /// Messages that may have been taken.
    pub unknown: u64,
    /// Messages that did not leave this machine.
    pub not_sent: u64,
    /// Results that SmtpPoolWait has not taken.
    pub results: u64,
    /// Connections, those being made or closed included.
    pub connections: u64,
    /// Connections that wait for a message.
    pub idle: u64,
    /// Connections that were made, login included.
    pub opened: u64,
    /// Connections that could not be made.
    pub failed: u64,
    /// Connections closed for their age.
    pub retired_age: u64,
    /// Connections closed for the number of their messages.
    pub retired_count: u64,
    /// Connections closed since they had nothing to send for a while.
    pub retired_idle: u64,
    /// Connections that the server ended with 421 while a message was under way.
    pub retired_closing: u64,
    /// Connections closed for new settings, for another destination, or at the end.
    pub retired_other: u64,
    /// Connections that broke while a message was under way.
    pub broken: u64,
    /// Idle connections that the server ended, which was noticed before they were used.
    pub hung_up: u64,
    /// Connections that a message found dead; it went over a new one.
    pub stale: u64,
    /// The octets sent over connections that are closed.
    pub bytes_sent: u64,
    /// The octets received over connections that are closed.
    pub bytes_received: u64,
}

/// Called with the result of a message. The structure is valid during the call only.
///
/// Called on the pool's own thread, with no lock of the library's held; what takes long
/// keeps the pool waiting. SmtpPoolSubmit without waiting, the getters and
/// SmtpPoolGetResultString may be called. It must not throw or jump out of the library.
pub type SmtpPoolCallback =
    Option<unsafe extern "C" fn(pool: *mut SmtpPool, result: *const SmtpPoolResult, user_data: *mut c_void)>;

/// The error record of a result as a JSON object; empty if there was no error.
pub const SMTP_POOL_TEXT_ERROR_JSON: u32 = 1;
/// The recipients of a result as a JSON array of objects.
pub const SMTP_POOL_TEXT_RECIPIENTS_JSON: u32 = 2;
/// One sentence on what went wrong, as SmtpGetLastErrorString has it; empty if nothing did.
pub const SMTP_POOL_TEXT_ERROR: u32 = 3;
/// Code and text of the reply to the end of the message; empty if there was none.
pub const SMTP_POOL_TEXT_REPLY: u32 = 4;
/// The server's name for the message, if it told one.
pub const SMTP_POOL_TEXT_QUEUE_ID: u32 = 5;

/// Creates a pool. Nothing is connected before there is a message.
///
/// Returns its handle, to be ended with SmtpPoolRelease; NULL on failure
/// (SMTP_ERROR_TOO_MANY_HANDLES, SMTP_ERROR_NETWORK if there is no descriptor or thread
/// left), of which SmtpGetLastError(NULL) tells. One thread of the pool's own, which runs no
/// signal handlers, drives all its connections.
/// Threads: any. After a fork a handle of the parent process gives SMTP_ERROR_FORKED.
/// Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpPoolCreate() -> *mut SmtpPool {
    let mut created = std::ptr::null_mut();
    plain(|| {
        let pool = Arc::new(Pool::start(contained)?);
        created = handle::insert(Arc::clone(&pool)).inspect_err(|_| pool.release())?;
        Ok(0)
    });
    created
}

/// Releases a pool: what SmtpPoolAbort does, then closes its connections and waits until
/// its thread has ended. Results that SmtpPoolWait has not taken are gone.
///
/// @param pool  the pool; NULL is allowed and does nothing
/// @return 0; SMTP_ERROR_INVALID_HANDLE if it was released before or never was a pool;
///         SMTP_ERROR_REENTRANT from within its own callback
///
/// Threads: any but the pool's own; waits for the thread, and so for a callback that
/// runs. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpPoolRelease(pool: *mut SmtpPool) -> i32 {
    plain(|| {
        if !pool.is_null() {
            let found = find(pool)?;
            // As long as results are told, the handle is good for asking about them.
            found.abort()?;
            handle::remove(pool)?.release();
        }
        Ok(0)
    })
}

/// Sets a text property of all connections of a pool: those of a client.
///
/// @param pool      the pool
/// @param property  SMTP_PROPERTY_ constant of a text that can be written
/// @param value     the new value, UTF-8, copied; NULL is the same as empty
/// @return 0, or an error code of SmtpSetString
///
/// Threads: any; does not wait. Connections that were made before are retired as soon as they are
/// idle; messages that were submitted before keep their host, port, user and password.
/// Since 0.1.
///
/// # Safety
///
/// `value` is null or a NUL-terminated string that lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpPoolSetString(pool: *mut SmtpPool, property: u32, value: *const c_char) -> i32 {
    plain(|| {
        let pool = find(pool)?;
        // SAFETY: as our caller promises.
        let value = unsafe { optional(value, "value") }?;
        pool.set_text(property, value.unwrap_or_default())?;
        Ok(0)
    })
}

/// Sets an integer property of a pool, or of all its connections: SMTP_POOL_ constants take
/// effect at once, those of a client as SmtpPoolSetString.
///
/// @param pool      the pool
/// @param property  SMTP_POOL_ constant, or SMTP_PROPERTY_ constant of an integer that can be
///                  written, but for SMTP_PROPERTY_BLOCKING
/// @param value     the new value, in the property's unit and range
/// @return 0, or an error code of SmtpSetInteger
///
/// Threads: any; does not wait. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpPoolSetInteger(pool: *mut SmtpPool, property: u32, value: i64) -> i32 {
    plain(|| {
        find(pool)?.set_integer(property, value)?;
        Ok(0)
    })
}

/// Reads a text property of a pool's connections into the caller's buffer.
///
/// @param pool      the pool
/// @param property  SMTP_PROPERTY_ constant of a text that can be set and read
/// @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0, or an error code of SmtpGetString
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpPoolGetString(
    pool: *const SmtpPool,
    property: u32,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    plain(|| {
        let text = find(pool)?.text(property)?.replace('\0', " ");
        // SAFETY: as our caller promises.
        unsafe { copy_out(&text, buffer, capacity, length) }
    })
}

/// Reads an integer property of a pool, or of its connections.
///
/// @param pool      the pool
/// @param property  SMTP_POOL_ constant, or SMTP_PROPERTY_ constant of an integer
/// @param value     set to the value
/// @return 0, or SMTP_ERROR_UNKNOWN_PROPERTY, SMTP_ERROR_NULL_POINTER
///
/// Threads: any. Since 0.1.
///
/// # Safety
///
/// `value` is null or points to an `int64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpPoolGetInteger(pool: *const SmtpPool, property: u32, value: *mut i64) -> i32 {
    plain(|| {
        let pool = find(pool)?;
        if value.is_null() {
            return Err(null("value"));
        }
        let found = pool.integer(property)?;
        // SAFETY: not null, and as our caller promises.
        unsafe { value.write(found) };
        Ok(0)
    })
}

/// Has every result of a pool told by a callback instead of being kept for SmtpPoolWait. To
/// be set before the first message; it takes the place of the one before.
///
/// @param pool       the pool
/// @param callback   the function; NULL: SmtpPoolWait gives the results
/// @param user_data  passed to the callback
/// @param destroy    called once with user_data when the callback is replaced and does not run
///                   any more, or the pool is released; also if this call fails. May be NULL.
/// @return 0, or SMTP_ERROR_INVALID_HANDLE
///
/// Threads: any; does not wait. Since 0.1.
///
/// # Safety
///
/// `callback` and `destroy` may be called with `user_data` from another thread until
/// `destroy` was called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpPoolSetCallback(
    pool: *mut SmtpPool,
    callback: SmtpPoolCallback,
    user_data: *mut c_void,
    destroy: SmtpDestroyCallback,
) -> i32 {
    let user = User::new(user_data, destroy);
    plain(|| {
        let found = find(pool)?;
        let address = pool.addr();
        let teller = callback.map(|callback| {
            let teller: Arc<Teller> = Arc::new(move |result: &PoolResult| {
                let told = structure(result);
                keep(result.clone());
                // SAFETY: a live structure, and the data that belongs to the function.
                unsafe { callback(std::ptr::without_provenance_mut(address), &raw const told, user.data()) }
            });
            teller
        });
        // What was there before is the caller's to destroy: no lock is held.
        drop(found.set_teller(teller));
        Ok(0)
    })
}

/// Gives a message to a pool, which sends it over one of its connections to the server, or
/// a new one. The message is copied, or read from its file when it is sent.
///
/// A message is never sent twice: it is repeated, once, only if its connection turns out
/// to have ended before the server took note of the message. What fails any other way is told.
///
/// @param pool     the pool
/// @param message  the message
/// @param server   the server; NULL, or what is not given in it: the pool's properties. Its
///                 timeout_ms limits the connecting.
/// @param tag      given back with the result
/// @param wait_ms  how long to wait for room in the queue; 0: not at all
/// @param id       set to the number of the message, from 1; may be NULL
/// @return 0; SMTP_ERROR_QUEUE_FULL if there is no room; SMTP_ERROR_POOL_CLOSED after
///         SmtpPoolDrain or SmtpPoolAbort; SMTP_ERROR_INVALID_PARAMETER, SMTP_ERROR_NULL_POINTER.
///         Whatever else is wrong with the message is told as its result.
///
/// Threads: any, also the pool's callback with wait_ms 0. After this has returned 0 the result is
/// told exactly once. Since 0.1.
///
/// # Safety
///
/// Each structure is null or of the size that it says; what it points to is as
/// told there and lives through the call. `id` is null or points to a `uint64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpPoolSubmit(
    pool: *mut SmtpPool,
    message: *const SmtpMessageInfo,
    server: *const SmtpServerInfo,
    tag: *mut c_void,
    wait_ms: u32,
    id: *mut u64,
) -> i32 {
    plain(|| {
        let pool = find(pool)?;
        // SAFETY: as our caller promises.
        let message = unsafe { arguments_of(message) }?;
        // SAFETY: as our caller promises.
        let server = if server.is_null() { None } else { Some(unsafe { server_of(server) }?) };
        let number = pool.submit(&message, server, tag.expose_provenance(), wait_ms)?;
        if !id.is_null() {
            // SAFETY: not null, and as our caller promises.
            unsafe { id.write(number) };
        }
        Ok(0)
    })
}

/// Takes the next result of a pool without a callback.
///
/// @param pool        the pool
/// @param timeout_ms  how long to wait for one; 0: not at all
/// @param result      filled in; its member size must be set before
/// @return 0; 1 (SMTP_PENDING) if there is none in time; SMTP_ERROR_POOL_CLOSED if the pool
///         was drained or aborted and every result was taken; SMTP_ERROR_NULL_POINTER,
///         SMTP_ERROR_INVALID_PARAMETER for a size that is too small
///
/// Threads: any; each result goes to one of those that wait. Since 0.1.
///
/// # Safety
///
/// `result` is null or points to a structure of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpPoolWait(pool: *mut SmtpPool, timeout_ms: u32, result: *mut SmtpPoolResult) -> i32 {
    plain(|| {
        let pool = find(pool)?;
        // SAFETY: as our caller promises.
        unsafe { of_size(result.cast_const(), "result") }?;
        let Some(taken) = pool.take(timeout_ms)? else { return Ok(SMTP_PENDING) };
        // SAFETY: not null, and at least of this size.
        unsafe { result.write(SmtpPoolResult { size: (*result).size, ..structure(&taken) }) };
        keep(taken);
        Ok(0)
    })
}

/// A text about the result that SmtpPoolWait gave this thread last, or that the callback
/// is just told.
///
/// @param pool      the pool
/// @param id        the number of its message
/// @param which     one of the SMTP_POOL_TEXT_ constants
/// @param buffer    room for the text and its NUL; NULL with capacity 0 asks for the length only
/// @param capacity  its size in octets
/// @param length    set to the length of the whole text without its NUL; may be NULL
/// @return 0, or SMTP_ERROR_BUFFER_TOO_SMALL; SMTP_ERROR_INVALID_PARAMETER if this thread
///         was last told of another message, or there is no such text
///
/// Threads: the one that was told. Since 0.1.
///
/// # Safety
///
/// `buffer` is null or has `capacity` octets; `length` is null or a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpPoolGetResultString(
    pool: *const SmtpPool,
    id: u64,
    which: u32,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    plain(|| {
        find(pool)?;
        let text = TOLD.with_borrow(|told| match told {
            Some(result) if result.id == id => text(result, which),
            _ => {
                let what = format!("the result that this thread was told last is not that of message {id}");
                Err(Error::caller(Code::INVALID_PARAMETER, what))
            }
        })?;
        // SAFETY: as our caller promises.
        unsafe { copy_out(&text.replace('\0', " "), buffer, capacity, length) }
    })
}

/// Has a pool take no more messages, and waits until all that it has are over and told.
///
/// @param pool        the pool
/// @param timeout_ms  how long to wait; 0: as long as it takes
/// @return 0; 1 (SMTP_PENDING) if it takes longer: it goes on, and this can be called again;
///         SMTP_ERROR_REENTRANT from within the pool's callback
///
/// Threads: any but the pool's own. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpPoolDrain(pool: *mut SmtpPool, timeout_ms: u32) -> i32 {
    plain(|| {
        let settled = find(pool)?.drain(timeout_ms)?;
        Ok(if settled { 0 } else { SMTP_PENDING })
    })
}

/// Has a pool take no more messages, cancels those that are not over, and waits until
/// each of them was told: those that were not begun as not sent, the others as far as they got.
///
/// @param pool  the pool
/// @return 0; SMTP_ERROR_REENTRANT from within the pool's callback
///
/// Threads: any but the pool's own. Results for SmtpPoolWait can still be taken. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpPoolAbort(pool: *mut SmtpPool) -> i32 {
    plain(|| {
        find(pool)?.abort()?;
        Ok(0)
    })
}

/// Tells what a pool has done so far, and has to do.
///
/// @param pool        the pool
/// @param statistics  filled in; its member size must be set before
/// @return 0, or SMTP_ERROR_NULL_POINTER, SMTP_ERROR_INVALID_PARAMETER for a size that is
///         too small
///
/// Threads: any, at any time, also from within the callback. Since 0.1.
///
/// # Safety
///
/// `statistics` is null or points to a structure of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpPoolGetStatistics(pool: *const SmtpPool, statistics: *mut SmtpPoolStatistics) -> i32 {
    plain(|| {
        let pool = find(pool)?;
        // SAFETY: as our caller promises.
        let size = unsafe { of_size(statistics.cast_const(), "statistics") }?.size;
        // SAFETY: not null, and at least of this size.
        unsafe { statistics.write(counters(size, pool.statistics())) };
        Ok(0)
    })
}

fn find(pool: *const SmtpPool) -> Result<Arc<Pool>> {
    let found = handle::find(pool)?;
    found.check_process()?;
    Ok(found)
}

/// While the thread's destructors run there is nowhere to keep it.
fn keep(result: PoolResult) {
    let _ = TOLD.try_with(|told| told.replace(Some(result)));
}

fn text(result: &PoolResult, which: u32) -> Result<String> {
    let error = result.error.as_deref();
    Ok(match which {
        SMTP_POOL_TEXT_ERROR_JSON => error.map(Error::to_json).unwrap_or_default(),
        SMTP_POOL_TEXT_RECIPIENTS_JSON => result.recipients_json(),
        SMTP_POOL_TEXT_ERROR => error.map(Error::to_string).unwrap_or_default(),
        SMTP_POOL_TEXT_REPLY => result.reply.clone(),
        SMTP_POOL_TEXT_QUEUE_ID => result.queue_id.clone(),
        _ => {
            let what = format!("there is no text {which} about a result");
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        }
    })
}

fn structure(result: &PoolResult) -> SmtpPoolResult {
    let (class, subject, detail) = result.enhanced.unwrap_or_default();
    SmtpPoolResult {
        size: u32::try_from(size_of::<SmtpPoolResult>()).unwrap_or(u32::MAX),
        code: result.error.as_ref().map_or(0, |error| error.code.0),
        id: result.id,
        tag: std::ptr::with_exposed_provenance_mut(result.tag),
        outcome: result.outcome as u32,
        safe_to_retry: u32::from(result.outcome.safe_to_retry()),
        reply_code: i32::from(result.reply_code),
        enhanced_class: i32::from(class),
        enhanced_subject: i32::from(subject),
        enhanced_detail: i32::from(detail),
        accepted: result.accepted,
        refused: result.refused,
        attempts: result.attempts,
        reserved: 0,
    }
}

fn counters(size: u32, told: Statistics) -> SmtpPoolStatistics {
    SmtpPoolStatistics {
        size,
        reserved: 0,
        queued: told.queued,
        in_flight: told.in_flight,
        accepted: told.accepted,
        rejected: told.rejected,
        unknown: told.unknown,
        not_sent: told.not_sent,
        results: told.results,
        connections: told.connections,
        idle: told.idle,
        opened: told.opened,
        failed: told.failed,
        retired_age: told.retired_age,
        retired_count: told.retired_count,
        retired_idle: told.retired_idle,
        retired_closing: told.retired_closing,
        retired_other: told.retired_other,
        broken: told.broken,
        hung_up: told.hung_up,
        stale: told.stale,
        bytes_sent: told.octets_sent,
        bytes_received: told.octets_received,
    }
}
