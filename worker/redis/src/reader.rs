//! The reader of one stream, with a connection of its own, since it blocks.

use std::sync::Arc;
use std::time::Duration;

use chargegate_redis_layout::STREAM_GROUP;
use redis::cmd;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::RedisState;
use super::connection::{CommandError, RedisConnection};
use super::entry::{ReadReply, StreamEntry};
use super::prefetch::ReadDemand;
use super::streams::EntryLocation;
use chargegate_storage::FailureBackoff;
use chargegate_storage::metric;
use chargegate_storage::queue::LeasedMessage;

/// The longest a read waits on the server.
pub(super) const READ_BLOCK: Duration = Duration::from_secs(1);
const RECONNECT_BASE: Duration = Duration::from_millis(50);
const RECONNECT_CAP: Duration = Duration::from_secs(1);

/// Reads one stream on demand. All that becomes this worker's in the stream passes through here, one thing after the
/// other, so that what is on its way to us is never mistaken for lost.
pub(super) struct StreamReader {
    pub(super) shared: Arc<RedisState>,
    /// The number of the stream, and of the reader.
    pub(super) stream: usize,
    pub(super) key: String,
    pub(super) link: RedisConnection,
    pub(super) schedule: ReclaimSchedule,
}

/// Schedule of searches for stale entries.
#[derive(Debug, Default)]
pub(super) struct ReclaimSchedule {
    /// The connection that was looked over last.
    pub(super) generation: u64,
    pub(super) next_look: Option<Instant>,
    pub(super) next_tidying: Option<Instant>,
    outage: FailureBackoff,
}

impl StreamReader {
    /// Reads until `stop`. What is being read then stays pending until somebody takes it over.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.serve() => {}
        }
    }

    async fn serve(&mut self) {
        loop {
            match self.serve_once().await {
                Ok(()) => {
                    if self.schedule.outage.reset() {
                        info!(stream = self.key, "reading again");
                    }
                }
                Err(error) => self.recover_from(error).await,
            }
        }
    }

    async fn serve_once(&mut self) -> Result<(), CommandError> {
        let generation = self.link.connect().await?;
        if generation != self.schedule.generation {
            // Before anything is ours, others must see that we live. Where memory is full they cannot, and it is
            // reading that makes room.
            match self.shared.consumer.send_heartbeat(&self.link).await {
                Err(error) if !error.is("OOM") => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        self.shared.prefetch.up(self.stream);
        let demand = self.shared.prefetch.demand(self.stream).await;
        let messages = self.deliver(demand, generation).await?;
        self.shared.prefetch.deliver(self.stream, messages);
        Ok(())
    }

    async fn recover_from(&mut self, error: CommandError) {
        let error = Arc::new(error);
        if error.is("NOGROUP") {
            match self.create_group().await {
                Ok(()) => {
                    warn!(stream = self.key, "the server lost the stream's consumer group; created it again");
                    metric::queue_group_recreated();
                    self.shared.prefetch.reset(self.stream);
                    return;
                }
                Err(error) => {
                    debug!(stream = self.key, error = %error, "could not create the consumer group");
                }
            }
        }
        metric::engine_failure();
        if self.schedule.outage.should_warn() {
            warn!(stream = self.key, error = %error, cause = metric::cause(&*error), "cannot read; trying again");
        } else {
            debug!(stream = self.key, error = %error, cause = metric::cause(&*error), "still cannot read");
        }
        self.shared.prefetch.down(self.stream, error);
        let wait = self.schedule.outage.next_delay(RECONNECT_BASE, RECONNECT_CAP, &self.shared.effects);
        tokio::time::sleep(wait).await;
    }

    async fn create_group(&self) -> Result<(), CommandError> {
        super::open::create_group(&self.link, &self.key).await
    }

    /// What is to be had of the demand: first what was left behind, then what is new.
    async fn deliver(
        &mut self,
        demand: ReadDemand,
        generation: u64,
    ) -> Result<Vec<LeasedMessage>, CommandError> {
        let mut messages = self.reclaim(demand.count, generation).await?;
        let room = demand.count.saturating_sub(messages.len());
        if room > 0 {
            let wait = if messages.is_empty() { self.wait(demand) } else { Duration::ZERO };
            match self.read(room, wait).await {
                Ok(new) => messages.extend(new),
                // Entries found so far count; the next turn meets the error again.
                Err(_) if !messages.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(messages)
    }

    /// Returns the wait of a read, which ends before the next search.
    fn wait(&self, demand: ReadDemand) -> Duration {
        let now = Instant::now();
        let end = self.schedule.next_look.map_or(demand.until, |look| look.min(demand.until));
        end.saturating_duration_since(now).min(READ_BLOCK)
    }

    async fn read(&self, count: usize, wait: Duration) -> Result<Vec<LeasedMessage>, CommandError> {
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(STREAM_GROUP).arg(&self.shared.consumer.name).arg("COUNT").arg(count);
        // To block for 0 ms is to block for ever.
        if let milliseconds @ 1.. = wait.as_millis() {
            command.arg("BLOCK").arg(u64::try_from(milliseconds).unwrap_or(u64::MAX));
        }
        command.arg("STREAMS").arg(&self.key).arg(">");
        let ReadReply(entries) = self.link.run(&command).await?;
        Ok(entries.0.into_iter().filter_map(|entry| self.hold(entry, 1)).collect())
    }

    /// Takes an entry that is ours now, unless it is on its way already.
    pub(super) fn hold(&self, entry: StreamEntry, deliveries: u32) -> Option<LeasedMessage> {
        let StreamEntry { id, body } = entry;
        self.shared.in_flight.insert(self.stream, id, deliveries).then(|| LeasedMessage {
            key: self.shared.streams.message_key(EntryLocation { stream: self.stream, id }),
            body,
            enqueued_at: Some(id.time()),
            deliveries,
        })
    }
}
