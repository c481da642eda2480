//! Sessions that fail while the server keeps running.

use std::time::Duration;

use chargegate_storage::StoreError;
use chargegate_storage::store::Store as _;
use tokio::task::JoinSet;

use super::{PostgresHarness, outcomes, terminate, unavailable, until_ok};
use crate::database::execute;
use chargegate_storage::conformance::stores::limits;

/// Makes the engine open several idle sessions.
async fn warm(rig: &PostgresHarness, sessions: u32) {
    let mut tasks = JoinSet::new();
    for n in 0..sessions {
        let engine = rig.engine.clone();
        let outcomes = outcomes(90_000 + n * 100, 100);
        tasks.spawn(async move { engine.record(&outcomes).await.unwrap() });
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminated_sessions_cause_one_failure_in_total() {
    let rig = PostgresHarness::new().await;
    warm(&rig, 6).await;
    terminate(&rig).await;
    let mut failures = 0;
    for n in 0..20 {
        failures += usize::from(rig.record(n, 1).await.is_err());
    }
    assert_eq!(failures, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_resumes_after_a_read_only_period() {
    let rig = PostgresHarness::new().await;
    warm(&rig, 3).await;
    let name = rig.database.name();
    rig.database.execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    terminate(&rig).await;
    let (_, _) = until_ok(|| rig.engine.backlog()).await;
    for n in 0..5 {
        unavailable(&rig.record(n, 1).await);
    }
    // The session that resets the setting must itself be writable.
    let mut owner = rig.database.by_hand().await;
    execute(&mut owner, "SET default_transaction_read_only = off").await;
    execute(&mut owner, &format!("ALTER DATABASE {name} RESET default_transaction_read_only")).await;
    // A session that was refused is not reused, although it is still open.
    rig.record(0, 5).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_resumes_once_the_server_has_connections() {
    let rig = PostgresHarness::new().await;
    let name = rig.database.name();
    rig.database.execute(&format!("ALTER DATABASE {name} CONNECTION LIMIT 0")).await;
    terminate(&rig).await;
    for n in 0..3 {
        unavailable(&rig.record(n, 1).await);
    }
    rig.database.execute(&format!("ALTER DATABASE {name} CONNECTION LIMIT -1")).await;
    rig.record(0, 5).await.unwrap();
}

/// Returns the cause for which a record fails: which of the time limits ended it.
async fn failure_cause(rig: &PostgresHarness) -> String {
    let error = rig.record(0, 1).await.unwrap_err();
    std::error::Error::source(&error).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_a_lock_times_out() {
    let rig = PostgresHarness::new().await;
    let mut owner = rig.database.by_hand().await;
    execute(&mut owner, "BEGIN; LOCK TABLE request IN ACCESS EXCLUSIVE MODE").await;
    let cause = failure_cause(&rig).await;
    assert!(cause.contains("lock timeout"), "{cause}");
    execute(&mut owner, "COMMIT").await;
    rig.record(0, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_statement_times_out() {
    let rig = PostgresHarness::new().await;
    rig.database
        .execute(
            "CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ \
             BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$; \
             CREATE TRIGGER dawdle AFTER INSERT ON request EXECUTE FUNCTION public.dawdle()",
        )
        .await;
    let cause = failure_cause(&rig).await;
    assert!(cause.contains("statement timeout"), "{cause}");
    rig.database.execute("DROP TRIGGER dawdle ON request").await;
    rig.record(0, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_call_leaves_nothing_behind() {
    let rig = PostgresHarness::new().await;
    let mut owner = rig.database.by_hand().await;
    execute(&mut owner, "BEGIN; LOCK TABLE decision IN ACCESS EXCLUSIVE MODE").await;
    for _ in 0..20 {
        // The caller stops waiting in the middle of the transaction: more often than there are sessions.
        let waited = tokio::time::timeout(Duration::from_millis(100), rig.record(0, 5)).await;
        assert!(waited.is_err());
    }
    execute(&mut owner, "COMMIT").await;
    rig.record(0, 5).await.unwrap();
    assert_eq!(rig.decided().await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_callers_than_sessions_take_turns() {
    let rig = PostgresHarness::new().await;
    let mut tasks = JoinSet::new();
    for n in 0..40 {
        let engine = rig.engine.clone();
        let outcomes = outcomes(n * 10, 10);
        tasks.spawn(async move { engine.record(&outcomes).await.unwrap().len() });
    }
    assert_eq!(tasks.join_all().await.into_iter().sum::<usize>(), 400);
    let sessions = rig
        .database
        .number("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'chargegate'")
        .await;
    assert!((1..=8).contains(&sessions), "{sessions}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_schema_stops_the_worker() {
    for damage in ["ALTER TABLE callback RENAME TO gone", "ALTER TABLE callback RENAME COLUMN leased TO held"]
    {
        let rig = PostgresHarness::new().await;
        rig.database.execute(damage).await;
        let error = rig.record(0, 1).await.unwrap_err();
        assert!(matches!(error, StoreError::Unreadable(_)), "{error:?}");
        assert_eq!(rig.database.number("SELECT count(*) FROM decision").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_of_a_newer_version_is_not_claimed() {
    let rig = PostgresHarness::new().await;
    rig.record(1, 2).await.unwrap();
    rig.database.execute("UPDATE decision SET reason = 'of_tomorrow' WHERE message_key = 's/1-0'").await;
    rig.database.age(Duration::from_mins(2)).await;
    assert_eq!(rig.engine.claim(limits(9, 9)).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_store_returns_closed_errors() {
    let rig = PostgresHarness::new().await;
    rig.record(0, 1).await.unwrap();
    rig.engine.close().await;
    let error = rig.record(1, 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Closed), "{error:?}");
}
