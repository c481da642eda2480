//! The task that owns the write connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{Notify, mpsc};

use super::SqliteSettings;
use super::batch::{Command, OperationGroup};
use super::lock::FolderLock;
use super::open;
use super::operation::{Failure, Transaction};
use chargegate_storage::Clock;

/// Capacity of the command channel; callers wait when it is full.
const COMMAND_CAPACITY: usize = 1024;
/// Maximum number of commands in one transaction, which bounds the wait of a caller for others.
const MAX_GROUP: usize = 256;

/// State of the writer task.
pub(super) struct Writer {
    /// `None` after a failure, until it is reopened.
    pub(super) connection: Option<SqliteConnection>,
    pub(super) connect: SqliteConnectOptions,
    /// Held until the connection is closed.
    pub(super) lock: FolderLock,
    /// Messages in the queue.
    pub(super) depth: u64,
    pub(super) published: Arc<AtomicU64>,
    pub(super) arrivals: Arc<Notify>,
    pub(super) settings: SqliteSettings,
    pub(super) clock: Arc<dyn Clock>,
}

impl Writer {
    /// Spawns the task, which ends with the last sender or after [`Command::Close`].
    pub(super) fn spawn(self) -> mpsc::Sender<Command> {
        let (commands, waiting) = mpsc::channel(COMMAND_CAPACITY);
        tokio::spawn(self.run(waiting));
        commands
    }

    async fn run(mut self, mut waiting: mpsc::Receiver<Command>) {
        let mut commands = Vec::with_capacity(MAX_GROUP);
        let mut closing = Vec::new();
        // Zero means that all senders are dropped, or the channel is closed and empty.
        while waiting.recv_many(&mut commands, MAX_GROUP).await > 0 {
            let mut group = OperationGroup::default();
            let asked_to_close = commands.drain(..).filter_map(|command| group.push(command));
            closing.extend(asked_to_close);
            if !closing.is_empty() {
                waiting.close();
            }
            self.write_group(group).await;
        }
        if let Some(connection) = self.connection.take() {
            // Closing checkpoints the log; if that fails, the next opening does it.
            let _ = connection.close().await;
        }
        drop(self.lock);
        for reply in closing {
            let _ = reply.send(());
        }
    }

    async fn write_group(&mut self, mut group: OperationGroup) {
        match self.transact(&mut group).await {
            Ok(()) => group.succeed(),
            Err(Failure::Full) => {
                for mut kind in group.into_kinds() {
                    match self.transact(&mut kind).await {
                        Ok(()) => kind.succeed(),
                        Err(failure) => kind.fail(&failure),
                    }
                }
            }
            Err(failure) => group.fail(&failure),
        }
    }

    /// Applies a group and commits it. After an error none of it is in the file, except that a failed commit may still
    /// be found there after a crash.
    async fn transact(&mut self, group: &mut OperationGroup) -> Result<(), Failure> {
        if group.is_empty() {
            return Ok(());
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.reopen().await?,
        };
        let mut transaction = Transaction {
            connection: &mut connection,
            now: self.clock.now(),
            settings: &self.settings,
            depth: self.depth,
            arrivals: false,
        };
        let result = apply_and_commit(group, &mut transaction).await;
        let Transaction { depth, arrivals, .. } = transaction;
        if let Err(failure) = result {
            // Some errors roll back automatically, and then this statement fails: a new connection is clean.
            if sqlx::query("ROLLBACK").execute(&mut connection).await.is_ok() {
                self.connection = Some(connection);
            }
            return Err(failure);
        }
        self.connection = Some(connection);
        self.publish(depth);
        if arrivals {
            self.arrivals.notify_waiters();
        }
        Ok(())
    }

    async fn reopen(&mut self) -> Result<SqliteConnection, Failure> {
        let mut connection = self.connect.connect().await?;
        open::check_durability(&mut connection, self.connect.get_filename())
            .await
            .map_err(|error| sqlx::Error::Configuration(error.into()))?;
        let depth = open::depth(&mut connection).await?;
        self.publish(depth);
        tracing::debug!("reopened the database connection");
        Ok(connection)
    }

    fn publish(&mut self, depth: u64) {
        self.depth = depth;
        self.published.store(depth, Ordering::Relaxed);
    }
}

async fn apply_and_commit(
    group: &mut OperationGroup,
    transaction: &mut Transaction<'_>,
) -> Result<(), Failure> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *transaction.connection).await?;
    group.apply(transaction).await?;
    sqlx::query("COMMIT").execute(&mut *transaction.connection).await?;
    Ok(())
}
