//! The state that workers share to protect the authorization service.

use async_trait::async_trait;
use chargegate_core::UnixMillis;
use sqlx::{PgConnection, Row as _};

use super::PostgresStore;
use super::failure::PostgresFailure;
use super::rows::count;
use super::sessions::until;
use chargegate_storage::StoreError;
use chargegate_storage::fleet::{FleetStore, StoredFleet};

#[async_trait]
impl FleetStore for PostgresStore {
    async fn load_fleet(&self) -> Result<StoredFleet, StoreError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, read(session.connection())).await;
        session.finish(result)
    }

    async fn replace_fleet(&self, version: u64, text: &str) -> Result<bool, StoreError> {
        let mut session = self.shared.sessions.begin().await?;
        let ends = session.ends();
        let result = until(ends, replace(session.connection(), version, text)).await;
        session.finish(result)
    }
}

async fn read(connection: &mut PgConnection) -> Result<StoredFleet, PostgresFailure> {
    let row =
        sqlx::query("SELECT version, state, clock() AS now FROM acl_fleet").fetch_one(connection).await?;
    Ok(StoredFleet {
        version: count(&row, "version")?,
        text: row.try_get("state")?,
        now: UnixMillis(count(&row, "now")?),
    })
}

async fn replace(connection: &mut PgConnection, version: u64, text: &str) -> Result<bool, PostgresFailure> {
    let written = sqlx::query("UPDATE acl_fleet SET version = version + 1, state = $2 WHERE version = $1")
        .bind(i64::try_from(version).unwrap_or(i64::MAX))
        .bind(text)
        .execute(connection)
        .await?;
    Ok(written.rows_affected() == 1)
}
