//! What the worker needs from a queue engine.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::UnixMillis;

use crate::error::EngineError;

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
    /// [`EngineError`]; nothing is leased then, or the lease ends by itself.
    async fn lease(&self, max: usize, wait: Duration) -> Result<Vec<LeasedMessage>, EngineError>;

    /// Removes messages for good. One that is already gone is no error.
    ///
    /// # Errors
    /// [`EngineError`]; the messages may come again.
    async fn acknowledge(&self, keys: Vec<MessageKey>) -> Result<(), EngineError>;

    /// Hands messages back at once, because the worker stops: never because of what is in them.
    ///
    /// # Errors
    /// [`EngineError`]; the messages come again when their leases end.
    async fn release(&self, keys: Vec<MessageKey>) -> Result<(), EngineError>;

    /// How full the queue is.
    ///
    /// # Errors
    /// [`EngineError`].
    async fn depth(&self) -> Result<QueueDepth, EngineError>;
}
