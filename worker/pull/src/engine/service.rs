//! The interface between the engine and a queue service.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::UnixMillis;

use super::InFlightMessages;
use chargegate_storage::QueueError;
use chargegate_storage::queue::MessageKey;

/// A queue service that leases messages in batches, each lease with a receipt of its own.
///
/// Every call is bounded in time by the service, and returns a complete answer or an error.
#[async_trait]
pub trait PullService: Send + Sync + 'static {
    /// Returns the limits and properties of the service; called once.
    fn settings(&self) -> PullSettings;

    /// Leases up to `max` messages, at most a batch, and waits up to `wait` for the first of them if the service can.
    ///
    /// `in_flight` lets a service that remembers its consumers tell a message whose delivery was lost from one that
    /// this worker is processing.
    ///
    /// # Errors
    /// [`PullServiceError`]; messages may have been leased all the same.
    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        in_flight: &InFlightMessages,
    ) -> Result<Vec<ReceivedMessage>, PullServiceError>;

    /// Removes the messages of the leases `acked`, and makes those of `released` available again at once; together at
    /// most a batch. Returns the leases for which that failed although the call succeeded.
    ///
    /// # Errors
    /// [`PullServiceError`]; leases may have ended all the same.
    async fn ack_and_release(
        &self,
        acked: &[LeaseReceipt],
        released: &[LeaseReceipt],
    ) -> Result<Vec<FailedReceipt>, PullServiceError>;

    /// Restarts the term of leases, at most a batch. Returns the leases that were not extended although the call
    /// succeeded.
    ///
    /// # Errors
    /// [`PullServiceError`].
    async fn extend(&self, receipts: &[LeaseReceipt]) -> Result<Vec<FailedReceipt>, PullServiceError>;

    /// Returns the approximate number of messages in the queue, leased ones included.
    ///
    /// # Errors
    /// [`PullServiceError`].
    async fn depth(&self) -> Result<u64, PullServiceError>;
}

/// A queue service that also sends in batches.
#[async_trait]
pub trait SendService: PullService {
    /// Sends messages, at most a batch; returns a result for each, in the order of `bodies`.
    ///
    /// # Errors
    /// [`PullServiceError`]; messages may have been enqueued all the same.
    async fn send(&self, bodies: &[String]) -> Result<Vec<Result<(), PullServiceError>>, PullServiceError>;
}

/// Limits and properties of a [`PullService`].
#[derive(Clone, Copy, Debug)]
pub struct PullSettings {
    /// Maximum number of messages that one call receives.
    pub receive_batch: usize,
    /// Maximum number of leases that one call ends or extends.
    pub ack_batch: usize,
    /// Maximum number of messages that one call sends.
    pub send_batch: usize,
    /// Maximum number of bytes of the messages that one call sends.
    pub send_bytes: usize,
    /// Term of a lease after it began or was extended.
    pub lease: Duration,
    /// Time for which leases of messages in flight are extended; zero where they cannot be extended.
    pub extend_for: Duration,
    /// Behaviour while the queue is empty.
    pub idle: IdlePolicy,
    /// Time for which an incomplete batch waits for more, where the queue is busy; zero where calls cost nothing.
    pub linger: Duration,
    /// Behaviour after a failed ack or release.
    pub ack_retry: AckRetry,
    /// Upper bound of the waits between attempts after failures, unless the service asks for a longer one.
    pub retry_cap: Duration,
    /// Maximum number of concurrent receive calls.
    pub pullers: usize,
}

/// Behaviour while the queue is empty.
#[derive(Clone, Copy, Debug)]
pub enum IdlePolicy {
    /// The service answers at once: calls are separated by pauses that grow up to this bound.
    Pause(Duration),
    /// The service itself waits for a message, up to this bound; since calls are paid for, a call may wait longer than
    /// the leases it is made for.
    LongPoll(Duration),
    /// The service itself waits for a message, up to this bound; a call waits as long as the leases it is made for.
    Block(Duration),
}

/// Behaviour after a failed ack or release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckRetry {
    /// The call is repeated until the lease ends; the message is delivered again only then.
    WhileLeased,
    /// The failure is reported at once, and the message is delivered again as soon as the service offers it.
    Never,
}

/// Receipt of one lease, by which it is ended or extended. Secret: it grants access to its message.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LeaseReceipt(Arc<str>);

impl LeaseReceipt {
    /// Returns the receipt as the service wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for LeaseReceipt {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for LeaseReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseReceipt(..)")
    }
}

/// A leased message, as received from a service.
#[derive(Clone)]
pub struct ReceivedMessage {
    /// Id of the message in the service, the same at every delivery.
    pub key: MessageKey,
    /// Receipt of this lease.
    pub receipt: LeaseReceipt,
    /// Body that was enqueued.
    pub body: Vec<u8>,
    /// Time of the enqueue, by the service's clock.
    pub enqueued_at: Option<UnixMillis>,
    /// Number of deliveries, including this one.
    pub deliveries: u32,
}

impl fmt::Debug for ReceivedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceivedMessage({:?}, delivery {}, ..)", self.key, self.deliveries)
    }
}

/// A lease that a call did not end or extend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedReceipt {
    /// Receipt of the lease.
    pub receipt: LeaseReceipt,
    /// Reason of the failure.
    pub reason: ReceiptFailure,
}

/// Reason for which a lease was not ended or extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptFailure {
    /// The service failed; another attempt may succeed.
    Transient,
    /// The lease had ended before: the message is delivered again, unless it was removed.
    LeaseEnded,
}

/// Error of a call to a [`PullService`]. Cheap to clone, for all who waited for the call.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PullServiceError {
    /// The service throttles calls.
    #[error("the queue service asks for fewer calls")]
    Throttled {
        /// Wait that the service asks for, if any.
        retry_after: Option<Duration>,
    },
    /// The service cannot be reached, or failed temporarily.
    #[error("the queue service failed")]
    Unavailable(#[source] Arc<dyn Error + Send + Sync>),
    /// The service refuses until an operator changes something; the text names the reason and the remedy.
    #[error("{0}")]
    Refused(Arc<str>),
}

impl PullServiceError {
    /// Creates a temporary failure.
    pub fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(Arc::from(cause.into()))
    }

    /// Returns the label in metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Unavailable(_) => "unavailable",
            Self::Refused(_) => "refused",
        }
    }
}

impl From<PullServiceError> for QueueError {
    fn from(error: PullServiceError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
