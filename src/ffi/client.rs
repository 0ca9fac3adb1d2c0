//! Creating, connecting, sending, disconnecting.

use super::entry::{on_client, plain, query, settled};
use super::handle::{self, SmtpClient};
use super::text::optional;
use crate::client::{Client, Options};
use crate::error::{Code, Error};
use crate::proto::Secret;
use std::ffi::c_char;
use std::sync::Arc;

/// Creates a client that is not connected.
///
/// Returns its handle, to be ended with SmtpClientRelease; NULL on failure
/// (SMTP_ERROR_TOO_MANY_HANDLES), of which SmtpGetLastError(NULL) tells.
/// Threads: any. A client opens one connection at most; calls on one client
/// from several threads queue up, calls on several clients run side by side.
/// After a fork a handle of the parent process gives SMTP_ERROR_FORKED.
/// Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpClientCreate() -> *mut SmtpClient {
    let mut created = std::ptr::null_mut();
    plain(|| {
        created = handle::insert(Arc::new(Client::new()))?;
        Ok(0)
    });
    created
}

/// Releases a client. Its connection is closed without QUIT, a call that runs on
/// it is cancelled, and calls that wait for their turn return
/// SMTP_ERROR_RELEASED. The memory goes with the last of them.
///
/// @param client  the client; NULL is allowed and does nothing
/// @return 0; SMTP_ERROR_INVALID_HANDLE if it was released before or never was a
///         client; SMTP_ERROR_REENTRANT from within its own callback
///
/// Threads: any; does not wait. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpClientRelease(client: *mut SmtpClient) -> i32 {
    plain(|| {
        if !client.is_null() {
            // The process is checked first: a child must not shut down a
            // connection that its parent goes on using.
            let found = handle::find(client)?;
            found.check_process()?;
            found.check_reentry()?;
            handle::remove(client)?.release();
        }
        Ok(0)
    })
}

/// Connects to a server: looks the name up, connects to the first address that
/// answers (RFC 8305), reads the greeting, says EHLO, or HELO if the server
/// does not know it (RFC 5321 section 3.2), and starts TLS as configured (RFC 3207,
/// RFC 8314).
///
/// @param client      the client
/// @param host        host name or address, also the name that the certificate
///                    must be for; NULL or empty: SMTP_PROPERTY_HOST
/// @param port        port; 0: SMTP_PROPERTY_PORT, and if that is 0 too, 25, or
///                    465 with implicit TLS. Port 465 means implicit TLS unless
///                    SMTP_PROPERTY_TLS_MODE or the options ask for something else.
/// @param timeout_ms  limit of this call as a whole in milliseconds; 0: SMTP_PROPERTY_TIMEOUT
/// @param options     SMTP_OPTION_ bits; 0: SMTP_PROPERTY_OPTIONS
/// @return 0, or an error code, for instance SMTP_ERROR_HOST_NOT_FOUND,
///         SMTP_ERROR_CONNECTION_REFUSED, SMTP_ERROR_TIMEOUT,
///         SMTP_ERROR_TLS_CERTIFICATE_NAME, SMTP_ERROR_ALREADY_CONNECTED
///
/// Threads: any; waits for its turn. SmtpCancel ends it. The strings are copied.
/// Since 0.1.
///
/// # Safety
///
/// `host` is null or a NUL-terminated string that lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpConnect(
    client: *mut SmtpClient,
    host: *const c_char,
    port: u32,
    timeout_ms: u32,
    options: u32,
) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        let host = unsafe { optional(host, "host") }?;
        let port = u16::try_from(port).map_err(|_| {
            let what = format!("the port {port} is not between 0 and 65535");
            Error::caller(Code::INVALID_PARAMETER, what)
        })?;
        client.connect(host, port, timeout_ms, Options::parse(options)?).map(settled)
    })
}

/// Takes over a connection that the program has made, and does on it what
/// SmtpConnect does on its own: reads the greeting, says EHLO, starts TLS as configured.
///
/// From success on the socket is the library's, which closes it; the program must not
/// use its number again. On failure it is still the program's to close, but of no
/// other use, and its modes may have been changed. Neither SMTP_PROPERTY_PROXY nor any other
/// property about the making of connections counts, but for SMTP_PROPERTY_KEEP_ALIVE; and no
/// password is sent in the clear even if the other end is on this machine, since
/// nobody knows where it leads. A server that takes only so many messages over a
/// connection (MAILMAX) cannot be given more.
///
/// @param client   the client
/// @param socket   a connected stream socket: TCP, Unix, or one end of a pair
/// @param host     the name that the certificate must be for; NULL or empty: SMTP_PROPERTY_HOST
/// @param options  SMTP_OPTION_ bits; 0: SMTP_PROPERTY_OPTIONS. Port 465 counts for TLS only
///                 if SMTP_PROPERTY_PORT says it.
/// @return 0, or an error code, for instance SMTP_ERROR_INVALID_PARAMETER if it is no
///         connected stream socket, SMTP_ERROR_ALREADY_CONNECTED
///
/// Threads: any; waits for its turn, up to SMTP_PROPERTY_TIMEOUT as a whole. SmtpCancel
/// ends it. The string is copied. Since 0.1.
///
/// # Safety
///
/// `host` is null or a NUL-terminated string that lives through the call; nothing
/// else closes `socket` during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpAttachSocket(
    client: *mut SmtpClient,
    socket: isize,
    host: *const c_char,
    options: u32,
) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        let host = unsafe { optional(host, "host") }?;
        client.attach(socket, host, Options::parse(options)?).map(settled)
    })
}

/// Logs in on the open connection (RFC 4954), as SMTP_PROPERTY_AUTH_TYPE says: by
/// default with the strongest mechanism that both sides have.
///
/// A password or token that a mechanism shows to who reads the wire (PLAIN, LOGIN,
/// XOAUTH2, OAUTHBEARER) leaves only over TLS with a verified certificate, to a
/// loopback address, or if SMTP_PROPERTY_INSECURE_AUTH allows it; otherwise another
/// mechanism is used, or the call fails with SMTP_ERROR_INSECURE_CREDENTIALS and
/// nothing is sent. A failed login leaves the connection open.
///
/// @param client    the client
/// @param user      user name, UTF-8; NULL: SMTP_PROPERTY_USER
/// @param password  password, or with SMTP_AUTH_XOAUTH2 and SMTP_AUTH_BEARER the token,
///                  UTF-8; NULL: SMTP_PROPERTY_PASSWORD, SMTP_PROPERTY_BEARER_TOKEN
/// @return 0, or an error code, for instance SMTP_ERROR_AUTHENTICATION_FAILED,
///         SMTP_ERROR_INVALID_AUTHENTICATION_TYPE, SMTP_ERROR_NO_CREDENTIALS,
///         SMTP_ERROR_NOT_CONNECTED
///
/// Threads: any; waits for its turn. SmtpCancel ends it. The strings are copied
/// and the copies wiped. Since 0.1.
///
/// # Safety
///
/// Each string is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpAuthenticate(
    client: *mut SmtpClient,
    user: *const c_char,
    password: *const c_char,
) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        let (user, password) = unsafe { (optional(user, "user")?, optional(password, "password")?) };
        client.authenticate(user, password.map(Secret::new)).map(settled)
    })
}

/// Says QUIT, waits for the answer up to SMTP_PROPERTY_TIMEOUT_QUIT, and closes the
/// connection. What the server answers changes nothing: once there is a
/// connection this cannot fail.
///
/// @param client  the client, which can connect again afterwards
/// @return 0, or SMTP_ERROR_NOT_CONNECTED
///
/// Threads: any; waits for its turn. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpDisconnect(client: *mut SmtpClient) -> i32 {
    on_client(client, |client| client.disconnect().map(settled))
}

/// Sends RSET, which makes the server forget a transaction that was begun (RFC
/// 5321 section 4.1.1.5). Not needed between messages.
///
/// @param client  the client
/// @return 0, or an error code, for instance SMTP_ERROR_NOT_CONNECTED
///
/// Threads: any; waits for its turn. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpReset(client: *mut SmtpClient) -> i32 {
    on_client(client, |client| client.reset().map(settled))
}

/// Cancels the call that runs on a client, in any phase; the call returns
/// SMTP_ERROR_CANCELLED within 100 ms, and the connection is closed by it. Does
/// nothing if no call runs, and does not touch calls that wait for their turn.
///
/// @param client  the client
/// @return 0, or SMTP_ERROR_INVALID_HANDLE
///
/// Threads: any, also from within a callback; never waits. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpCancel(client: *mut SmtpClient) -> i32 {
    query(Code::INTERNAL.0, || {
        let cancelled = handle::find(client).and_then(|client| {
            client.check_process()?;
            client.cancel();
            Ok(0)
        });
        cancelled.unwrap_or_else(|error| error.code.0)
    })
}
