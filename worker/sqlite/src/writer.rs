//! The one task that writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{Notify, mpsc, oneshot};

use super::SqliteSettings;
use super::batch::{
    Acknowledge, Claim, Enqueue, Failure, Group, HandBack, Lease, Operation, Purge, Record, Release, Reply,
    Report, Transaction,
};
use super::lock::FolderLock;
use super::open;
use chargegate_storage::Clock;

/// Commands that may wait; callers wait for a place.
const WAITING: usize = 1024;
/// Commands in one transaction at most: it bounds how long a caller waits for others.
const GROUP: usize = 256;

type Asked<O> = (O, Reply<<O as Operation>::Answer>);

/// What the writer is asked.
pub(super) enum Command {
    Acknowledge(Asked<Acknowledge>),
    Purge(Asked<Purge>),
    Report(Asked<Report>),
    HandBack(Asked<HandBack>),
    Claim(Asked<Claim>),
    Release(Asked<Release>),
    Record(Asked<Record>),
    Enqueue(Asked<Enqueue>),
    Lease(Asked<Lease>),
    Close(oneshot::Sender<()>),
}

/// The task's state.
pub(super) struct Writer {
    /// None after a failure, until it is opened again.
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
    /// Starts the task, which ends with the last sender or when it is told to close.
    pub(super) fn spawn(self) -> mpsc::Sender<Command> {
        let (commands, waiting) = mpsc::channel(WAITING);
        tokio::spawn(self.run(waiting));
        commands
    }

    async fn run(mut self, mut waiting: mpsc::Receiver<Command>) {
        let mut commands = Vec::with_capacity(GROUP);
        let mut closing = Vec::new();
        // Zero: every sender is gone, or the channel is closed and empty.
        while waiting.recv_many(&mut commands, GROUP).await > 0 {
            let mut group = Group::default();
            let asked_to_close = commands.drain(..).filter_map(|command| group.push(command));
            closing.extend(asked_to_close);
            if !closing.is_empty() {
                waiting.close();
            }
            self.write_group(group).await;
        }
        if let Some(connection) = self.connection.take() {
            // Closing moves the log into the database; should that fail, the next opening does it.
            let _ = connection.close().await;
        }
        drop(self.lock);
        for reply in closing {
            let _ = reply.send(());
        }
    }

    async fn write_group(&mut self, mut group: Group) {
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

    /// Applies a group and commits it. After an error nothing of it is in the file, except that a commit that
    /// failed halfway may yet turn out to be there after a crash.
    async fn transact(&mut self, group: &mut Group) -> Result<(), Failure> {
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
            // Some errors roll back by themselves, and then this fails: a new connection is surely clean.
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
        tracing::debug!("the database connection was opened again");
        Ok(connection)
    }

    fn publish(&mut self, depth: u64) {
        self.depth = depth;
        self.published.store(depth, Ordering::Relaxed);
    }
}

async fn apply_and_commit(group: &mut Group, transaction: &mut Transaction<'_>) -> Result<(), Failure> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *transaction.connection).await?;
    group.apply(transaction).await?;
    sqlx::query("COMMIT").execute(&mut *transaction.connection).await?;
    Ok(())
}
