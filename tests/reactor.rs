//! Completion by callback, through the C interface.

#![allow(unsafe_code, clippy::unwrap_used)]

#[path = "support/smtp.rs"]
mod smtp;
#[path = "support/store.rs"]
mod store;

use smtp::Smtp;
use smtpclient::client::Property;
use smtpclient::error::Code;
use smtpclient::ffi::*;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{Fault, How, Place, Store};

struct Reactor(*mut SmtpReactor);

// SAFETY: handles are made to be used from any thread.
unsafe impl Send for Reactor {}
// SAFETY: as above.
unsafe impl Sync for Reactor {}

impl Reactor {
    fn new() -> Self {
        let reactor = SmtpReactorCreate();
        assert!(!reactor.is_null());
        Self(reactor)
    }

    /// Attaches a client whose completions call a function.
    fn attach(&self, client: &Smtp, done: impl Fn(*mut SmtpClient, Code) + Send + Sync + 'static) -> Code {
        type Done = Box<dyn Fn(*mut SmtpClient, Code) + Send + Sync>;
        unsafe extern "C" fn call(client: *mut SmtpClient, result: i32, data: *mut c_void) {
            // SAFETY: made below, and not destroyed yet.
            unsafe { (*data.cast::<Done>())(client, Code(result)) };
        }
        unsafe extern "C" fn destroy(data: *mut c_void) {
            // SAFETY: made below.
            drop(unsafe { Box::from_raw(data.cast::<Done>()) });
        }
        let data: Box<Done> = Box::new(Box::new(done));
        // SAFETY: as the functions above say.
        Code(unsafe { SmtpReactorAttach(self.0, client.0, Some(call), Box::into_raw(data).cast(), Some(destroy)) })
    }

    /// The same with a queue.
    fn attach_queue(&self, client: &Smtp) -> Receiver<Code> {
        let (sender, receiver) = channel();
        let sender = Mutex::new(sender);
        assert_eq!(self.attach(client, move |_, code| sender.lock().unwrap().send(code).unwrap_or(())), Code(0));
        receiver
    }

    fn release(self) {
        assert_eq!(SmtpReactorRelease(self.0), 0);
        std::mem::forget(self);
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        SmtpReactorRelease(self.0);
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

fn connect(client: *mut SmtpClient, port: u16) -> i32 {
    // SAFETY: a live string.
    unsafe { SmtpConnect(client, c"127.0.0.1".as_ptr(), u32::from(port), 60_000, 0) }
}

fn send(client: *mut SmtpClient, name: &str) -> i32 {
    let message = format!("Subject: {name}\r\n\r\nx\r\n");
    let (sender, recipient) = (c"a@x.example".as_ptr(), c"b@y.example".as_ptr());
    // SAFETY: live strings, and live octets during the call.
    unsafe { SmtpSendMessage(client, sender, recipient, message.as_ptr().cast(), message.len()) }
}

/// Connects, sends three messages and disconnects, each step begun when the one before
/// has ended.
struct Chain {
    step: AtomicUsize,
    name: String,
    port: u16,
    ends: Mutex<Sender<Code>>,
}

impl Chain {
    fn go_on(&self, client: *mut SmtpClient, mut code: Code) {
        loop {
            let step = self.step.fetch_add(1, Ordering::SeqCst);
            if code != Code(0) || step == 5 {
                self.ends.lock().unwrap().send(code).unwrap();
                return;
            }
            code = Code(match step {
                0 => connect(client, self.port),
                1..=3 => send(client, &format!("{}-{step}", self.name)),
                _ => SmtpDisconnect(client),
            });
            if code == Code(SMTP_PENDING) {
                return;
            }
        }
    }
}

#[test]
fn hundreds_of_clients_are_carried_through_by_one_thread() {
    const CLIENTS: usize = 300;
    let server = Store::start(|_| None);
    let reactor = Reactor::new();
    let (sender, ends) = channel();
    let clients: Vec<Smtp> = (0..CLIENTS).map(|_| Smtp::new()).collect();
    for (number, client) in clients.iter().enumerate() {
        let ends = Mutex::new(sender.clone());
        let chain = Arc::new(Chain { step: AtomicUsize::new(0), name: number.to_string(), port: server.port, ends });
        let other = Arc::clone(&chain);
        assert_eq!(reactor.attach(client, move |client, code| other.go_on(client, code)), Code(0));
        chain.go_on(client.0, Code(0));
    }
    for _ in 0..CLIENTS {
        assert_eq!(ends.recv_timeout(PATIENCE).expect("each is told"), Code(0));
    }
    let bodies = server.bodies();
    assert_eq!(bodies.len(), 3 * CLIENTS);
    assert!(bodies.values().all(|count| *count == 1));
    reactor.release();
    assert!(clients.iter().all(|client| client.integer(Property::IsConnected) == 0));
    assert!(ends.try_recv().is_err(), "nothing is told twice");
}

#[test]
fn a_failure_is_told_with_its_code_and_stays_readable() {
    let server = Store::start(|_| Some(Fault { message: 0, place: Place::Mail, how: How::Refuse(550) }));
    let reactor = Reactor::new();
    let client = Smtp::new();
    let told = reactor.attach_queue(&client);
    assert_eq!(connect(client.0, server.port), SMTP_PENDING);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Code(0)));
    // The answer may be there at once.
    let code = match send(client.0, "x") {
        SMTP_PENDING => told.recv_timeout(PATIENCE).expect("told"),
        code => Code(code),
    };
    assert_eq!(code, Code::SENDER_REJECTED);
    assert_eq!(SmtpGetLastError(client.0), Code::SENDER_REJECTED.0);
    assert!(client.sentence().contains("not this one"), "{}", client.sentence());
    // What is no operation, or fails at once, is not told.
    assert_eq!(connect(client.0, server.port), Code::ALREADY_CONNECTED.0);
    assert_eq!(SmtpProcess(client.0), Code::ATTACHED.0);
    let mut info = SmtpPollInfo { size: 24, events: 0, descriptor: 0, timeout_ms: 0 };
    // SAFETY: a live structure that says its size.
    assert_eq!(unsafe { SmtpGetPollInfo(client.0, &raw mut info) }, Code::ATTACHED.0);
    assert_eq!(reactor.attach(&client, |_, _| ()), Code::ATTACHED);
    reactor.release();
    assert!(told.try_recv().is_err());
}

#[test]
fn the_limit_of_an_operation_ends_it() {
    let server = Store::start(|_| Some(Fault { message: 0, place: Place::Greeting, how: How::Stall }));
    let reactor = Reactor::new();
    let client = Smtp::new();
    let told = reactor.attach_queue(&client);
    // SAFETY: a live string.
    let begun = unsafe { SmtpConnect(client.0, c"127.0.0.1".as_ptr(), u32::from(server.port), 30, 0) };
    assert_eq!(begun, SMTP_PENDING);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Code::TIMEOUT));
}

#[test]
fn cancelling_detaching_and_releasing_tell_what_is_pending_once() {
    let server = Store::start(|_| Some(Fault { message: 0, place: Place::Greeting, how: How::Stall }));
    let reactor = Reactor::new();
    let client = Smtp::new();
    let told = reactor.attach_queue(&client);
    assert_eq!(connect(client.0, server.port), SMTP_PENDING);
    assert_eq!(SmtpReactorDetach(client.0), Code::OPERATION_IN_PROGRESS.0);
    assert_eq!(SmtpCancel(client.0), 0);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Code::CANCELLED));
    assert_eq!(SmtpReactorDetach(client.0), 0);
    assert_eq!(SmtpReactorDetach(client.0), 0, "there is nothing left to do");
    assert!(told.recv_timeout(PATIENCE).is_err(), "its user data is destroyed");
    // On its own again, and attached again.
    assert_eq!(connect(client.0, server.port), SMTP_PENDING);
    assert_eq!(reactor.attach(&client, |_, _| ()), Code::OPERATION_IN_PROGRESS);
    SmtpCancel(client.0);
    assert_eq!(client.settle(SMTP_PENDING), Code::CANCELLED.0);
    let told = reactor.attach_queue(&client);
    assert_eq!(connect(client.0, server.port), SMTP_PENDING);
    drop(client);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Code::RELEASED));
    assert!(told.recv_timeout(PATIENCE).is_err());

    let clients: Vec<Smtp> = (0..50).map(|_| Smtp::new()).collect();
    let told: Vec<_> = clients.iter().map(|client| reactor.attach_queue(client)).collect();
    for client in &clients {
        assert_eq!(connect(client.0, server.port), SMTP_PENDING);
    }
    reactor.release();
    for (told, client) in told.iter().zip(&clients) {
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Code::CANCELLED));
        assert!(told.recv_timeout(PATIENCE).is_err());
        // Each is on its own again.
        assert_eq!(connect(client.0, server.port), SMTP_PENDING);
    }
}

#[test]
fn a_callback_may_do_anything_but_end_its_own_thread() {
    let server = Store::start(|_| None);
    let reactor = Arc::new(Reactor::new());
    let client = Smtp::new();
    let (sender, codes) = channel();
    let sender = Mutex::new(sender);
    let (handle, port) = (Arc::clone(&reactor), server.port);
    let done = move |client, code| {
        let other = SmtpClientCreate();
        SmtpSetInteger(other, Property::Blocking as u32, 1);
        let blocking = connect(other, port);
        let released = (SmtpClientRelease(other), SmtpReactorRelease(handle.0), SmtpReactorDetach(client));
        sender.lock().unwrap().send((code, blocking, released, SmtpClientRelease(client))).unwrap();
    };
    assert_eq!(reactor.attach(&client, done), Code(0));
    assert_eq!(connect(client.0, server.port), SMTP_PENDING);
    let told = codes.recv_timeout(PATIENCE).expect("told");
    assert_eq!(told, (Code(0), 0, (0, Code::REENTRANT.0, 0), 0));
    std::mem::forget(client);
    assert!(codes.recv_timeout(PATIENCE).is_err(), "its user data is destroyed");
}

#[test]
fn what_a_callback_begins_while_the_reactor_ends_is_cancelled() {
    let server = Store::start(|_| Some(Fault { message: 0, place: Place::Greeting, how: How::Stall }));
    let reactor = Reactor::new();
    let client = Smtp::new();
    let (sender, codes) = channel();
    let sender = Mutex::new(sender);
    let port = server.port;
    let done = move |client, code| sender.lock().unwrap().send((code, connect(client, port))).unwrap();
    assert_eq!(reactor.attach(&client, done), Code(0));
    assert_eq!(connect(client.0, server.port), SMTP_PENDING);
    reactor.release();
    assert_eq!(codes.recv_timeout(PATIENCE), Ok((Code::CANCELLED, Code::CANCELLED.0)));
    assert!(codes.recv_timeout(PATIENCE).is_err());
}

/// Whoever comes first, each operation that returned `SMTP_PENDING` is told once.
#[test]
fn races_of_cancel_detach_and_release() {
    let server =
        Store::start(|number| (number % 3 == 0).then_some(Fault { message: 0, place: Place::Ehlo, how: How::Stall }));
    for round in 0..20 {
        let reactor = Arc::new(Reactor::new());
        let (begun, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let (reactor, begun, told) = (Arc::clone(&reactor), Arc::clone(&begun), Arc::clone(&told));
                let port = server.port;
                std::thread::spawn(move || {
                    for turn in 0..10 {
                        let client = Smtp::new();
                        let told = Arc::clone(&told);
                        let count = move |_, _| {
                            told.fetch_add(1, Ordering::SeqCst);
                        };
                        client.set(Property::Blocking, 0);
                        let attached = reactor.attach(&client, count) == Code(0);
                        if connect(client.0, port) == SMTP_PENDING && attached {
                            begun.fetch_add(1, Ordering::SeqCst);
                        }
                        match (number + turn + round) % 4 {
                            0 => drop(SmtpCancel(client.0)),
                            1 => drop(SmtpReactorDetach(client.0)),
                            2 => std::thread::yield_now(),
                            _ => {}
                        }
                    }
                })
            })
            .collect();
        let released = round % 2 == 0;
        if released {
            assert_eq!(SmtpReactorRelease(reactor.0), 0);
        }
        for thread in threads {
            thread.join().expect("no panic");
        }
        SmtpReactorRelease(reactor.0);
        let (begun, told) = (begun.load(Ordering::SeqCst), told.load(Ordering::SeqCst));
        // A release may come between attaching and connecting: then the client is on its own.
        assert!(told == begun || (released && told < begun), "{told} of {begun}");
    }
}
