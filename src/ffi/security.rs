//! What protects the connection: thin over the properties, for programs that look
//! for the original's function.

use super::entry::from_client;
use super::handle::SmtpClient;
use super::text::null;
use crate::error::{Code, Error};

/// What protects the connection. The texts about it are properties: SMTP_PROPERTY_TLS_CIPHER,
/// SMTP_PROPERTY_KEY_EXCHANGE, and the SMTP_PROPERTY_CERTIFICATE_ ones.
#[repr(C)]
#[derive(Debug)]
pub struct SmtpSecurityInfo {
    /// The size of this structure in octets, set by the caller; later versions append members.
    pub size: u32,
    /// One of the SMTP_PROTOCOL_ constants; SMTP_PROTOCOL_NONE without TLS.
    pub protocol: u32,
    /// The bits of the cipher's key, such as 256; 0 without TLS.
    pub cipher_strength: u32,
    /// The bits of the cipher suite's hash, such as 384; 0 without TLS.
    pub hash_strength: u32,
    /// What the check of the certificate came to, one of the SMTP_CERTIFICATE_ constants.
    pub certificate_status: u32,
    /// 1 if the certificate was checked and is good, else 0.
    pub verified: u32,
}

/// What protects the connection, all of one moment; all members but the size are 0
/// without TLS.
///
/// @param client    the client
/// @param security  filled in; its member size must be set before
/// @return 0, or SMTP_ERROR_INVALID_PARAMETER if the size is not one of this structure
///
/// Threads: any, also while a call runs and from within a callback. Since 0.1.
///
/// # Safety
///
/// `security` is null or points to a structure of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SmtpGetSecurityInformation(client: *const SmtpClient, security: *mut SmtpSecurityInfo) -> i32 {
    from_client(client, |client| {
        if security.is_null() {
            return Err(null("security"));
        }
        // SAFETY: not null, and as our caller promises.
        let size = unsafe { (&raw const (*security).size).read() };
        if (size as usize) < size_of::<SmtpSecurityInfo>() {
            let what =
                format!("the member size is {size}, and the structure has {} octets", size_of::<SmtpSecurityInfo>());
            return Err(Error::caller(Code::INVALID_PARAMETER, what));
        }
        let facts = client.security();
        let filled = SmtpSecurityInfo {
            size,
            protocol: facts.protocol,
            cipher_strength: facts.cipher_strength,
            hash_strength: facts.hash_strength,
            certificate_status: facts.certificate_status,
            verified: u32::from(facts.verified),
        };
        // SAFETY: not null, and at least of this size.
        unsafe { security.write(filled) };
        Ok(0)
    })
}
