//! Write operations and their transaction.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use chargegate_core::UnixMillis;
use sqlx::SqliteConnection;
use tokio::sync::oneshot;

use super::SqliteSettings;
use chargegate_storage::{QueueError, StoreError};

/// The channel on which an operation's caller waits.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Failure>>;

/// A write operation. All pending operations of a kind are applied together.
pub(super) trait Operation: Sized + Send + Sync + 'static {
    /// The result for its caller, sent after the commit.
    type Answer: Send;

    /// Applies all of `operations` and returns their results in the same order. It may be called again after its
    /// transaction was rolled back.
    fn apply(
        operations: &[Self],
        transaction: &mut Transaction<'_>,
    ) -> impl Future<Output = Result<Vec<Self::Answer>, Failure>> + Send;
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
