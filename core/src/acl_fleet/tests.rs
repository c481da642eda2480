extern crate std;

mod model;
mod simulation;

use std::vec::Vec;

use super::*;

const CALL_TIMEOUT: Duration = Duration::from_secs(2);

const fn at(ms: u64) -> UnixMillis {
    UnixMillis(ms)
}

fn as_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap()
}

fn renewal(worker: u64, total: u32, confirmed: u32) -> ShareRenewal {
    ShareRenewal {
        worker: AclWorkerId(worker),
        total: NonZeroU32::new(total).unwrap(),
        confirmed,
        waiting: 0,
        call_timeout: CALL_TIMEOUT,
        sums: CallSums::default(),
        pause: Duration::ZERO,
        leaving: false,
        jitter: 0,
    }
}

/// Renews each worker with its share until nothing changes; returns the shares.
fn settle(fleet: &mut AclFleet, now: UnixMillis, total: u32, shares: &[(u64, u32)]) -> Vec<u32> {
    let mut shares: Vec<_> = shares.to_vec();
    for _ in 0..3 {
        for (worker, slots) in &mut shares {
            *slots = fleet.renew(now, &renewal(*worker, total, *slots)).slots;
        }
    }
    shares.into_iter().map(|(_, slots)| slots).collect()
}

#[test]
fn a_share_is_an_equal_part_with_the_remainder_by_rank() {
    for (total, workers, expected) in [
        (32, 1, "[32]"),
        (32, 3, "[11, 11, 10]"),
        (3, 3, "[1, 1, 1]"),
        (5, 4, "[2, 1, 1, 1]"),
        (1, 3, "[1, 0, 0]"),
    ] {
        let mut fleet = AclFleet::new(at(0));
        let new: Vec<_> = (0..workers).map(|worker| (worker, 0)).collect();
        let shares = settle(&mut fleet, at(0), total, &new);
        assert_eq!(std::format!("{shares:?}"), expected, "{total} slots");
        assert_eq!(fleet.held(at(0)), total);
    }
}

#[test]
fn others_grow_only_after_a_shrinking_worker_has_confirmed() {
    let mut fleet = AclFleet::new(at(0));
    assert_eq!(fleet.renew(at(0), &renewal(1, 32, 0)).slots, 32);
    // The second worker waits for the first, and asks again soon.
    let second = fleet.renew(at(0), &renewal(2, 32, 0));
    assert_eq!((second.slots, second.renew_after), (0, Duration::from_millis(250)));
    // The first has 20 calls in flight: it may begin no more, but still occupies the service.
    assert_eq!(fleet.renew(at(100), &renewal(1, 32, 20)).slots, 16);
    assert_eq!(fleet.renew(at(200), &renewal(2, 32, 0)).slots, 12);
    assert_eq!(fleet.renew(at(300), &renewal(1, 32, 16)).slots, 16);
    let second = fleet.renew(at(400), &renewal(2, 32, 12));
    assert_eq!((second.slots, second.renew_after), (16, SHARE_RENEWAL));
}

#[test]
fn the_hold_of_a_silent_worker_ends_with_its_lease() {
    let mut fleet = AclFleet::new(at(0));
    let share = fleet.renew(at(0), &renewal(1, 32, 0));
    // Two time-outs of two seconds, and 1.5 s for a renewal; the worker's clock may be slower by a twentieth.
    assert_eq!(share.valid_for, Duration::from_millis(5500));
    assert_eq!(fleet.renew(at(5789), &renewal(2, 32, 0)).slots, 0);
    assert_eq!(fleet.renew(at(5790), &renewal(2, 32, 0)).slots, 32);
    let fast = ShareRenewal { call_timeout: Duration::from_millis(1), ..renewal(3, 32, 0) };
    assert_eq!(fleet.renew(at(6000), &fast).valid_for, Duration::from_secs(5));
}

#[test]
fn a_leaving_worker_returns_its_share_at_once() {
    let mut fleet = AclFleet::new(at(0));
    settle(&mut fleet, at(0), 32, &[(1, 0), (2, 0)]);
    let leaving = |confirmed| ShareRenewal { leaving: true, ..renewal(1, 32, confirmed) };
    assert_eq!(fleet.renew(at(1000), &leaving(3)).slots, 0);
    assert_eq!(fleet.renew(at(1000), &renewal(2, 32, 16)).slots, 29);
    assert_eq!(fleet.renew(at(1000), &leaving(0)).slots, 0);
    assert_eq!(fleet.renew(at(1000), &renewal(2, 32, 29)).slots, 32);
}

#[test]
fn the_smallest_setting_of_the_fleet_applies() {
    let mut fleet = AclFleet::new(at(0));
    assert_eq!(fleet.renew(at(0), &renewal(1, 20, 0)).slots, 20);
    fleet.renew(at(0), &renewal(2, 8, 0));
    assert_eq!(fleet.renew(at(0), &renewal(1, 20, 20)).slots, 4);
    assert_eq!(fleet.renew(at(0), &renewal(1, 20, 4)).slots, 4);
    assert_eq!(fleet.renew(at(0), &renewal(2, 8, 0)).slots, 4);
}

#[test]
fn with_more_workers_than_slots_each_gets_its_turn() {
    let mut fleet = AclFleet::new(at(0));
    let mut shares = [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)];
    let mut had_share = [false; 5];
    for turn in 0..5 {
        let now = at(turn * 2000);
        let slots = settle(&mut fleet, now, 2, &shares);
        assert_eq!(slots.iter().sum::<u32>(), 2, "{slots:?}");
        for ((share, slots), had) in shares.iter_mut().zip(&slots).zip(&mut had_share) {
            share.1 = *slots;
            *had |= *slots > 0;
        }
    }
    assert_eq!(had_share, [true; 5]);
}

#[test]
fn workers_beyond_the_limit_of_entries_have_no_share() {
    let mut fleet = AclFleet::new(at(0));
    for worker in 0..512 {
        fleet.renew(at(0), &renewal(worker, 1000, 0));
    }
    let share = fleet.renew(at(0), &renewal(1000, 1000, 0));
    assert_eq!((share.slots, share.others_hold), (0, true));
    assert!(fleet.held(at(0)) <= 1000);
}

fn silent(calls: u32) -> CallSums {
    CallSums { timed_out: calls, silent_run: calls, ..CallSums::default() }
}

#[test]
fn an_open_breaker_lets_one_worker_probe_each_second_until_three_answers() {
    let mut fleet = AclFleet::new(at(0));
    settle(&mut fleet, at(0), 8, &[(1, 0), (2, 0)]);
    // The other worker may have had responses, of which it reports within a second.
    let share = fleet.renew(at(0), &ShareRenewal { sums: silent(10), ..renewal(1, 8, 4) });
    assert_eq!(share.slots, 4);
    let share = fleet.renew(at(1000), &renewal(1, 8, 4));
    assert_eq!((share.slots, share.allowance, share.fleet_limit), (0, CallAllowance::None, 0));
    fleet.renew(at(1000), &renewal(2, 8, 0));
    // A worker without a message does not probe.
    assert_eq!(fleet.renew(at(1750), &renewal(1, 8, 0)).allowance, CallAllowance::None);
    let waiting = |worker, confirmed| ShareRenewal { waiting: 5, ..renewal(worker, 8, confirmed) };
    let probe = fleet.renew(at(1750), &waiting(1, 0));
    assert_eq!((probe.slots, probe.allowance), (1, CallAllowance::Probe));
    assert_eq!(fleet.renew(at(1750), &waiting(2, 0)).allowance, CallAllowance::None);
    assert_eq!(fleet.renew(at(2499), &waiting(2, 0)).allowance, CallAllowance::None);
    assert_eq!(fleet.renew(at(2500), &waiting(2, 0)).allowance, CallAllowance::Probe);
    // After an answer the next probe does not wait.
    let answer = CallSums { answered: 1, answered_micros: 100_000, ..CallSums::default() };
    for _ in 0..2 {
        let share = fleet.renew(at(2600), &ShareRenewal { sums: answer, ..waiting(2, 0) });
        assert_eq!(share.allowance, CallAllowance::Probe);
    }
    let share = fleet.renew(at(2700), &ShareRenewal { sums: answer, ..waiting(2, 0) });
    assert_eq!(share.allowance, CallAllowance::Unlimited);
    assert!(share.fleet_limit > 0);
}

#[test]
fn calls_without_a_response_for_five_seconds_open_the_breaker() {
    let mut fleet = AclFleet::new(at(0));
    for (now, limit) in [(0, 8), (2000, 8), (4999, 8), (5000, 0)] {
        let share = fleet.renew(at(now), &ShareRenewal { sums: silent(1), ..renewal(1, 8, 0) });
        assert_eq!(share.fleet_limit, limit, "at {now} ms");
    }
}

#[test]
fn the_pause_of_one_worker_holds_for_all() {
    let mut fleet = AclFleet::new(at(0));
    fleet.renew(at(0), &ShareRenewal { pause: Duration::from_secs(3), ..renewal(1, 8, 0) });
    assert_eq!(fleet.renew(at(1000), &renewal(2, 8, 0)).pause, Duration::from_secs(2));
    assert_eq!(fleet.renew(at(3000), &renewal(2, 8, 0)).pause, Duration::ZERO);
}

#[test]
fn a_call_between_two_renewals_has_its_whole_time_out() {
    for seconds in [1, 2, 4, 10, 30, 300] {
        let call_timeout = Duration::from_secs(seconds);
        let share = AclFleet::new(at(0)).renew(at(0), &ShareRenewal { call_timeout, ..renewal(1, 8, 0) });
        let left = share.valid_for.saturating_sub(SHARE_RENEWAL + Duration::from_millis(100));
        assert!(left >= call_timeout * 2, "{call_timeout:?}");
    }
}

#[test]
fn a_probe_begins_beside_calls_that_still_occupy_the_service() {
    let mut fleet = AclFleet::new(at(0));
    fleet.renew(at(0), &renewal(1, 8, 0));
    fleet.renew(at(1000), &ShareRenewal { sums: silent(10), ..renewal(1, 8, 8) });
    let waiting = |confirmed| ShareRenewal { waiting: 5, ..renewal(1, 8, confirmed) };
    assert_eq!(fleet.renew(at(2000), &waiting(8)).allowance, CallAllowance::None, "every slot is in use");
    let probe = fleet.renew(at(2000), &waiting(7));
    assert_eq!((probe.slots, probe.allowance), (8, CallAllowance::Probe));
    assert_eq!(fleet.held(at(2000)), 8);
}

#[test]
fn a_worker_without_an_entry_does_not_probe() {
    let mut fleet = AclFleet::new(at(0));
    for worker in 0..512 {
        fleet.renew(at(0), &renewal(worker, 1000, 0));
    }
    fleet.renew(at(0), &ShareRenewal { sums: silent(10), ..renewal(0, 1000, 0) });
    fleet.renew(at(1000), &renewal(0, 1000, 0));
    let outside = fleet.renew(at(3000), &ShareRenewal { waiting: 5, ..renewal(1000, 1000, 0) });
    assert_eq!((outside.slots, outside.allowance), (0, CallAllowance::None));
    let inside = fleet.renew(at(3000), &ShareRenewal { waiting: 5, ..renewal(0, 1000, 0) });
    assert_eq!(inside.allowance, CallAllowance::Probe);
}

#[test]
fn one_call_without_a_response_opens_nothing_later() {
    let mut fleet = AclFleet::new(at(0));
    fleet.renew(at(0), &ShareRenewal { sums: silent(1), ..renewal(1, 8, 0) });
    for second in 1..60 {
        assert_eq!(fleet.renew(at(second * 1000), &renewal(1, 8, 8)).fleet_limit, 8);
    }
}

#[test]
fn a_clock_that_steps_back_delays_nothing_for_long() {
    const HOUR: u64 = 3_600_000;
    let mut fleet = AclFleet::new(at(0));
    fleet.renew(at(HOUR), &renewal(1, 8, 0));
    fleet.renew(at(HOUR), &ShareRenewal { pause: Duration::from_secs(5), ..renewal(2, 8, 0) });
    // Now the first worker is gone, and the clock an hour behind.
    let share = fleet.renew(at(0), &renewal(2, 8, 0));
    assert!(share.pause <= Duration::from_secs(10), "{:?}", share.pause);
    assert_eq!(fleet.renew(at(5800), &renewal(2, 8, 0)).slots, 8, "the hold of the first has ended");

    let mut fleet = AclFleet::new(at(HOUR));
    fleet.renew(at(HOUR), &ShareRenewal { sums: silent(10), ..renewal(1, 8, 0) });
    let waiting = ShareRenewal { waiting: 5, ..renewal(1, 8, 0) };
    assert_eq!(fleet.renew(at(0), &waiting).allowance, CallAllowance::None);
    assert_eq!(fleet.renew(at(1250), &waiting).allowance, CallAllowance::Probe);
}
