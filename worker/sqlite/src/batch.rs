//! The batch of operations that one transaction writes, grouped by kind.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use chargegate_core::UnixMillis;
use sqlx::SqliteConnection;
use tokio::sync::oneshot;

use super::SqliteSettings;
use super::writer::Command;
use chargegate_storage::{QueueError, StoreError};

pub(super) use super::claim::Claim;
pub(super) use super::messages::{Acknowledge, Enqueue, Lease, Release};
pub(super) use super::purge::Purge;
pub(super) use super::record::Record;
pub(super) use super::report::{HandBack, Report};

/// The channel on which an operation's caller waits.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Failure>>;

/// A write operation. All pending operations of a kind are applied together.
pub(super) trait Operation: Sized + Send + Sync + 'static {
    /// The result of its statements, before the commit.
    type Outcome: Send;
    /// The result for its caller, after the commit.
    type Answer: Send;

    /// Applies all of `operations` and returns their results in the same order. It may be called again after its
    /// transaction was rolled back.
    fn apply(
        operations: &[Self],
        transaction: &mut Transaction<'_>,
    ) -> impl Future<Output = Result<Vec<Self::Outcome>, Failure>> + Send;

    /// Returns the result for the caller.
    fn answer(self, outcome: Self::Outcome) -> Self::Answer;

    /// Converts the operation into a command to the writer.
    fn into_command(self, reply: Reply<Self::Answer>) -> Command;
}

/// An open transaction, to which operations are applied.
pub(super) struct Transaction<'a> {
    pub(super) connection: &'a mut SqliteConnection,
    pub(super) now: UnixMillis,
    pub(super) settings: &'a SqliteSettings,
    /// Messages in the queue at the end of this transaction.
    pub(super) depth: u64,
    /// Set if messages became visible.
    pub(super) arrivals: bool,
}

/// Error of a transaction, sent to each of its callers.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    Full,
    Unavailable(Arc<sqlx::Error>),
    Closed,
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        // SQLITE_FULL: the disk is full, or the database reached its page limit.
        match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
            Some("13") => Self::Full,
            _ => Self::Unavailable(Arc::new(error)),
        }
    }
}

impl From<Failure> for QueueError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full => Self::Full,
            Failure::Unavailable(error) => Self::Unavailable(Box::new(SharedCause(error))),
            Failure::Closed => Self::Closed,
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full => Self::Full,
            Failure::Unavailable(error) => Self::Unavailable(Box::new(SharedCause(error))),
            Failure::Closed => Self::Closed,
        }
    }
}

/// One cause, shared by many callers.
#[derive(Debug)]
struct SharedCause(Arc<sqlx::Error>);

impl fmt::Display for SharedCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for SharedCause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// The pending operations of one kind.
pub(super) struct Waiting<O: Operation> {
    operations: Vec<O>,
    replies: Vec<Reply<O::Answer>>,
    outcomes: Vec<O::Outcome>,
}

impl<O: Operation> Default for Waiting<O> {
    fn default() -> Self {
        Self { operations: Vec::new(), replies: Vec::new(), outcomes: Vec::new() }
    }
}

impl<O: Operation> Waiting<O> {
    fn push(&mut self, (operation, reply): (O, Reply<O::Answer>)) {
        self.operations.push(operation);
        self.replies.push(reply);
    }

    async fn apply(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Failure> {
        if !self.operations.is_empty() {
            self.outcomes = O::apply(&self.operations, transaction).await?;
            debug_assert_eq!(self.outcomes.len(), self.operations.len(), "each operation has its outcome");
        }
        Ok(())
    }

    fn succeed(self) {
        for ((operation, reply), outcome) in self.operations.into_iter().zip(self.replies).zip(self.outcomes)
        {
            // The caller may have stopped waiting.
            let _ = reply.send(Ok(operation.answer(outcome)));
        }
    }

    fn fail(self, failure: &Failure) {
        for reply in self.replies {
            let _ = reply.send(Err(failure.clone()));
        }
    }
}

/// The operations of one transaction.
///
/// Concurrent callers expect no order between their operations, so the kinds may be applied in any order. Operations
/// that free space come first, and leases last, so that they see the messages that arrived in the same transaction.
#[derive(Default)]
pub(super) struct Group {
    acknowledge: Waiting<Acknowledge>,
    purge: Waiting<Purge>,
    report: Waiting<Report>,
    hand_back: Waiting<HandBack>,
    claim: Waiting<Claim>,
    release: Waiting<Release>,
    record: Waiting<Record>,
    enqueue: Waiting<Enqueue>,
    lease: Waiting<Lease>,
}

impl Group {
    /// Adds a command; returns the reply channel of a request to close, which is not an operation.
    pub(super) fn push(&mut self, command: Command) -> Option<oneshot::Sender<()>> {
        match command {
            Command::Acknowledge(it) => self.acknowledge.push(it),
            Command::Purge(it) => self.purge.push(it),
            Command::Report(it) => self.report.push(it),
            Command::HandBack(it) => self.hand_back.push(it),
            Command::Claim(it) => self.claim.push(it),
            Command::Release(it) => self.release.push(it),
            Command::Record(it) => self.record.push(it),
            Command::Enqueue(it) => self.enqueue.push(it),
            Command::Lease(it) => self.lease.push(it),
            Command::Close(reply) => return Some(reply),
        }
        None
    }

    pub(super) async fn apply(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Failure> {
        self.acknowledge.apply(transaction).await?;
        self.purge.apply(transaction).await?;
        self.report.apply(transaction).await?;
        self.hand_back.apply(transaction).await?;
        self.claim.apply(transaction).await?;
        self.release.apply(transaction).await?;
        self.record.apply(transaction).await?;
        self.enqueue.apply(transaction).await?;
        self.lease.apply(transaction).await
    }

    pub(super) fn succeed(self) {
        self.acknowledge.succeed();
        self.purge.succeed();
        self.report.succeed();
        self.hand_back.succeed();
        self.claim.succeed();
        self.release.succeed();
        self.record.succeed();
        self.enqueue.succeed();
        self.lease.succeed();
    }

    pub(super) fn fail(self, failure: &Failure) {
        self.acknowledge.fail(failure);
        self.purge.fail(failure);
        self.report.fail(failure);
        self.hand_back.fail(failure);
        self.claim.fail(failure);
        self.release.fail(failure);
        self.record.fail(failure);
        self.enqueue.fail(failure);
        self.lease.fail(failure);
    }

    /// Splits the group by kind: in a full database, operations that free space must not fail with those that need it.
    pub(super) fn into_kinds(self) -> Vec<Self> {
        let none = Self::default;
        let kinds = [
            Self { acknowledge: self.acknowledge, ..none() },
            Self { purge: self.purge, ..none() },
            Self { report: self.report, ..none() },
            Self { hand_back: self.hand_back, ..none() },
            Self { claim: self.claim, ..none() },
            Self { release: self.release, ..none() },
            Self { record: self.record, ..none() },
            Self { enqueue: self.enqueue, ..none() },
            Self { lease: self.lease, ..none() },
        ];
        kinds.into_iter().filter(|group| !group.is_empty()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.acknowledge.operations.is_empty()
            && self.purge.operations.is_empty()
            && self.report.operations.is_empty()
            && self.hand_back.operations.is_empty()
            && self.claim.operations.is_empty()
            && self.release.operations.is_empty()
            && self.record.operations.is_empty()
            && self.enqueue.operations.is_empty()
            && self.lease.operations.is_empty()
    }
}
