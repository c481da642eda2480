//! Read-only access for operators.

use super::*;
use crate::{SqliteInspector, SqliteOpenError};

async fn three(bench: &Bench) {
    for n in 1..=3 {
        let job = bench.decide(n, "a.example").await;
        if n == 2 {
            bench.give_up(&job).await;
        }
        bench.clock.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_folder_without_a_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nowhere");
    let error = SqliteInspector::open(&missing).await.unwrap_err();
    assert!(matches!(error, SqliteOpenError::Missing { .. }));
    assert!(error.to_string().contains("nowhere"), "{error}");
    assert!(!missing.exists());
}

#[tokio::test]
async fn a_view_cannot_write() {
    let bench = Bench::new().await;
    three(&bench).await;
    let readers = crate::open::open_readers(bench.data_dir()).await.unwrap();
    sqlx::query("DELETE FROM decision").execute(&readers).await.unwrap_err();
}
