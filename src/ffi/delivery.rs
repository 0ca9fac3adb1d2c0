//! Notifications about single recipients.

use super::entry::on_client;
use super::handle::SmtpClient;
use super::text::optional;
use std::ffi::c_char;

/// Asks for notifications about one address in the place of
/// SMTP_PROPERTY_DELIVERY_OPTIONS (DSN, RFC 3461), for every message from the next
/// one on that has it among its recipients. The domain is the same in any case; the
/// local part is not.
///
/// @param client              the client
/// @param address             the recipient; NULL takes back what was set for any
/// @param options             SMTP_DELIVERY_NOTIFY_ bits; 0 is as SMTP_PROPERTY_DELIVERY_OPTIONS
/// @param original_recipient  the address that notifications are to name (ORCPT), such as
///                            "jane@example.com" or "rfc822;jane@example.com", of at
///                            most 500 octets as sent; NULL is the address itself. With
///                            0 and NULL nothing is said of this recipient any more
/// @return 0, or SMTP_ERROR_INVALID_ADDRESS, SMTP_ERROR_INVALID_PARAMETER, SMTP_ERROR_TOO_LONG
///
/// Threads: any; waits for its turn. Takes effect with the next message. Since 0.1.
///
/// # Safety
///
/// Each string is null or NUL-terminated and lives through the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpSetRecipientDelivery(
    client: *mut SmtpClient,
    address: *const c_char,
    options: u32,
    original_recipient: *const c_char,
) -> i32 {
    on_client(client, |client| {
        // SAFETY: as our caller promises.
        let (address, original) =
            unsafe { (optional(address, "address")?, optional(original_recipient, "original_recipient")?) };
        client.set_recipient_delivery(address, options, original)?;
        Ok(0)
    })
}
