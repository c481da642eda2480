//! Errors of queues and stores.

use std::error::Error;

/// Error of a queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The disk, the memory or the queue's own limit is exhausted.
    #[error("the queue is out of storage space")]
    Full,
    /// The queue cannot be reached, or failed in a way that may pass.
    #[error("the queue is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The queue was closed in this process.
    #[error("the queue is closed")]
    Closed,
}

/// Error of a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or the database's own limit is exhausted.
    #[error("the store is out of storage space")]
    Full,
    /// The store cannot be reached, or failed in a way that may pass.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The database is a standby, whose data may lag behind: decisions would seem to be lost.
    #[error("the database is a standby and may lag behind its primary")]
    Standby,
    /// The stored data cannot be read by this version.
    #[error("the store holds data that this version cannot read: {0}")]
    Unreadable(&'static str),
    /// A cursor is from another list or another store.
    #[error("the cursor is not from this list")]
    ForeignCursor,
    /// The audit trail holds an action with this id and another operator, name or selection.
    #[error("the id belongs to another action")]
    OtherAction,
    /// The store was closed in this process.
    #[error("the store is closed")]
    Closed,
}

/// Error of an operation that uses a queue and a store.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Consequence of an error for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorFate {
    /// Repeat the operation after a delay.
    Retry,
    /// Do not repeat the operation: an operator is needed, or the process is stopping.
    Stop,
}

impl QueueError {
    /// Returns whether to repeat the failed operation.
    #[must_use]
    pub fn fate(&self) -> ErrorFate {
        match self {
            Self::Full | Self::Unavailable(_) => ErrorFate::Retry,
            Self::Closed => ErrorFate::Stop,
        }
    }
}

impl StoreError {
    /// Returns whether to repeat the failed operation.
    #[must_use]
    pub fn fate(&self) -> ErrorFate {
        match self {
            Self::Full | Self::Unavailable(_) => ErrorFate::Retry,
            Self::Standby | Self::Unreadable(_) | Self::ForeignCursor | Self::OtherAction | Self::Closed => {
                ErrorFate::Stop
            }
        }
    }
}

impl EngineError {
    /// Returns whether to repeat the failed operation.
    #[must_use]
    pub fn fate(&self) -> ErrorFate {
        match self {
            Self::Queue(error) => error.fate(),
            Self::Store(error) => error.fate(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transient_queue_errors_are_retried() {
        for (error, fate) in [
            (QueueError::Full, ErrorFate::Retry),
            (QueueError::Unavailable("down".into()), ErrorFate::Retry),
            (QueueError::Closed, ErrorFate::Stop),
        ] {
            assert_eq!(error.fate(), fate, "{error}");
            assert_eq!(EngineError::from(error).fate(), fate);
        }
    }

    #[test]
    fn only_transient_store_errors_are_retried() {
        for (error, fate) in [
            (StoreError::Full, ErrorFate::Retry),
            (StoreError::Unavailable("down".into()), ErrorFate::Retry),
            (StoreError::Standby, ErrorFate::Stop),
            (StoreError::Unreadable("row"), ErrorFate::Stop),
            (StoreError::ForeignCursor, ErrorFate::Stop),
            (StoreError::OtherAction, ErrorFate::Stop),
            (StoreError::Closed, ErrorFate::Stop),
        ] {
            assert_eq!(error.fate(), fate, "{error}");
            assert_eq!(EngineError::from(error).fate(), fate);
        }
    }
}
