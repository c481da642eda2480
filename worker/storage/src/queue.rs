//! The queue traits and their types.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{EnqueueError, UnixMillis};

use tracing::debug;

use crate::error::QueueError;

/// The key of a message within its engine, the same at every delivery.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageKey(Box<str>);

impl MessageKey {
    /// Returns the key as text.
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

/// A message leased to this worker.
#[derive(Clone)]
pub struct LeasedMessage {
    /// The key.
    pub key: MessageKey,
    /// The body, not yet decoded.
    pub body: Vec<u8>,
    /// Time of the enqueue by the engine's clock, if the engine provides it.
    pub enqueued_at: Option<UnixMillis>,
    /// Number of deliveries, including this one.
    pub deliveries: u32,
}

impl fmt::Debug for LeasedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeasedMessage({:?}, delivery {}, ..)", self.key, self.deliveries)
    }
}

/// Number of messages in a queue, and its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueDepth {
    /// Messages not yet acknowledged, including leased ones.
    pub waiting: u64,
    /// Maximum number of messages.
    pub limit: u64,
}

/// The receiving side of a queue: delivery is at least once, roughly in order, under leases that the engine keeps.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Leases up to `max` of the oldest available messages, waiting up to `wait` for the first one.
    ///
    /// # Errors
    /// [`QueueError`]; nothing is leased, or the leases expire.
    async fn lease(&self, max: usize, wait: Duration) -> Result<Vec<LeasedMessage>, QueueError>;

    /// Deletes messages. A key that is not in the queue is ignored.
    ///
    /// # Errors
    /// [`QueueError`]; the messages may be delivered again.
    async fn ack(&self, keys: Vec<MessageKey>) -> Result<(), QueueError>;

    /// Returns undecided messages to the queue, because the worker stops; never because of their content. This delivery
    /// does not count.
    ///
    /// # Errors
    /// [`QueueError`]; the messages are delivered again when their leases end.
    async fn release(&self, keys: Vec<MessageKey>) -> Result<(), QueueError>;

    /// Returns the number of messages and the limit.
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
    /// The queue is at its depth limit.
    #[error("the queue is at its depth limit")]
    DepthLimit,
    /// The disk, the memory or the engine's own limit is exhausted.
    #[error("the queue is out of storage space")]
    Full,
    /// The body is longer than [`chargegate_core::MAX_MESSAGE_BYTES`].
    #[error("the message is too large")]
    TooLarge,
    /// The queue failed in a way that may pass.
    #[error("the queue is unavailable")]
    Unavailable(#[source] QueueError),
    /// The queue was closed in this process.
    #[error("the queue is closed")]
    Closed,
}

impl EnqueueFailure {
    /// Returns the name in metrics.
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
