//! What the worker needs from a queue engine.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{EnqueueError, UnixMillis};

use tracing::debug;

use crate::error::QueueError;

/// A message's name within its engine, the same at every delivery.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageKey(Box<str>);

impl MessageKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for MessageKey {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message that is this worker's until its lease ends.
#[derive(Clone)]
pub struct LeasedMessage {
    /// Its name.
    pub key: MessageKey,
    /// What was enqueued, not yet decoded.
    pub body: Vec<u8>,
    /// When the engine took it, by the engine's clock, where it says so.
    pub enqueued_at: Option<UnixMillis>,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
}

impl fmt::Debug for LeasedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeasedMessage({:?}, delivery {}, ..)", self.key, self.deliveries)
    }
}

/// How full a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueDepth {
    /// Messages not yet acknowledged, leased ones included.
    pub waiting: u64,
    /// More than this many are refused.
    pub limit: u64,
}

/// A queue of undecided work: at least once, roughly in order, under leases that the engine keeps.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Leases up to `max` of the oldest messages nobody holds, waiting up to `wait` for the first one.
    ///
    /// # Errors
    /// [`QueueError`]; nothing is leased then, or the lease ends by itself.
    async fn lease(&self, max: usize, wait: Duration) -> Result<Vec<LeasedMessage>, QueueError>;

    /// Removes messages for good. One that is already gone is no error.
    ///
    /// # Errors
    /// [`QueueError`]; the messages may come again.
    async fn ack(&self, keys: Vec<MessageKey>) -> Result<(), QueueError>;

    /// Hands messages back at once, because the worker stops: never because of what is in them. This delivery does not
    /// count.
    ///
    /// # Errors
    /// [`QueueError`]; the messages come again when their leases end.
    async fn release(&self, keys: Vec<MessageKey>) -> Result<(), QueueError>;

    /// How full the queue is.
    ///
    /// # Errors
    /// [`QueueError`].
    async fn depth(&self) -> Result<QueueDepth, QueueError>;
}

/// The sending side of a queue.
#[async_trait]
pub trait Producer: Send + Sync {
    /// Enqueues a message, and returns after the queue confirmed it at the durability that the engine states.
    ///
    /// A caller that drops the future does not know whether the message was enqueued.
    ///
    /// # Errors
    /// [`EnqueueError`]: the message is not confirmed.
    async fn enqueue(&self, body: String) -> Result<(), EnqueueError>;
}

/// The reason why an engine did not enqueue a message, with its cause. [`EnqueueError`] is its public form.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueFailure {
    /// As many messages as allowed wait already.
    #[error("the queue is at its depth limit")]
    DepthLimit,
    /// The disk, the memory or the engine's own limit is reached.
    #[error("there is no room left in the queue")]
    Full,
    /// The body is longer than [`chargegate_core::MAX_MESSAGE_BYTES`].
    #[error("the message is too large")]
    TooLarge,
    /// The engine failed in a way that may pass.
    #[error("the queue failed")]
    Unavailable(#[source] QueueError),
    /// The engine was shut down.
    #[error("the queue is shut down")]
    Closed,
}

impl EnqueueFailure {
    /// The name in metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::DepthLimit => "depth_limit",
            Self::Full => "full",
            Self::TooLarge => "too_large",
            Self::Unavailable(_) => "unavailable",
            Self::Closed => "closed",
        }
    }
}

impl From<EnqueueFailure> for EnqueueError {
    /// Logs the failure, whose cause the result no longer has.
    fn from(failure: EnqueueFailure) -> Self {
        let cause = std::error::Error::source(&failure).map(tracing::field::display);
        debug!(error = %failure, cause, "the queue did not confirm a message");
        match failure {
            EnqueueFailure::DepthLimit | EnqueueFailure::Full => Self::Full,
            EnqueueFailure::TooLarge => Self::TooLarge,
            EnqueueFailure::Unavailable(_) | EnqueueFailure::Closed => Self::Unavailable,
        }
    }
}

impl From<QueueError> for EnqueueFailure {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full => Self::Full,
            QueueError::Closed => Self::Closed,
            QueueError::Unavailable(_) => Self::Unavailable(error),
        }
    }
}
