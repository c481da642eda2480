extern crate std;

use super::*;

const TERMS: ControlTerms =
    ControlTerms { total: 32, call_timeout: Duration::from_secs(2), settling: Duration::ZERO };

const fn at(seconds: u64) -> UnixMillis {
    UnixMillis(seconds * 1000)
}

fn answered(calls: u32, ms: u64) -> CallSums {
    CallSums {
        answered: calls,
        answered_micros: u64::from(calls) * ms * 1000,
        waited: calls,
        ..CallSums::default()
    }
}

/// Reports `sums` at the end of a window and returns the limit.
#[track_caller]
fn report(controller: &mut AclController, second: u64, sums: CallSums) -> u32 {
    controller.update(at(second), sums, TERMS);
    controller.limit(TERMS.total)
}

#[test]
fn time_outs_and_refusals_halve_the_limit_once_until_their_effect_shows() {
    for overload in
        [CallSums { timed_out: 4, ..answered(30, 100) }, CallSums { overloaded: 1, ..answered(30, 100) }]
    {
        let mut controller = AclController::new(at(0));
        assert_eq!(report(&mut controller, 1, overload), 16);
        assert_eq!(report(&mut controller, 2, overload), 16, "calls that began before");
        assert_eq!(report(&mut controller, 3, overload), 8);
    }
    let mut controller = AclController::new(at(0));
    let tenth = CallSums { timed_out: 3, ..answered(27, 100) };
    assert_eq!(report(&mut controller, 1, tenth), 32, "a tenth is not too much");
}

#[test]
fn a_few_calls_change_nothing() {
    let mut controller = AclController::new(at(0));
    for second in (5..60).step_by(5) {
        let few = CallSums { timed_out: 3, overloaded: 2, ..answered(4, 100) };
        assert_eq!(report(&mut controller, second, few), 32);
    }
}

#[test]
fn the_limit_grows_only_while_slots_are_in_use() {
    let mut controller = AclController::new(at(0));
    controller.limit = 4;
    let idle = CallSums { waited: 0, ..answered(100, 100) };
    assert_eq!(report(&mut controller, 1, idle), 4);
    assert_eq!(report(&mut controller, 2, answered(100, 100)), 8);
    assert_eq!(report(&mut controller, 3, answered(100, 100)), 16);
}

#[test]
fn errors_that_are_not_overload_say_nothing_about_it() {
    let mut controller = AclController::new(at(0));
    let errors = CallSums { errors: 1000, waited: 1030, ..answered(30, 100) };
    assert_eq!(report(&mut controller, 1, errors), 32);
}

#[test]
fn calls_that_were_reported_are_not_reported_again() {
    let mut sums = answered(3, 100);
    sums.add_call(CallEnd::TimedOut, TERMS.call_timeout);
    let reported = sums;
    sums.add_call(CallEnd::Unreachable, Duration::ZERO);
    sums.add_call(CallEnd::TimedOut, TERMS.call_timeout);
    sums.subtract(reported);
    let rest = CallSums { timed_out: 1, unreachable: 1, silent_run: 2, ..CallSums::default() };
    assert_eq!(sums, rest, "the run continues with what was not reported");
    sums.add_call(CallEnd::Answered, Duration::from_millis(50));
    sums.add_call(CallEnd::TimedOut, TERMS.call_timeout);
    sums.subtract(rest);
    assert_eq!((sums.answered, sums.timed_out, sums.silent_run), (1, 1, 1), "a response ended the run");
}

#[test]
fn a_small_limit_is_judged_by_few_calls() {
    // One slot and calls of 0.9 s: five in the longest window.
    let slow = |calls| answered(calls, 900);
    let mut controller = AclController::new(at(0));
    controller.limit = 1;
    assert_eq!(report(&mut controller, 5, slow(5)), 2);
    assert_eq!(report(&mut controller, 10, slow(10)), 4);
    let overload = CallSums { timed_out: 4, ..slow(8) };
    assert_eq!(report(&mut controller, 15, overload), 2);
}
