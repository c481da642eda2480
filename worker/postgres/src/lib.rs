//! The store in PostgreSQL, 15 or newer, shared by any number of workers.
//!
//! Workers race for everything, so each rule stands in the database: the first insert of a request id wins, a lease is
//! fenced by the number of its attempt, and what is due is judged by the database's clock alone. A worker's own times
//! are translated into durations before they are compared with anything.
//!
//! What is hot is narrow: `callback` holds a row only while a callback is pending. What it needs besides stands in
//! `decision`, and what became of it in `attempt`; both are partitioned by the time of recording, so that retention
//! drops tables instead of deleting rows. Each batch is a handful of statements over arrays.
//!
//! A session that failed in any way is closed, never reused, and whatever failed may be repeated.

mod claim;
mod failure;
mod inspect;
mod open;
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
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use chargegate_core::RequestId;
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use self::inspect::Inspector;
pub use self::open::{OpenError, Warning};
pub use self::schema::{MigrateError, Migrated, migrate};
use self::sessions::{Purpose, Sessions};
pub use self::url::{DatabaseUrl, DatabaseUrlError};
use chargegate_storage::Effects;

/// How the store behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the database is.
    pub url: DatabaseUrl,
    /// Sessions at most. A worker uses five at once when it is busy (record, report, claim, hand back, and one for
    /// retention, readiness or the watermark); the rest keep a slow one from delaying the others.
    pub connections: NonZeroU32,
    /// How long a leased callback stays its holder's: longer than the longest attempt.
    pub callback_lease: Duration,
    /// How long finished requests are kept: partitions are cut an eighth of it wide.
    pub retention: Duration,
}

impl Settings {
    /// The usual settings for a database.
    #[must_use]
    pub fn new(url: DatabaseUrl) -> Self {
        const EIGHT: NonZeroU32 = NonZeroU32::MIN.saturating_add(7);
        Self {
            url,
            connections: EIGHT,
            callback_lease: Duration::from_mins(1),
            retention: Duration::from_hours(72),
        }
    }
}

/// The store, open on its database; clones share it.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    sessions: Sessions,
    /// The host served last, so that hosts take turns. Claims take turns as well.
    turn: Mutex<String>,
    /// Requests whose record failed in a way that may have recorded them.
    doubted: StdMutex<HashSet<RequestId>>,
    /// When partitions were last cut ahead, or that was tried.
    cut: Mutex<Option<Instant>>,
    settings: Settings,
    effects: Effects,
}

impl Engine {
    /// Opens the store, whose schema must be there already, and says what of the server's settings puts it at risk.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way and what to do about it.
    pub async fn open(settings: Settings, effects: Effects) -> Result<(Self, Vec<Warning>), OpenError> {
        let warnings = open::check(&settings.url).await?;
        let sessions = Sessions::new(&settings.url, Purpose::Work, settings.connections);
        let shared = Shared {
            sessions,
            turn: Mutex::default(),
            doubted: StdMutex::default(),
            cut: Mutex::default(),
            settings,
            effects,
        };
        let engine = Self { shared: Arc::new(shared) };
        engine.cut_slices().await.map_err(OpenError::failed)?;
        Ok((engine, warnings))
    }

    /// Closes the sessions that are idle, and each other one when it is done. Later calls on any clone get
    /// [`EngineError::Closed`](crate::EngineError::Closed).
    pub async fn close(&self) {
        self.shared.sessions.close().await;
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
