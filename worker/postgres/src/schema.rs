//! Versions of the schema. A released migration never changes; each change is a new file at the end.

use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, SqlStr};
use tokio::time::timeout;

use super::open::{self, PostgresOpenError};
use super::sessions::CONNECT_TIMEOUT;
use super::url::DatabaseUrl;

/// Migrations with their descriptions; the version is the position, from 1 on.
const MIGRATIONS: [(&str, &str); 4] = [
    ("chargegate: init", include_str!("../migrations/0001_init.sql")),
    ("chargegate: acl fleet", include_str!("../migrations/0002_acl_fleet.sql")),
    ("chargegate: receivers", include_str!("../migrations/0003_receiver.sql")),
    ("chargegate: operator actions", include_str!("../migrations/0004_operator_actions.sql")),
];

/// Newest known version.
pub(super) const NEWEST: i64 = 4;

const TABLE: &str = "chargegate._sqlx_migrations";
/// Longest wait for a lock, for example of a concurrent migration. The migration itself may take longer.
const LOCK_TIMEOUT: &str = "60s";
const MIGRATION_TIMEOUT: Duration = Duration::from_hours(1);

/// State of a database's schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SchemaState {
    /// The database has no tables.
    Empty,
    /// The schema of this program, at this version.
    Ours(i64),
    /// The tables of another program.
    Foreign,
}

/// Versions before and after a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MigrationResult {
    /// The version found; 0 is an empty database.
    pub from: i64,
    /// The version now.
    pub to: i64,
}

/// Failure to migrate a database, which stays unchanged or at an intermediate version.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot be used.
    #[error(transparent)]
    Open(#[from] PostgresOpenError),
    /// The user may not change the schema.
    #[error("the user may not create the schema chargegate")]
    Denied(#[source] sqlx::Error),
    /// An applied migration differs from the one of this program.
    #[error("migration {version} in the database differs from the one of this program")]
    Changed {
        /// Its number.
        version: i64,
    },
    /// A migration failed.
    #[error("a migration of the database failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Migrates a database of this program, or an empty one, to the newest schema. Repeated and concurrent runs are harmless:
/// the second waits for the first.
///
/// # Errors
/// [`MigrateError`] says what is in the way and what to do about it.
pub async fn migrate(url: &DatabaseUrl) -> Result<MigrationResult, MigrateError> {
    let options = url.options().options([("search_path", "chargegate"), ("lock_timeout", LOCK_TIMEOUT)]);
    let mut connection = match timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(connected) => connected.map_err(|error| PostgresOpenError::connecting(url, error))?,
        Err(_elapsed) => return Err(PostgresOpenError::unreachable(url, None).into()),
    };
    let migrated = timeout(MIGRATION_TIMEOUT, run(&mut connection)).await;
    let _ = timeout(CONNECT_TIMEOUT, connection.close()).await;
    migrated.unwrap_or_else(|elapsed| Err(MigrateError::Failed(elapsed.into())))
}

async fn run(connection: &mut PgConnection) -> Result<MigrationResult, MigrateError> {
    open::check_server(connection).await?;
    sqlx::query("SELECT pg_advisory_lock(hashtextextended('chargegate.migrate', 0))")
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let from = match kind(connection).await.map_err(PostgresOpenError::from_sql)? {
        SchemaState::Empty => 0,
        SchemaState::Ours(version) if version > NEWEST => {
            return Err(PostgresOpenError::newer(version).into());
        }
        SchemaState::Ours(version) => version,
        SchemaState::Foreign => return Err(PostgresOpenError::Foreign.into()),
    };
    if from < NEWEST {
        let schema: bool = sqlx::query_scalar("SELECT to_regnamespace('chargegate') IS NOT NULL")
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        if !schema {
            sqlx::query("CREATE SCHEMA chargegate").execute(&mut *connection).await.map_err(failed)?;
        }
    }
    migrator().run_direct(None, connection, false).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::VersionMismatch(version) => MigrateError::Changed { version },
        sqlx::migrate::MigrateError::Execute(error)
        | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => failed(error),
        error => MigrateError::Failed(error.into()),
    })?;
    Ok(MigrationResult { from, to: NEWEST })
}

fn failed(error: sqlx::Error) -> MigrateError {
    match &error {
        sqlx::Error::Database(refused) if refused.code().as_deref() == Some("42501") => {
            MigrateError::Denied(error)
        }
        _ => MigrateError::Failed(error.into()),
    }
}

fn migrations() -> impl Iterator<Item = Migration> {
    (1..).zip(MIGRATIONS).map(|(version, (description, sql))| {
        Migration::new(version, description.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    })
}

fn migrator() -> Migrator {
    let mut migrator = Migrator::with_migrations(migrations().collect());
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

/// Determines the state of a database without changing it. The description of the first migration identifies the program,
/// since a changed migration text is a separate error.
pub(super) async fn kind(connection: &mut PgConnection) -> Result<SchemaState, sqlx::Error> {
    let migrated: bool = sqlx::query_scalar("SELECT to_regclass('chargegate._sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if migrated {
        let applied: Vec<(i64, String)> = sqlx::query_as(
            "SELECT version, description FROM chargegate._sqlx_migrations WHERE success ORDER BY version",
        )
        .fetch_all(&mut *connection)
        .await?;
        if let Some((last, _)) = applied.last() {
            let ours = applied
                .first()
                .is_some_and(|(version, text)| *version == 1 && text.starts_with("chargegate: "));
            return Ok(if ours { SchemaState::Ours(*last) } else { SchemaState::Foreign });
        }
    }
    // Tables of an extension are not data of another program.
    let others: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace \
         WHERE relkind IN ('r', 'p') AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%' \
         AND pg_class.oid IS DISTINCT FROM to_regclass('chargegate._sqlx_migrations') \
         AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass \
             AND objid = pg_class.oid AND deptype = 'e'))",
    )
    .fetch_one(connection)
    .await?;
    Ok(if others { SchemaState::Foreign } else { SchemaState::Empty })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_the_last_migration() {
        assert_eq!(migrations().last().map(|migration| migration.version), Some(NEWEST));
    }
}
