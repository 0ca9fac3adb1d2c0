//! The pool, through the C interface, against servers that work and servers that fail.

#![allow(unsafe_code, clippy::unwrap_used)]

#[path = "support/store.rs"]
mod store;
#[path = "support/pool.rs"]
mod support;

use smtpclient::client::Property;
use smtpclient::error::Code;
use smtpclient::ffi::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use store::{Fault, How, PLACES, Place, Store};
use support::{Pool, Told, told};

/// Where a refusal is an answer.
const REFUSING: [Place; 4] = [Place::Mail, Place::Rcpt, Place::Data, Place::End];

/// A server that has kept a message does not refuse it.
fn possible(place: Place, how: How) -> Option<How> {
    match how {
        How::Refuse(_) => REFUSING.contains(&place).then_some(how),
        How::Closing => (place != Place::Kept).then_some(how),
        _ => Some(how),
    }
}

fn fault(message: usize, place: Place, how: How) -> Option<Fault> {
    Some(Fault { message, place, how })
}

/// What was told is what the server has: each message once and only once.
fn check_sums(told: &[Told], names: &BTreeMap<u64, String>, stored: &BTreeMap<String, usize>) {
    let ids: BTreeSet<u64> = told.iter().map(|told| told.id).collect();
    assert_eq!((ids.len(), told.len()), (names.len(), names.len()), "each is told once");
    for told in told {
        let count = stored.get(&names[&told.id]).copied().unwrap_or(0);
        match told.outcome {
            "ACCEPTED" => assert_eq!(count, 1, "{told:?}"),
            "UNKNOWN" => assert!(count <= 1 && !told.safe_to_retry, "{told:?}"),
            _ => assert_eq!(count, 0, "{told:?}"),
        }
        assert_eq!(told.code == Code(0), told.outcome == "ACCEPTED", "{told:?}");
        assert_eq!(told.error_json.is_empty(), told.outcome == "ACCEPTED");
        assert!(told.attempts <= 2);
    }
}

fn submit_many(pool: &Pool, count: usize) -> BTreeMap<u64, String> {
    (0..count)
        .map(|number| {
            let name = format!("m{number}");
            (pool.submit_to("b@y.example", &name, number, 60_000).expect("room"), name)
        })
        .collect()
}

#[test]
fn messages_share_connections() {
    let server = Store::start(|_| None);
    let pool = Pool::new(server.port);
    pool.limit("CONNECTIONS", 3);
    let names = submit_many(&pool, 100);
    let told = pool.take(100);
    check_sums(&told, &names, &server.bodies());
    assert!(told.iter().all(|told| told.outcome == "ACCEPTED" && told.attempts == 1));
    assert!(told.iter().all(|told| names[&told.id] == format!("m{}", told.tag) && told.queue_id == "4F1B2"));
    let statistics = pool.statistics();
    assert_eq!((statistics.accepted, statistics.queued, statistics.in_flight, statistics.results), (100, 0, 0, 0));
    assert!(server.connections() <= 3 && statistics.opened == server.connections() as u64);
    assert_eq!(statistics.connections, statistics.idle);
    drop(pool);
    server.wait_until_unused();
}

#[test]
fn hundreds_of_connections_on_one_thread() {
    let server = Store::start(|_| None);
    let pool = Pool::new(server.port);
    pool.limit("CONNECTIONS", 300);
    pool.limit("CONNECTIONS_TOTAL", 300);
    pool.limit("QUEUE_LIMIT", 5000);
    pool.limit("MESSAGES_PER_CONNECTION", 0);
    let names = submit_many(&pool, 3000);
    let told = pool.take(3000);
    check_sums(&told, &names, &server.bodies());
    assert!(told.iter().all(|told| told.outcome == "ACCEPTED"));
    assert!(server.connections() <= 300);
}

#[test]
fn a_result_tells_of_recipients_and_errors() {
    let server = Store::start(|_| None);
    let pool = Pool::new(server.port);
    pool.submit_to("b@y.example, nobody@y.example", "x", 7, 0).expect("room");
    let told = pool.next().expect("told");
    assert_eq!((told.outcome, told.accepted, told.refused, told.tag), ("ACCEPTED", 1, 1, 7));
    assert_eq!(told.reply, "250 2.0.0 Ok: queued as 4F1B2");
    assert!(told.recipients.contains(r#""address":"nobody@y.example""#), "{}", told.recipients);
    assert!(told.recipients.contains(r#""enhanced_code":"5.1.1""#), "{}", told.recipients);
    pool.submit_to("nobody@y.example", "x", 0, 0).expect("room");
    let told = pool.next().expect("told");
    assert_eq!((told.outcome, told.code), ("REJECTED_PERMANENT", Code::RECIPIENTS_REJECTED));
    assert_eq!((told.reply_code, told.enhanced), (550, [5, 1, 1]));
    assert!(told.error.contains("nobody here") && told.error_json.contains("RECIPIENTS_REJECTED"), "{told:?}");
    pool.submit_to("not an address", "x", 0, 0).expect("room");
    let told = pool.next().expect("told");
    assert_eq!((told.outcome, told.code, told.safe_to_retry), ("NOT_SENT", Code::INVALID_ADDRESS, true));
    // None of these cost a connection.
    assert_eq!(server.connections(), 1);
}

#[test]
fn connections_retire_by_count_idleness_and_settings() {
    let server = Store::start(|_| None);
    let pool = Pool::new(server.port);
    pool.limit("CONNECTIONS", 1);
    pool.limit("MESSAGES_PER_CONNECTION", 4);
    let names = submit_many(&pool, 10);
    check_sums(&pool.take(10), &names, &server.bodies());
    assert_eq!(pool.statistics().retired_count, 2);
    assert_eq!(server.connections(), 3);
    pool.limit("IDLE_TIME", 1);
    pool.wait_until(|statistics| statistics.retired_idle == 1 && statistics.connections == 0);
    pool.limit("IDLE_TIME", 0);
    pool.limit("MAX_AGE", 1);
    pool.submit("y").expect("room");
    pool.next().expect("told");
    pool.wait_until(|statistics| statistics.retired_age == 1 && statistics.connections == 0);
    pool.limit("MAX_AGE", 0);
    pool.submit("z").expect("room");
    pool.next().expect("told");
    pool.set_text(Property::LocalName, "other.example");
    pool.wait_until(|statistics| statistics.retired_other == 1 && statistics.connections == 0);
    let statistics = pool.statistics();
    assert!(statistics.bytes_sent > 500 && statistics.bytes_received > 500, "{statistics:?}");
}

/// Noticed at once, and nobody meets it.
#[test]
fn an_idle_connection_that_the_server_ends_is_let_go() {
    for how in [How::Reset, How::Close, How::Closing] {
        let server = Store::start(move |number| if number == 0 { fault(0, Place::Idle, how) } else { None });
        let pool = Pool::new(server.port);
        pool.submit("x").expect("room");
        assert_eq!(pool.next().expect("told").outcome, "ACCEPTED");
        let statistics = pool.wait_until(|statistics| statistics.connections == 0);
        assert_eq!((statistics.hung_up, statistics.stale), (1, 0), "{how:?}");
        pool.submit("y").expect("room");
        let told = pool.next().expect("told");
        assert_eq!((told.outcome, told.attempts), ("ACCEPTED", 1));
    }
}

#[test]
fn a_stale_connection_costs_a_quiet_reconnect() {
    for how in [How::Reset, How::Close, How::Closing] {
        let server = Store::start(move |number| if number == 0 { fault(1, Place::Mail, how) } else { None });
        let pool = Pool::new(server.port);
        pool.submit("x").expect("room");
        pool.next().expect("told");
        pool.submit("y").expect("room");
        let told = pool.next().expect("told");
        assert_eq!((told.outcome, told.attempts), ("ACCEPTED", 2), "{how:?}: {told:?}");
        assert_eq!(pool.statistics().stale, 1);
        assert_eq!(server.bodies()["y"], 1);
    }
    // On a new connection it is no accident, and told.
    let server = Store::start(|_| fault(0, Place::Mail, How::Close));
    let pool = Pool::new(server.port);
    pool.submit("x").expect("room");
    let told = pool.next().expect("told");
    assert_eq!((told.outcome, told.attempts), ("NOT_SENT", 1), "{told:?}");
    // Nor is it repeated twice.
    let server =
        Store::start(
            |number| if number == 0 { fault(1, Place::Mail, How::Close) } else { fault(0, Place::Mail, How::Close) },
        );
    let pool = Pool::new(server.port);
    pool.submit("x").expect("room");
    assert_eq!(pool.next().expect("told").outcome, "ACCEPTED");
    pool.submit("y").expect("room");
    let told = pool.next().expect("told");
    assert_eq!((told.outcome, told.attempts, server.connections()), ("NOT_SENT", 2, 2), "{told:?}");
}

#[test]
fn nothing_that_may_have_been_taken_is_repeated() {
    for place in [Place::End, Place::Kept] {
        for message in [0, 1] {
            let server = Store::start(move |_| fault(message, place, How::Close));
            let pool = Pool::new(server.port);
            pool.limit("CONNECTIONS", 1);
            let names = submit_many(&pool, message + 1);
            let told = pool.take(message + 1);
            check_sums(&told, &names, &server.bodies());
            let last = &told[message];
            assert_eq!((last.outcome, last.safe_to_retry, last.attempts), ("UNKNOWN", false, 1), "{last:?}");
        }
    }
}

/// Every failure at every place, on the first message of a connection and on a later one;
/// and all of them mixed.
#[test]
fn outcomes_are_what_the_server_stored() {
    let hows = [How::Reset, How::Close, How::Closing, How::Refuse(451), How::Refuse(550)];
    for place in PLACES {
        for how in hows {
            let Some(how) = possible(place, how) else { continue };
            for message in [0, 2] {
                let server =
                    Store::start(move |number| if number % 2 == 0 { fault(message, place, how) } else { None });
                run(&server, 12, 3);
            }
        }
    }
    for seed in 0..10_usize {
        let server = Store::start(move |number| {
            let dice = (number + 1).wrapping_mul(2_654_435_761).wrapping_add(seed * 97);
            let (place, how) = (PLACES[dice / 31 % PLACES.len()], hows[dice / 101 % hows.len()]);
            let how = possible(place, how).unwrap_or(How::Close);
            (dice % 3 != 0).then_some(Fault { message: dice / 7 % 4, place, how })
        });
        run(&server, 120, 8);
    }
}

fn run(server: &Store, count: usize, connections: i64) {
    let pool = Pool::new(server.port);
    pool.limit("CONNECTIONS", connections);
    pool.limit("BACK_OFF", 1);
    pool.limit("BACK_OFF_MAX", 2);
    let names = submit_many(&pool, count);
    let told = pool.finish();
    let statistics = pool.statistics();
    drop(pool);
    // What was under way at the server's end is stored by now, or never.
    server.wait_until_unused();
    check_sums(&told, &names, &server.bodies());
    let sum = statistics.accepted + statistics.rejected + statistics.unknown + statistics.not_sent;
    assert_eq!((sum, statistics.queued, statistics.in_flight), (count as u64, 0, 0));
}

#[test]
fn a_server_that_stalls_costs_its_own_messages_only() {
    for place in PLACES {
        let server = Store::start(move |number| if number == 0 { fault(0, place, How::Stall) } else { None });
        let pool = Pool::new(server.port);
        pool.set(Property::Timeout as u32, 300);
        pool.set(Property::TimeoutQuit as u32, 50);
        run_on(&pool, &server, 10);
    }
}

fn run_on(pool: &Pool, server: &Store, count: usize) {
    let names = submit_many(pool, count);
    let told = pool.finish();
    check_sums(&told, &names, &server.bodies());
    assert!(told.iter().filter(|told| told.outcome != "ACCEPTED").count() <= 1, "{told:?}");
}

#[test]
fn failures_to_connect_are_told_after_as_many_attempts_as_set() {
    let server = Store::start(|_| fault(0, Place::Greeting, How::Close));
    let pool = Pool::new(server.port);
    pool.limit("CONNECTIONS", 1);
    pool.limit("CONNECT_ATTEMPTS", 4);
    let names = submit_many(&pool, 5);
    let told = pool.take(5);
    check_sums(&told, &names, &server.bodies());
    assert!(told.iter().all(|told| told.code == Code::CONNECTION_CLOSED && told.attempts == 0), "{told:?}");
    assert_eq!((server.connections(), pool.statistics().failed), (4, 4));
    // A wrong password is not tried again.
    let server = Store::start(|_| None);
    let pool = Pool::new(server.port);
    pool.set_text(Property::User, "user");
    pool.set_text(Property::Password, "bad");
    pool.limit("CONNECTIONS", 1);
    let names = submit_many(&pool, 5);
    let told = pool.take(5);
    check_sums(&told, &names, &server.bodies());
    assert!(told.iter().all(|told| told.code == Code::AUTHENTICATION_FAILED), "{told:?}");
    assert_eq!(server.kept.lock().expect("whole").logins, 1);
    pool.set_text(Property::Password, "good");
    pool.submit("x").expect("room");
    assert_eq!(pool.next().expect("told").outcome, "ACCEPTED");
}

#[test]
fn the_queue_is_bounded() {
    let server = Store::start(|_| fault(0, Place::Greeting, How::Stall));
    let pool = Arc::new(Pool::new(server.port));
    pool.limit("QUEUE_LIMIT", 2);
    let mut names = submit_many(&pool, 2);
    assert_eq!(pool.submit("x"), Err(Code::QUEUE_FULL));
    assert_eq!(pool.submit_to("b@y.example", "x", 0, 5), Err(Code::QUEUE_FULL));
    let waiting = {
        let pool = Arc::clone(&pool);
        std::thread::spawn(move || pool.submit_to("b@y.example", "late", 0, 60_000))
    };
    pool.limit("QUEUE_LIMIT", 3);
    names.insert(waiting.join().expect("no panic").expect("room"), "late".to_owned());
    pool.limit("QUEUE_LIMIT", 100);
    pool.limit("QUEUE_OCTETS", 1);
    assert_eq!(pool.submit("x"), Err(Code::QUEUE_FULL));
    let waiting = {
        let pool = Arc::clone(&pool);
        std::thread::spawn(move || pool.submit_to("b@y.example", "late", 0, 60_000))
    };
    assert_eq!(SmtpPoolAbort(pool.0), 0);
    // It came too late, or its message was cancelled.
    match waiting.join().expect("no panic") {
        Ok(id) => drop(names.insert(id, "late".to_owned())),
        Err(code) => assert_eq!(code, Code::POOL_CLOSED),
    }
    let told = pool.finish();
    assert!(told.iter().all(|told| told.code == Code::CANCELLED && told.outcome == "NOT_SENT"), "{told:?}");
    check_sums(&told, &names, &server.bodies());
    assert_eq!(pool.submit("x"), Err(Code::POOL_CLOSED));
    assert!(pool.next().is_none());
}

#[test]
fn abort_and_release_tell_every_outcome_at_any_moment() {
    for round in 0..30_usize {
        let server = Store::start(move |number| {
            (number % 2 == 0).then(|| Fault {
                message: round % 3,
                place: PLACES[round % PLACES.len()],
                how: How::Stall,
            })
        });
        let pool = Arc::new(Pool::new(server.port));
        pool.limit("CONNECTIONS", 4);
        let names = Arc::new(Mutex::new(BTreeMap::new()));
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (pool, names) = (Arc::clone(&pool), Arc::clone(&names));
                std::thread::spawn(move || {
                    for number in 0..20 {
                        let name = format!("{thread}-{number}");
                        match pool.submit(&name) {
                            Ok(id) => drop(names.lock().expect("whole").insert(id, name)),
                            Err(code) => assert_eq!(code, Code::POOL_CLOSED),
                        }
                    }
                })
            })
            .collect();
        let mut told = pool.take(round % 5);
        assert_eq!(SmtpPoolAbort(pool.0), 0);
        for thread in threads {
            thread.join().expect("no panic");
        }
        told.extend(pool.finish());
        assert_eq!(SmtpPoolRelease(pool.0), 0);
        server.wait_until_unused();
        check_sums(&told, &names.lock().expect("whole"), &server.bodies());
    }
}

#[test]
fn results_come_by_callback_and_may_submit_more() {
    struct Told {
        port: u16,
        left: AtomicUsize,
        told: Mutex<Vec<support::Told>>,
        reentrant: Mutex<Vec<i32>>,
    }
    unsafe extern "C" fn call(pool: *mut SmtpPool, result: *const SmtpPoolResult, data: *mut c_void) {
        // SAFETY: the structure of the library, and what is passed below.
        let (result, data) = unsafe { (&*result, &*data.cast::<Arc<Told>>()) };
        data.told.lock().expect("whole").push(told(pool, result));
        let pool = std::mem::ManuallyDrop::new(Pool(pool));
        assert_ne!(data.port, 0);
        if data.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            pool.submit("next").expect("room");
        }
        let codes = [SmtpPoolDrain(pool.0, 0), SmtpPoolAbort(pool.0), SmtpPoolRelease(pool.0)];
        data.reentrant.lock().expect("whole").extend(codes);
    }
    unsafe extern "C" fn destroy(data: *mut c_void) {
        // SAFETY: made below.
        drop(unsafe { Box::from_raw(data.cast::<Arc<Told>>()) });
    }
    let server = Store::start(|_| None);
    let pool = Pool::new(server.port);
    let data = Arc::new(Told {
        port: server.port,
        left: AtomicUsize::new(20),
        told: Mutex::default(),
        reentrant: Mutex::default(),
    });
    let given = Box::into_raw(Box::new(Arc::clone(&data))).cast();
    // SAFETY: as the functions above say.
    assert_eq!(unsafe { SmtpPoolSetCallback(pool.0, Some(call), given, Some(destroy)) }, 0);
    pool.submit("first").expect("room");
    pool.wait_until(|statistics| statistics.accepted == 21);
    assert!(pool.finish().is_empty());
    assert_eq!(data.told.lock().expect("whole").len(), 21);
    assert!(data.reentrant.lock().expect("whole").iter().all(|code| *code == Code::REENTRANT.0));
    drop(pool);
    assert_eq!(Arc::strong_count(&data), 1, "destroyed");
    assert_eq!(server.bodies(), BTreeMap::from([("first".to_owned(), 1), ("next".to_owned(), 20)]));
}

#[test]
fn destinations_share_what_connections_there_are() {
    let servers: Vec<Store> = (0..3).map(|_| Store::start(|_| None)).collect();
    let pool = Pool::new(servers[0].port);
    pool.limit("CONNECTIONS_TOTAL", 1);
    for round in 0..3 {
        for server in &servers {
            pool.set(Property::Port as u32, i64::from(server.port));
            pool.submit(&format!("r{round}")).expect("room");
        }
    }
    assert!(pool.take(9).iter().all(|told| told.outcome == "ACCEPTED"));
    for server in &servers {
        assert_eq!(server.bodies().len(), 3);
    }
    assert!(pool.statistics().connections <= 1);
}

#[test]
fn the_rate_is_kept_and_the_time_in_the_queue() {
    let server = Store::start(|_| None);
    let pool = Pool::new(server.port);
    pool.limit("RATE", 5);
    pool.limit("RATE_PERIOD", 86_400_000);
    pool.limit("QUEUE_TIME", 100);
    let names = submit_many(&pool, 8);
    let told = pool.finish();
    check_sums(&told, &names, &server.bodies());
    assert_eq!(server.bodies().len(), 5);
    assert_eq!(told.iter().filter(|told| told.code == Code::TIMEOUT).count(), 3);
}

#[test]
fn wrong_properties_are_refused() {
    let pool = Pool::new(9);
    for (property, value, code) in [
        (265, 0, Code::INVALID_PARAMETER),
        (265, -1, Code::INVALID_PARAMETER),
        (289, 1, Code::UNKNOWN_PROPERTY),
        (Property::Blocking as u32, 0, Code::READ_ONLY_PROPERTY),
        (Property::Port as u32, 70_000, Code::INVALID_PARAMETER),
    ] {
        assert_eq!(SmtpPoolSetInteger(pool.0, property, value), code.0, "{property}");
    }
    let mut value = 0;
    // SAFETY: a live number.
    assert_eq!(unsafe { SmtpPoolGetInteger(pool.0, 265, &raw mut value) }, 0);
    assert_eq!(value, 10);
    pool.set_text(Property::Host, "");
    assert_eq!(pool.submit("x"), Err(Code::INVALID_PARAMETER));
}
