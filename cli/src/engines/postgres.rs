//! PostgreSQL as the store.

use std::sync::Arc;

use async_trait::async_trait;
use chargegate_postgres::{
    DatabaseUrl, DatabaseUrlError, MigrateError, MigrationResult, PostgresInspector, PostgresOpenError,
    PostgresSettings, PostgresStore, migrate,
};
use chargegate_storage::Effects;
use chargegate_storage::inspect::Inspect;
use chargegate_storage::reconcile::CountedStore;
use tracing::warn;

use super::{EngineHandle, EngineOpenError, OpenStore, SchemaVersions, StoreConnector, StoreTuning};
use crate::settings::SettingError;

/// Returns the connector of a store on PostgreSQL.
pub(super) fn connector(url: &str) -> Result<Box<dyn StoreConnector>, SettingError> {
    let url = url.parse().map_err(|error: DatabaseUrlError| SettingError::DatabaseUrl(error.into()))?;
    Ok(Box::new(PostgresConnector(url)))
}

struct PostgresConnector(DatabaseUrl);

#[async_trait]
impl StoreConnector for PostgresConnector {
    async fn open(&self, tuning: StoreTuning, effects: &Effects) -> Result<OpenStore, EngineOpenError> {
        let StoreTuning { connections, callback_lease, retention } = tuning;
        let settings = PostgresSettings {
            connections,
            callback_lease,
            retention,
            ..PostgresSettings::new(self.0.clone())
        };
        let (engine, warnings) = PostgresStore::open(settings, effects.clone()).await.map_err(with_remedy)?;
        for warning in warnings {
            warn!("{warning}");
        }
        let engine = Arc::new(engine);
        Ok(OpenStore { store: engine.clone(), history: engine.clone(), handle: engine })
    }

    async fn inspect(&self) -> Result<Box<dyn Inspect>, EngineOpenError> {
        Ok(Box::new(PostgresInspector::open(&self.0).await.map_err(with_remedy)?))
    }

    async fn open_counters(&self) -> Result<Box<dyn CountedStore>, EngineOpenError> {
        Ok(Box::new(PostgresInspector::open(&self.0).await.map_err(with_remedy)?))
    }

    async fn migrate(&self) -> Result<SchemaVersions, EngineOpenError> {
        let MigrationResult { from, to } = migrate(&self.0).await.map_err(with_migration_remedy)?;
        Ok(SchemaVersions { from, to })
    }
}

#[async_trait]
impl EngineHandle for PostgresStore {
    async fn close(&self) {
        PostgresStore::close(self).await;
    }
}

fn with_remedy(error: PostgresOpenError) -> EngineOpenError {
    EngineOpenError::new(error, "")
}

fn with_migration_remedy(error: MigrateError) -> EngineOpenError {
    EngineOpenError::new(error, "")
}
