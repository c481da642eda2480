//! The queue on a Redis or Valkey stream, for any number of workers.
//!
//! Workers share the stream through one consumer group. An entry that a worker read is pending for it until the worker
//! has recorded the outcome, and acks and deletes the entry. Each worker is a consumer that sends a heartbeat every
//! second; the pending entries of a consumer whose heartbeat stopped are reclaimed by the others. The
//! [pull engine](chargegate_pull::engine) reads only as many messages as leases ask for: a backlog stays on the server.

mod connection;
mod consumer;
mod entry;
#[cfg(test)]
mod fake_server;
mod inspect;
mod keys;
mod open;
mod reclaim;
mod script;
mod source;
#[cfg(test)]
mod tests;
mod url;
mod warning;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{EnqueueError, MAX_MESSAGE_BYTES};
use chargegate_pull::engine::PullEngine;
use chargegate_redis_layout::{STREAM_FIELD, STREAM_GROUP, STREAM_PREFIX};
use redis::cmd;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::warn;

use self::connection::{CommandError, RedisConnection};
use self::consumer::RedisConsumer;
pub use self::inspect::RedisInspector;
use self::keys::RedisKeys;
pub use self::open::RedisOpenError;
use self::source::{MAX_BLOCK, RedisStreamSource};
pub use self::url::{RedisUrl, RedisUrlError};
pub use self::warning::RedisWarning;
use chargegate_storage::Effects;
use chargegate_storage::QueueError;
use chargegate_storage::history::{HistorySource, QueueObservation};
use chargegate_storage::metric;
pub use chargegate_storage::queue::EnqueueFailure;
use chargegate_storage::queue::{LeasedMessage, MessageKey, Producer, Queue, QueueDepth};
use chargegate_storage::spawn_signalling_end;

/// Time limit of deregistering the consumer.
const DEREGISTER_TIMEOUT: Duration = Duration::from_secs(2);

/// Settings of a queue on Redis.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Address of the server.
    pub url: RedisUrl,
    /// Prefix of all keys, which is their hash tag.
    pub prefix: String,
    /// Maximum number of messages in the stream, leased ones included; further ones are refused.
    pub depth_limit: u64,
    /// Time for which a leased message stays with a living worker.
    pub message_lease: Duration,
}

impl RedisSettings {
    /// Returns the default settings.
    #[must_use]
    pub fn new(url: RedisUrl) -> Self {
        Self {
            url,
            prefix: STREAM_PREFIX.to_owned(),
            depth_limit: 1_000_000,
            message_lease: Duration::from_secs(30),
        }
    }
}

/// A queue on a Redis stream, connected to its server; clones share the connections.
#[derive(Clone)]
pub struct RedisQueue {
    state: Arc<RedisQueueState>,
    engine: PullEngine<RedisStreamSource>,
    heartbeat: TaskTracker,
    stop: CancellationToken,
    ended: CancellationToken,
    /// Stops the heartbeat when the last clone is dropped.
    _stop_on_drop: Arc<DropGuard>,
}

#[derive(Debug)]
struct RedisQueueState {
    settings: RedisSettings,
    keys: RedisKeys,
    consumer: RedisConsumer,
    /// Connection for commands that do not block.
    connection: RedisConnection,
    /// Whether a message was released just now, so that a pass over stale entries is due.
    reclaim_now: AtomicBool,
    effects: Effects,
}

/// Creates a connection for commands that do not block.
fn connect(settings: &RedisSettings, effects: Effects) -> Result<RedisConnection, RedisOpenError> {
    RedisConnection::new(&settings.url, Duration::ZERO, effects)
        .map_err(|error| open::describe(settings)(error.into()))
}

impl RedisQueue {
    /// Connects to the server, checks its configuration, creates the stream and its group if they are missing, and
    /// starts to read when a lease asks for messages.
    ///
    /// The warnings are for the operator.
    ///
    /// # Errors
    /// [`RedisOpenError`].
    pub async fn open(
        settings: RedisSettings,
        effects: Effects,
    ) -> Result<(Self, Vec<RedisWarning>), RedisOpenError> {
        let connection = connect(&settings, effects.clone())?;
        let warnings = open::check(&connection, &settings).await?;
        let keys = RedisKeys::new(&settings.prefix);
        open::prepare(&connection, &settings, &keys).await?;
        let consumer = RedisConsumer::new(&keys, &effects).await;
        match consumer.send_heartbeat(&connection).await {
            Err(error) if !open::is_full(&error) => return Err(open::describe(&settings)(error)),
            Ok(()) | Err(_) => {}
        }
        let reading = RedisConnection::new(&settings.url, MAX_BLOCK, effects.clone())
            .map_err(|error| open::describe(&settings)(error.into()))?;
        let state = Arc::new(RedisQueueState {
            settings,
            keys,
            consumer,
            connection,
            reclaim_now: AtomicBool::new(false),
            effects: effects.clone(),
        });
        let engine = PullEngine::start(RedisStreamSource::new(Arc::clone(&state), reading), effects);
        let (stop, ended, heartbeat) =
            (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let beat = stop.clone().run_until_cancelled_owned(consumer::run_heartbeat(Arc::clone(&state)));
        spawn_signalling_end(&ended, heartbeat.track_future(beat));
        heartbeat.close();
        let stop_on_drop = Arc::new(stop.clone().drop_guard());
        Ok((Self { state, engine, heartbeat, stop, ended, _stop_on_drop: stop_on_drop }, warnings))
    }

    /// Adds a message to the queue; returns `Ok` after the server confirmed it, with the durability that the server is
    /// configured for.
    ///
    /// # Errors
    /// [`EnqueueFailure`]; the message was not enqueued then, except that after [`EnqueueFailure::Unavailable`] it may
    /// have been.
    pub async fn enqueue(&self, body: String) -> Result<(), EnqueueFailure> {
        let result = self.try_enqueue(&body).await;
        metric::enqueue(result.as_ref().err().map(EnqueueFailure::as_str));
        result
    }

    async fn try_enqueue(&self, body: &str) -> Result<(), EnqueueFailure> {
        if body.len() > MAX_MESSAGE_BYTES {
            return Err(EnqueueFailure::TooLarge);
        }
        self.check_open()?;
        let mut call = script::ENQUEUE.key(&self.state.keys.stream);
        call.arg(self.state.settings.depth_limit).arg(STREAM_FIELD).arg(body);
        let added: bool = self.state.connection.call(&call).await.map_err(QueueError::from)?;
        if added { Ok(()) } else { Err(EnqueueFailure::DepthLimit) }
    }

    /// Waits until a task of the queue has ended, after a fault or because the queue was closed. The queue is not
    /// usable then.
    pub async fn ended(&self) {
        tokio::select! {
            () = self.ended.cancelled() => {}
            () = self.engine.ended() => {}
        }
    }

    /// Stops reading, releases messages that no lease claimed, and deregisters the consumer. Messages that are still
    /// leased are reclaimed by other workers at once, or when the heartbeat expires if the server does not answer in
    /// time. Later calls on any clone fail with [`QueueError::Closed`].
    pub async fn close(&self) {
        self.engine.close().await;
        self.engine.service().disconnect().await;
        self.stop.cancel();
        self.heartbeat.wait().await;
        let deregistered = tokio::time::timeout(DEREGISTER_TIMEOUT, self.state.deregister()).await;
        if let Err(error) = deregistered.unwrap_or(Err(CommandError::TimedOut)) {
            warn!(
                error = %error, cause = metric::cause(&error),
                "could not deregister the consumer; its messages will be reclaimed"
            );
        }
    }

    fn check_open(&self) -> Result<(), QueueError> {
        if self.engine.is_closed() { Err(QueueError::Closed) } else { Ok(()) }
    }
}

impl RedisQueueState {
    /// Ends the heartbeat, and deletes dead consumers without pending entries.
    async fn deregister(&self) -> Result<(), CommandError> {
        self.connection.run::<()>(cmd("DEL").arg(&self.consumer.heartbeat_key)).await?;
        let mut call = script::DELETE_DEAD_CONSUMERS.key(&self.keys.stream);
        call.arg(STREAM_GROUP).arg(self.keys.heartbeat(""));
        self.connection.call(&call).await
    }
}

#[async_trait]
impl Queue for RedisQueue {
    async fn lease(&self, max: usize, wait: Duration) -> Result<Vec<LeasedMessage>, QueueError> {
        self.engine.lease(max, wait).await
    }

    async fn ack(&self, keys: Vec<MessageKey>) -> Result<(), QueueError> {
        self.engine.ack(keys).await
    }

    async fn release(&self, keys: Vec<MessageKey>) -> Result<(), QueueError> {
        self.engine.release(keys).await
    }

    async fn depth(&self) -> Result<QueueDepth, QueueError> {
        let depth = self.engine.depth().await?;
        Ok(QueueDepth { limit: self.state.settings.depth_limit, ..depth })
    }
}

#[async_trait]
impl Producer for RedisQueue {
    async fn enqueue(&self, body: String) -> Result<(), EnqueueError> {
        Ok(RedisQueue::enqueue(self, body).await?)
    }
}

#[async_trait]
impl HistorySource for RedisQueue {
    async fn observe(&self, known_heartbeat: u64) -> Result<QueueObservation, QueueError> {
        self.check_open()?;
        let mut call = script::OBSERVE.prepare_invoke();
        call.key(&self.state.keys.history).key(&self.state.keys.stream).arg(known_heartbeat);
        let (kept_heartbeat, kept_enqueued, enqueued, begun_heartbeat) =
            self.state.connection.call(&call).await?;
        Ok(QueueObservation { kept_heartbeat, kept_enqueued, enqueued, begun_heartbeat })
    }
}

impl fmt::Debug for RedisQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisQueue")
            .field("settings", &self.state.settings)
            .field("consumer", &self.state.consumer)
            .finish_non_exhaustive()
    }
}
