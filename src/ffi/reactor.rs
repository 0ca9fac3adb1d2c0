//! Completion by callback, on an event thread of the library's own.

use super::entry::{contained, plain};
use super::event::{SmtpDestroyCallback, User};
use super::handle::{self, Handle, SmtpClient, Table};
use crate::client::Reactor;
use crate::error::{Code, Error};
use parking_lot::Mutex;
use std::ffi::c_void;
use std::sync::Arc;

/// An event thread. Made by SmtpReactorCreate, ended by SmtpReactorRelease; usable from
/// any thread. The pointer is a token: it does not point to anything.
#[derive(Debug)]
pub struct SmtpReactor {
    _token: [u8; 0],
}

impl Handle for SmtpReactor {
    type Object = Reactor;
    const TAG: usize = 0xC7;
    const NOUN: &'static str = "reactor";

    fn table() -> &'static Mutex<Table<Reactor>> {
        static TABLE: Mutex<Table<Reactor>> = Mutex::new(Table::new());
        &TABLE
    }
}

/// Called when an operation of an attached client is over that had returned SMTP_PENDING:
/// result is 0 or the error code of the operation, of which SmtpGetLastError and its
/// like tell.
///
/// Called on the reactor's thread, with no lock of the library's held, once for each
/// such operation. The client may be used for its next operation, and any other client
/// for anything; what takes long keeps every client of the reactor waiting. After
/// SmtpClientRelease the handle is stale already. It must not throw or jump out of the library.
pub type SmtpCompletionCallback =
    Option<unsafe extern "C" fn(client: *mut SmtpClient, result: i32, user_data: *mut c_void)>;

/// Creates a reactor: one thread that goes on with the operations of any number of clients.
///
/// Returns its handle, to be ended with SmtpReactorRelease; NULL on failure
/// (SMTP_ERROR_TOO_MANY_HANDLES, SMTP_ERROR_NETWORK if there is no descriptor or thread
/// left), of which SmtpGetLastError(NULL) tells. The thread runs no signal handlers.
/// Threads: any. After a fork a handle of the parent process gives SMTP_ERROR_FORKED.
/// Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpReactorCreate() -> *mut SmtpReactor {
    let mut created = std::ptr::null_mut();
    plain(|| {
        let reactor = Arc::new(Reactor::start(contained)?);
        created = handle::insert(Arc::clone(&reactor)).inspect_err(|_| reactor.release())?;
        Ok(0)
    });
    created
}

/// Attaches a client to a reactor and sets SMTP_PROPERTY_BLOCKING to 0: an operation that
/// is begun on it from now on and returns SMTP_PENDING is gone on with on the reactor's
/// thread, and its end is told by one call of the callback. That may come before the
/// function that began the operation has returned. An operation that is over at once
/// returns its result and is not told again. SmtpProcess and SmtpGetPollInfo give
/// SMTP_ERROR_ATTACHED.
///
/// @param reactor    the reactor
/// @param client     the client, with no operation under way, attached to no reactor
/// @param callback   the function
/// @param user_data  passed to the callback
/// @param destroy    called once with user_data when the library has no more use for it:
///                   after SmtpReactorDetach, SmtpClientRelease or SmtpReactorRelease, on the
///                   reactor's thread; or if this call fails. May be NULL.
/// @return 0, or SMTP_ERROR_ATTACHED, SMTP_ERROR_OPERATION_IN_PROGRESS,
///         SMTP_ERROR_NULL_POINTER, SMTP_ERROR_REENTRANT from a callback of the client
///         that SmtpRegisterEvent or its like has set
///
/// Threads: any; waits for its turn. Since 0.1.
///
/// # Safety
///
/// `callback` and `destroy` may be called with `user_data` from another thread until
/// `destroy` was called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpReactorAttach(
    reactor: *mut SmtpReactor,
    client: *mut SmtpClient,
    callback: SmtpCompletionCallback,
    user_data: *mut c_void,
    destroy: SmtpDestroyCallback,
) -> i32 {
    let user = User::new(user_data, destroy);
    plain(|| {
        let reactor = handle::find(reactor)?;
        reactor.check_process()?;
        let found = handle::find(client)?;
        found.check_process()?;
        let callback = callback.ok_or_else(|| Error::caller(Code::NULL_POINTER, "callback must not be null"))?;
        let address = client.addr();
        let completion = move |code| {
            // SAFETY: the caller's function with the data that belongs to it.
            unsafe { callback(std::ptr::without_provenance_mut(address), code, user.data()) }
        };
        reactor.attach(&found, Box::new(completion))?;
        Ok(0)
    })
}

/// Detaches a client from its reactor. SMTP_PROPERTY_BLOCKING stays 0.
///
/// @param client  the client, with no operation under way; without a reactor this does nothing
/// @return 0, or SMTP_ERROR_OPERATION_IN_PROGRESS: then SmtpCancel ends the operation, and
///         the callback tells when
///
/// Threads: any; waits until a call of the callback for this client has returned, unless it is
/// called from within one. After that the callback is not called again. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpReactorDetach(client: *mut SmtpClient) -> i32 {
    plain(|| {
        let found = handle::find(client)?;
        found.check_process()?;
        found.detach()?;
        Ok(0)
    })
}

/// Releases a reactor: cancels the operations of its clients, each of which is told by
/// its callback, detaches the clients, and waits until the thread has ended. What a
/// callback begins meanwhile is cancelled at once, and says so by its result.
///
/// @param reactor  the reactor; NULL is allowed and does nothing
/// @return 0; SMTP_ERROR_INVALID_HANDLE if it was released before or never was a reactor;
///         SMTP_ERROR_REENTRANT from within one of its callbacks
///
/// Threads: any but the reactor's own; waits for the thread, and so for callbacks that
/// run. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpReactorRelease(reactor: *mut SmtpReactor) -> i32 {
    plain(|| {
        if !reactor.is_null() {
            let found = handle::find(reactor)?;
            found.check_process()?;
            found.check_reentry()?;
            handle::remove(reactor)?.release();
        }
        Ok(0)
    })
}
