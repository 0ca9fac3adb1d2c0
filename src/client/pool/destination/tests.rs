use super::*;
use proptest::prelude::*;

fn line(key: usize, now: u64) -> Line {
    Line { key, opened: Moment(now), since: Moment(now), sent: 0, generation: 0 }
}

fn step(destination: &mut Destination<u32>, limits: &Limits, now: u64) -> Option<Order<u32>> {
    destination.next(limits, 0, true, Moment(now))
}

/// A connection, and the message on it.
fn sent(order: Option<Order<u32>>) -> (usize, u32, bool) {
    match order {
        Some(Order::Send { line, job, fresh }) => (line.key, job, fresh),
        other => panic!("nothing is sent but {other:?}"),
    }
}

#[test]
fn connections_are_opened_as_needed_and_the_last_used_is_used_first() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let mut destination = Destination::default();
    assert_eq!(step(&mut destination, &limits, 0), None);
    for job in 0..3 {
        destination.push(job, Moment(0));
    }
    assert_eq!(step(&mut destination, &limits, 0), Some(Order::Open));
    assert_eq!(step(&mut destination, &limits, 0), Some(Order::Open));
    assert_eq!(step(&mut destination, &limits, 0), None, "two at most");
    destination.opened(line(7, 1));
    assert_eq!(sent(step(&mut destination, &limits, 1)), (7, 0, true));
    destination.opened(line(8, 2));
    assert_eq!(sent(step(&mut destination, &limits, 2)), (8, 1, true));
    assert_eq!(step(&mut destination, &limits, 2), None);
    assert_eq!(destination.free(line(7, 1), &limits, 0, Moment(3)), None);
    assert_eq!(sent(step(&mut destination, &limits, 3)), (7, 2, false));
    assert_eq!(destination.free(line(8, 2), &limits, 0, Moment(4)), None);
    assert_eq!(destination.free(line(7, 1), &limits, 0, Moment(5)), None);
    destination.push(3, Moment(6));
    assert_eq!(sent(step(&mut destination, &limits, 6)), (7, 3, false));
}

#[test]
fn connections_retire_by_count_age_idleness_and_settings() {
    let limits = Limits { messages: 3, age: 100, idle: 10, ..Limits::default() };
    let mut destination = Destination::<u32> { connections: 4, ..Destination::default() };
    let used = Line { sent: 3, ..line(1, 0) };
    assert_eq!(destination.free(used, &limits, 0, Moment(1)), Some(Order::Close(used, Reason::Count)));
    assert_eq!(destination.free(line(2, 0), &limits, 0, Moment(95)), None);
    assert_eq!(destination.free(line(3, 90), &limits, 0, Moment(96)), None);
    assert_eq!(destination.deadline(&limits, Moment(96)), Some(Moment(100)));
    assert_eq!(destination.retire(&limits, 0, Moment(99)), None);
    let retired = |found: Option<(Line, Reason)>| found.map(|(line, reason)| (line.key, reason));
    assert_eq!(retired(destination.retire(&limits, 0, Moment(100))), Some((2, Reason::Age)));
    assert_eq!(retired(destination.retire(&limits, 0, Moment(100))), None);
    assert_eq!(destination.deadline(&limits, Moment(100)), Some(Moment(106)));
    assert_eq!(retired(destination.retire(&limits, 0, Moment(106))), Some((3, Reason::Idle)));
    assert_eq!(destination.free(line(4, 106), &limits, 0, Moment(106)), None);
    assert_eq!(retired(destination.retire(&limits, 1, Moment(106))), Some((4, Reason::Settings)));
    // One that has had its time is not used, even if nobody has looked for a while.
    assert_eq!(destination.free(line(5, 106), &limits, 0, Moment(107)), None);
    destination.push(1, Moment(500));
    let Some(Order::Close(closed, reason)) = step(&mut destination, &limits, 500) else { panic!("not closed") };
    assert_eq!((closed.key, reason), (5, Reason::Age));
}

#[test]
fn what_met_a_dead_connection_goes_over_a_new_one() {
    let limits = Limits::default();
    let mut destination = Destination { connections: 1, ..Destination::default() };
    assert_eq!(destination.free(line(1, 0), &limits, 0, Moment(1)), None);
    destination.repeat(9, Moment(2));
    assert_eq!(step(&mut destination, &limits, 2), Some(Order::Open));
    assert_eq!(step(&mut destination, &limits, 2), None, "the idle one is not trusted with it");
    destination.push(10, Moment(2));
    assert_eq!(sent(step(&mut destination, &limits, 2)), (1, 10, false));
    destination.opened(line(2, 3));
    assert_eq!(sent(step(&mut destination, &limits, 3)), (2, 9, true));
}

#[test]
fn the_rate_holds_in_every_span() {
    let limits = Limits { rate: 2, rate_period: 10, ..Limits::default() };
    let mut destination = Destination { connections: 1, ..Destination::default() };
    assert_eq!(destination.free(line(1, 0), &limits, 0, Moment(0)), None);
    let mut begun = Vec::new();
    (0..6).for_each(|job| destination.push(job, Moment(0)));
    for now in 0..40 {
        while let Some(Order::Send { line, .. }) = step(&mut destination, &limits, now) {
            begun.push(now);
            assert_eq!(destination.free(line, &limits, 0, Moment(now)), None);
        }
        if begun.len() < 6 {
            assert_eq!(destination.deadline(&limits, Moment(now)), Some(Moment(now - now % 10 + 10)));
        }
    }
    assert_eq!(begun, [0, 0, 10, 10, 20, 20]);
    assert!(!destination.is_spent(&limits, Moment(25)));
}

#[test]
fn failures_to_connect_pause_and_then_fail_what_waits() {
    let limits = Limits { attempts: 2, back_off: 10, ..Limits::default() };
    let mut destination = Destination::default();
    (0..3).for_each(|job| destination.push(job, Moment(0)));
    (0..3).for_each(|_| assert_eq!(step(&mut destination, &limits, 0), Some(Order::Open)));
    assert!(destination.failed(&limits, false, Moment(1)).is_empty());
    assert_eq!(step(&mut destination, &limits, 2), None, "paused");
    assert_eq!(destination.deadline(&limits, Moment(2)), Some(Moment(11)));
    destination.opened(line(1, 3));
    assert_eq!(sent(step(&mut destination, &limits, 3)).1, 0);
    // While one works, the others wait for it.
    assert!(destination.failed(&limits, true, Moment(4)).is_empty());
    destination.lost();
    assert_eq!(step(&mut destination, &limits, 14), Some(Order::Open));
    assert_eq!(step(&mut destination, &limits, 14), None, "one attempt after a failure");
    assert_eq!(destination.failed(&limits, false, Moment(15)), [1, 2]);
    assert!(!destination.is_spent(&limits, Moment(34)), "the pause is remembered");
    assert!(destination.is_spent(&limits, Moment(35)));
    // Who comes during the pause waits for one attempt.
    destination.push(4, Moment(16));
    assert_eq!(step(&mut destination, &limits, 34), None);
    assert_eq!(step(&mut destination, &limits, 35), Some(Order::Open));
    assert_eq!(destination.failed(&limits, false, Moment(36)), [4]);
}

#[test]
fn nobody_waits_longer_than_allowed() {
    let limits = Limits { queue_time: 10, ..Limits::default() };
    let mut destination = Destination::default();
    destination.push(1, Moment(0));
    destination.push(2, Moment(5));
    assert_eq!(destination.deadline(&limits, Moment(0)), Some(Moment(10)));
    assert_eq!(destination.expire(&limits, Moment(9)), None);
    assert_eq!(destination.expire(&limits, Moment(10)), Some(1));
    assert_eq!(destination.expire(&limits, Moment(10)), None);
    assert_eq!(destination.give_up(), [2]);
}

#[derive(Clone, Debug)]
enum Happening {
    Push,
    Opened,
    OpenFailed,
    Sent,
    Dead,
    Lost,
    HungUp,
    Pass(u64),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        4 => Just(Happening::Push),
        3 => Just(Happening::Opened),
        1 => Just(Happening::OpenFailed),
        4 => Just(Happening::Sent),
        1 => Just(Happening::Dead),
        1 => Just(Happening::Lost),
        1 => Just(Happening::HungUp),
        2 => (1_u64..30).prop_map(Happening::Pass),
    ];
    proptest::collection::vec(one, 1..300)
}

proptest! {
    /// Whatever happens: every message is sent once or fails, and no limit is exceeded.
    #[test]
    fn nothing_is_lost_or_doubled(happenings in happenings(), connections in 1_u32..4, rate in 0_u32..4) {
        let limits = Limits {
            connections, rate, rate_period: 50, messages: 3, age: 200, idle: 40, back_off: 5, ..Limits::default()
        };
        let mut destination = Destination::default();
        let (mut now, mut pushed, mut key) = (0_u64, 0_u32, 0_usize);
        let (mut opening, mut open) = (0_u32, 0_u32);
        let mut busy: Vec<(Line, u32, bool)> = Vec::new();
        let mut done: Vec<u32> = Vec::new();
        let mut begun: Vec<u64> = Vec::new();
        let rest = (0..400).map(|turn| match turn % 4 {
            0 => Happening::Opened,
            1 | 2 => Happening::Sent,
            _ => Happening::Pass(60),
        });
        for happening in happenings.into_iter().chain(rest) {
            match happening {
                Happening::Push => { destination.push(pushed, Moment(now)); pushed += 1; }
                Happening::Opened if opening > 0 => {
                    opening -= 1;
                    key += 1;
                    destination.opened(line(key, now));
                }
                Happening::OpenFailed if opening > 0 => {
                    opening -= 1;
                    open -= 1;
                    done.extend(destination.failed(&limits, false, Moment(now)));
                }
                Happening::Sent if !busy.is_empty() => {
                    let (mut line, job, _) = busy.remove(0);
                    line.sent += 1;
                    done.push(job);
                    if let Some(Order::Close(..)) = destination.free(line, &limits, 0, Moment(now)) {
                        destination.lost();
                        open -= 1;
                    }
                }
                Happening::Dead if busy.iter().any(|(.., fresh)| !fresh) => {
                    let at = busy.iter().position(|(.., fresh)| !fresh).expect("one");
                    let (_, job, _) = busy.remove(at);
                    destination.lost();
                    open -= 1;
                    destination.repeat(job, Moment(now));
                }
                Happening::Lost if !busy.is_empty() => {
                    let (_, job, _) = busy.remove(0);
                    done.push(job);
                    destination.lost();
                    open -= 1;
                }
                Happening::HungUp => {
                    if let Some(line) = destination.idle.front().copied() {
                        prop_assert!(destination.lost_idle(line.key));
                        open -= 1;
                    }
                }
                Happening::Pass(millis) => {
                    now += millis;
                    while destination.retire(&limits, 0, Moment(now)).is_some() {
                        destination.lost();
                        open -= 1;
                    }
                }
                _ => {}
            }
            while let Some(order) = destination.next(&limits, 0, true, Moment(now)) {
                match order {
                    Order::Open => { opening += 1; open += 1; }
                    Order::Send { line, job, fresh } => { begun.push(now); busy.push((line, job, fresh)); }
                    Order::Close(..) => { destination.lost(); open -= 1; }
                }
            }
            prop_assert!(open <= connections && open == destination.connections);
            if rate != 0 {
                let over = begun.windows(rate as usize + 1).any(|span| span[rate as usize] < span[0] + 50);
                prop_assert!(!over, "{begun:?}");
            }
        }
        done.sort_unstable();
        prop_assert_eq!(done, (0..pushed).collect::<Vec<_>>());
    }
}
