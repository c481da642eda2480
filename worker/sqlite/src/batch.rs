//! What is written in one transaction: the waiting operations, sorted by kind, each kind applied at once.

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

/// Where an operation's caller waits.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Failure>>;

/// Something to write. All waiting operations of a kind are applied together.
pub(super) trait Operation: Sized + Send + Sync + 'static {
    /// What its statements gave, before the commit.
    type Outcome: Send;
    /// What its caller gets, after the commit.
    type Answer: Send;

    /// Applies all of `operations`, and says what each gave, in the same order. It may be called again after
    /// its transaction was rolled back.
    fn apply(
        operations: &[Self],
        transaction: &mut Transaction<'_>,
    ) -> impl Future<Output = Result<Vec<Self::Outcome>, Failure>> + Send;

    /// The caller's answer.
    fn answer(self, outcome: Self::Outcome) -> Self::Answer;

    /// The operation as it travels to the writer.
    fn into_command(self, reply: Reply<Self::Answer>) -> Command;
}

/// What operations are applied with.
pub(super) struct Transaction<'a> {
    pub(super) connection: &'a mut SqliteConnection,
    pub(super) now: UnixMillis,
    pub(super) settings: &'a SqliteSettings,
    /// Messages in the queue, as this transaction leaves them.
    pub(super) depth: u64,
    /// Whether messages became visible.
    pub(super) arrivals: bool,
}

/// Why a transaction failed; every one of its callers is told.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    Full,
    Unavailable(Arc<sqlx::Error>),
    Closed,
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        // SQLITE_FULL: the disk has no room, or the database may have no more pages.
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

/// One cause for many callers.
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

/// The waiting operations of one kind.
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
            // A caller that stopped waiting is nobody to tell.
            let _ = reply.send(Ok(operation.answer(outcome)));
        }
    }

    fn fail(self, failure: &Failure) {
        for reply in self.replies {
            let _ = reply.send(Err(failure.clone()));
        }
    }
}

/// All that is written in one transaction.
///
/// Its callers wait for each other's answers only where they chose to, so the kinds may be applied in any order.
/// What frees room comes first, and a lease last, so that it sees what arrived together with it.
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
    /// Adds a command; gives back the one that is no operation.
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

    /// One group for each kind: in a full database what frees room must not fail with what needs it.
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
