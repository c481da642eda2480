//! The store suite: both workers are the same engine, since a folder has only one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_sqlite::{SqliteEngine, SqliteSettings};
use chargegate_storage::conformance::stores::{
    ManualClock, OutcomeCounts, START, StoreBackend, StoreFixture, effects,
};
use tempfile::TempDir;

struct SqliteStoreBackend {
    engine: SqliteEngine,
    _folder: TempDir,
}

#[async_trait]
impl StoreBackend for SqliteStoreBackend {
    async fn age(&self, _by: Duration) {}

    async fn totals(&self) -> OutcomeCounts {
        OutcomeCounts::from(&self.engine.inspector().reconcile().await.unwrap())
    }
}

async fn fixture() -> StoreFixture {
    let clock = ManualClock::at(START);
    let folder = tempfile::tempdir().unwrap();
    let settings = SqliteSettings::default();
    let lease = settings.callback_lease;
    let engine = SqliteEngine::open(folder.path(), settings, effects(&clock)).await.unwrap();
    StoreFixture {
        store: Arc::new(engine.clone()),
        other: Arc::new(engine.clone()),
        view: Arc::new(engine.inspector()),
        operate: Arc::new(engine.clone()),
        clock,
        lease,
        backend: Box::new(SqliteStoreBackend { engine, _folder: folder }),
    }
}

chargegate_storage::store_suite!(fixture().await);
