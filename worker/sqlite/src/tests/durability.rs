//! Full disks, broken connections, shared commits.

use super::*;
use crate::EnqueueFailure;
use crate::open::Tuning;
use chargegate_storage::{QueueError, StoreError};

async fn open_small(pages: u32) -> (TempDir, SqliteEngine) {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(START);
    let tuning = Tuning { max_page_count: Some(pages), ..Tuning::default() };
    let engine = SqliteEngine::open_tuned(folder.path(), SqliteSettings::default(), effects(&clock), tuning)
        .await
        .unwrap();
    (folder, engine)
}

/// Enqueues until the database is full; returns the number of accepted messages.
async fn fill(engine: &SqliteEngine) -> usize {
    for accepted in 0..10_000 {
        match engine.enqueue("x".repeat(1000)).await {
            Ok(()) => {}
            Err(EnqueueFailure::Full) => return accepted,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the database is never full")
}

#[tokio::test]
async fn a_full_database_refuses_messages_until_space_is_freed() {
    let (_folder, engine) = open_small(60).await;
    let accepted = fill(&engine).await;
    assert!(accepted > 10, "{accepted}");
    assert_eq!(engine.depth().await.unwrap().waiting, u64::try_from(accepted).unwrap());
    assert!(matches!(engine.enqueue("x".repeat(5000)).await, Err(EnqueueFailure::Full)));

    let leased = engine.lease(accepted, NO_WAIT).await.unwrap();
    assert_eq!(leased.len(), accepted);
    let half = leased.into_iter().take(accepted / 2).map(|message| message.key).collect();
    engine.ack(half).await.unwrap();
    engine.enqueue("x".repeat(1000)).await.unwrap();
}

#[tokio::test]
async fn acks_succeed_in_a_batch_whose_enqueues_fail() {
    let (_folder, engine) = open_small(60).await;
    let accepted = fill(&engine).await;
    let leased = engine.lease(accepted, NO_WAIT).await.unwrap();
    // All of these are in the channel before the writer's task runs again: one batch.
    let callers = leased.into_iter().map(|message| {
        let body = "x".repeat(16_000);
        let engine = &engine;
        async move { tokio::join!(engine.enqueue(body), engine.ack(vec![message.key])) }
    });
    let results = futures_util::future::join_all(callers).await;
    assert!(results.iter().any(|(enqueued, _)| matches!(enqueued, Err(EnqueueFailure::Full))));
    for (_, acknowledged) in results {
        acknowledged.unwrap();
    }
}

#[tokio::test]
async fn a_full_database_records_nothing_of_a_batch() {
    let (folder, engine) = open_small(60).await;
    fill(&engine).await;
    let outcomes: Vec<_> =
        (1..=500).map(|n| decided(&n.to_string(), message(n, "a.example"), UnixMillis(START))).collect();
    let recorded = engine.record(&outcomes).await;
    assert!(matches!(recorded, Err(StoreError::Full)), "{recorded:?}");
    engine.close().await;
    let file = folder.path().join("chargegate.db");
    let mut connection = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    for table in ["decision", "callback"] {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let rows: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        assert_eq!(rows, 0);
    }
}

#[tokio::test]
async fn a_failing_database_fails_its_callers_and_then_recovers() {
    let harness = SqliteHarness::new().await;
    harness.enqueue("a").await;
    harness.execute("ALTER TABLE queue RENAME TO hidden").await;
    let failed = harness.engine.enqueue("b".to_owned()).await;
    assert!(matches!(failed, Err(EnqueueFailure::Unavailable(_))), "{failed:?}");
    assert!(matches!(harness.engine.lease(1, NO_WAIT).await, Err(QueueError::Unavailable(_))));
    harness.execute("ALTER TABLE hidden RENAME TO queue").await;
    harness.enqueue("c").await;
    let bodies: Vec<Vec<u8>> = harness.lease(10).await.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, [b"a", b"c"]);
    assert_eq!(harness.engine.depth().await.unwrap().waiting, 2);
}

#[tokio::test]
async fn a_connection_that_lost_its_transaction_is_reopened() {
    let harness = SqliteHarness::new().await;
    harness.enqueue("a").await;
    harness
        .execute("CREATE TRIGGER broken BEFORE INSERT ON queue BEGIN SELECT RAISE(ROLLBACK, 'broken'); END")
        .await;
    for _ in 0..3 {
        let failed = harness.engine.enqueue("b".to_owned()).await;
        assert!(matches!(failed, Err(EnqueueFailure::Unavailable(_))), "{failed:?}");
    }
    harness.execute("DROP TRIGGER broken").await;
    harness.enqueue("c").await;
    assert_eq!(keys(&harness.lease(10).await), ["1", "2"]);
    assert_eq!(harness.engine.depth().await.unwrap().waiting, 2);
}

#[tokio::test]
async fn concurrent_enqueues_share_commits() {
    let harness = SqliteHarness::new().await;
    let before = log_frames(&harness);
    let callers = (0..200).map(|n| harness.engine.enqueue(n.to_string()));
    for enqueued in futures_util::future::join_all(callers).await {
        enqueued.unwrap();
    }
    // Alone, each would write at least two pages: that of the row, and that of the counter.
    let written = log_frames(&harness) - before;
    assert!(written < 40, "{written} pages were written for 200 messages");
    assert_eq!(harness.number("SELECT count(*) FROM queue").await, 200);
}

/// Returns the number of pages in the write-ahead log.
fn log_frames(harness: &SqliteHarness) -> u64 {
    let bytes = std::fs::metadata(harness.data_dir().join("chargegate.db-wal")).unwrap().len();
    bytes.saturating_sub(32) / (4096 + 24)
}
