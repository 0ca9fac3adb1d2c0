//! Strings and buffers in and out.

use crate::error::{Code, Error, Result};
use std::ffi::{CStr, c_char, c_void};

/// A text that must be there.
///
/// # Safety
///
/// `text` is null or points to a NUL-terminated string that lives through the call.
pub(super) unsafe fn required<'a>(text: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: as our own caller promises.
    unsafe { optional(text, name) }?.ok_or_else(|| null(name))
}

/// A text that may be left out by passing null.
///
/// # Safety
///
/// As [`required`].
pub(super) unsafe fn optional<'a>(text: *const c_char, name: &str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not null, and as our own caller promises.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|error| {
        let what = format!("{name} is not valid UTF-8 (octet {})", error.valid_up_to());
        Error::caller(Code::INVALID_UTF8, what)
    })
}

/// Octets: `(null, 0)` is none, `(null, n)` an error; the length
/// `SMTP_NUL_TERMINATED` means up to the first NUL.
///
/// # Safety
///
/// `octets` is null or points to `length` octets, or to a NUL-terminated string,
/// that live through the call.
pub(super) unsafe fn octets<'a>(octets: *const c_void, length: usize, name: &str) -> Result<&'a [u8]> {
    if octets.is_null() {
        return if length == 0 { Ok(&[]) } else { Err(null(name)) };
    }
    if length == usize::MAX {
        // SAFETY: not null, and as our own caller promises.
        return Ok(unsafe { CStr::from_ptr(octets.cast()) }.to_bytes());
    }
    if isize::try_from(length).is_err() {
        let what = format!("the length of {name}, {length}, is more than there is memory");
        return Err(Error::caller(Code::INVALID_PARAMETER, what));
    }
    // SAFETY: not null, a possible length, and as our own caller promises.
    Ok(unsafe { std::slice::from_raw_parts(octets.cast(), length) })
}

/// Copies a text to the caller's buffer, NUL-terminated, cut at a character if
/// it does not fit; tells its whole length without the NUL.
///
/// # Safety
///
/// `buffer` is null or has room for `capacity` octets; `length` is null or
/// points to a `size_t`.
pub(super) unsafe fn copy_out(text: &str, buffer: *mut c_char, capacity: usize, length: *mut usize) -> Result<i32> {
    if buffer.is_null() && capacity != 0 {
        return Err(null("buffer"));
    }
    if !length.is_null() {
        // SAFETY: not null, and as our own caller promises.
        unsafe { length.write(text.len()) };
    }
    let mut count = text.len().min(capacity.saturating_sub(1));
    while !text.is_char_boundary(count) {
        count -= 1;
    }
    if capacity != 0 {
        // SAFETY: `count` octets and the NUL fit into `capacity`, and the
        // caller's buffer is not inside a text of ours.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.cast(), count);
            buffer.add(count).write(0);
        }
    }
    if count == text.len() && capacity != 0 {
        return Ok(0);
    }
    if buffer.is_null() && !length.is_null() {
        // Asked for the length alone.
        return Ok(0);
    }
    let what = format!("the buffer has {capacity} octets and the text needs {}", text.len() + 1);
    Err(Error::caller(Code::BUFFER_TOO_SMALL, what))
}

/// Copies octets to the caller's buffer, all or none; tells how many they are.
///
/// # Safety
///
/// As [`copy_out`].
pub(super) unsafe fn copy_out_octets(
    octets: &[u8],
    buffer: *mut c_void,
    capacity: usize,
    length: *mut usize,
) -> Result<i32> {
    if buffer.is_null() && capacity != 0 {
        return Err(null("buffer"));
    }
    if !length.is_null() {
        // SAFETY: not null, and as our own caller promises.
        unsafe { length.write(octets.len()) };
    }
    if buffer.is_null() && !length.is_null() {
        // Asked for the length alone.
        return Ok(0);
    }
    if octets.len() > capacity {
        let what = format!("the buffer has {capacity} octets and the data needs {}", octets.len());
        return Err(Error::caller(Code::BUFFER_TOO_SMALL, what));
    }
    if capacity != 0 {
        // SAFETY: they fit, and the caller's buffer is not inside octets of ours.
        unsafe { std::ptr::copy_nonoverlapping(octets.as_ptr(), buffer.cast(), octets.len()) };
    }
    Ok(0)
}

pub(super) fn null(name: &str) -> Box<Error> {
    Error::caller(Code::NULL_POINTER, format!("{name} must not be null"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(text: &str, capacity: usize) -> (std::result::Result<i32, Code>, Vec<u8>, usize) {
        let mut buffer = vec![0xAA_u8; capacity];
        let mut length = 0;
        // SAFETY: a live buffer of that capacity and a live integer.
        let result = unsafe { copy_out(text, buffer.as_mut_ptr().cast(), capacity, &raw mut length) };
        (result.map_err(|error| error.code), buffer, length)
    }

    #[test]
    fn texts_are_always_terminated_and_their_length_told() {
        assert_eq!(copied("abc", 4), (Ok(0), b"abc\0".to_vec(), 3));
        assert_eq!(copied("abc", 3), (Err(Code::BUFFER_TOO_SMALL), b"ab\0".to_vec(), 3));
        assert_eq!(copied("é", 2), (Err(Code::BUFFER_TOO_SMALL), b"\0\xAA".to_vec(), 2));
        assert_eq!(copied("", 1), (Ok(0), b"\0".to_vec(), 0));
        let mut length = 0;
        // SAFETY: null with no capacity, and a live integer.
        let result = unsafe { copy_out("abc", std::ptr::null_mut(), 0, &raw mut length) };
        assert_eq!((result.ok(), length), (Some(0), 3));
        // SAFETY: null is refused.
        let result = unsafe { copy_out("abc", std::ptr::null_mut(), 9, &raw mut length) };
        assert_eq!(result.map_err(|error| error.code), Err(Code::NULL_POINTER));
    }
}
