//! Checks of the server and the database before the store is opened.

use std::fmt;

use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::time::timeout;

use super::failure::PostgresFailure;
use super::schema::{self, SchemaState};
use super::sessions::CONNECT_TIMEOUT;
use super::url::DatabaseUrl;
use chargegate_storage::StoreError;

/// Oldest supported server, as a `server_version_num`.
const MIN_SERVER_VERSION: i32 = 150_000;

/// Obstacle to using a database.
#[derive(Debug, thiserror::Error)]
pub enum PostgresOpenError {
    /// No server responds in time.
    #[error("no PostgreSQL server answers at {place}")]
    Unreachable {
        /// Host and port, or socket.
        place: String,
        /// Cause.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// The server rejects the user or the password.
    #[error("the PostgreSQL server at {place} rejects the user or the password")]
    Credentials {
        /// Host and port, or socket.
        place: String,
        /// Cause.
        #[source]
        source: sqlx::Error,
    },
    /// The server has no such database.
    #[error("the PostgreSQL server at {place} has no database {database}")]
    NoDatabase {
        /// Host and port, or socket.
        place: String,
        /// The database's name.
        database: String,
    },
    /// The server has no connection left.
    #[error("the PostgreSQL server at {place} has no connection left")]
    Crowded {
        /// Host and port, or socket.
        place: String,
    },
    /// The server is older than 15.
    #[error("the server is PostgreSQL {found}, and 15 is the oldest supported version")]
    TooOld {
        /// Its version.
        found: String,
    },
    /// The database is read-only.
    #[error("the database accepts no writes: it is a standby or set read-only")]
    ReadOnly,
    /// The schema is missing or older than this program.
    #[error("the database has schema version {found}, and this program needs {known}")]
    NotMigrated {
        /// Its version; 0 is an empty database.
        found: i64,
        /// The version needed.
        known: i64,
    },
    /// The schema was made by a newer version of this program.
    #[error("the database has schema version {found}, and this program knows {known}")]
    Newer {
        /// Its version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// The database contains the tables of another program.
    #[error("the database has tables of another program")]
    Foreign,
    /// The user lacks privileges.
    #[error("the user lacks privileges in the schema chargegate")]
    Denied(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database failed.
    #[error("the database failed when it was opened")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Server setting that puts the guarantees of the store at risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostgresWarning {
    /// `fsync` is off.
    Fsync,
    /// `synchronous_commit` is off.
    SynchronousCommit,
    /// `full_page_writes` is off.
    FullPageWrites,
}

impl fmt::Display for PostgresWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fsync => {
                "the server has fsync off: a crash of its machine can lose and damage decisions that were confirmed; turn it on"
            }
            Self::SynchronousCommit => {
                "the server has synchronous_commit off: a crash can lose decisions that were confirmed; turn it on"
            }
            Self::FullPageWrites => {
                "the server has full_page_writes off: a crash of its machine can damage the database; turn it on"
            }
        })
    }
}

impl PostgresOpenError {
    pub(super) fn unreachable(url: &DatabaseUrl, source: Option<sqlx::Error>) -> Self {
        Self::Unreachable { place: url.place(), source }
    }

    pub(super) fn newer(found: i64) -> Self {
        Self::Newer { found, known: schema::NEWEST }
    }

    /// Classifies a failed connection.
    pub(super) fn connecting(url: &DatabaseUrl, error: sqlx::Error) -> Self {
        let place = url.place();
        let sqlx::Error::Database(refused) = &error else {
            return Self::unreachable(url, Some(error));
        };
        match refused.code().as_deref() {
            Some(state) if state.starts_with("28") => Self::Credentials { place, source: error },
            Some("3D000") => Self::NoDatabase { place, database: url.database().to_owned() },
            Some("53300") => Self::Crowded { place },
            Some("42501") => Self::Denied(error.into()),
            _ => Self::unreachable(url, Some(error)),
        }
    }

    /// Classifies a failed statement.
    pub(super) fn from_sql(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(refused) if refused.code().as_deref() == Some("42501") => {
                Self::Denied(error.into())
            }
            _ => Self::Failed(error.into()),
        }
    }

    /// Classifies a failed operation of the store.
    pub(super) fn failed(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(source)
                if source.downcast_ref::<PostgresFailure>().is_some_and(PostgresFailure::is_denial) =>
            {
                Self::Denied(source)
            }
            error => Self::Failed(error.into()),
        }
    }
}

/// Checks server, database and schema, and returns risky settings of the server.
pub(super) async fn check(url: &DatabaseUrl) -> Result<Vec<PostgresWarning>, PostgresOpenError> {
    let examined = timeout(CONNECT_TIMEOUT, async {
        let mut connection =
            url.options().connect().await.map_err(|error| PostgresOpenError::connecting(url, error))?;
        let warnings = examine(&mut connection).await;
        let _ = connection.close().await;
        warnings
    });
    examined.await.unwrap_or_else(|_elapsed| Err(PostgresOpenError::unreachable(url, None)))
}

/// Checks that the database has the schema; it may be read-only.
pub(super) async fn check_view(url: &DatabaseUrl) -> Result<(), PostgresOpenError> {
    let examined = timeout(CONNECT_TIMEOUT, async {
        let mut connection =
            url.options().connect().await.map_err(|error| PostgresOpenError::connecting(url, error))?;
        let checked = check_schema(&mut connection).await;
        let _ = connection.close().await;
        checked
    });
    examined.await.unwrap_or_else(|_elapsed| Err(PostgresOpenError::unreachable(url, None)))
}

async fn check_schema(connection: &mut PgConnection) -> Result<(), PostgresOpenError> {
    match schema::kind(connection).await.map_err(PostgresOpenError::from_sql)? {
        SchemaState::Ours(schema::NEWEST) => Ok(()),
        SchemaState::Ours(found) if found > schema::NEWEST => Err(PostgresOpenError::newer(found)),
        SchemaState::Ours(found) => Err(PostgresOpenError::NotMigrated { found, known: schema::NEWEST }),
        SchemaState::Empty => Err(PostgresOpenError::NotMigrated { found: 0, known: schema::NEWEST }),
        SchemaState::Foreign => Err(PostgresOpenError::Foreign),
    }
}

async fn examine(connection: &mut PgConnection) -> Result<Vec<PostgresWarning>, PostgresOpenError> {
    check_server(connection).await?;
    check_schema(connection).await?;
    let (fsync, synchronous_commit, full_page_writes): (String, String, String) = sqlx::query_as(
        "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('full_page_writes')",
    )
    .fetch_one(connection)
    .await
    .map_err(PostgresOpenError::from_sql)?;
    let risks = [
        (fsync, PostgresWarning::Fsync),
        (synchronous_commit, PostgresWarning::SynchronousCommit),
        (full_page_writes, PostgresWarning::FullPageWrites),
    ];
    Ok(risks.into_iter().filter(|(value, _)| value == "off").map(|(_, warning)| warning).collect())
}

/// Checks the server's version and that it accepts writes.
pub(super) async fn check_server(connection: &mut PgConnection) -> Result<(), PostgresOpenError> {
    let (number, version, read_only): (i32, String, bool) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::integer, current_setting('server_version'), \
         pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean",
    )
    .fetch_one(connection)
    .await
    .map_err(PostgresOpenError::from_sql)?;
    if number < MIN_SERVER_VERSION {
        return Err(PostgresOpenError::TooOld { found: version });
    }
    if read_only {
        return Err(PostgresOpenError::ReadOnly);
    }
    Ok(())
}
