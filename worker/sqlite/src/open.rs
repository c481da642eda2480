//! Opening of a data folder: lock, file, PRAGMAs, schema, and release of the leases of an ended process.

use std::path::Path;
use std::time::Duration;

use chargegate_core::UnixMillis;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool};

use super::keys::millis;
use super::lock::{self, FolderLock};
use super::messages::NOT_HELD;
use super::open_error::SqliteOpenError;
use super::schema::{self, Kind};

const FILE: &str = "chargegate.db";
const READERS: u32 = 4;
const BUSY: Duration = Duration::from_secs(5);
/// Pages of write-ahead log (4 KiB each) after which a commit also checkpoints. A larger log means fewer checkpoints,
/// and a checkpoint writes a page that changed often only once.
const CHECKPOINT_PAGES: &str = "4000";
/// Size of the smallest database, one page; `SQLite` treats a smaller file as empty.
const SMALLEST: u64 = 512;
const LOG_BYTES_KEPT: &str = "67108864";
const WRITER_CACHE_KIB: &str = "-32768";

/// Overrides for tests.
#[derive(Clone, Debug)]
pub(crate) struct Tuning {
    pub(crate) synchronous: SqliteSynchronous,
    pub(crate) max_page_count: Option<u32>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { synchronous: SqliteSynchronous::Full, max_page_count: None }
    }
}

/// An opened data folder.
pub(super) struct Opened {
    pub(super) writer: SqliteConnection,
    pub(super) connect: SqliteConnectOptions,
    pub(super) readers: SqlitePool,
    pub(super) lock: FolderLock,
    pub(super) depth: u64,
}

pub(super) async fn open(
    data_dir: &Path,
    now: UnixMillis,
    tuning: &Tuning,
) -> Result<Opened, SqliteOpenError> {
    let lock = lock::lock(data_dir)?;
    let path = data_dir.join(FILE);
    lock::private_file(&path).map_err(|source| SqliteOpenError::Folder { path: data_dir.into(), source })?;
    let failed = |source| SqliteOpenError::Database { path: path.clone(), source };
    check_kind(&path).await?;

    let mut connect = base(&path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(tuning.synchronous)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", LOG_BYTES_KEPT)
        .pragma("cache_size", WRITER_CACHE_KIB)
        .pragma("temp_store", "memory");
    if let Some(pages) = tuning.max_page_count {
        connect = connect.pragma("max_page_count", pages.to_string());
    }
    let mut writer = connect.connect().await.map_err(failed)?;
    check_durability(&mut writer, &path).await?;
    schema::migrate(&mut writer).await.map_err(failed)?;
    end_leases(&mut writer, now).await.map_err(failed)?;
    let depth = depth(&mut writer).await.map_err(failed)?;
    let readers = readers(&path).await.map_err(failed)?;
    Ok(Opened { writer, connect, readers, lock, depth })
}

/// Opens a file for reading, whether or not an engine has it open.
pub(super) async fn open_readers(data_dir: &Path) -> Result<SqlitePool, SqliteOpenError> {
    let path = data_dir.join(FILE);
    if !path.is_file() {
        return Err(SqliteOpenError::Missing { path: data_dir.into() });
    }
    match check_kind(&path).await? {
        Kind::Ours(_) => {}
        Kind::Empty => return Err(SqliteOpenError::Missing { path: data_dir.into() }),
        Kind::Foreign => return Err(SqliteOpenError::Foreign { path }),
    }
    readers(&path).await.map_err(|source| SqliteOpenError::Database { path, source })
}

/// Counts the messages in the queue.
pub(super) async fn depth(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM queue").fetch_one(connection).await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

fn base(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(std::path::absolute(path).unwrap_or_else(|_| path.into()))
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .disable_statement_logging()
}

async fn readers(path: &Path) -> Result<SqlitePool, sqlx::Error> {
    let options = base(path).read_only(true).pragma("query_only", "on");
    SqlitePoolOptions::new().max_connections(READERS).test_before_acquire(false).connect_with(options).await
}

/// Rejects a foreign file before anything is changed in it.
async fn check_kind(path: &Path) -> Result<Kind, SqliteOpenError> {
    let failed = |source| SqliteOpenError::Database { path: path.into(), source };
    let mut connection = match base(path).read_only(true).connect().await {
        Ok(connection) => connection,
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("26") => {
            return Err(SqliteOpenError::Foreign { path: path.into() });
        }
        Err(error) => return Err(failed(error)),
    };
    let kind = schema::kind(&mut connection).await.map_err(failed)?;
    let _ = connection.close().await;
    match kind {
        Kind::Foreign => Err(SqliteOpenError::Foreign { path: path.into() }),
        Kind::Ours(found) if usize::try_from(found).is_ok_and(|version| version > schema::NEWEST) => {
            Err(SqliteOpenError::Newer { path: path.into(), found, known: schema::NEWEST })
        }
        Kind::Empty if path.metadata().is_ok_and(|file| (1..SMALLEST).contains(&file.len())) => {
            Err(SqliteOpenError::Foreign { path: path.into() })
        }
        kind => Ok(kind),
    }
}

/// Reads back the settings behind one sync per commit: a file system may not support the write-ahead log, and a build
/// may have other defaults.
pub(super) async fn check_durability(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<(), SqliteOpenError> {
    let failed = |source| SqliteOpenError::Database { path: path.into(), source };
    let refuse = |pragma, expected, found| {
        Err(SqliteOpenError::NotDurable { path: path.into(), pragma, expected, found })
    };
    let journal: String =
        sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await.map_err(failed)?;
    if journal != "wal" {
        return refuse("journal_mode", "wal", journal);
    }
    let synchronous: i64 =
        sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *connection).await.map_err(failed)?;
    if synchronous != 2 {
        return refuse("synchronous", "2 (FULL)", synchronous.to_string());
    }
    Ok(())
}

async fn end_leases(connection: &mut SqliteConnection, now: UnixMillis) -> Result<(), sqlx::Error> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    sqlx::query("UPDATE queue SET visible_at = ?1 WHERE visible_at > ?1")
        .bind(NOT_HELD)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "UPDATE callback SET leased = 0, due_at = min(due_at, ?1) WHERE state = 'pending' AND leased = 1",
    )
    .bind(millis(now))
    .execute(&mut *connection)
    .await?;
    sqlx::query("COMMIT").execute(connection).await?;
    Ok(())
}
