//! OAuth tokens from the program.

use super::entry::on_client;
use super::event::{SmtpDestroyCallback, User};
use super::handle::SmtpClient;
use crate::client::TokenProvider;
use std::ffi::{c_char, c_void};

/// Gives an OAuth 2.0 access token: writes it, without a NUL, into the buffer of
/// capacity octets, and returns its length, or a negative number to give up.
/// renew is 1 if the server has just refused the token that was given before, most
/// often because it has expired: then a kept one is of no use; else it is 0.
///
/// Called on the thread whose call logs in, with no lock of the library's held; on
/// the same client it may call SmtpCancel and the getters only. It may take its
/// time, which counts towards no limit. The library wipes the buffer.
pub type SmtpTokenCallback =
    Option<unsafe extern "C" fn(buffer: *mut c_char, capacity: usize, renew: u32, user_data: *mut c_void) -> i64>;

/// Registers a callback that is asked for an OAuth token when a login takes one; it
/// takes the place of the one before. It is asked at every login by XOAUTH2 or
/// OAUTHBEARER that is given no token as the password: where SMTP_PROPERTY_AUTH_TYPE
/// says so, or with SMTP_AUTH_AUTOMATIC if the server offers one of them and
/// SMTP_PROPERTY_AUTH_METHODS allows it. What it gives goes before
/// SMTP_PROPERTY_BEARER_TOKEN. If the server refuses the token, it is asked once
/// more and the login is repeated once; not if the server says that the token
/// does not allow enough.
///
/// @param client     the client
/// @param callback   the function; NULL removes the one before
/// @param user_data  passed to the callback
/// @param destroy    called with user_data when the callback is replaced or
///                   removed, or the client's last call has ended after its
///                   release; also if this call fails. May be NULL.
/// @return 0, or an error code. A login fails with SMTP_ERROR_NO_CREDENTIALS if the
///         callback gives up or gives nothing
///
/// Threads: any; waits for its turn. Since 0.1.
///
/// # Safety
///
/// `callback` and `destroy` may be called with `user_data` from any thread that
/// uses the client, until `destroy` was called; `callback` writes no more than it may.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpRegisterTokenProvider(
    client: *mut SmtpClient,
    callback: SmtpTokenCallback,
    user_data: *mut c_void,
    destroy: SmtpDestroyCallback,
) -> i32 {
    let user = User::new(user_data, destroy);
    on_client(client, |client| {
        let provider = callback.map(|callback| {
            TokenProvider(Box::new(move |buffer: &mut [u8], renew| {
                // SAFETY: the buffer is as long as is said, and the data belongs to this callback.
                unsafe { callback(buffer.as_mut_ptr().cast(), buffer.len(), u32::from(renew), user.data()) }
            }))
        });
        client.set_token_provider(provider)?;
        Ok(0)
    })
}
