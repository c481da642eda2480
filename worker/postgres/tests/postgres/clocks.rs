//! Workers whose clocks are wrong.

use std::time::Duration;

use chargegate_core::UnixMillis;
use chargegate_storage::inspect::Inspect as _;
use chargegate_storage::store::{AfterAttempt, AttemptResult, RecordVerdict, Store as _};

use super::{PostgresHarness, open};
use chargegate_storage::conformance::stores::{
    START, attempt, decided, limits, message, record_first, report, request_id,
};

const MINUTES: Duration = Duration::from_mins(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_differences_between_workers_are_harmless() {
    let rig = PostgresHarness::new().await;
    let (early, late) = (UnixMillis(START), UnixMillis(START).plus(MINUTES));
    let (slow, fast) = (&rig.engine, &open(&rig.database.worker_url()).await);

    // Neither worker regards a lease of the other as ended.
    let outcome = |request, now| vec![decided(&format!("s/{request}-0"), message(request, "a.example"), now)];
    let of_slow = record_first(slow, outcome(1, early)).await.remove(0);
    let of_fast = record_first(fast, outcome(2, late)).await.remove(0);
    assert!(fast.claim(limits(9, 9)).await.unwrap().is_empty());
    assert!(slow.claim(limits(9, 9)).await.unwrap().is_empty());

    // A retry is due after the requested delay, and the age of the callback is known, regardless of the worker's clock.
    let next = AfterAttempt::Retry { after: Duration::from_mins(1) };
    for (engine, now, job) in [(slow, early, &of_slow), (fast, late, &of_fast)] {
        engine.report(&[report(job, now, AttemptResult::TimedOut, next)]).await.unwrap();
    }
    assert!(fast.claim(limits(9, 9)).await.unwrap().is_empty());
    rig.database.age(Duration::from_secs(50)).await;
    assert!(fast.claim(limits(9, 9)).await.unwrap().is_empty());
    rig.database.age(Duration::from_secs(10)).await;
    let claimed = slow.claim(limits(9, 9)).await.unwrap();
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().all(|job| job.attempt == attempt(2)));
    let ages: Vec<_> = claimed.iter().map(|job| job.round_age).collect();
    assert!(ages.iter().all(|age| (Duration::from_mins(1)..MINUTES).contains(age)), "{ages:?}");

    // A callback that was sent just now is not sent again, and its finish time is the one that its worker reported.
    for job in &claimed {
        let sent = report(job, early, AttemptResult::Answered(200), AfterAttempt::Delivered);
        slow.report(&[sent]).await.unwrap();
    }
    let again = decided("s/9-0", message(1, "a.example"), late);
    let recorded = fast.record(&[again]).await.unwrap();
    assert_eq!(recorded, [RecordVerdict::Duplicate { resent: false }]);
    let shown = rig.engine.inspector().decision(&request_id(1)).await.unwrap().unwrap();
    let last = shown.attempts.last().unwrap();
    assert_eq!(shown.decision.callback.finished_at, Some(last.started_at.plus(last.took)));

    // Retention compares ages by the database's clock.
    assert!(!fast.purge(Duration::from_mins(5)).await.unwrap());
    assert_eq!(rig.decided().await, 2);
}
