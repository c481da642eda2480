//! The embedded engine: queue and store in one `SQLite` file, for a single machine.
//!
//! One task owns the one connection that writes. Whatever callers want written waits in a bounded channel; the
//! task takes all that waits, applies it in one transaction, commits with one sync to disk, and only then
//! answers. So a caller that was told `Ok` has its write on disk, and many callers share the price of it.
//! Readers have connections of their own and never wait for the writer.

mod batch;
mod claim;
mod inspect;
mod keys;
mod lock;
mod messages;
mod open;
mod purge;
mod queue;
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

pub use self::inspect::SqliteInspector;
pub use self::open::SqliteOpenError;
use self::open::{Opened, Tuning};
use self::writer::{Command, Writer};
use chargegate_storage::Effects;
use chargegate_storage::QueueError;
use chargegate_storage::metric;
pub use chargegate_storage::queue::EnqueueFailure;

/// How the engine behaves.
#[derive(Clone, Debug)]
pub struct SqliteSettings {
    /// Messages that may wait, leased ones included; more are refused.
    pub depth_limit: u64,
    /// How long a leased message stays its holder's.
    pub message_lease: Duration,
    /// How long a leased callback stays its holder's: longer than the longest attempt.
    pub callback_lease: Duration,
}

impl Default for SqliteSettings {
    fn default() -> Self {
        Self {
            depth_limit: 100_000,
            message_lease: Duration::from_secs(30),
            callback_lease: Duration::from_mins(1),
        }
    }
}

/// The engine, open on its data folder; clones share it.
#[derive(Clone)]
pub struct SqliteEngine {
    shared: Arc<Shared>,
}

struct Shared {
    commands: mpsc::Sender<Command>,
    readers: SqlitePool,
    /// Told after each commit that made messages visible.
    arrivals: Arc<Notify>,
    depth: Arc<AtomicU64>,
    /// The host served last, so that hosts take turns. Claims take turns as well.
    turn: Mutex<String>,
    settings: SqliteSettings,
    effects: Effects,
}

impl SqliteEngine {
    /// Opens the engine in `data_dir`, which is created when missing, and locks the folder until the engine and
    /// its clones are closed or dropped.
    ///
    /// Nobody else can hold a lease in a folder that was not locked, so all leases end here.
    ///
    /// # Errors
    /// [`SqliteOpenError`] says what is in the way and what to do about it.
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

    /// Puts a message into the queue. `Ok` comes after the commit that wrote it was synced to disk.
    ///
    /// A caller that stops waiting does not know whether the message was enqueued.
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
        if self.write(batch::Enqueue { body }).await.map_err(QueueError::from)? {
            Ok(())
        } else {
            Err(EnqueueFailure::DepthLimit)
        }
    }

    /// What operators may read of this engine.
    #[must_use]
    pub fn inspector(&self) -> SqliteInspector {
        SqliteInspector::new(self.shared.readers.clone())
    }

    /// Writes what still waits, closes the file and gives the folder free. Later calls on any clone get
    /// [`QueueError::Closed`].
    pub async fn close(&self) {
        let (reply, done) = tokio::sync::oneshot::channel();
        self.shared.readers.close().await;
        if self.shared.commands.send(Command::Close(reply)).await.is_ok() {
            let _ = done.await;
        }
    }

    /// Has the writer task do `operation`, and waits for the commit.
    async fn write<O: batch::Operation>(&self, operation: O) -> Result<O::Answer, batch::Failure> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let command = operation.into_command(reply);
        self.shared.commands.send(command).await.map_err(|_| batch::Failure::Closed)?;
        answer.await.map_err(|_| batch::Failure::Closed)?
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
