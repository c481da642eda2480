//! Opening a data folder, and reasons to refuse one.

use sqlx::sqlite::SqliteSynchronous;

use super::*;
use crate::open::Tuning;
use crate::{SqliteInspector, SqliteOpenError};

async fn open_error(harness: &SqliteHarness) -> SqliteOpenError {
    SqliteEngine::open(harness.data_dir(), SqliteSettings::default(), harness.effects()).await.unwrap_err()
}

#[tokio::test]
async fn a_folder_in_use_is_refused_until_its_engine_is_closed() {
    let harness = SqliteHarness::new().await;
    let error = open_error(&harness).await;
    assert!(matches!(error, SqliteOpenError::InUse { .. }));
    assert!(error.to_string().contains("in use by another process"));
    harness.engine.close().await;
    SqliteEngine::open(harness.data_dir(), SqliteSettings::default(), harness.effects()).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("deep").join("data");
    let clock = ManualClock::at(START);
    let engine = SqliteEngine::open(&folder, SqliteSettings::default(), effects(&clock)).await.unwrap();
    engine.enqueue("secret".to_owned()).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for file in ["lock", "chargegate.db", "chargegate.db-wal", "chargegate.db-shm"] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_file_that_would_not_be_synced_is_refused() {
    for synchronous in [SqliteSynchronous::Off, SqliteSynchronous::Normal] {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(START);
        let tuning = Tuning { synchronous, ..Tuning::default() };
        let opened =
            SqliteEngine::open_tuned(folder.path(), SqliteSettings::default(), effects(&clock), tuning).await;
        assert!(
            matches!(opened, Err(SqliteOpenError::NotDurable { pragma: "synchronous", .. })),
            "{opened:?}"
        );
    }
}

#[tokio::test]
async fn a_foreign_file_is_refused_and_not_changed() {
    for content in [&b"not a database, but long enough to be looked at as one: it has more than 100 bytes of text in it, see"[..], b"x"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chargegate.db");
        std::fs::write(&file, content).unwrap();
        let clock = ManualClock::at(START);
        let opened = SqliteEngine::open(folder.path(), SqliteSettings::default(), effects(&clock)).await;
        assert!(matches!(opened, Err(SqliteOpenError::Foreign { .. })), "{opened:?}");
        assert_eq!(std::fs::read(&file).unwrap(), content);
    }
}

#[tokio::test]
async fn a_foreign_database_is_refused_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chargegate.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut other = options.connect().await.unwrap();
    sqlx::query("CREATE TABLE queue (seq INTEGER)").execute(&mut other).await.unwrap();
    sqlx::Connection::close(other).await.unwrap();
    let before = std::fs::read(&file).unwrap();
    let clock = ManualClock::at(START);
    let opened = SqliteEngine::open(folder.path(), SqliteSettings::default(), effects(&clock)).await;
    assert!(matches!(opened, Err(SqliteOpenError::Foreign { .. })), "{opened:?}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let harness = SqliteHarness::new().await;
    harness.engine.close().await;
    harness.execute("PRAGMA user_version = 99").await;
    assert!(matches!(open_error(&harness).await, SqliteOpenError::Newer { found: 99, .. }));
    assert!(matches!(
        SqliteInspector::open(harness.data_dir()).await,
        Err(SqliteOpenError::Newer { found: 99, .. })
    ));
}

#[tokio::test]
async fn a_restart_ends_every_lease() {
    let mut harness = SqliteHarness::new().await;
    harness.decide(1, "a.example").await;
    harness.enqueue("a").await;
    harness.lease(1).await;
    harness.reopen().await;
    assert_eq!(harness.lease(1).await[0].deliveries, 2);
    let claimed = harness.claim(limits(10, 10)).await;
    assert_eq!(claimed[0].attempt, attempt(2));
}

#[tokio::test]
async fn a_restart_makes_no_retry_due_early() {
    let mut harness = SqliteHarness::new().await;
    let job = harness.decide(1, "a.example").await;
    let next = AfterAttempt::Retry { after: Duration::from_secs(5) };
    harness.report(&job, AttemptResult::Unreachable, next).await;
    harness.reopen().await;
    assert!(harness.claim(limits(10, 10)).await.is_empty());
}
