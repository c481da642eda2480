//! Partitions: created ahead of time, dropped when all of their rows are old, and never blocking a worker.

use chargegate_storage::reconcile::CountedStore as _;
use std::collections::BTreeSet;
use std::time::Duration;

use chargegate_core::UnixMillis;
use chargegate_postgres::{PostgresSettings, PostgresStore};
use chargegate_storage::inspect::{DecisionFilter, Inspect as _};
use chargegate_storage::store::{RecordVerdict, Store as _};
use sqlx::Connection as _;
use tokio::time::Instant;

use super::{PATIENCE, PostgresHarness, open, outcomes, settings, unavailable};
use crate::database::execute;
use chargegate_storage::conformance::stores::{START, decided, delivered, limits, message, record_first};

const HOUR: Duration = Duration::from_hours(1);
const PARTITIONS: &str = "SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r' \
     AND relnamespace = 'chargegate'::regnamespace";

async fn deliver(rig: &PostgresHarness, from: u32, count: u32) {
    let jobs = record_first(&rig.engine, outcomes(from, count)).await;
    let reports: Vec<_> = jobs.iter().map(|job| delivered(job, UnixMillis(START))).collect();
    rig.engine.report(&reports).await.unwrap();
}

async fn purge(rig: &PostgresHarness, kept: Duration) {
    while rig.engine.purge(kept).await.unwrap() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_created_ahead_by_the_first_worker() {
    let rig = PostgresHarness::new().await;
    let ahead = "SELECT (max(ends_at) - clock()) / 1000 FROM time_partition";
    assert!((19..=30).contains(&rig.database.number(ahead).await));
    let before = rig.database.number("SELECT count(*) FROM time_partition").await;
    rig.database.age(Duration::from_secs(15)).await;
    let other = open(&rig.database.worker_url()).await;
    assert!((19..=30).contains(&rig.database.number(ahead).await));
    // Concurrent workers create each partition once, and none overlaps another.
    rig.database.age(HOUR).await;
    let all = (0..8).map(|n| if n % 2 == 0 { rig.engine.clone() } else { other.clone() });
    let all: Vec<_> =
        all.map(|engine| tokio::spawn(async move { engine.purge(HOUR * 9).await.unwrap() })).collect();
    for one in all {
        one.await.unwrap();
    }
    assert!(rig.database.number("SELECT count(*) FROM time_partition").await > before);
    let overlaps = "SELECT count(*) FROM time_partition a JOIN time_partition b \
         ON a.id < b.id AND a.begins_at < b.ends_at AND b.begins_at < a.ends_at";
    assert_eq!(rig.database.number(overlaps).await, 0);
    assert_eq!(
        rig.database.number(PARTITIONS).await,
        3 * rig.database.number("SELECT count(*) FROM time_partition").await
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_never_fails_for_lack_of_a_partition() {
    let rig = PostgresHarness::new().await;
    rig.record(1, 2).await.unwrap();
    // No worker ran for an hour.
    rig.database.age(HOUR).await;
    let (one, two) = tokio::join!(rig.record(3, 2), rig.record(5, 2));
    assert_eq!([one.unwrap(), two.unwrap()].concat(), [RecordVerdict::Decided; 4]);
    assert_eq!(rig.decided().await, 6);
    // Partitions are an hour ahead, as after a correction of the server's clock.
    let rig = PostgresHarness::new().await;
    rig.record(1, 2).await.unwrap();
    rig.database.age_backwards(HOUR).await;
    assert_eq!(rig.record(3, 1).await.unwrap(), [RecordVerdict::Decided]);
    assert_eq!(rig.decided().await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_partitions_are_dropped_completely() {
    let rig = PostgresHarness::new().await;
    for age in 0..3_u32 {
        deliver(&rig, age * 1000, 500).await;
        rig.engine
            .record(&[decided(&format!("s/x-{age}"), message(age * 1000, "a.example"), UnixMillis(START))])
            .await
            .unwrap();
        rig.database.age(HOUR).await;
    }
    let before = rig.engine.inspector().totals(&[], &[]).await.unwrap();
    assert_eq!((before.decided, before.duplicates, before.delivered), (1500, 3, 1500));
    purge(&rig, HOUR + HOUR / 2).await;
    assert_eq!(rig.engine.inspector().totals(&[], &[]).await.unwrap(), before);
    assert_eq!(rig.database.number("SELECT count(*) FROM decision").await, 500);
    assert_eq!(rig.database.number("SELECT count(*) FROM request").await, 500);
    assert_eq!(rig.database.number("SELECT count(*) FROM attempt").await, 500);
    assert_eq!(rig.database.number("SELECT count(*) FROM duplicate").await, 1);
    let partitions = rig.database.number("SELECT count(*) FROM time_partition WHERE NOT expired").await;
    assert_eq!(rig.database.number("SELECT count(*) FROM time_partition").await, partitions);
    assert_eq!(rig.database.number(PARTITIONS).await, 3 * partitions);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pending_callback_keeps_only_its_own_partition() {
    let rig = PostgresHarness::new().await;
    deliver(&rig, 0, 10).await;
    let pending = record_first(&rig.engine, outcomes(10, 1)).await.remove(0);
    rig.database.age(HOUR).await;
    deliver(&rig, 20, 10).await;
    rig.database.age(HOUR).await;
    purge(&rig, HOUR / 2).await;
    // The younger partition is dropped; of the older one, the rows before the pending one are expired.
    assert_eq!(rig.database.number("SELECT count(*) FROM request").await, 1);
    assert_eq!(rig.decided().await, 21);
    let shown = rig.engine.inspector();
    let listed = shown.decisions(&DecisionFilter::default(), 99, None).await.unwrap();
    assert_eq!(listed.decisions.len(), 1);
    assert_eq!(listed.decisions[0].request_id, pending.request_id);
    rig.engine.report(&[delivered(&pending, UnixMillis(START))]).await.unwrap();
    rig.database.age(HOUR).await;
    purge(&rig, HOUR / 2).await;
    assert_eq!(rig.database.number("SELECT count(*) FROM request").await, 0);
    let books = shown.totals(&[], &[]).await.unwrap();
    assert_eq!((books.decided, books.delivered, books.in_flight), (21, 21, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_old_partitions_delays_only_retention() {
    let rig = PostgresHarness::new().await;
    deliver(&rig, 0, 10).await;
    rig.database.age(HOUR).await;
    let mut reader = rig.database.by_hand().await;
    let mut reading = reader.begin().await.unwrap();
    execute(&mut reading, "SELECT count(*) FROM decision").await;
    // The shortest of several purges, since a busy machine may delay any of them. Without its own limit each would wait
    // for the reader's lock as long as the session permits: 2 s.
    let mut shortest = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        purge(&rig, HOUR / 2).await;
        shortest = shortest.min(start.elapsed());
    }
    assert!(shortest < Duration::from_secs(2), "{shortest:?}");
    deliver(&rig, 10, 10).await;
    let left = rig.database.number("SELECT count(*) FROM time_partition WHERE expired").await;
    assert!(left > 0);
    assert_eq!(rig.decided().await, 20);
    reading.rollback().await.unwrap();
    purge(&rig, HOUR / 2).await;
    assert_eq!(rig.database.number("SELECT count(*) FROM time_partition WHERE expired").await, 0);
    assert_eq!(rig.decided().await, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_and_retention_agree_on_a_request() {
    // The repeat is first and locks the partition: retention waits for it and finds the callback reopened.
    let rig = PostgresHarness::new().await;
    deliver(&rig, 1, 1).await;
    rig.database.age(HOUR).await;
    let mut repeat = rig.database.by_hand().await;
    let mut locked = repeat.begin().await.unwrap();
    execute(&mut locked, "SELECT lock_partitions(ARRAY(SELECT recorded_at FROM request))").await;
    execute(
        &mut locked,
        "UPDATE attempt SET closed_at = NULL; \
         INSERT INTO callback SELECT recorded_at, clock(), 0, request_id, 1, 2, false, 'a.example' FROM request",
    )
    .await;
    let engine = rig.engine.clone();
    let purging = tokio::spawn(async move { engine.purge(HOUR / 2).await });
    wait_for_a_lock(&rig, || assert!(!purging.is_finished(), "retention does not wait for the repeat")).await;
    locked.commit().await.unwrap();
    purging.await.unwrap().unwrap();
    assert_eq!(rig.database.number("SELECT count(*) FROM request").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_waits_for_retention_and_is_decided_again() {
    let rig = PostgresHarness::new().await;
    deliver(&rig, 1, 1).await;
    rig.database.age(HOUR).await;
    rig.engine.purge(HOUR * 2).await.unwrap();
    let mut retention = rig.database.by_hand().await;
    let mut locked = retention.begin().await.unwrap();
    execute(&mut locked, "SELECT FROM time_partition FOR UPDATE").await;
    let engine = rig.engine.clone();
    let repeat = tokio::spawn(async move { engine.record(&outcomes(1, 1)).await });
    wait_for_a_lock(&rig, || assert!(!repeat.is_finished(), "the repeat does not wait for retention")).await;
    execute(&mut locked, "DELETE FROM request").await;
    locked.commit().await.unwrap();
    // A request deleted meanwhile fails once as a repeat, and is then decided for the first time.
    unavailable(&repeat.await.unwrap());
    assert_eq!(rig.record(1, 1).await.unwrap(), [RecordVerdict::Decided]);
}

/// Waits until a session waits for a lock in the rig's database.
async fn wait_for_a_lock(rig: &PostgresHarness, check: impl Fn()) {
    let waiting = "SELECT count(*) FROM pg_stat_activity \
         WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while rig.database.number(waiting).await == 0 {
        check();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totals_stay_exact_while_workers_record_and_purge() {
    let rig = PostgresHarness::new().await;
    let other = open(&rig.database.worker_url()).await;
    for n in 0..6 {
        deliver(&rig, n * 1000, 1000).await;
        rig.database.age(HOUR / 10).await;
    }
    let purging: Vec<_> = [rig.engine.clone(), other.clone()]
        .map(|engine| tokio::spawn(async move { while engine.purge(HOUR / 5).await.unwrap() {} }))
        .into();
    let mut totals = BTreeSet::new();
    for n in 0..20 {
        other.record(&outcomes(100_000 + n * 10, 10)).await.unwrap();
        totals.insert(rig.decided().await);
    }
    for one in purging {
        one.await.unwrap();
    }
    purge(&rig, HOUR / 5).await;
    // At every stage of retention each decision counts exactly once.
    assert_eq!(totals.into_iter().collect::<Vec<_>>(), (1..=20).map(|n| 6000 + n * 10).collect::<Vec<_>>());
    assert!(rig.database.number("SELECT count(*) FROM decision").await < 3000);
    assert_eq!(rig.decided().await, 6200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_are_claimed_while_partitions_cannot_be_created() {
    let rig = PostgresHarness::new().await;
    // Partitions of two seconds: a claim creates new ones after half of that time.
    let narrow =
        PostgresSettings { retention: Duration::from_secs(16), ..settings(&rig.database.worker_url()) };
    let (engine, _) = PostgresStore::open(narrow).await.unwrap();
    let mut owner = rig.database.by_hand().await;
    execute(&mut owner, "SELECT pg_advisory_lock(hashtextextended('chargegate.time_partition', 0))").await;
    rig.database.age(Duration::from_secs(18)).await;
    let start = Instant::now();
    loop {
        let claimed = Instant::now();
        engine.claim(limits(9, 9)).await.unwrap();
        // The claim waited for the lock until the lock timeout.
        if claimed.elapsed() > Duration::from_millis(900) {
            break;
        }
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_since_filter_is_bounded_by_the_time_of_recording() {
    let rig = PostgresHarness::new().await;
    let now = rig.database.number("SELECT clock()").await;
    let since = UnixMillis(u64::try_from(now).unwrap());
    // By the clock of a worker that is hours ahead.
    let ahead = since.plus(HOUR * 9);
    rig.engine.record(&[decided("s/1-0", message(1, "a.example"), ahead)]).await.unwrap();
    let view = rig.engine.inspector();
    let filter = DecisionFilter { since: Some(since), ..DecisionFilter::default() };
    let found = async || view.decisions(&filter, 9, None).await.unwrap().decisions.len();
    assert_eq!(found().await, 1);
    rig.database.age(Duration::from_mins(59)).await;
    assert_eq!(found().await, 1);
    rig.database.age(Duration::from_mins(2)).await;
    assert_eq!(found().await, 0);
}
