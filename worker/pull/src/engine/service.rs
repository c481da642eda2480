//! What the engine needs of a queue service.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::UnixMillis;

use chargegate_storage::EngineError;
use chargegate_storage::queue::MessageKey;

/// A queue service behind an HTTP API: it leases messages in batches, each lease with a receipt of its own.
///
/// Every call ends within a time of its own, and gives a whole answer or none.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// What it offers; asked once.
    fn terms(&self) -> Terms;

    /// Leases up to `max` messages, at most a batch, and waits up to `wait` for the first of them where it can.
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Received>, ServiceError>;

    /// Ends leases, at most a batch: those of `done` for good, those of `back` so that the messages come again at once.
    ///
    /// Gives those that did not end although the call succeeded.
    async fn settle(&self, done: &[Receipt], back: &[Receipt]) -> Result<Vec<Unsettled>, ServiceError>;

    /// Makes leases, at most a batch, last from now on as if they had just begun.
    ///
    /// Gives those that were not extended although the call succeeded.
    async fn extend(&self, receipts: &[Receipt]) -> Result<Vec<Unsettled>, ServiceError>;

    /// Puts messages into the queue, at most a batch; gives a result for each, in their order.
    async fn send(&self, bodies: &[String]) -> Result<Vec<Result<(), ServiceError>>, ServiceError>;

    /// About how many messages are in the queue, leased ones included.
    async fn depth(&self) -> Result<u64, ServiceError>;
}

/// What a service offers, and how it wants to be asked.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Messages that one call leases at most.
    pub receive_batch: usize,
    /// Leases that one call ends or extends at most.
    pub settle_batch: usize,
    /// Messages that one call enqueues at most.
    pub send_batch: usize,
    /// Bytes of messages that one call enqueues at most.
    pub send_bytes: usize,
    /// How long a lease lasts after it began or was extended.
    pub lease: Duration,
    /// For how long leases of messages in our hands are extended; zero where they cannot be.
    pub extend_for: Duration,
    /// What to do while there are no messages.
    pub idle: Idle,
    /// How long what does not fill a call waits for more, where the queue is busy.
    pub linger: Duration,
    /// Calls that ask for messages at the same time, at most.
    pub pullers: usize,
}

/// How to wait for messages.
#[derive(Clone, Copy, Debug)]
pub enum Idle {
    /// The service answers at once: ask again after pauses that grow up to this long.
    Pause(Duration),
    /// The service itself waits for a message, up to this long.
    LongPoll(Duration),
}

/// What ends or extends one lease. It is as good as a password for its message.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Receipt(Arc<str>);

impl Receipt {
    /// The receipt as the service wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Receipt {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt(..)")
    }
}

/// A leased message, as a service gives it.
#[derive(Clone)]
pub struct Received {
    /// The service's name for it, the same at every delivery.
    pub key: MessageKey,
    /// What ends this lease.
    pub receipt: Receipt,
    /// What was enqueued.
    pub body: Vec<u8>,
    /// When, by the service's clock.
    pub enqueued_at: Option<UnixMillis>,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received({:?}, delivery {}, ..)", self.key, self.deliveries)
    }
}

/// A lease that a call did not end or extend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// Which one.
    pub receipt: Receipt,
    /// Why.
    pub cause: Cause,
}

/// Why a lease was not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The service failed at it, and may do better.
    Failed,
    /// The lease was over already: the message comes again, unless it is gone.
    Over,
}

/// A call to a service did not do what it was to do. Cheap to clone, for all who waited for the call.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ServiceError {
    /// The service has had too many calls.
    #[error("the service of QUEUE_URL asks for fewer calls")]
    Throttled {
        /// How long it wants to be left alone, if it says so.
        retry_after: Option<Duration>,
    },
    /// It cannot be reached, or failed in a way that may pass.
    #[error("the service of QUEUE_URL failed")]
    Unavailable(#[source] Arc<dyn Error + Send + Sync>),
    /// It will not do it until somebody mends something: who and how, for the operator.
    #[error("{0}")]
    Refused(Arc<str>),
}

impl ServiceError {
    /// A failure that may pass.
    pub fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(Arc::from(cause.into()))
    }

    /// The name in metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Unavailable(_) => "unavailable",
            Self::Refused(_) => "refused",
        }
    }
}

impl From<ServiceError> for EngineError {
    fn from(error: ServiceError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
