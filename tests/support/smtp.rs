//! The C interface, called as a C program would, with Rust strings.

#![allow(dead_code, unreachable_pub, missing_docs, unsafe_code, clippy::unwrap_used)]

use smtpclient::client::Property;
use smtpclient::error::{Code, Phase};
use smtpclient::ffi::*;
use smtpclient::proto::{Outcome, RecipientState};
use std::ffi::{CStr, CString};

/// A client that is released when dropped.
pub struct Smtp(pub *mut SmtpClient);

// SAFETY: handles are made to be used from any thread.
unsafe impl Send for Smtp {}
// SAFETY: as above.
unsafe impl Sync for Smtp {}

impl Smtp {
    pub fn new() -> Self {
        let client = Self(SmtpClientCreate());
        assert!(!client.0.is_null());
        client.set_text(Property::LocalName, "client.example");
        if std::env::var_os("SMTP_TEST_NONBLOCKING").is_some() {
            client.set(Property::Blocking, 0);
        }
        client
    }

    pub fn set_text(&self, property: Property, value: &str) {
        let value = c(value);
        // SAFETY: a live string.
        assert_eq!(unsafe { SmtpSetString(self.0, property as u32, value.as_ptr()) }, 0, "{}", self.sentence());
    }

    pub fn set(&self, property: Property, value: i64) {
        assert_eq!(SmtpSetInteger(self.0, property as u32, value), 0, "{}", self.sentence());
    }

    pub fn text(&self, property: Property) -> String {
        let mut buffer = vec![0_u8; 100_000];
        // SAFETY: a live buffer of that size.
        let code = unsafe {
            SmtpGetString(self.0, property as u32, buffer.as_mut_ptr().cast(), buffer.len(), std::ptr::null_mut())
        };
        assert_eq!(code, 0, "{}", self.sentence());
        CStr::from_bytes_until_nul(&buffer).unwrap().to_str().unwrap().to_owned()
    }

    pub fn integer(&self, property: Property) -> i64 {
        let mut value = 0;
        // SAFETY: a live integer.
        assert_eq!(unsafe { SmtpGetInteger(self.0, property as u32, &raw mut value) }, 0);
        value
    }

    pub fn security(&self) -> SmtpSecurityInfo {
        let size = u32::try_from(size_of::<SmtpSecurityInfo>()).unwrap();
        let (protocol, cipher_strength, hash_strength, certificate_status, verified) = (9, 9, 9, 9, 9);
        let mut info =
            SmtpSecurityInfo { size, protocol, cipher_strength, hash_strength, certificate_status, verified };
        // SAFETY: a live structure that says its size.
        assert_eq!(unsafe { SmtpGetSecurityInformation(self.0, &raw mut info) }, 0);
        info
    }

    /// The code of a setting that is refused, or 0.
    pub fn try_text(&self, property: Property, value: &str) -> Code {
        let value = c(value);
        // SAFETY: a live string.
        Code(unsafe { SmtpSetString(self.0, property as u32, value.as_ptr()) })
    }

    /// As [`Self::try_text`].
    pub fn try_set(&self, property: Property, value: i64) -> Code {
        Code(SmtpSetInteger(self.0, property as u32, value))
    }

    pub fn set_data(&self, property: Property, value: &[u8]) {
        // SAFETY: live octets.
        let code = unsafe { SmtpSetData(self.0, property as u32, value.as_ptr().cast(), value.len()) };
        assert_eq!(code, 0, "{}", self.sentence());
    }

    /// A certificate that the server sent.
    pub fn certificate(&self, index: usize) -> Result<Vec<u8>, Code> {
        let mut length = 0;
        // SAFETY: null with no capacity, and a live number.
        let code = unsafe { SmtpGetCertificate(self.0, index, std::ptr::null_mut(), 0, &raw mut length) };
        if code != 0 {
            return Err(Code(code));
        }
        let mut der = vec![0_u8; length];
        // SAFETY: a live buffer of that size.
        let get =
            |size| unsafe { SmtpGetCertificate(self.0, index, der.as_mut_ptr().cast(), size, std::ptr::null_mut()) };
        let mut get = get;
        assert_eq!(Code(get(length - 1)), Code::BUFFER_TOO_SMALL);
        assert_eq!(get(length), 0);
        Ok(der)
    }

    /// What it says of itself.
    pub fn certificate_text(&self, index: usize, property: Property) -> String {
        let mut buffer = vec![0_u8; 1000];
        let (at, number) = (buffer.as_mut_ptr().cast(), property as u32);
        // SAFETY: a live buffer of that size.
        let code = unsafe { SmtpGetCertificateString(self.0, index, number, at, 1000, std::ptr::null_mut()) };
        assert_eq!(code, 0, "{}", self.sentence());
        CStr::from_bytes_until_nul(&buffer).unwrap().to_str().unwrap().to_owned()
    }

    pub fn connect(&self, port: u16, options: u32) -> Result<(), Failure> {
        self.connect_to("127.0.0.1", port, options)
    }

    pub fn connect_to(&self, host: &str, port: u16, options: u32) -> Result<(), Failure> {
        let host = c(host);
        // SAFETY: a live string.
        self.outcome(unsafe { SmtpConnect(self.0, host.as_ptr(), u32::from(port), 20_000, options) })
    }

    pub fn connect_by_properties(&self) -> Result<(), Failure> {
        // SAFETY: null is allowed.
        self.outcome(unsafe { SmtpConnect(self.0, std::ptr::null(), 0, 20_000, 0) })
    }

    pub fn attach(&self, socket: isize, host: &str, options: u32) -> Result<(), Failure> {
        let host = c(host);
        // SAFETY: a live string, and a socket of the caller's.
        self.outcome(unsafe { SmtpAttachSocket(self.0, socket, host.as_ptr(), options) })
    }

    pub fn authenticate(&self, user: &str, password: &str) -> Result<(), Failure> {
        let (user, password) = (c(user), c(password));
        // SAFETY: live strings.
        self.outcome(unsafe { SmtpAuthenticate(self.0, user.as_ptr(), password.as_ptr()) })
    }

    pub fn send(&self, sender: &str, recipients: &str, message: &[u8]) -> Result<(), Failure> {
        let (sender, recipients) = (c(sender), c(recipients));
        // SAFETY: live strings and octets.
        self.outcome(unsafe {
            SmtpSendMessage(self.0, sender.as_ptr(), recipients.as_ptr(), message.as_ptr().cast(), message.len())
        })
    }

    pub fn create(&self, sender: &str, size: u64) -> Result<(), Failure> {
        let sender = c(sender);
        // SAFETY: a live string.
        self.outcome(unsafe { SmtpCreateMessage(self.0, sender.as_ptr(), size) })
    }

    pub fn add_recipient(&self, address: &str) -> Result<(), Failure> {
        let address = c(address);
        // SAFETY: a live string.
        self.outcome(unsafe { SmtpAddRecipient(self.0, address.as_ptr()) })
    }

    pub fn write(&self, content: &[u8]) -> Result<(), Failure> {
        // SAFETY: live octets.
        self.outcome(unsafe { SmtpWrite(self.0, content.as_ptr().cast(), content.len()) })
    }

    pub fn append_file(&self, path: &str) -> Result<(), Failure> {
        let path = c(path);
        // SAFETY: a live string.
        self.outcome(unsafe { SmtpAppendFile(self.0, path.as_ptr()) })
    }

    pub fn close_message(&self) -> Result<(), Failure> {
        self.outcome(SmtpCloseMessage(self.0))
    }

    /// What became of each recipient.
    pub fn states(&self) -> Vec<&'static str> {
        let mut count = 0;
        // SAFETY: a live number.
        assert_eq!(unsafe { SmtpGetRecipientCount(self.0, &raw mut count) }, 0);
        let state = |index| RecipientState::ALL[self.recipient(index).0 as usize].name();
        (0..count).map(state).collect()
    }

    pub fn send_file(&self, sender: &str, recipients: &str, path: &str) -> Result<(), Failure> {
        let (sender, recipients, path) = (c(sender), c(recipients), c(path));
        // SAFETY: live strings.
        self.outcome(unsafe { SmtpSendFile(self.0, sender.as_ptr(), recipients.as_ptr(), path.as_ptr()) })
    }

    /// Sends what a function gives: octets, or a negative number to give up.
    pub fn send_stream(&self, size: u64, read: &mut dyn FnMut(&mut [u8]) -> i64) -> Result<(), Failure> {
        self.send_stream_to("b@y.example", size, read)
    }

    pub fn send_stream_to(
        &self,
        recipients: &str,
        size: u64,
        read: &mut dyn FnMut(&mut [u8]) -> i64,
    ) -> Result<(), Failure> {
        unsafe extern "C" fn call(buffer: *mut std::ffi::c_void, capacity: usize, data: *mut std::ffi::c_void) -> i64 {
            // SAFETY: the library's buffer, and the reference passed below.
            unsafe {
                let read = &mut *data.cast::<&mut dyn FnMut(&mut [u8]) -> i64>();
                read(std::slice::from_raw_parts_mut(buffer.cast(), capacity))
            }
        }
        let mut read = read;
        let (sender, recipients) = (c("a@x.example"), c(recipients));
        // SAFETY: live strings, and a reference that lives through the call.
        self.outcome(unsafe {
            SmtpSendStream(self.0, sender.as_ptr(), recipients.as_ptr(), size, Some(call), (&raw mut read).cast())
        })
    }

    pub fn command(&self, verb: &str, parameters: &str) -> Result<(), Failure> {
        let (verb, parameters) = (c(verb), c(parameters));
        // SAFETY: live strings.
        self.outcome(unsafe { SmtpCommand(self.0, verb.as_ptr(), parameters.as_ptr()) })
    }

    pub fn verify(&self, address: &str) -> Result<(), Failure> {
        let address = c(address);
        // SAFETY: a live string.
        self.outcome(unsafe { SmtpVerifyAddress(self.0, address.as_ptr()) })
    }

    pub fn expand(&self, address: &str) -> Result<String, Failure> {
        let address = c(address);
        let mut buffer = vec![0_u8; 1000];
        // SAFETY: a live string and a live buffer of that size.
        let code = unsafe {
            SmtpExpandAddress(self.0, address.as_ptr(), buffer.as_mut_ptr().cast(), 1000, std::ptr::null_mut())
        };
        self.outcome(code)?;
        Ok(CStr::from_bytes_until_nul(&buffer).unwrap().to_str().unwrap().to_owned())
    }

    pub fn set_recipient_delivery(
        &self,
        address: Option<&str>,
        options: u32,
        original: Option<&str>,
    ) -> Result<(), Failure> {
        let (address, original) = (address.map(c), original.map(c));
        let pointer = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
        // SAFETY: null, or live strings.
        self.outcome(unsafe { SmtpSetRecipientDelivery(self.0, pointer(&address), options, pointer(&original)) })
    }

    /// What the server says of an extension, or the error code.
    pub fn capability(&self, keyword: &str) -> Result<String, Code> {
        let keyword = c(keyword);
        let mut buffer = vec![0_u8; 1000];
        // SAFETY: a live string and a live buffer of that size.
        let code = unsafe {
            SmtpGetCapability(self.0, keyword.as_ptr(), buffer.as_mut_ptr().cast(), 1000, std::ptr::null_mut())
        };
        if code != 0 {
            return Err(Code(code));
        }
        Ok(CStr::from_bytes_until_nul(&buffer).unwrap().to_str().unwrap().to_owned())
    }

    pub fn help(&self, topic: Option<&str>) -> Result<String, Failure> {
        let topic = topic.map(c);
        let pointer = topic.as_ref().map_or(std::ptr::null(), |topic| topic.as_ptr());
        let mut buffer = vec![0_u8; 1000];
        // SAFETY: null or a live string, and a live buffer of that size.
        let code = unsafe { SmtpHelp(self.0, pointer, buffer.as_mut_ptr().cast(), 1000, std::ptr::null_mut()) };
        self.outcome(code)?;
        Ok(CStr::from_bytes_until_nul(&buffer).unwrap().to_str().unwrap().to_owned())
    }

    pub fn turn(&self, node: &str) -> Result<(), Failure> {
        let node = c(node);
        // SAFETY: a live string.
        self.outcome(unsafe { SmtpExtendedTurn(self.0, node.as_ptr()) })
    }

    /// State, reply code, enhanced code, address and reply text of a recipient.
    pub fn recipient(&self, index: usize) -> (u32, i32, [i32; 3], String, String) {
        let size = u32::try_from(size_of::<SmtpRecipient>()).unwrap();
        let mut found = SmtpRecipient {
            size,
            state: 99,
            result_code: 0,
            enhanced_class: 0,
            enhanced_subject: 0,
            enhanced_detail: 0,
        };
        // SAFETY: a live structure that says its size.
        assert_eq!(unsafe { SmtpGetRecipient(self.0, index, &raw mut found) }, 0);
        let text = |which| {
            let mut buffer = vec![0_u8; 1000];
            // SAFETY: a live buffer of that size.
            let code = unsafe {
                SmtpGetRecipientString(self.0, index, which, buffer.as_mut_ptr().cast(), 1000, std::ptr::null_mut())
            };
            assert_eq!(code, 0);
            CStr::from_bytes_until_nul(&buffer).unwrap().to_str().unwrap().to_owned()
        };
        let enhanced = [found.enhanced_class, found.enhanced_subject, found.enhanced_detail];
        let (address, reply) = (text(SMTP_RECIPIENT_TEXT_ADDRESS), text(SMTP_RECIPIENT_TEXT_REPLY));
        (found.state, found.result_code, enhanced, address, reply)
    }

    pub fn reset(&self) -> Result<(), Failure> {
        self.outcome(SmtpReset(self.0))
    }

    pub fn disconnect(&self) -> Result<(), Failure> {
        self.outcome(SmtpDisconnect(self.0))
    }

    pub fn message_outcome(&self) -> &'static str {
        let number = self.integer(Property::Outcome);
        Outcome::ALL.iter().find(|outcome| **outcome as i64 == number).unwrap().name()
    }

    pub fn sentence(&self) -> String {
        // SAFETY: the text lives until this thread asks again.
        unsafe { CStr::from_ptr(SmtpGetLastErrorString(self.0)) }.to_str().unwrap().to_owned()
    }

    /// Waits for what the library says, as an event loop does, until the operation is over.
    pub fn settle(&self, mut code: i32) -> i32 {
        while code == SMTP_PENDING {
            let info = self.poll_info().expect("an operation is pending");
            wait(&info);
            code = SmtpProcess(self.0);
        }
        code
    }

    /// What the pending operation waits for, if there is one.
    pub fn poll_info(&self) -> Option<SmtpPollInfo> {
        let size = u32::try_from(size_of::<SmtpPollInfo>()).unwrap();
        let mut info = SmtpPollInfo { size, events: 99, descriptor: 99, timeout_ms: 99 };
        // SAFETY: a live structure that says its size.
        match unsafe { SmtpGetPollInfo(self.0, &raw mut info) } {
            SMTP_PENDING => Some(info),
            0 => {
                assert_eq!((info.descriptor, info.events, info.timeout_ms), (-1, 0, -1));
                None
            }
            code => panic!("{code:#x}: {}", self.sentence()),
        }
    }

    fn outcome(&self, code: i32) -> Result<(), Failure> {
        let code = self.settle(code);
        if code == 0 {
            return Ok(());
        }
        assert_eq!(SmtpGetLastError(self.0), code);
        let phase = Phase::ALL[usize::try_from(self.integer(Property::ErrorPhase)).unwrap()];
        Err(Failure { code: Code(code), phase, sentence: self.sentence() })
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        assert_eq!(SmtpClientRelease(self.0), 0);
    }
}

/// An error code with what the client says of it.
#[derive(Debug)]
pub struct Failure {
    pub code: Code,
    pub phase: Phase,
    pub sentence: String,
}

fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

fn wait(info: &SmtpPollInfo) {
    let events = if info.events & SMTP_POLL_READ != 0 { libc::POLLIN } else { 0 }
        | if info.events & SMTP_POLL_WRITE != 0 { libc::POLLOUT } else { 0 };
    assert_ne!(events, 0, "nothing to wait for: {info:?}");
    let mut fd = libc::pollfd { fd: i32::try_from(info.descriptor).unwrap(), events, revents: 0 };
    let timeout = i32::try_from(info.timeout_ms).unwrap_or(i32::MAX);
    // SAFETY: the pointer is that of one live structure.
    let ready = unsafe { libc::poll(&raw mut fd, 1, timeout) };
    assert!(ready >= 0 && fd.revents & libc::POLLNVAL == 0, "{info:?}: not an open descriptor");
}
