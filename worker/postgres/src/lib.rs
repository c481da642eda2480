//! The store in PostgreSQL, 15 or newer, shared by any number of workers.
//!
//! Workers race, so the database enforces each rule: the first insert of a request id wins, a lease is fenced by the number
//! of its attempt, and only the database's clock decides when a callback is due, so the clocks of workers may differ.
//!
//! The hot table is narrow: `callback` has a row only while a callback is pending. Its payload is in `decision`, its history
//! in `attempt`; both are partitioned by the time of recording, so that retention drops tables instead of deleting rows.
//! Each batch is a few statements over arrays.
//!
//! A session is closed after any failure, never reused, and every failed operation may be repeated.

mod claim;
mod failure;
mod fleet;
mod inspect;
mod open;
mod operate;
mod pauses;
mod receivers;
mod record;
mod report;
mod retention;
mod rows;
mod schema;
mod sessions;
mod store;
mod url;
mod watermark;

use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chargegate_core::RequestId;
use parking_lot::Mutex as SyncMutex;
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use self::inspect::PostgresInspector;
pub use self::open::{PostgresOpenError, PostgresWarning};
pub use self::schema::{MigrateError, MigrationResult, migrate};
use self::sessions::{Purpose, SessionPool};
pub use self::url::{DatabaseUrl, DatabaseUrlError};
use chargegate_storage::store::DEFAULT_CALLBACK_LEASE;

/// Settings of the store.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// URL of the database.
    pub url: DatabaseUrl,
    /// Most sessions. A busy worker uses five (record, report, claim, release, and one for retention, readiness or the
    /// watermark); more keep a slow session from delaying the others.
    pub connections: NonZeroU32,
    /// Lease of a claimed callback: longer than the longest attempt.
    pub callback_lease: Duration,
    /// Retention of finished requests; a partition covers an eighth of it.
    pub retention: Duration,
}

impl PostgresSettings {
    /// Returns the default settings for a database.
    #[must_use]
    pub fn new(url: DatabaseUrl) -> Self {
        const DEFAULT_CONNECTIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(7);
        Self {
            url,
            connections: DEFAULT_CONNECTIONS,
            callback_lease: DEFAULT_CALLBACK_LEASE,
            retention: Duration::from_hours(72),
        }
    }
}

/// Store in an open database; clones share it.
#[derive(Clone)]
pub struct PostgresStore {
    shared: Arc<PostgresState>,
}

struct PostgresState {
    sessions: SessionPool,
    /// Host served last, so that hosts take turns; the lock serialises claims.
    last_host: Mutex<String>,
    /// Requests whose record call failed although it may have committed.
    unconfirmed: SyncMutex<HashSet<RequestId>>,
    /// Time of the last attempt to create partitions.
    partitions_created_at: Mutex<Option<Instant>>,
    settings: PostgresSettings,
}

impl PostgresStore {
    /// Opens the store, whose schema must exist. Returns it with the server settings that put its guarantees at risk.
    ///
    /// # Errors
    /// [`PostgresOpenError`] names the obstacle.
    pub async fn open(settings: PostgresSettings) -> Result<(Self, Vec<PostgresWarning>), PostgresOpenError> {
        let warnings = open::check(&settings.url).await?;
        let sessions = SessionPool::new(&settings.url, Purpose::Work, settings.connections);
        let shared = PostgresState {
            sessions,
            last_host: Mutex::default(),
            unconfirmed: SyncMutex::default(),
            partitions_created_at: Mutex::default(),
            settings,
        };
        let engine = Self { shared: Arc::new(shared) };
        engine.create_partitions().await.map_err(PostgresOpenError::failed)?;
        // A role with the rights of an older version can neither record nor claim.
        engine.load_pauses().await.map_err(PostgresOpenError::failed)?;
        Ok((engine, warnings))
    }

    /// Closes idle sessions at once, and busy ones when their operation ends. Later calls on any clone get
    /// [`StoreError::Closed`](chargegate_storage::StoreError::Closed).
    pub async fn close(&self) {
        self.shared.sessions.close().await;
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
