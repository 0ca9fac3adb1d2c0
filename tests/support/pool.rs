//! A pool through the C interface, with Rust strings.

#![allow(dead_code, unreachable_pub, missing_docs, unsafe_code, clippy::unwrap_used)]

use smtpclient::client::{POOL_TABLE, Property};
use smtpclient::error::{Code, Outcome};
use smtpclient::ffi::*;
use std::ffi::{CStr, CString, c_void};

/// A pool that is released when dropped.
pub struct Pool(pub *mut SmtpPool);

// SAFETY: handles are made to be used from any thread.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

/// A result with its texts.
#[derive(Clone, Debug)]
pub struct Told {
    pub id: u64,
    pub tag: usize,
    pub code: Code,
    pub outcome: &'static str,
    pub reply_code: i32,
    pub enhanced: [i32; 3],
    pub accepted: u32,
    pub refused: u32,
    pub safe_to_retry: bool,
    pub attempts: u32,
    pub error: String,
    pub error_json: String,
    pub recipients: String,
    pub reply: String,
    pub queue_id: String,
}

impl Pool {
    pub fn new(port: u16) -> Self {
        let pool = Self(SmtpPoolCreate());
        assert!(!pool.0.is_null());
        pool.set_text(Property::Host, "127.0.0.1");
        pool.set_text(Property::LocalName, "client.example");
        pool.set(Property::Port as u32, i64::from(port));
        pool.limit("BACK_OFF", 5);
        pool
    }

    pub fn set_text(&self, property: Property, value: &str) {
        let value = CString::new(value).unwrap();
        // SAFETY: a live string.
        assert_eq!(unsafe { SmtpPoolSetString(self.0, property as u32, value.as_ptr()) }, 0);
    }

    pub fn set(&self, property: u32, value: i64) {
        assert_eq!(SmtpPoolSetInteger(self.0, property, value), 0);
    }

    pub fn limit(&self, name: &str, value: i64) {
        self.set(POOL_TABLE.iter().find(|row| row.name == name).unwrap().id, value);
    }

    pub fn submit(&self, name: &str) -> Result<u64, Code> {
        self.submit_to("b@y.example", name, 0, 0)
    }

    pub fn submit_to(&self, recipients: &str, name: &str, tag: usize, wait: u32) -> Result<u64, Code> {
        let (sender, recipients) = (c"a@x.example", CString::new(recipients).unwrap());
        let text = format!("Subject: {name}\r\n\r\nline\r\nline\r\n");
        let message = SmtpMessageInfo {
            size: u32::try_from(size_of::<SmtpMessageInfo>()).unwrap(),
            reserved: 0,
            sender: sender.as_ptr(),
            recipients: recipients.as_ptr(),
            message: text.as_ptr().cast(),
            length: text.len(),
            path: std::ptr::null(),
        };
        let mut id = 0;
        let tag = std::ptr::without_provenance_mut::<c_void>(tag);
        // SAFETY: a live structure with live strings, and a live number.
        let code = unsafe { SmtpPoolSubmit(self.0, &raw const message, std::ptr::null(), tag, wait, &raw mut id) };
        if code == 0 { Ok(id) } else { Err(Code(code)) }
    }

    /// The next result; `None` if there will be none.
    pub fn next(&self) -> Option<Told> {
        let mut result = empty();
        // SAFETY: a live structure that says its size.
        match unsafe { SmtpPoolWait(self.0, 60_000, &raw mut result) } {
            0 => Some(told(self.0, &result)),
            code => {
                assert_eq!(Code(code), Code::POOL_CLOSED);
                None
            }
        }
    }

    pub fn take(&self, count: usize) -> Vec<Told> {
        (0..count).map(|_| self.next().expect("told")).collect()
    }

    /// All that are yet to be told.
    pub fn finish(&self) -> Vec<Told> {
        assert_eq!(SmtpPoolDrain(self.0, 60_000), 0);
        std::iter::from_fn(|| self.next()).collect()
    }

    pub fn statistics(&self) -> SmtpPoolStatistics {
        let size = u32::try_from(size_of::<SmtpPoolStatistics>()).unwrap();
        // SAFETY: all numbers, for which zero is a value.
        let mut statistics: SmtpPoolStatistics = unsafe { std::mem::zeroed() };
        statistics.size = size;
        // SAFETY: a live structure that says its size.
        assert_eq!(unsafe { SmtpPoolGetStatistics(self.0, &raw mut statistics) }, 0);
        statistics
    }

    /// Waits until the counters are as wanted.
    pub fn wait_until(&self, wanted: impl Fn(&SmtpPoolStatistics) -> bool) -> SmtpPoolStatistics {
        loop {
            let statistics = self.statistics();
            if wanted(&statistics) {
                return statistics;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        SmtpPoolRelease(self.0);
    }
}

pub fn empty() -> SmtpPoolResult {
    // SAFETY: numbers and a pointer, for which zero is a value.
    let mut result: SmtpPoolResult = unsafe { std::mem::zeroed() };
    result.size = u32::try_from(size_of::<SmtpPoolResult>()).unwrap();
    result
}

pub fn told(pool: *mut SmtpPool, result: &SmtpPoolResult) -> Told {
    let text = |which| {
        let mut buffer = vec![0_u8; 20_000];
        // SAFETY: a live buffer of that size.
        let code = unsafe {
            SmtpPoolGetResultString(pool, result.id, which, buffer.as_mut_ptr().cast(), 20_000, std::ptr::null_mut())
        };
        assert_eq!(code, 0);
        CStr::from_bytes_until_nul(&buffer).unwrap().to_str().unwrap().to_owned()
    };
    Told {
        id: result.id,
        tag: result.tag.addr(),
        code: Code(result.code),
        outcome: Outcome::ALL.iter().find(|outcome| **outcome as u32 == result.outcome).unwrap().name(),
        reply_code: result.reply_code,
        enhanced: [result.enhanced_class, result.enhanced_subject, result.enhanced_detail],
        accepted: result.accepted,
        refused: result.refused,
        safe_to_retry: result.safe_to_retry != 0,
        attempts: result.attempts,
        error: text(SMTP_POOL_TEXT_ERROR),
        error_json: text(SMTP_POOL_TEXT_ERROR_JSON),
        recipients: text(SMTP_POOL_TEXT_RECIPIENTS_JSON),
        reply: text(SMTP_POOL_TEXT_REPLY),
        queue_id: text(SMTP_POOL_TEXT_QUEUE_ID),
    }
}
