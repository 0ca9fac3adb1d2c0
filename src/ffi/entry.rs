//! The one wrapper around every function of the C interface.

use super::handle::{self, SmtpClient};
use super::message::{Held, SmtpMessage};
use super::poll::SMTP_PENDING;
use crate::client::{Client, Progress};
use crate::error::{Code, Error, Phase, Result};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

thread_local! {
    /// The failure of this thread's last call; `None` if it succeeded.
    static LAST: RefCell<Option<Arc<Error>>> = const { RefCell::new(None) };
    /// Whether this thread is inside a call, so that a panic is one of ours.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// What a panic of ours said.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs an operation on a client: 0 or a positive number is success. A failure
/// becomes the client's last one.
pub(super) fn on_client(handle: *const SmtpClient, body: impl FnOnce(&Client) -> Result<i32>) -> i32 {
    let mut client = None;
    let outcome = guarded(|| {
        let found = client.insert(handle::find(handle)?);
        found.check_process()?;
        body(found)
    });
    finish(outcome, client.as_deref())
}

/// Reads from a client. A failure is this thread's alone: reading what is known
/// of the client's last failure must not change it.
pub(super) fn from_client(handle: *const SmtpClient, body: impl FnOnce(&Client) -> Result<i32>) -> i32 {
    plain(|| {
        let client = handle::find(handle)?;
        client.check_process()?;
        body(&client)
    })
}

/// Runs an operation on a message. A failure is this thread's alone.
pub(super) fn on_message(handle: *const SmtpMessage, body: impl FnOnce(&Held) -> Result<i32>) -> i32 {
    let mut held = None;
    let outcome = guarded(|| {
        let found = held.insert(handle::find(handle)?);
        found.check()?;
        body(found)
    });
    if let (Err(error), Some(held)) = (&outcome, &held)
        && error.code == Code::INTERNAL
    {
        held.poison();
    }
    finish(outcome, None)
}

/// The value of an operation that did not fail.
pub(super) fn settled<T>(progress: Progress<T>) -> i32 {
    match progress {
        Progress::Done(_) => 0,
        Progress::Pending => SMTP_PENDING,
    }
}

/// Runs a function that needs no client.
pub(super) fn plain(body: impl FnOnce() -> Result<i32>) -> i32 {
    finish(guarded(body), None)
}

/// Runs a function that says what went wrong by its value, and leaves this
/// thread's last failure alone.
pub(super) fn query<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    guarded(|| Ok(body())).unwrap_or(fallback)
}

/// The failure of this thread's last call.
pub(super) fn last_failure() -> Option<Arc<Error>> {
    // Gone while the thread's own destructors run.
    LAST.try_with(|last| last.borrow().clone()).ok().flatten()
}

/// Forgets the failure of this thread's last call.
pub(super) fn clear_last_failure() {
    keep(None);
}

fn finish(outcome: Result<i32>, client: Option<&Client>) -> i32 {
    match outcome {
        Ok(value) => {
            keep(None);
            value
        }
        Err(error) => {
            let error: Arc<Error> = Arc::from(error);
            let code = error.code;
            if let Some(client) = client {
                if code == Code::INTERNAL {
                    client.poison();
                }
                // A child process leaves alone what its parent may hold locked.
                if code != Code::FORKED {
                    client.remember(&error);
                }
            }
            keep(Some(error));
            code.0
        }
    }
}

/// Keeps the failure of this thread's last call. While the thread's destructors
/// run there is nowhere to keep it, and the code alone has to do.
fn keep(failure: Option<Arc<Error>>) {
    let _ = LAST.try_with(|last| {
        // Most calls succeed after one that did: nothing to write then.
        if failure.is_some() || last.borrow().is_some() {
            *last.borrow_mut() = failure;
        }
    });
}

/// Turns a panic into an error, and keeps it off the host program's stderr.
fn guarded<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    silence_own_panics();
    let before = INSIDE.replace(true);
    let result = catch_unwind(AssertUnwindSafe(body));
    INSIDE.set(before);
    result.unwrap_or_else(|_| {
        let what = format!("internal error: {}", PANIC.try_with(RefCell::take).unwrap_or_default());
        Err(Error::new(Code::INTERNAL, Phase::Argument, what))
    })
}

/// In a shared library the standard library, and so the hook, is our own; in a
/// Rust program it is the program's, whose hook goes on seeing its own panics.
fn silence_own_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if INSIDE.get() {
                let _ = PANIC.try_with(|said| said.replace(info.to_string()));
            } else {
                others(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_poisons_that_client_alone() {
        let broken: *mut SmtpClient = handle::insert(Arc::new(Client::new())).expect("room");
        let sound: *mut SmtpClient = handle::insert(Arc::new(Client::new())).expect("room");
        assert_eq!(on_client(broken, |_| panic!("a defect in a test")), Code::INTERNAL.0);
        let failure = last_failure().expect("recorded");
        assert!(failure.what.contains("a defect in a test"));
        let reset = |handle| on_client(handle, |client| client.reset().map(settled));
        assert_eq!(reset(broken), Code::HANDLE_POISONED.0);
        assert_eq!(reset(sound), Code::NOT_CONNECTED.0);
        for handle in [broken, sound] {
            handle::remove(handle).expect("still there");
        }
    }

    #[test]
    fn success_clears_what_this_thread_remembers() {
        assert_eq!(plain(|| Err(Error::caller(Code::NULL_POINTER, "x"))), Code::NULL_POINTER.0);
        assert!(last_failure().is_some());
        assert_eq!(query(7, || 8), 8);
        assert!(last_failure().is_some(), "a query changes nothing");
        assert_eq!(plain(|| Ok(0)), 0);
        assert!(last_failure().is_none());
    }
}
