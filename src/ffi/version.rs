//! Which library this is.

use super::entry::query;
use std::ffi::{CStr, c_char};

/// The number of the interface: changes when programs must be compiled anew,
/// and with it the soname.
pub const SMTP_ABI_VERSION: u32 = 0;

/// The version of the library that is loaded, such as "0.1.0"; SMTP_VERSION_STRING
/// is that of the header.
///
/// @return the version, never NULL; it belongs to the library and lives for ever
///
/// Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpGetVersion() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };
    query(VERSION.as_ptr(), || VERSION.as_ptr())
}

/// The number of the interface of the library that is loaded. Bindings compare
/// it with SMTP_ABI_VERSION before they call anything else.
///
/// @return the number
///
/// Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn SmtpGetAbiVersion() -> u32 {
    query(SMTP_ABI_VERSION, || SMTP_ABI_VERSION)
}
