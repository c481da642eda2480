//! Versions of the schema. A released migration never changes: a change is a new file at the end.

use sqlx::{AssertSqlSafe, SqliteConnection};

/// `PRAGMA application_id` of chargegate's files: "CGAT".
pub(super) const APPLICATION_ID: i64 = 0x4347_4154;

const MIGRATIONS: [&str; 4] = [
    include_str!("../migrations/0001_init.sql"),
    include_str!("../migrations/0002_due.sql"),
    include_str!("../migrations/0003_receiver.sql"),
    include_str!("../migrations/0004_operator_actions.sql"),
];

/// The newest schema version that this program knows.
pub(super) const NEWEST: usize = MIGRATIONS.len();

/// The origin of a database file.
pub(super) enum Kind {
    /// An empty file.
    Empty,
    /// A chargegate database at this schema version.
    Ours(i64),
    /// A file of another program.
    Foreign,
}

/// Determines the origin of a file without changing it.
pub(super) async fn kind(connection: &mut SqliteConnection) -> Result<Kind, sqlx::Error> {
    let result = read_header(connection).await;
    match result {
        Ok((APPLICATION_ID, version, _)) => Ok(Kind::Ours(version)),
        Ok((0, 0, 0)) => Ok(Kind::Empty),
        Ok(_) => Ok(Kind::Foreign),
        // SQLITE_NOTADB
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("26") => Ok(Kind::Foreign),
        Err(error) => Err(error),
    }
}

async fn read_header(connection: &mut SqliteConnection) -> Result<(i64, i64, i64), sqlx::Error> {
    let id = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let version = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let tables = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(connection).await?;
    Ok((id, version, tables))
}

/// Migrates a chargegate database, or an empty file, to the newest schema, each step in its own transaction.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let current: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let done = usize::try_from(current).unwrap_or_default();
    for (at, migration) in MIGRATIONS.into_iter().enumerate().skip(done) {
        let version = at + 1;
        let step = format!(
            "BEGIN IMMEDIATE; {migration}; PRAGMA application_id = {APPLICATION_ID}; \
             PRAGMA user_version = {version}; COMMIT;"
        );
        sqlx::raw_sql(AssertSqlSafe(step)).execute(&mut *connection).await?;
    }
    Ok(())
}
