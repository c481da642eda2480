//! The schema's versions. A released migration never changes: a change is one more file at the end.

use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, SqlStr};
use tokio::time::timeout;

use super::open::{self, OpenError};
use super::sessions::CONNECT;
use super::url::DatabaseUrl;

/// Each with its description; its number is its place, from 1 on.
const MIGRATIONS: [(&str, &str); 1] = [("chargegate: init", include_str!("../migrations/0001_init.sql"))];

/// The newest version this program knows.
pub(super) const NEWEST: i64 = 1;

const TABLE: &str = "chargegate._sqlx_migrations";
/// A migration of a large database may take long; waiting for another that runs may not.
const LOCK: &str = "60s";
const PATIENCE: Duration = Duration::from_hours(1);

/// What kind of database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// There are no tables in it.
    Empty,
    /// One of ours, at this version.
    Ours(i64),
    /// Somebody else's.
    Foreign,
}

/// Which versions a migration led from and to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version found; 0 is an empty database.
    pub from: i64,
    /// The version now.
    pub to: i64,
}

/// Why a database was not migrated. It is as it was, or at a version between.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// It cannot be used at all.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The user may not change the schema.
    #[error(
        "the user of DATABASE_URL (--database-url) may not create the schema chargegate: migrate as the owner of the database"
    )]
    Denied(#[source] sqlx::Error),
    /// A migration that was applied is not the one of this program.
    #[error(
        "migration {version} in the database of DATABASE_URL (--database-url) is not the one this program has: use the release that applied it"
    )]
    Changed {
        /// Its number.
        version: i64,
    },
    /// A migration failed.
    #[error(
        "a migration of the database of DATABASE_URL (--database-url) failed: see the cause and the server's log, then run it again"
    )]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Brings a database of ours, or an empty one, to the newest schema. Running it again, or twice at once, is harmless:
/// the second waits for the first.
///
/// # Errors
/// [`MigrateError`] says what is in the way and what to do about it.
pub async fn migrate(url: &DatabaseUrl) -> Result<Migrated, MigrateError> {
    let options = url.options().options([("search_path", "chargegate"), ("lock_timeout", LOCK)]);
    let mut connection = match timeout(CONNECT, options.connect()).await {
        Ok(connected) => connected.map_err(|error| OpenError::connecting(url, error))?,
        Err(_elapsed) => return Err(OpenError::unreachable(url, None).into()),
    };
    let migrated = timeout(PATIENCE, run(&mut connection)).await;
    let _ = timeout(CONNECT, connection.close()).await;
    migrated.unwrap_or_else(|elapsed| Err(MigrateError::Failed(elapsed.into())))
}

async fn run(connection: &mut PgConnection) -> Result<Migrated, MigrateError> {
    open::check_server(connection).await?;
    sqlx::query("SELECT pg_advisory_lock(hashtextextended('chargegate.migrate', 0))")
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let from = match kind(connection).await.map_err(OpenError::from_sql)? {
        Kind::Empty => 0,
        Kind::Ours(version) if version > NEWEST => return Err(OpenError::newer(version).into()),
        Kind::Ours(version) => version,
        Kind::Foreign => return Err(OpenError::Foreign.into()),
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
    Ok(Migrated { from, to: NEWEST })
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

/// Looks at a database without changing it. It is ours where the first migration is ours: by its description, since a
/// changed text is a matter of its own.
pub(super) async fn kind(connection: &mut PgConnection) -> Result<Kind, sqlx::Error> {
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
            return Ok(if ours { Kind::Ours(*last) } else { Kind::Foreign });
        }
    }
    // Tables that an extension brings are nobody's data.
    let others: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace \
         WHERE relkind IN ('r', 'p') AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%' \
         AND pg_class.oid IS DISTINCT FROM to_regclass('chargegate._sqlx_migrations') \
         AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass \
             AND objid = pg_class.oid AND deptype = 'e'))",
    )
    .fetch_one(connection)
    .await?;
    Ok(if others { Kind::Foreign } else { Kind::Empty })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_the_last_migration() {
        assert_eq!(migrations().last().map(|migration| migration.version), Some(NEWEST));
    }
}
