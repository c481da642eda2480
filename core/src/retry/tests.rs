use proptest::prelude::*;

use super::*;

const HALF: u32 = u32::MAX / 2 + 1;

fn attempt(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn answered(status: u16) -> AttemptOutcome {
    AttemptOutcome::Answered { status, retry_after: None }
}

#[track_caller]
fn check(outcome: AttemptOutcome, n: u32, age_s: u64, expected: NextAttempt) {
    let found = RetryPolicy::default().next_attempt(outcome, attempt(n), Duration::from_secs(age_s), HALF);
    let rounded = match found {
        NextAttempt::Retry { after } => {
            NextAttempt::Retry { after: Duration::from_millis(u64::try_from(after.as_millis()).unwrap()) }
        }
        other => other,
    };
    assert_eq!(rounded, expected, "{outcome:?} {n} {age_s}");
}

fn retry(ms: u64) -> NextAttempt {
    NextAttempt::Retry { after: Duration::from_millis(ms) }
}

#[test]
fn only_2xx_is_delivered_and_410_gives_up() {
    for status in [200, 201, 204, 299] {
        check(answered(status), 1, 0, NextAttempt::Delivered);
    }
    for status in [0, 199, 300, 301, 302, 307, 308, 400, 401, 404, 408, 409, 411, 429, 500, 503, 599, 999] {
        check(answered(status), 1, 0, retry(500));
    }
    check(answered(410), 1, 0, NextAttempt::GiveUp(GiveUpReason::Gone));
    check(AttemptOutcome::Blocked, 1, 0, NextAttempt::GiveUp(GiveUpReason::Blocked));
    check(AttemptOutcome::Failed, 1, 0, retry(500));
}

#[test]
fn waits_double_up_to_the_cap_until_attempts_or_time_end() {
    check(AttemptOutcome::Failed, 2, 0, retry(1000));
    check(AttemptOutcome::Failed, 12, 0, retry(1_024_000));
    check(AttemptOutcome::Failed, 13, 0, retry(1_800_000));
    check(AttemptOutcome::Failed, 59, 0, retry(1_800_000));
    check(AttemptOutcome::Failed, 60, 0, NextAttempt::GiveUp(GiveUpReason::Attempts));
    check(AttemptOutcome::Failed, 13, 84_599, retry(1_800_000));
    check(AttemptOutcome::Failed, 13, 84_601, NextAttempt::GiveUp(GiveUpReason::Time));
    check(answered(200), 60, 99_999, NextAttempt::Delivered);
}

#[test]
fn a_receiver_may_ask_for_a_longer_wait_up_to_the_cap() {
    let asking = |retry_after| AttemptOutcome::Answered { status: 503, retry_after: Some(retry_after) };
    check(asking(Duration::from_secs(30)), 1, 0, retry(30_000));
    check(asking(Duration::from_millis(1)), 1, 0, retry(500));
    check(asking(Duration::MAX), 1, 0, retry(3_600_000));
}

proptest! {
    #[test]
    fn no_wait_exceeds_the_cap_or_the_remaining_time(n in 1..u32::MAX, age: Duration, asked: Option<Duration>, jitter: u32) {
        let policy = RetryPolicy::default();
        let outcome = AttemptOutcome::Answered { status: 500, retry_after: asked };
        if let NextAttempt::Retry { after } = policy.next_attempt(outcome, attempt(n), age, jitter) {
            prop_assert!(after <= policy.cap && age + after <= policy.give_up_after);
        }
    }
}
