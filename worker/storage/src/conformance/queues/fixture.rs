//! What the suite needs of an engine.

use std::sync::Arc;
use std::time::Duration;

use crate::queue::{EnqueueFailure, LeasedMessage, MessageKey, Queue};
use async_trait::async_trait;
use tokio::time::Instant;

pub const NO_WAIT: Duration = Duration::ZERO;
/// The longest that a test waits for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The lease of messages whose holder dies, where only its end gives them free.
const UNNOTICED: Duration = Duration::from_secs(8);

/// What a test sets.
#[derive(Clone, Copy, Debug)]
pub struct QueueOptions {
    pub depth_limit: u64,
    pub message_lease: Duration,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { depth_limit: 100_000, message_lease: Duration::from_mins(1) }
    }
}

/// A worker's access to the queue.
pub type QueueHandle = Arc<dyn Queue>;

/// An engine with a queue of its own.
#[async_trait]
pub trait QueueFixture: Send + Sync + Sized + 'static {
    /// Whether messages come strictly in the order in which they were enqueued.
    const ORDERED: bool;
    /// Whether there is a limit to what the queue holds.
    const DEPTH_LIMIT: bool = true;
    /// Whether a delivery counts although its message was handed back.
    const RELEASE_COUNTS: bool = false;
    /// Whether a message is done with when a worker says so whose lease has ended and passed to another.
    const LATE_IS_BELIEVED: bool = true;
    /// Whether it is noticed that a holder died, before its leases end.
    const DEATH_IS_NOTICED: bool = true;
    /// How long an engine that found the queue empty may leave it alone.
    const PAUSE: Duration = Duration::ZERO;
    /// The shortest lease there is.
    const SHORTEST_LEASE: Duration = Duration::ZERO;
    /// As far from a message as the queue can hold.
    const NO_MESSAGE: &[u8] = b"\xff\xfe { not \0 json";
    /// Large numbers of messages are divided by this, where the server is slow.
    const FEWER: usize = 1;

    async fn start(options: QueueOptions) -> Self;

    /// A worker of its own where the engine allows several at a time, else the one again.
    async fn worker(&self) -> QueueHandle;

    async fn enqueue(&self, body: &str) -> Result<(), EnqueueFailure>;

    /// Whether the queue takes a text.
    fn takes(_body: &str) -> bool {
        true
    }

    /// Puts [`Self::NO_MESSAGE`] into the queue, as no edge does.
    async fn enqueue_no_message(&self);

    /// Ends a worker as SIGKILL does, and gives one that goes on.
    async fn kill(&self, worker: QueueHandle) -> QueueHandle;

    async fn close(&self, worker: &QueueHandle);

    /// The server's time, in milliseconds since 1970, where it notes when a message was enqueued.
    async fn server_time(&self) -> Option<u64>;

    async fn enqueue_all<'a>(&self, bodies: impl IntoIterator<Item = &'a str> + Send) {
        for body in bodies.into_iter().collect::<Vec<_>>() {
            self.enqueue(body).await.unwrap();
        }
    }

    /// So many messages: "0", "1" and so on.
    async fn enqueue_numbers(&self, count: usize) {
        let bodies: Vec<_> = (0..count).map(|number| number.to_string()).collect();
        self.enqueue_all(bodies.iter().map(String::as_str)).await;
    }
}

/// A lease that ends while a test looks on.
pub fn short<F: QueueFixture>() -> QueueOptions {
    let message_lease = Duration::from_millis(400).max(F::SHORTEST_LEASE);
    QueueOptions { message_lease, ..QueueOptions::default() }
}

/// Leases that nobody outlives unnoticed for long.
pub fn deadly<F: QueueFixture>() -> QueueOptions {
    let long = QueueOptions::default();
    if F::DEATH_IS_NOTICED { long } else { QueueOptions { message_lease: UNNOTICED, ..long } }
}

/// Longer than that lease.
pub fn past<F: QueueFixture>() -> Duration {
    short::<F>().message_lease * 2
}

/// Leases until `count` messages came, however many leases it takes.
pub async fn lease(worker: &QueueHandle, count: usize) -> Vec<LeasedMessage> {
    let deadline = Instant::now() + PATIENCE;
    let mut all = Vec::new();
    while all.len() < count {
        let wait = deadline.saturating_duration_since(Instant::now());
        assert!(!wait.is_zero(), "{} of {count} messages came: {all:?}", all.len());
        all.extend(worker.lease(count - all.len(), wait).await.unwrap());
    }
    all
}

/// Fails if any message comes within `time`.
pub async fn nothing_comes(worker: &QueueHandle, time: Duration) {
    let came = worker.lease(10, time).await.unwrap();
    assert!(came.is_empty(), "{came:?}");
}

pub async fn ack(worker: &QueueHandle, messages: &[LeasedMessage]) {
    worker.ack(keys(messages)).await.unwrap();
}

pub async fn release(worker: &QueueHandle, messages: &[LeasedMessage]) {
    worker.release(keys(messages)).await.unwrap();
}

pub fn keys(messages: &[LeasedMessage]) -> Vec<MessageKey> {
    messages.iter().map(|message| message.key.clone()).collect()
}

pub fn deliveries(messages: &[LeasedMessage]) -> Vec<u32> {
    messages.iter().map(|message| message.deliveries).collect()
}

/// The bodies, as text, in the order of the messages.
pub fn bodies(messages: &[LeasedMessage]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
}

pub fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort_unstable();
    values
}
