//! The system's Kerberos library (RFC 2744), loaded when it is asked for: nothing is
//! linked to it, and where it is missing only the login by GSSAPI is.

use crate::proto::sasl::{GssContext, GssLibrary};
use std::ffi::{CStr, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

/// MIT's library, and Heimdal's, by the names of their interfaces.
const NAMES: [&CStr; 2] = [c"libgssapi_krb5.so.2", c"libgssapi.so.3"];

/// `GSS_C_NT_HOSTBASED_SERVICE` (RFC 2743 section 4.1).
const HOST_BASED: &[u8; 10] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04";

/// Kerberos 5 (RFC 1964 section 1).
const KERBEROS: &[u8; 9] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";

/// Each side proves who it is.
const MUTUAL: u32 = 2;
/// Messages come in order.
const SEQUENCE: u32 = 8;
/// Messages can be signed.
const INTEGRITY: u32 = 32;

/// `GSS_S_CONTINUE_NEEDED`.
const CONTINUE: u32 = 1;
/// Where the errors are within a status.
const ERRORS: u32 = 0xffff_0000;
/// `GSS_C_GSS_CODE` and `GSS_C_MECH_CODE`.
const KINDS: [c_int; 2] = [1, 2];

#[repr(C)]
struct Buffer {
    length: usize,
    value: *mut c_void,
}

#[repr(C)]
struct Oid {
    length: u32,
    elements: *const c_void,
}

type Handle = *mut c_void;

// Of the types that RFC 2744 gives them.
type ImportName = unsafe extern "C" fn(*mut u32, *const Buffer, *const Oid, *mut Handle) -> u32;
type InitSecContext = unsafe extern "C" fn(
    *mut u32,
    Handle,
    *mut Handle,
    Handle,
    *const Oid,
    u32,
    u32,
    *const c_void,
    *const Buffer,
    *mut *const Oid,
    *mut Buffer,
    *mut u32,
    *mut u32,
) -> u32;
type Wrap = unsafe extern "C" fn(*mut u32, Handle, c_int, u32, *const Buffer, *mut c_int, *mut Buffer) -> u32;
type Unwrap = unsafe extern "C" fn(*mut u32, Handle, *const Buffer, *mut Buffer, *mut c_int, *mut u32) -> u32;
type DisplayStatus = unsafe extern "C" fn(*mut u32, u32, c_int, *const Oid, *mut u32, *mut Buffer) -> u32;
type ReleaseBuffer = unsafe extern "C" fn(*mut u32, *mut Buffer) -> u32;
type ReleaseName = unsafe extern "C" fn(*mut u32, *mut Handle) -> u32;
type DeleteSecContext = unsafe extern "C" fn(*mut u32, *mut Handle, *mut Buffer) -> u32;

/// The functions that are needed.
#[derive(Clone, Copy)]
struct Functions {
    import_name: ImportName,
    init_sec_context: InitSecContext,
    wrap: Wrap,
    unwrap: Unwrap,
    display_status: DisplayStatus,
    release_buffer: ReleaseBuffer,
    release_name: ReleaseName,
    delete_sec_context: DeleteSecContext,
}

/// The library, once it is loaded.
pub struct Library(Functions);

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Library")
    }
}

/// Loads the library, once in a process; `None` if there is none.
#[must_use]
pub fn library() -> Option<&'static dyn GssLibrary> {
    static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
    LIBRARY.get_or_init(|| load().map(Library)).as_ref().map(|library| library as &dyn GssLibrary)
}

fn load() -> Option<Functions> {
    // SAFETY: the names are NUL-terminated; a system's library may be loaded at any time.
    let open = |name: &&CStr| unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    // It is never closed, since its own state outlives any login.
    let handle = NAMES.iter().map(open).find(|handle| !handle.is_null())?;
    let symbol = |name: &CStr| {
        // SAFETY: the handle is that of a library which stays loaded.
        let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
        (!address.is_null()).then_some(address)
    };
    // SAFETY: these symbols are functions of exactly these types (RFC 2744 appendix A).
    unsafe {
        Some(Functions {
            import_name: std::mem::transmute::<Handle, ImportName>(symbol(c"gss_import_name")?),
            init_sec_context: std::mem::transmute::<Handle, InitSecContext>(symbol(c"gss_init_sec_context")?),
            wrap: std::mem::transmute::<Handle, Wrap>(symbol(c"gss_wrap")?),
            unwrap: std::mem::transmute::<Handle, Unwrap>(symbol(c"gss_unwrap")?),
            display_status: std::mem::transmute::<Handle, DisplayStatus>(symbol(c"gss_display_status")?),
            release_buffer: std::mem::transmute::<Handle, ReleaseBuffer>(symbol(c"gss_release_buffer")?),
            release_name: std::mem::transmute::<Handle, ReleaseName>(symbol(c"gss_release_name")?),
            delete_sec_context: std::mem::transmute::<Handle, DeleteSecContext>(symbol(c"gss_delete_sec_context")?),
        })
    }
}

fn kerberos() -> Oid {
    Oid { length: 9, elements: KERBEROS.as_ptr().cast() }
}

/// Octets of ours for the library to read.
fn lend(octets: &[u8]) -> Buffer {
    Buffer { length: octets.len(), value: octets.as_ptr().cast_mut().cast() }
}

impl Functions {
    /// Takes over what the library has written, and lets its copy go.
    fn take(&self, mut buffer: Buffer) -> Vec<u8> {
        if buffer.value.is_null() {
            return Vec::new();
        }
        // SAFETY: the library says that so many octets are there, until they are released.
        let octets = unsafe { std::slice::from_raw_parts(buffer.value.cast::<u8>(), buffer.length) }.to_vec();
        let mut minor = 0;
        // SAFETY: the buffer is the library's own, and not used again.
        unsafe { (self.release_buffer)(&raw mut minor, &raw mut buffer) };
        octets
    }

    /// The library's own words for an error.
    fn words(&self, major: u32, minor: u32) -> String {
        let oid = kerberos();
        let mut found = Vec::new();
        for (kind, status) in KINDS.into_iter().zip([major, minor]) {
            let (mut other, mut more, mut text) = (0, 0, EMPTY);
            // SAFETY: every pointer is to a live variable of ours.
            let failed = unsafe {
                (self.display_status)(&raw mut other, status, kind, &raw const oid, &raw mut more, &raw mut text)
            };
            let text = self.take(text);
            if failed & ERRORS == 0 && !text.is_empty() {
                found.push(String::from_utf8_lossy(&text).into_owned());
            }
        }
        format!("Kerberos says: {}", found.join(": "))
    }
}

const EMPTY: Buffer = Buffer { length: 0, value: null_mut() };

impl GssLibrary for Library {
    fn begin(&self, host: &str) -> Result<Box<dyn GssContext>, String> {
        let service = format!("smtp@{host}");
        let text = lend(service.as_bytes());
        let oid = Oid { length: 10, elements: HOST_BASED.as_ptr().cast() };
        let (mut minor, mut name) = (0, null_mut());
        // SAFETY: every pointer is to a live variable of ours.
        let major = unsafe { (self.0.import_name)(&raw mut minor, &raw const text, &raw const oid, &raw mut name) };
        if major & ERRORS != 0 {
            return Err(self.0.words(major, minor));
        }
        Ok(Box::new(Context { functions: self.0, name, handle: null_mut() }))
    }
}

/// One login; what the library made for it is let go with it.
struct Context {
    functions: Functions,
    name: Handle,
    handle: Handle,
}

// SAFETY: the library lets a context be used by any thread, by one at a time.
unsafe impl Send for Context {}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context")
    }
}

impl GssContext for Context {
    fn step(&mut self, message: &[u8]) -> Result<(Vec<u8>, bool), String> {
        let oid = kerberos();
        let input = lend(message);
        let (mut minor, mut flags, mut output) = (0, 0, EMPTY);
        // SAFETY: name and context are the library's own, the rest are live variables of
        // ours; what may be null is.
        let major = unsafe {
            (self.functions.init_sec_context)(
                &raw mut minor,
                null_mut(),
                &raw mut self.handle,
                self.name,
                &raw const oid,
                MUTUAL | SEQUENCE | INTEGRITY,
                0,
                null(),
                &raw const input,
                null_mut(),
                &raw mut output,
                &raw mut flags,
                null_mut(),
            )
        };
        let output = self.functions.take(output);
        if major & ERRORS != 0 {
            return Err(self.functions.words(major, minor));
        }
        let complete = major & CONTINUE == 0;
        if complete && flags & (MUTUAL | INTEGRITY) != MUTUAL | INTEGRITY {
            return Err("the server does not prove who it is".into());
        }
        Ok((output, complete))
    }

    fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
        let input = lend(message);
        let (mut minor, mut output) = (0, EMPTY);
        // SAFETY: as above.
        let major = unsafe {
            (self.functions.unwrap)(
                &raw mut minor,
                self.handle,
                &raw const input,
                &raw mut output,
                null_mut(),
                null_mut(),
            )
        };
        let output = self.functions.take(output);
        if major & ERRORS != 0 { Err(self.functions.words(major, minor)) } else { Ok(output) }
    }

    fn wrap(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
        let input = lend(message);
        let (mut minor, mut output) = (0, EMPTY);
        // SAFETY: as above.
        let major = unsafe {
            (self.functions.wrap)(&raw mut minor, self.handle, 0, 0, &raw const input, null_mut(), &raw mut output)
        };
        let output = self.functions.take(output);
        if major & ERRORS != 0 { Err(self.functions.words(major, minor)) } else { Ok(output) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: both are the library's own, or null, and not used again.
        unsafe {
            if !self.handle.is_null() {
                (self.functions.delete_sec_context)(&raw mut minor, &raw mut self.handle, null_mut());
            }
            (self.functions.release_name)(&raw mut minor, &raw mut self.name);
        }
    }
}
