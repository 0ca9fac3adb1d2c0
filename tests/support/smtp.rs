//! The C interface, called as a C program would, with Rust strings.

#![allow(dead_code, unreachable_pub, missing_docs, unsafe_code, clippy::unwrap_used)]

use smtpclient::client::Property;
use smtpclient::error::{Code, Phase};
use smtpclient::ffi::*;
use smtpclient::proto::Outcome;
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

    pub fn connect(&self, port: u16, options: u32) -> Result<(), Failure> {
        self.connect_to("127.0.0.1", port, options)
    }

    pub fn connect_to(&self, host: &str, port: u16, options: u32) -> Result<(), Failure> {
        let host = c(host);
        // SAFETY: a live string.
        self.outcome(unsafe { SmtpConnect(self.0, host.as_ptr(), u32::from(port), 20_000, options) })
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

    fn outcome(&self, code: i32) -> Result<(), Failure> {
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
