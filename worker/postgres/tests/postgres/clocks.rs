//! Workers whose clocks are wrong.

use std::time::Duration;

use chargegate_storage::Clock as _;
use chargegate_storage::store::{AfterAttempt, AttemptResult, Recorded, Store as _};

use super::{PostgresHarness, open};
use chargegate_storage::conformance::stores::{
    ManualClock, START, attempt, decided, job, limits, message, report,
};

const MINUTES: Duration = Duration::from_mins(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_whose_clocks_differ_by_minutes_do_no_harm() {
    let rig = PostgresHarness::new().await;
    let (early, late) = (ManualClock::at(START), ManualClock::at(START));
    late.advance(MINUTES);
    let (slow, fast) = (&rig.engine, open(&rig.database.worker_url(), &late).await);

    // A lease of either is not over for the other.
    let outcome = |request, clock: &ManualClock| {
        decided(&format!("s/{request}-0"), message(request, "a.example"), clock.now())
    };
    let of_slow = job(slow.record(vec![outcome(1, &early)]).await.unwrap().remove(0));
    let of_fast = job(fast.record(vec![outcome(2, &late)]).await.unwrap().remove(0));
    assert!(fast.claim(late.now(), limits(9, 9)).await.unwrap().is_empty());
    assert!(slow.claim(early.now(), limits(9, 9)).await.unwrap().is_empty());

    // A retry is due after the requested delay, regardless of the worker's clock.
    for (engine, clock, job) in [(slow, &early, &of_slow), (&fast, &late, &of_fast)] {
        let next = AfterAttempt::Retry { due_at: clock.now().plus(Duration::from_mins(1)) };
        engine.report(vec![report(job, clock.now(), AttemptResult::TimedOut, next)]).await.unwrap();
    }
    assert!(fast.claim(late.now(), limits(9, 9)).await.unwrap().is_empty());
    rig.database.age(Duration::from_secs(50)).await;
    assert!(fast.claim(late.now(), limits(9, 9)).await.unwrap().is_empty());
    rig.database.age(Duration::from_secs(10)).await;
    let claimed = slow.claim(early.now(), limits(9, 9)).await.unwrap();
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().all(|job| job.attempt == attempt(2)));

    // A callback that was sent just now is not sent again.
    for job in &claimed {
        let next = AfterAttempt::Delivered { at: early.now() };
        slow.report(vec![report(job, early.now(), AttemptResult::Answered(200), next)]).await.unwrap();
    }
    let again = decided("s/9-0", message(1, "a.example"), late.now());
    let recorded = fast.record(vec![again]).await.unwrap();
    assert!(matches!(recorded[..], [Recorded::Duplicate { resent: false }]), "{recorded:?}");

    // Retention goes by how long ago it was, not by what either clock says.
    assert!(!fast.purge(late.now().minus(Duration::from_mins(5))).await.unwrap());
    assert_eq!(rig.decided().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_between_two_calls_moves_no_lease() {
    let rig = PostgresHarness::new().await;
    rig.record(1, 1).await.unwrap();
    rig.clock.advance(Duration::from_hours(1));
    assert!(rig.engine.claim(rig.clock.now(), limits(9, 9)).await.unwrap().is_empty());
}
