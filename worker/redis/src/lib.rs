//! The queue on Redis or Valkey streams, for any number of workers.
//!
//! Workers share each stream through one consumer group. What a worker read is pending for it, until it has recorded the
//! outcome and acknowledges and deletes the entry. Each worker is a consumer of its own and says every second that it
//! lives; what one that fell silent left pending, the others take over. A stream has one reader in each worker, which
//! reads only what a lease asks for: a backlog stays on the server.

mod connection;
mod consumer;
mod entry;
#[cfg(test)]
mod fake;
mod in_flight;
mod inspect;
mod open;
mod prefetch;
mod queue;
mod reader;
mod reclaim;
mod script;
mod streams;
#[cfg(test)]
mod tests;
mod url;
mod warning;

use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chargegate_core::MAX_MESSAGE_BYTES;
use chargegate_redis_layout::{STREAM_FIELD, STREAM_GROUP, STREAM_PREFIX};
use redis::cmd;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::warn;

use self::connection::{CommandError, RedisConnection};
use self::consumer::StreamConsumer;
use self::in_flight::InFlightEntries;
pub use self::inspect::RedisInspector;
pub use self::open::RedisOpenError;
use self::prefetch::Prefetcher;
use self::reader::{READ_BLOCK, ReclaimSchedule, StreamReader};
use self::streams::StreamSet;
pub use self::url::{RedisUrl, RedisUrlError};
pub use self::warning::RedisWarning;
use async_trait::async_trait;
use chargegate_storage::Effects;
use chargegate_storage::QueueError;
use chargegate_storage::history::{HistorySource, QueueObservation};
use chargegate_storage::metric;
pub use chargegate_storage::queue::EnqueueFailure;
use chargegate_storage::queue::MessageKey;
use chargegate_storage::spawn_signalling_end;

/// The longest that taking leave of the server takes.
const DEREGISTER_TIMEOUT: Duration = Duration::from_secs(2);

/// Settings of the queue on Redis.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// URL of the server.
    pub url: RedisUrl,
    /// Number of streams; the same for all writers and readers.
    pub streams: NonZeroU16,
    /// Prefix of all keys.
    pub prefix: String,
    /// Messages that may wait in all streams together, leased ones included; more are refused.
    pub depth_limit: u64,
    /// Lease of a message while its worker is alive.
    pub message_lease: Duration,
}

impl RedisSettings {
    /// The usual settings.
    #[must_use]
    pub fn new(url: RedisUrl) -> Self {
        Self {
            url,
            streams: NonZeroU16::MIN,
            prefix: STREAM_PREFIX.to_owned(),
            depth_limit: 1_000_000,
            message_lease: Duration::from_secs(30),
        }
    }
}

/// The engine, connected to its server; clones share it.
#[derive(Clone)]
pub struct RedisQueue {
    shared: Arc<RedisState>,
    tasks: TaskTracker,
    stop: CancellationToken,
    ended: CancellationToken,
    /// Ends the tasks with the last clone.
    _end: Arc<DropGuard>,
}

struct RedisState {
    settings: RedisSettings,
    streams: StreamSet,
    consumer: StreamConsumer,
    link: RedisConnection,
    prefetch: Prefetcher,
    in_flight: InFlightEntries,
    /// By stream: something was left behind just now.
    hints: Box<[AtomicBool]>,
    effects: Effects,
}

/// A link for commands that do not block.
fn link(settings: &RedisSettings, effects: Effects) -> Result<RedisConnection, RedisOpenError> {
    RedisConnection::new(&settings.url, Duration::ZERO, effects)
        .map_err(|error| open::describe(settings)(error.into()))
}

impl RedisQueue {
    /// Connects to the server, looks whether it can be trusted, creates what is missing and begins to read when asked.
    ///
    /// The warnings are for the operator.
    ///
    /// # Errors
    /// [`RedisOpenError`] says what is in the way and what to do about it.
    pub async fn open(
        settings: RedisSettings,
        effects: Effects,
    ) -> Result<(Self, Vec<RedisWarning>), RedisOpenError> {
        let link = link(&settings, effects.clone())?;
        let warnings = open::check(&link, &settings).await?;
        let streams = StreamSet::new(&settings.prefix, settings.streams);
        open::prepare(&link, &settings, &streams).await?;
        let consumer = StreamConsumer::new(&streams, &effects).await;
        match consumer.send_heartbeat(&link).await {
            Err(error) if !open::is_full(&error) => return Err(open::describe(&settings)(error)),
            Ok(()) | Err(_) => {}
        }
        let count = streams.keys().len();
        let shared = Arc::new(RedisState {
            prefetch: Prefetcher::new(count),
            in_flight: InFlightEntries::new(count, settings.message_lease),
            settings,
            consumer,
            link,
            hints: (0..count).map(|_| AtomicBool::new(false)).collect(),
            streams,
            effects,
        });
        let stop = CancellationToken::new();
        let (tasks, ended) = (TaskTracker::new(), CancellationToken::new());
        for (stream, key) in shared.streams.keys().iter().cloned().enumerate() {
            let settings = &shared.settings;
            let link = RedisConnection::new(&settings.url, READ_BLOCK, shared.effects.clone())
                .map_err(|error| open::describe(settings)(error.into()))?;
            let reader = StreamReader {
                shared: Arc::clone(&shared),
                stream,
                key,
                link,
                schedule: ReclaimSchedule::default(),
            };
            spawn_signalling_end(&ended, tasks.track_future(reader.run(stop.clone())));
        }
        let live = consumer::live(Arc::clone(&shared));
        let living = stop.clone().run_until_cancelled_owned(live);
        spawn_signalling_end(&ended, tasks.track_future(living));
        tasks.close();
        let end = Arc::new(stop.clone().drop_guard());
        Ok((Self { shared, tasks, stop, ended, _end: end }, warnings))
    }

    /// Puts a message into the queue. `Ok` comes after the server confirmed it, at the durability it is set to.
    ///
    /// # Errors
    /// [`EnqueueFailure`]; the message was not enqueued then, except that after
    /// [`EnqueueFailure::Unavailable`] it may have been.
    pub async fn enqueue(&self, body: String) -> Result<(), EnqueueFailure> {
        let result = self.try_enqueue(&body).await;
        metric::enqueue(result.as_ref().err().map(EnqueueFailure::as_str));
        result
    }

    async fn try_enqueue(&self, body: &str) -> Result<(), EnqueueFailure> {
        if body.len() > MAX_MESSAGE_BYTES {
            return Err(EnqueueFailure::TooLarge);
        }
        self.shared.check_open()?;
        let streams = &self.shared.streams;
        let mut call = script::ENQUEUE.prepare_invoke();
        call.key(streams.keys()).arg(self.shared.settings.depth_limit);
        // Lua counts from one.
        call.arg(streams.number_for(body) + 1).arg(STREAM_FIELD).arg(body);
        let taken: bool = self.shared.link.call(&call).await.map_err(QueueError::from)?;
        if taken { Ok(()) } else { Err(EnqueueFailure::DepthLimit) }
    }

    /// Comes back once a part of the engine has ended, by a fault or because it was closed: it cannot be relied on then.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Stops reading, hands back what no lease came for, and takes leave of the server. What is still leased then
    /// goes to other workers at once, or soon if the server does not answer within two seconds. Later calls on any clone get [`QueueError::Closed`].
    pub async fn close(&self) {
        let unclaimed: Vec<_> = self.shared.prefetch.close().into_iter().map(|message| message.key).collect();
        self.stop.cancel();
        self.tasks.wait().await;
        let leaving = self.shared.leave(&unclaimed);
        let left = tokio::time::timeout(DEREGISTER_TIMEOUT, leaving).await;
        if let Err(error) = left.unwrap_or_else(|_| Err(CommandError::TimedOut.into())) {
            warn!(error = %error, cause = metric::cause(&error), "could not take leave of the queue; others will notice");
        }
    }
}

impl RedisState {
    /// Hands messages back, says that this worker no longer lives, and deletes its consumers that have nothing pending.
    async fn leave(&self, unclaimed: &[MessageKey]) -> Result<(), QueueError> {
        self.release(unclaimed).await?;
        self.link.run::<()>(cmd("DEL").arg(&self.consumer.alive_key)).await?;
        for stream in self.streams.keys() {
            let mut call = script::DELETE_IDLE_CONSUMERS.key(stream);
            call.arg(STREAM_GROUP).arg(self.streams.alive_key(""));
            self.link.call::<()>(&call).await?;
        }
        Ok(())
    }

    /// Makes the reader of a stream search for stale entries at once.
    fn hint(&self, stream: usize) {
        if let Some(hint) = self.hints.get(stream) {
            hint.store(true, Ordering::Relaxed);
        }
    }

    fn take_hint(&self, stream: usize) -> bool {
        self.hints.get(stream).is_some_and(|hint| hint.swap(false, Ordering::Relaxed))
    }
}

impl fmt::Debug for RedisQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("settings", &self.shared.settings)
            .field("consumer", &self.shared.consumer)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl HistorySource for RedisQueue {
    async fn observe(&self, known_heartbeat: u64) -> Result<QueueObservation, QueueError> {
        self.shared.check_open()?;
        let mut call = script::OBSERVE.prepare_invoke();
        call.key(self.shared.streams.history_key()).key(self.shared.streams.keys()).arg(known_heartbeat);
        let (kept_heartbeat, kept_enqueued, enqueued, begun_heartbeat) = self.shared.link.call(&call).await?;
        Ok(QueueObservation { kept_heartbeat, kept_enqueued, enqueued, begun_heartbeat })
    }
}
