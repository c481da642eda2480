//! Fixture of the queue suite.

use std::sync::Arc;
use std::time::Duration;

use crate::queue::{EnqueueFailure, LeasedMessage, MessageKey, Queue};
use async_trait::async_trait;
use tokio::time::Instant;

/// Wait of a lease that returns at once.
pub const NO_WAIT: Duration = Duration::ZERO;
/// Maximum wait for an expected event.
pub const PATIENCE: Duration = Duration::from_secs(40);
/// Longest wait for a released message: half of the default lease, after whose end the message would be delivered again
/// without its release. Leases of SQS end after 6 s, so there the bound shows only that the message comes again.
pub const RELEASE_DEADLINE: Duration = Duration::from_secs(30);

/// Lease of messages whose worker dies, on engines where only the end of the lease releases them.
const UNDETECTED_LEASE: Duration = Duration::from_secs(8);

/// Settings of a test queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueOptions {
    /// Maximum number of messages in the queue.
    pub depth_limit: u64,
    /// Duration of the lease of a message.
    pub message_lease: Duration,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { depth_limit: 100_000, message_lease: Duration::from_mins(1) }
    }
}

/// A worker's handle of the queue.
pub type QueueHandle = Arc<dyn Queue>;

/// An engine with a fresh queue.
#[async_trait]
pub trait QueueFixture: Send + Sync + Sized + 'static {
    /// Set if messages are delivered strictly in the order of their enqueue.
    const ORDERED: bool;
    /// Set if the queue enforces a depth limit.
    const DEPTH_LIMIT: bool = true;
    /// Set if a delivery counts although its message was released.
    const RELEASE_COUNTS: bool = false;
    /// Set if an ack deletes a message although its lease has ended and passed to another worker.
    const LATE_ACK_COUNTS: bool = true;
    /// Set if the death of a worker is detected before its leases end.
    const DEATH_IS_NOTICED: bool = true;
    /// Maximum pause of an engine after it found the queue empty.
    const PAUSE: Duration = Duration::ZERO;
    /// The shortest possible lease.
    const SHORTEST_LEASE: Duration = Duration::ZERO;
    /// A body that cannot be decoded.
    const NO_MESSAGE: &[u8] = b"\xff\xfe { not \0 json";
    /// Divisor of large message counts for slow servers.
    const FEWER: usize = 1;

    /// Starts the engine with an empty queue.
    async fn start(options: QueueOptions) -> Self;

    /// Returns a new worker if the engine allows several at a time, else the same one again.
    async fn worker(&self) -> QueueHandle;

    /// Enqueues a message as the edge does.
    async fn enqueue(&self, body: &str) -> Result<(), EnqueueFailure>;

    /// Returns whether the queue accepts a text.
    fn accepts(_body: &str) -> bool {
        true
    }

    /// Enqueues [`Self::NO_MESSAGE`], which no edge does.
    async fn enqueue_no_message(&self);

    /// Ends a worker as SIGKILL does, and returns another one.
    async fn kill(&self, worker: QueueHandle) -> QueueHandle;

    /// Closes the engine of a worker.
    async fn close(&self, worker: &QueueHandle);

    /// Returns the server's time in milliseconds since 1970, if the server records the time of an enqueue.
    async fn server_time(&self) -> Option<u64>;

    /// Enqueues messages, in their order.
    async fn enqueue_all<'a>(&self, bodies: impl IntoIterator<Item = &'a str> + Send) {
        for body in bodies.into_iter().collect::<Vec<_>>() {
            self.enqueue(body).await.unwrap();
        }
    }

    /// Enqueues `count` messages: "0", "1" and so on.
    async fn enqueue_numbers(&self, count: usize) {
        let bodies: Vec<_> = (0..count).map(|number| number.to_string()).collect();
        self.enqueue_all(bodies.iter().map(String::as_str)).await;
    }
}

/// Returns options with a lease that ends during a test.
pub fn short_lease<F: QueueFixture>() -> QueueOptions {
    let message_lease = Duration::from_millis(400).max(F::SHORTEST_LEASE);
    QueueOptions { message_lease, ..QueueOptions::default() }
}

/// Returns options for tests in which a worker dies.
pub fn dying_worker<F: QueueFixture>() -> QueueOptions {
    let long = QueueOptions::default();
    if F::DEATH_IS_NOTICED { long } else { QueueOptions { message_lease: UNDETECTED_LEASE, ..long } }
}

/// Returns a duration longer than that lease.
pub fn past_short_lease<F: QueueFixture>() -> Duration {
    short_lease::<F>().message_lease * 2
}

/// Leases until `count` messages were delivered.
pub async fn lease(worker: &QueueHandle, count: usize) -> Vec<LeasedMessage> {
    let deadline = Instant::now() + PATIENCE;
    let mut all = Vec::new();
    while all.len() < count {
        let wait = deadline.saturating_duration_since(Instant::now());
        assert!(!wait.is_zero(), "{} of {count} messages were delivered: {all:?}", all.len());
        all.extend(worker.lease(count - all.len(), wait).await.unwrap());
    }
    all
}

/// Asserts that no message is delivered within `time`.
pub async fn nothing_comes(worker: &QueueHandle, time: Duration) {
    let leased = worker.lease(10, time).await.unwrap();
    assert!(leased.is_empty(), "{leased:?}");
}

/// Acknowledges messages.
pub async fn ack(worker: &QueueHandle, messages: &[LeasedMessage]) {
    worker.ack(keys(messages)).await.unwrap();
}

/// Releases messages.
pub async fn release(worker: &QueueHandle, messages: &[LeasedMessage]) {
    worker.release(keys(messages)).await.unwrap();
}

/// Returns the keys, in the order of the messages.
pub fn keys(messages: &[LeasedMessage]) -> Vec<MessageKey> {
    messages.iter().map(|message| message.key.clone()).collect()
}

/// Returns the delivery counts, in the order of the messages.
pub fn deliveries(messages: &[LeasedMessage]) -> Vec<u32> {
    messages.iter().map(|message| message.deliveries).collect()
}

/// Returns the bodies as text, in the order of the messages.
pub fn bodies(messages: &[LeasedMessage]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
}

/// Returns the values in ascending order.
pub fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort_unstable();
    values
}
