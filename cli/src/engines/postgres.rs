//! PostgreSQL as the store.

use std::sync::Arc;

use async_trait::async_trait;
use chargegate_postgres::{
    DatabaseUrl, DatabaseUrlError, MigrateError, MigrationResult, PostgresInspector, PostgresOpenError,
    PostgresSettings, PostgresStore, migrate,
};
use chargegate_storage::inspect::Inspect;
use chargegate_storage::operate::Operators;
use chargegate_storage::reconcile::CountedStore;
use tracing::warn;

use super::connector::OpenStore;
use super::{EngineHandle, EngineOpenError, OpenOperators, SchemaVersions, StoreConnector, StoreTuning};
use crate::settings::{DATABASE_URL, SettingError};

/// Returns the connector of a store on PostgreSQL.
pub(super) fn connector(url: &str) -> Result<Box<dyn StoreConnector>, SettingError> {
    let url = url.parse().map_err(|error: DatabaseUrlError| SettingError::DatabaseUrl(error.into()))?;
    Ok(Box::new(PostgresConnector(url)))
}

struct PostgresConnector(DatabaseUrl);

#[async_trait]
impl StoreConnector for PostgresConnector {
    async fn open(&self, tuning: StoreTuning) -> Result<OpenStore, EngineOpenError> {
        let StoreTuning { connections, callback_lease, retention } = tuning;
        let settings = PostgresSettings {
            connections,
            callback_lease,
            retention,
            ..PostgresSettings::new(self.0.clone())
        };
        let (engine, warnings) = PostgresStore::open(settings).await.map_err(with_remedy)?;
        for warning in warnings {
            warn!("{DATABASE_URL}: {warning}");
        }
        let engine = Arc::new(engine);
        Ok(OpenStore {
            store: engine.clone(),
            fleet: engine.clone(),
            history: engine.clone(),
            operators: operators(&engine),
            handle: engine,
        })
    }

    async fn inspect(&self) -> Result<Box<dyn Inspect>, EngineOpenError> {
        Ok(Box::new(PostgresInspector::open(&self.0).await.map_err(with_remedy)?))
    }

    async fn operate(&self) -> Result<OpenOperators, EngineOpenError> {
        let settings = PostgresSettings::new(self.0.clone());
        let (engine, _) = PostgresStore::open(settings).await.map_err(with_remedy)?;
        let engine = Arc::new(engine);
        Ok(OpenOperators { operators: operators(&engine), handle: engine })
    }

    async fn open_counters(&self) -> Result<Box<dyn CountedStore>, EngineOpenError> {
        Ok(Box::new(PostgresInspector::open(&self.0).await.map_err(with_remedy)?))
    }

    async fn migrate(&self) -> Result<SchemaVersions, EngineOpenError> {
        let MigrationResult { from, to } = migrate(&self.0).await.map_err(with_migration_remedy)?;
        Ok(SchemaVersions { from, to })
    }
}

fn operators(engine: &Arc<PostgresStore>) -> Operators {
    Operators { view: Arc::new(engine.inspector()), operate: engine.clone() }
}

#[async_trait]
impl EngineHandle for PostgresStore {
    async fn close(&self) {
        PostgresStore::close(self).await;
    }
}

/// Adds the setting to change and the remedy.
fn with_remedy(error: PostgresOpenError) -> EngineOpenError {
    let remedy = open_remedy(&error);
    EngineOpenError::new(error, remedy)
}

fn open_remedy(error: &PostgresOpenError) -> String {
    match error {
        PostgresOpenError::Unreachable { .. } => format!("start it, or correct {DATABASE_URL}"),
        PostgresOpenError::Credentials { .. } => format!("correct them in {DATABASE_URL}"),
        PostgresOpenError::NoDatabase { .. } => format!("create it, or correct {DATABASE_URL}"),
        PostgresOpenError::Crowded { .. } => {
            format!("raise max_connections of the server in {DATABASE_URL}, or run less on it")
        }
        PostgresOpenError::TooOld { .. } => format!("upgrade it, or use another in {DATABASE_URL}"),
        PostgresOpenError::ReadOnly => format!("use the primary in {DATABASE_URL}"),
        PostgresOpenError::NotMigrated { .. } => {
            format!("run `chargegate migrate` on the database of {DATABASE_URL}")
        }
        PostgresOpenError::Newer { .. } => {
            format!("run the newer program, or use another database in {DATABASE_URL}")
        }
        PostgresOpenError::Foreign => {
            format!("use a database in {DATABASE_URL} that belongs to chargegate alone")
        }
        PostgresOpenError::Denied(_) => format!(
            "grant the user in {DATABASE_URL} the privileges that worker/postgres/migrations/ROLE.md lists"
        ),
        PostgresOpenError::Failed(_) => {
            format!("see the cause, and the log of the server in {DATABASE_URL}")
        }
    }
}

/// Adds the setting to change and the remedy.
fn with_migration_remedy(error: MigrateError) -> EngineOpenError {
    let remedy = match &error {
        MigrateError::Open(error) => open_remedy(error),
        MigrateError::Denied(_) => {
            format!("use the owner of the database in {DATABASE_URL} for the migration")
        }
        MigrateError::Changed { .. } => {
            format!("use the release that migrated the database of {DATABASE_URL}")
        }
        MigrateError::Failed(_) => {
            format!("see the cause and the log of the server in {DATABASE_URL}, then run it again")
        }
    };
    EngineOpenError::new(error, remedy)
}
