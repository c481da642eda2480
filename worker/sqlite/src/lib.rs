//! Queue and store in one `SQLite` file, for a single machine.
//!
//! A single task owns the only connection that writes. Write operations wait in a bounded channel; the task applies
//! all pending operations in one transaction, commits with one sync to disk, and only then replies. After `Ok` a
//! write is on disk, and concurrent callers share the cost of one sync. Readers have separate connections and never
//! wait for the writer.

mod batch;
mod claim;
mod inspect;
mod keys;
mod lock;
mod messages;
mod open;
mod open_error;
mod operate;
mod operation;
mod pauses;
mod purge;
mod queue;
mod receivers;
mod record;
mod report;
mod rows;
mod schema;
mod store;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chargegate_core::MAX_MESSAGE_BYTES;
use sqlx::SqlitePool;
use tokio::sync::{Mutex, Notify, mpsc};

use self::batch::Command;
pub use self::inspect::SqliteInspector;
use self::open::{Opened, Tuning};
pub use self::open_error::SqliteOpenError;
use self::operation::{Failure, Operation, Reply};
use self::writer::Writer;
use chargegate_storage::Effects;
use chargegate_storage::QueueError;
use chargegate_storage::metric;
pub use chargegate_storage::queue::EnqueueFailure;
use chargegate_storage::store::DEFAULT_CALLBACK_LEASE;

/// Settings of a [`SqliteEngine`].
#[derive(Clone, Debug)]
pub struct SqliteSettings {
    /// Maximum number of messages in the queue, including leased ones; further messages are rejected.
    pub depth_limit: u64,
    /// Duration of the lease of a message.
    pub message_lease: Duration,
    /// Duration of the lease of a callback; longer than the longest attempt.
    pub callback_lease: Duration,
}

impl Default for SqliteSettings {
    fn default() -> Self {
        Self {
            depth_limit: 100_000,
            message_lease: Duration::from_secs(30),
            callback_lease: DEFAULT_CALLBACK_LEASE,
        }
    }
}

/// An engine on an open data folder; clones share it.
#[derive(Clone)]
pub struct SqliteEngine {
    shared: Arc<Shared>,
}

struct Shared {
    commands: mpsc::Sender<Command>,
    readers: SqlitePool,
    /// Notified after each commit that made messages visible.
    arrivals: Arc<Notify>,
    depth: Arc<AtomicU64>,
    /// The host served last, for the fair share between hosts. The lock also serializes claims.
    turn: Mutex<String>,
    settings: SqliteSettings,
    effects: Effects,
}

impl SqliteEngine {
    /// Opens the engine in `data_dir`, which is created if missing, and locks the folder until the engine and its
    /// clones are closed or dropped.
    ///
    /// No other process can hold a lease in a folder that was not locked, so all leases end here.
    ///
    /// # Errors
    /// [`SqliteOpenError`] states the cause and the remedy.
    pub async fn open(
        data_dir: &Path,
        settings: SqliteSettings,
        effects: Effects,
    ) -> Result<Self, SqliteOpenError> {
        Self::open_tuned(data_dir, settings, effects, Tuning::default()).await
    }

    pub(crate) async fn open_tuned(
        data_dir: &Path,
        settings: SqliteSettings,
        effects: Effects,
        tuning: Tuning,
    ) -> Result<Self, SqliteOpenError> {
        let Opened { writer, connect, readers, lock, depth } =
            open::open(data_dir, effects.clock.now(), &tuning).await?;
        let arrivals = Arc::new(Notify::new());
        let published = Arc::new(AtomicU64::new(depth));
        let commands = Writer {
            connection: Some(writer),
            connect,
            lock,
            depth,
            published: Arc::clone(&published),
            arrivals: Arc::clone(&arrivals),
            settings: settings.clone(),
            clock: Arc::clone(&effects.clock),
        }
        .spawn();
        Ok(Self {
            shared: Arc::new(Shared {
                commands,
                readers,
                arrivals,
                depth: published,
                turn: Mutex::default(),
                settings,
                effects,
            }),
        })
    }

    /// Enqueues a message; returns `Ok` after its commit was synced to disk.
    ///
    /// A caller that drops the future does not know whether the message was enqueued.
    ///
    /// # Errors
    /// [`EnqueueFailure`]; the message was not enqueued then, except that after
    /// [`EnqueueFailure::Unavailable`] it may have been.
    pub async fn enqueue(&self, body: String) -> Result<(), EnqueueFailure> {
        let result = self.try_enqueue(body).await;
        metric::enqueue(result.as_ref().err().map(EnqueueFailure::as_str));
        result
    }

    async fn try_enqueue(&self, body: String) -> Result<(), EnqueueFailure> {
        if body.len() > MAX_MESSAGE_BYTES {
            return Err(EnqueueFailure::TooLarge);
        }
        if self.write(messages::Enqueue { body }).await.map_err(QueueError::from)? {
            Ok(())
        } else {
            Err(EnqueueFailure::DepthLimit)
        }
    }

    /// Returns read-only access for operators.
    #[must_use]
    pub fn inspector(&self) -> SqliteInspector {
        SqliteInspector::new(self.shared.readers.clone())
    }

    /// Writes the pending operations, closes the file and unlocks the folder. Later calls on any clone return
    /// [`QueueError::Closed`].
    pub async fn close(&self) {
        let (reply, done) = tokio::sync::oneshot::channel();
        self.shared.readers.close().await;
        if self.shared.commands.send(Command::Close(reply)).await.is_ok() {
            let _ = done.await;
        }
    }

    /// Sends `operation` to the writer task and waits for the commit.
    async fn write<O: Operation>(&self, operation: O) -> Result<O::Answer, Failure>
    where
        Command: From<(O, Reply<O::Answer>)>,
    {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.shared.commands.send((operation, reply).into()).await.map_err(|_| Failure::Closed)?;
        answer.await.map_err(|_| Failure::Closed)?
    }

    fn waiting(&self) -> u64 {
        self.shared.depth.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for SqliteEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteEngine").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
