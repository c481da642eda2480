//! The store suite on the oldest supported server and on a recent one.

use chargegate_storage::reconcile::CountedStore as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_postgres::{PostgresSettings, PostgresStore};
use chargegate_storage::conformance::stores::{
    ManualClock, OutcomeCounts, START, StoreBackend, StoreFixture,
};

use crate::database::{TestDatabase, TestServer, parsed};

struct PostgresStoreBackend {
    engine: PostgresStore,
    database: TestDatabase,
}

#[async_trait]
impl StoreBackend for PostgresStoreBackend {
    async fn age(&self, by: Duration) {
        self.database.age(by).await;
    }

    async fn totals(&self) -> OutcomeCounts {
        OutcomeCounts::from(&self.engine.inspector().totals(&[], &[]).await.unwrap())
    }
}

/// Returns a fixture whose workers have the documented role.
async fn fixture(server: &TestServer) -> StoreFixture {
    let clock = ManualClock::at(START);
    let database = server.database().await;
    let settings = PostgresSettings {
        retention: Duration::from_secs(80),
        ..PostgresSettings::new(parsed(&database.worker_url()))
    };
    let lease = settings.callback_lease;
    let (engine, warnings) = PostgresStore::open(settings.clone()).await.unwrap();
    assert_eq!(warnings, []);
    let (other, _) = PostgresStore::open(settings).await.unwrap();
    StoreFixture {
        store: Arc::new(engine.clone()),
        other: Arc::new(other),
        view: Arc::new(engine.inspector()),
        operate: Arc::new(engine.clone()),
        clock,
        lease,
        backend: Box::new(PostgresStoreBackend { engine, database }),
    }
}

mod oldest {
    chargegate_storage::store_suite!(super::fixture(&crate::database::OLDEST).await);
}

mod next {
    chargegate_storage::store_suite!(super::fixture(&crate::database::NEXT).await);
}
