//! Operations that do not wait: what an event loop has to wait for, and going on.

use super::entry::{from_client, on_client, settled};
use super::handle::SmtpClient;
use super::text::null;
use crate::client::Waiting;
use crate::error::Result;

/// Returned by an operation that has to wait, with SMTP_PROPERTY_BLOCKING 0:
/// SmtpProcess goes on with it.
pub const SMTP_PENDING: i32 = 1;

/// In the member events of SmtpPollInfo: wait until the descriptor can be read.
pub const SMTP_POLL_READ: u32 = 1;

/// In the member events of SmtpPollInfo: wait until the descriptor can be written.
pub const SMTP_POLL_WRITE: u32 = 2;

/// What an event loop has to wait for.
#[repr(C)]
#[derive(Debug)]
pub struct SmtpPollInfo {
    /// The size of this structure in octets, set by the caller; later versions append members.
    pub size: u32,
    /// SMTP_POLL_READ, SMTP_POLL_WRITE, both, or 0 where there is nothing to wait for.
    pub events: u32,
    /// The descriptor to wait on, for poll, epoll and their like; -1 if there is none.
    pub descriptor: i64,
    /// The milliseconds after which SmtpProcess is due even if nothing happens; -1 is
    /// never, 0 is now.
    pub timeout_ms: i64,
}

/// Tells what the pending operation of a client waits for. To be asked after every
/// call that returned SMTP_PENDING, as the descriptor, the directions and the time
/// may be others each time; the descriptor is the library's and must not be read from,
/// written to or closed. An event loop that keeps descriptors registered (epoll, GLib,
/// libuv) compares the number with the one it has registered: the one told last is not
/// closed before this is asked again or the operation is over, so that another descriptor
/// always has another number. Then the old one is closed already, and what the loop has
/// registered for it is to be removed.
///
/// @param client  the client
/// @param info    where to write; its member size says how large it is
/// @return 1 (SMTP_PENDING) if an operation is pending; 0 if none is: then descriptor is
///         -1, events 0 and timeout_ms -1; or an error code: SMTP_ERROR_NULL_POINTER,
///         SMTP_ERROR_INVALID_PARAMETER for a size that is too small, SMTP_ERROR_ATTACHED
///         if a reactor goes on with it
///
/// Threads: any; waits for its turn, which while an operation is pending is short.
/// Since 0.1.
///
/// # Safety
///
/// `info` is null or points to a structure whose first member is its size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpGetPollInfo(client: *mut SmtpClient, info: *mut SmtpPollInfo) -> i32 {
    from_client(client, |client| {
        // SAFETY: as our caller promises.
        unsafe { expect_room(info) }?;
        let waiting = client.waiting()?;
        let told = waiting.unwrap_or(Waiting { descriptor: -1, read: false, write: false, millis: None });
        let bit = |on: bool, bit: u32| if on { bit } else { 0 };
        // SAFETY: not null, and as large as the caller says.
        unsafe {
            (*info).events = bit(told.read, SMTP_POLL_READ) | bit(told.write, SMTP_POLL_WRITE);
            (*info).descriptor = told.descriptor;
            (*info).timeout_ms = told.millis.map_or(-1, i64::from);
        }
        Ok(if waiting.is_some() { SMTP_PENDING } else { 0 })
    })
}

/// Goes on with the pending operation of a client as far as it goes without waiting.
/// To be called when the descriptor of SmtpGetPollInfo is ready or its time is up;
/// calling it earlier does no harm.
///
/// @param client  the client
/// @return 1 (SMTP_PENDING) if it still has to wait; 0 if the operation succeeded; the
///         error code of the operation if it failed; SMTP_ERROR_NO_OPERATION if none is
///         pending, SMTP_ERROR_ATTACHED if a reactor goes on with it. The result of an
///         operation is told once.
///
/// Threads: any; waits for its turn. The callbacks of the client are called on this
/// thread, during this call. SmtpCancel ends the operation: the descriptor becomes ready
/// and this returns SMTP_ERROR_CANCELLED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpProcess(client: *mut SmtpClient) -> i32 {
    on_client(client, |client| client.process().map(settled))
}

unsafe fn expect_room(info: *mut SmtpPollInfo) -> Result<()> {
    use crate::error::{Code, Error};
    if info.is_null() {
        return Err(null("info"));
    }
    // SAFETY: not null, and the caller promises its first member.
    let told = unsafe { info.cast::<u32>().read() };
    if usize::try_from(told).is_ok_and(|told| told >= size_of::<SmtpPollInfo>()) {
        return Ok(());
    }
    let what = format!("the size of info, {told}, is not that of its structure, {}", size_of::<SmtpPollInfo>());
    Err(Error::caller(Code::INVALID_PARAMETER, what))
}
