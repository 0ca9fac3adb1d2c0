//! Callbacks.

use super::entry::on_client;
use super::handle::SmtpClient;
use crate::client::{EVENTS, Event, Sink};
use crate::error::{Code, Error};
use std::ffi::{c_char, c_void};

/// What a callback is told. Valid during the callback only.
#[repr(C)]
#[derive(Debug)]
pub struct SmtpEvent {
    /// The size of this structure in octets; later versions append members.
    pub size: u32,
    /// One of the SMTP_EVENT_ constants.
    pub event: u32,
    /// The error code for SMTP_EVENT_ERROR, _TIMEOUT and _CANCEL; else 0.
    pub error: i32,
    /// The server's reply code for SMTP_EVENT_REPLY; else 0.
    pub result_code: i32,
    /// The text that belongs to the event, any octets, not NUL-terminated; never NULL.
    pub text: *const c_char,
    /// The length of the text in octets.
    pub text_length: usize,
    /// For SMTP_EVENT_PROGRESS, how many octets of the message were taken from its source; else 0.
    pub bytes_copied: u64,
    /// For SMTP_EVENT_PROGRESS, the length of the message in octets, 0 if it is not known; else 0.
    pub bytes_total: u64,
    /// For SMTP_EVENT_RECIPIENT, the recipient's number, from 0; else 0.
    pub recipient: u32,
    /// For SMTP_EVENT_RECIPIENT, one of the SMTP_RECIPIENT_ constants; else 0.
    pub recipient_state: u32,
    /// For SMTP_EVENT_RECIPIENT, the text of the reply, its lines joined by line feeds,
    /// any octets, not NUL-terminated; else empty; never NULL.
    pub reply: *const c_char,
    /// The length of the reply in octets.
    pub reply_length: usize,
    /// For SMTP_EVENT_MESSAGE, the number of the message in its batch, from 0; else 0.
    pub message: u32,
    /// For SMTP_EVENT_MESSAGE, one of the SMTP_OUTCOME_ constants; else 0.
    pub outcome: u32,
}

/// A callback. Returns 0 to go on, anything else to cancel the running call.
///
/// Called on the thread whose call caused the event, with no lock of the
/// library's held. In it, SmtpCancel and the getters may be called on the same
/// client; everything else gives SMTP_ERROR_REENTRANT. It must not throw or jump
/// out of the library.
pub type SmtpEventCallback = Option<unsafe extern "C" fn(event: *const SmtpEvent, user_data: *mut c_void) -> i32>;

/// Called once with the user data when the library has no more use for it.
pub type SmtpDestroyCallback = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Registers a callback for events; it takes the place of the one before.
///
/// @param client     the client
/// @param mask       SMTP_EVENT_ bits: which events to be told of
/// @param callback   the function; NULL removes the one before
/// @param user_data  passed to the callback
/// @param destroy    called with user_data when the callback is replaced or
///                   removed, or the client's last call has ended after its
///                   release; also if this call fails. May be NULL.
/// @return 0, or SMTP_ERROR_INVALID_PARAMETER if the mask has bits without a meaning
///
/// Threads: any; waits for its turn. Since 0.1.
///
/// # Safety
///
/// `callback` and `destroy` may be called with `user_data` from any thread that
/// uses the client, until `destroy` was called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpRegisterEvent(
    client: *mut SmtpClient,
    mask: u32,
    callback: SmtpEventCallback,
    user_data: *mut c_void,
    destroy: SmtpDestroyCallback,
) -> i32 {
    let user = User::new(user_data, destroy);
    on_client(client, |client| {
        let known = EVENTS.iter().fold(0, |all, (kind, _, _)| all | *kind as u32);
        if mask & !known != 0 {
            let what = format!("the mask has bits without a meaning: {:#x}", mask & !known);
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        }
        let sink = callback.map(|callback| {
            Sink::new(
                mask,
                Box::new(move |event: &Event<'_>| {
                    let answer = event.recipient;
                    let reply = answer.map_or(&[][..], |answer| answer.reply);
                    let event = SmtpEvent {
                        size: u32::try_from(size_of::<SmtpEvent>()).unwrap_or(u32::MAX),
                        event: event.kind as u32,
                        error: event.error,
                        result_code: i32::from(event.result_code),
                        text: event.text.as_ptr().cast(),
                        text_length: event.text.len(),
                        bytes_copied: event.progress.0,
                        bytes_total: event.progress.1,
                        recipient: answer.map_or(0, |answer| answer.index),
                        recipient_state: answer.map_or(0, |answer| answer.state as u32),
                        reply: reply.as_ptr().cast(),
                        reply_length: reply.len(),
                        message: event.message.map_or(0, |(number, _)| number),
                        outcome: event.message.map_or(0, |(_, outcome)| outcome as u32),
                    };
                    // SAFETY: a live structure, and the data that belongs to this callback.
                    unsafe { callback(&raw const event, user.data()) != 0 }
                }),
            )
        });
        client.set_sink(sink)?;
        Ok(0)
    })
}

/// Removes the callback for events, as SmtpRegisterEvent does without one.
///
/// @param client  the client
/// @return 0, or an error code
///
/// Threads: any; waits for its turn. The callback is not running, and will not be
/// called again, when this returns. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpDisableEvents(client: *mut SmtpClient) -> i32 {
    on_client(client, |client| {
        client.set_sink(None)?;
        Ok(0)
    })
}

/// The caller's data, destroyed with this.
pub(super) struct User {
    data: *mut c_void,
    destroy: SmtpDestroyCallback,
}

impl User {
    pub(super) fn new(data: *mut c_void, destroy: SmtpDestroyCallback) -> Self {
        Self { data, destroy }
    }

    /// What the callback gets; a method, so that a closure takes the whole.
    pub(super) fn data(&self) -> *mut c_void {
        self.data
    }
}

// SAFETY: the data is only ever passed to the caller's own functions, which are
// promised to take it on any thread.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

impl Drop for User {
    fn drop(&mut self) {
        if let Some(destroy) = self.destroy {
            // SAFETY: called once, as promised to the caller.
            unsafe { destroy(self.data) }
        }
    }
}
