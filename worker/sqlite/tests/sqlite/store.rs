//! The store suite: both workers are the one that may use the folder.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_sqlite::{Engine, Settings};
use chargegate_storage::conformance::stores::{Backend, Bench, ManualClock, START, Totals, effects};
use tempfile::TempDir;

struct Folder {
    engine: Engine,
    _folder: TempDir,
}

#[async_trait]
impl Backend for Folder {
    async fn age(&self, _by: Duration) {}

    async fn totals(&self) -> Totals {
        Totals::from(&self.engine.inspector().reconcile().await.unwrap())
    }
}

async fn bench() -> Bench {
    let clock = ManualClock::at(START);
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::default();
    let lease = settings.callback_lease;
    let engine = Engine::open(folder.path(), settings, effects(&clock)).await.unwrap();
    Bench {
        store: Arc::new(engine.clone()),
        other: Arc::new(engine.clone()),
        view: Arc::new(engine.inspector()),
        clock,
        lease,
        backend: Box::new(Folder { engine, _folder: folder }),
    }
}

chargegate_storage::store_suite!(bench().await);
