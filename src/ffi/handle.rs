//! Handles: typed tokens that are looked up in a table and never dereferenced.
//!
//! A token has three parts: a tag of its type in the lowest octet, odd so that
//! no pointer to an object looks like one; the slot; and the slot's generation.
//! A slot's generation rises by one when it is taken and by one when it is
//! given back, so live generations are odd and a stale token never fits; a slot
//! whose generations are used up is not used again.

use crate::client::Client;
use crate::error::{Code, Error, Result};
use parking_lot::Mutex;
use std::sync::Arc;

/// An SMTP client. Made by SmtpClientCreate, ended by SmtpClientRelease; usable
/// from any thread. The pointer is a token: it does not point to anything.
#[derive(Debug)]
pub struct SmtpClient {
    _token: [u8; 0],
}

/// What a handle of this type stands for, and the table of those that live.
pub(super) trait Handle: Sized + 'static {
    type Object: Send + Sync + 'static;
    /// Odd, and another for each type.
    const TAG: usize;
    /// As in "a client".
    const NOUN: &'static str;
    fn table() -> &'static Mutex<Table<Self::Object>>;
}

impl Handle for SmtpClient {
    type Object = Client;
    const TAG: usize = 0xC1;
    const NOUN: &'static str = "client";

    fn table() -> &'static Mutex<Table<Client>> {
        static TABLE: Mutex<Table<Client>> = Mutex::new(Table::new());
        &TABLE
    }
}

const TAG_BITS: u32 = 8;
const SLOT_BITS: u32 = if usize::BITS == 64 { 24 } else { 14 };
const MOST_SLOTS: usize = 1 << SLOT_BITS;
const LAST_GENERATION: usize = if usize::BITS == 64 { u32::MAX as usize } else { (1 << 10) - 1 };

#[derive(Debug)]
pub(super) struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<usize>,
}

impl<T> Table<T> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: usize,
    object: Option<Arc<T>>,
}

/// Puts an object into its table.
pub(super) fn insert<H: Handle>(object: Arc<H::Object>) -> Result<*mut H> {
    let mut table = H::table().lock();
    let at = match table.free.pop() {
        Some(at) => at,
        None if table.slots.len() == MOST_SLOTS => {
            let what = format!("there are {MOST_SLOTS} {}s already", H::NOUN);
            return Err(Error::caller(Code::TOO_MANY_HANDLES, what));
        }
        None => {
            table.slots.push(Slot { generation: 0, object: None });
            table.slots.len() - 1
        }
    };
    let slot = &mut table.slots[at];
    slot.generation += 1;
    slot.object = Some(object);
    let token = H::TAG | at << TAG_BITS | slot.generation << (TAG_BITS + SLOT_BITS);
    Ok(std::ptr::without_provenance_mut(token))
}

/// The object of a handle; the table is let go before anything is done with it.
pub(super) fn find<H: Handle>(handle: *const H) -> Result<Arc<H::Object>> {
    let (at, generation) = parts(handle)?;
    let table = H::table().lock();
    let slot = table.slots.get(at).filter(|slot| slot.generation == generation);
    slot.and_then(|slot| slot.object.clone()).ok_or_else(stale::<H>)
}

/// Takes an object out of its table; its handle is stale from now on.
pub(super) fn remove<H: Handle>(handle: *const H) -> Result<Arc<H::Object>> {
    let (at, generation) = parts(handle)?;
    let mut table = H::table().lock();
    let slot = table.slots.get_mut(at).filter(|slot| slot.generation == generation).ok_or_else(stale::<H>)?;
    let object = slot.object.take().ok_or_else(stale::<H>)?;
    slot.generation += 1;
    if slot.generation < LAST_GENERATION {
        table.free.push(at);
    }
    Ok(object)
}

fn parts<H: Handle>(handle: *const H) -> Result<(usize, usize)> {
    let token = handle.addr();
    let invalid = |what: String| Err(Error::caller(Code::INVALID_HANDLE, what));
    if token == 0 {
        return invalid("the handle is null".to_owned());
    }
    if token & ((1 << TAG_BITS) - 1) != H::TAG {
        return invalid(format!("the handle is not one of a {}", H::NOUN));
    }
    Ok((token >> TAG_BITS & (MOST_SLOTS - 1), token >> (TAG_BITS + SLOT_BITS)))
}

fn stale<H: Handle>() -> Box<Error> {
    let what = format!("the handle is of a {} that was released, or never was one", H::NOUN);
    Error::caller(Code::INVALID_HANDLE, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_stale_null_and_foreign() {
        let first: *mut SmtpClient = insert(Arc::new(Client::new())).expect("room");
        assert!(find(first).is_ok());
        assert!(remove(first).is_ok());
        assert_eq!(find(first).expect_err("stale").code, Code::INVALID_HANDLE);
        assert_eq!(remove(first).expect_err("twice").code, Code::INVALID_HANDLE);
        let second: *mut SmtpClient = insert(Arc::new(Client::new())).expect("room");
        assert_ne!(first, second, "the slot may be the same, the generation is not");
        let object = 7_u64;
        for foreign in [std::ptr::null(), std::ptr::from_ref(&object).cast(), std::ptr::without_provenance(usize::MAX)]
        {
            assert_eq!(find::<SmtpClient>(foreign).expect_err("foreign").code, Code::INVALID_HANDLE);
        }
        let other_type: *const SmtpClient = std::ptr::without_provenance(second.addr() ^ 0x02);
        assert_eq!(find(other_type).expect_err("wrong tag").code, Code::INVALID_HANDLE);
        assert!(remove(second).is_ok());
    }

    #[test]
    fn a_worn_out_slot_is_not_used_again() {
        let handle: *mut SmtpClient = insert(Arc::new(Client::new())).expect("room");
        let (at, _) = parts(handle).expect("a token");
        let worn = {
            let mut table = SmtpClient::table().lock();
            table.slots[at].generation = LAST_GENERATION;
            SmtpClient::TAG | at << TAG_BITS | LAST_GENERATION << (TAG_BITS + SLOT_BITS)
        };
        assert!(remove::<SmtpClient>(std::ptr::without_provenance(worn)).is_ok());
        assert!(!SmtpClient::table().lock().free.contains(&at));
    }
}
