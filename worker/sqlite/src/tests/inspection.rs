//! Read-only access for operators.

use super::*;
use crate::{SqliteInspector, SqliteOpenError};

async fn decide_three(harness: &SqliteHarness) {
    for n in 1..=3 {
        let job = harness.decide(n, "a.example").await;
        if n == 2 {
            harness.give_up(&job).await;
        }
        harness.clock.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn the_error_names_a_folder_without_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nowhere");
    let error = SqliteInspector::open(&missing).await.unwrap_err();
    assert!(matches!(error, SqliteOpenError::Missing { .. }));
    assert!(error.to_string().contains("nowhere"), "{error}");
    assert!(!missing.exists());
}

#[tokio::test]
async fn an_inspector_cannot_write() {
    let harness = SqliteHarness::new().await;
    decide_three(&harness).await;
    let readers = crate::open::open_readers(harness.data_dir()).await.unwrap();
    sqlx::query("DELETE FROM decision").execute(&readers).await.unwrap_err();
}
