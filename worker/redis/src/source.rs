//! The stream as a service of the pull engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chargegate_pull::engine::{
    AckRetry, FailedReceipt, IdlePolicy, InFlightMessages, LeaseReceipt, PullService, PullServiceError,
    PullSettings, ReceiptFailure, ReceivedMessage,
};
use chargegate_redis_layout::STREAM_GROUP;
use redis::cmd;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::connection::{CommandError, RedisConnection};
use super::entry::{EntryId, StreamEntry, StreamReadReply};
use super::reclaim::{RELEASED_CONSUMER, ReclaimSchedule};
use super::{RedisQueueState, open, script};
use chargegate_storage::metric;

/// Upper bound of the time that a read blocks on the server.
pub(super) const MAX_BLOCK: Duration = Duration::from_secs(1);
/// Upper bound of the waits between attempts to read.
const RETRY_CAP: Duration = Duration::from_secs(1);
/// Maximum number of messages of one read, and so of a reply.
const READ_BATCH: usize = 1_024;
/// Maximum number of messages acked or released by one command.
const ACK_BATCH: usize = 512;

/// The consumer of this worker, as the pull engine uses it.
#[derive(Debug)]
pub(crate) struct RedisStreamSource {
    state: Arc<RedisQueueState>,
    reader: Mutex<StreamReader>,
}

/// Reads the stream over a connection of its own, since reads block. Everything that is delivered to this worker
/// passes through here, one read after the other, so that a delivery under way is never mistaken for a lost one.
#[derive(Debug)]
pub(super) struct StreamReader {
    pub(super) state: Arc<RedisQueueState>,
    pub(super) connection: RedisConnection,
    pub(super) schedule: ReclaimSchedule,
    /// Number of receipts issued: two deliveries never share a receipt.
    receipts: AtomicU64,
}

impl RedisStreamSource {
    pub(super) fn new(state: Arc<RedisQueueState>, connection: RedisConnection) -> Self {
        let reader = StreamReader {
            state: Arc::clone(&state),
            connection,
            schedule: ReclaimSchedule::default(),
            receipts: AtomicU64::default(),
        };
        Self { state, reader: Mutex::new(reader) }
    }

    /// Closes the connection that reads, so that the server delivers nothing more to this consumer.
    pub(super) async fn disconnect(&self) {
        self.reader.lock().await.connection.disconnect().await;
    }

    async fn ack(&self, receipts: &[LeaseReceipt]) -> Result<(), CommandError> {
        let ids: Vec<EntryId> = receipts.iter().filter_map(parse_receipt).map(|(id, _)| id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mut call = script::ACKNOWLEDGE.key(&self.state.keys.stream);
        self.state.connection.call(call.arg(STREAM_GROUP).arg(ids)).await
    }

    /// Makes entries available to all consumers, as if this delivery had not happened.
    async fn release(&self, receipts: &[LeaseReceipt]) -> Result<(), CommandError> {
        if receipts.is_empty() {
            return Ok(());
        }
        let state = &self.state;
        let mut call = script::RELEASE.key(&state.keys.stream);
        call.arg(STREAM_GROUP).arg(&state.consumer.name).arg(RELEASED_CONSUMER);
        for (id, deliveries) in receipts.iter().filter_map(parse_receipt) {
            call.arg(id).arg(deliveries);
        }
        match state.connection.call::<()>(&call).await {
            // A server that lost the group lost the messages.
            Err(error) if !error.is("NOGROUP") => return Err(error),
            Ok(()) | Err(_) => {}
        }
        state.reclaim_now.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[async_trait]
impl PullService for RedisStreamSource {
    fn settings(&self) -> PullSettings {
        PullSettings {
            receive_batch: READ_BATCH,
            ack_batch: ACK_BATCH,
            send_batch: 1,
            send_bytes: 0,
            lease: self.state.settings.message_lease,
            // A lease is not extended: when it has ended, any worker may claim its message.
            extend_for: Duration::ZERO,
            idle: IdlePolicy::Block(MAX_BLOCK),
            linger: Duration::ZERO,
            // A message whose ack failed is still pending for this consumer, and is delivered again at once.
            ack_retry: AckRetry::Never,
            retry_cap: RETRY_CAP,
            // Lost deliveries can be distinguished from those under way only while there is one read at a time.
            pullers: 1,
        }
    }

    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        in_flight: &InFlightMessages,
    ) -> Result<Vec<ReceivedMessage>, PullServiceError> {
        let until = Instant::now() + wait;
        let mut reader = self.reader.lock().await;
        let mut group_created = false;
        loop {
            match reader.receive(max, until, in_flight).await {
                // The read ended early because entries were due to be reclaimed.
                Ok(messages) if messages.is_empty() && Instant::now() < until => {}
                Ok(messages) => return Ok(messages),
                Err(error) if error.is("NOGROUP") && !group_created => {
                    open::create_group(&reader.connection, &self.state.keys.stream)
                        .await
                        .map_err(PullServiceError::unavailable)?;
                    group_created = true;
                    warn!(
                        stream = self.state.keys.stream,
                        "the server lost the stream's consumer group; created it again"
                    );
                    metric::queue_group_recreated();
                }
                Err(error) => return Err(PullServiceError::unavailable(error)),
            }
        }
    }

    async fn ack_and_release(
        &self,
        acked: &[LeaseReceipt],
        released: &[LeaseReceipt],
    ) -> Result<Vec<FailedReceipt>, PullServiceError> {
        let (ack_result, release_result) = tokio::join!(self.ack(acked), self.release(released));
        let mut failed = Vec::new();
        for (receipts, result) in [(acked, ack_result), (released, release_result)] {
            let Err(error) = result else { continue };
            if receipts.len() == acked.len() + released.len() {
                return Err(PullServiceError::unavailable(error));
            }
            debug!(error = %error, cause = metric::cause(&error), "could not end all leases; their messages will be redelivered");
            failed.extend(
                receipts
                    .iter()
                    .cloned()
                    .map(|receipt| FailedReceipt { receipt, reason: ReceiptFailure::Transient }),
            );
        }
        Ok(failed)
    }

    async fn extend(&self, _: &[LeaseReceipt]) -> Result<Vec<FailedReceipt>, PullServiceError> {
        Ok(Vec::new())
    }

    async fn depth(&self) -> Result<u64, PullServiceError> {
        let length = self.state.connection.run(cmd("XLEN").arg(&self.state.keys.stream)).await;
        length.map_err(PullServiceError::unavailable)
    }
}

impl StreamReader {
    /// Receives up to `max` messages: first those that are reclaimed, then new ones, for which the read blocks until
    /// `until` or until entries are due to be reclaimed.
    async fn receive(
        &mut self,
        max: usize,
        until: Instant,
        in_flight: &InFlightMessages,
    ) -> Result<Vec<ReceivedMessage>, CommandError> {
        let generation = self.connection.connect().await?;
        if generation != self.schedule.generation {
            // Others must see that this consumer is alive before anything is delivered to it. Where memory is full
            // they cannot, and it is reading that frees memory.
            match self.state.consumer.send_heartbeat(&self.connection).await {
                Err(error) if !open::is_full(&error) => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let mut messages = self.reclaim_due(max, generation, in_flight).await?;
        let remaining = max.saturating_sub(messages.len());
        if remaining > 0 {
            let end = if messages.is_empty() { until } else { Instant::now() };
            match self.read_new(remaining, end).await {
                Ok(new) => messages.extend(new),
                // The reclaimed messages are delivered; the next read meets the error again.
                Err(_) if !messages.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(messages)
    }

    async fn read_new(&self, count: usize, until: Instant) -> Result<Vec<ReceivedMessage>, CommandError> {
        let end = self.schedule.next_reclaim.map_or(until, |reclaim| reclaim.min(until));
        let wait = end.saturating_duration_since(Instant::now()).min(MAX_BLOCK);
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(STREAM_GROUP).arg(&self.state.consumer.name).arg("COUNT").arg(count);
        // BLOCK 0 would block for ever; a wait of less than a millisecond is rounded up, lest the caller spin.
        if !wait.is_zero() {
            command.arg("BLOCK").arg(milliseconds(wait).max(1));
        }
        command.arg("STREAMS").arg(&self.state.keys.stream).arg(">");
        let StreamReadReply(entries) = self.connection.run(&command).await?;
        Ok(entries.0.into_iter().map(|entry| self.received(entry, 1)).collect())
    }

    /// Returns an entry as the message of its delivery number `deliveries`.
    pub(super) fn received(&self, entry: StreamEntry, deliveries: u32) -> ReceivedMessage {
        let StreamEntry { id, body } = entry;
        let number = self.receipts.fetch_add(1, Ordering::Relaxed);
        ReceivedMessage {
            key: self.state.keys.message_key(id),
            receipt: LeaseReceipt::from(format!("{id}/{deliveries}/{number}")),
            body,
            enqueued_at: Some(id.time()),
            deliveries,
        }
    }
}

/// Returns the entry of a receipt, and the number of its deliveries.
fn parse_receipt(receipt: &LeaseReceipt) -> Option<(EntryId, u32)> {
    let mut parts = receipt.as_str().split('/');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Returns a time in whole milliseconds.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
