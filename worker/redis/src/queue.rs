//! The engine as a queue.

use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::EnqueueError;
use chargegate_redis_layout::STREAM_GROUP;
use redis::pipe;

use super::in_flight::ReleasedEntries;
use super::reclaim::RELEASED_CONSUMER;
use super::{RedisQueue, RedisState, script};
use chargegate_storage::QueueError;
use chargegate_storage::queue::{LeasedMessage, MessageKey, Producer, Queue, QueueDepth};

/// Messages acknowledged or handed back by one command.
const MAX_KEYS_PER_CALL: usize = 512;

#[async_trait]
impl Queue for RedisQueue {
    async fn lease(&self, max: usize, wait: Duration) -> Result<Vec<LeasedMessage>, QueueError> {
        self.shared.prefetch.lease(max, wait).await
    }

    async fn ack(&self, keys: Vec<MessageKey>) -> Result<(), QueueError> {
        self.shared.check_open()?;
        self.shared.ack(&keys).await
    }

    async fn release(&self, keys: Vec<MessageKey>) -> Result<(), QueueError> {
        self.shared.check_open()?;
        self.shared.release(&keys).await
    }

    async fn depth(&self) -> Result<QueueDepth, QueueError> {
        self.shared.check_open()?;
        let mut question = pipe();
        for stream in self.shared.streams.keys() {
            question.xlen(stream);
        }
        let lengths: Vec<u64> = self.shared.link.run_all(&question).await?;
        Ok(QueueDepth { waiting: lengths.iter().sum(), limit: self.shared.settings.depth_limit })
    }
}

#[async_trait]
impl Producer for RedisQueue {
    async fn enqueue(&self, body: String) -> Result<(), EnqueueError> {
        Ok(RedisQueue::enqueue(self, body).await?)
    }
}

impl RedisState {
    pub(super) fn check_open(&self) -> Result<(), QueueError> {
        if self.prefetch.is_closed() { Err(QueueError::Closed) } else { Ok(()) }
    }

    async fn ack(&self, keys: &[MessageKey]) -> Result<(), QueueError> {
        for remove_in_flight in self.remove_in_flight(keys) {
            let Some(key) = self.streams.keys().get(remove_in_flight.stream) else { continue };
            for ids in remove_in_flight.ids.chunks(MAX_KEYS_PER_CALL) {
                self.link.call::<()>(script::ACKNOWLEDGE.key(key).arg(STREAM_GROUP).arg(ids)).await?;
            }
        }
        Ok(())
    }

    /// Releases entries that are still leased here; this delivery does not count.
    pub(super) async fn release(&self, keys: &[MessageKey]) -> Result<(), QueueError> {
        for remove_in_flight in self.remove_in_flight(keys) {
            let stream = remove_in_flight.stream;
            let Some(key) = self.streams.keys().get(stream) else { continue };
            for ids in remove_in_flight.ids.chunks(MAX_KEYS_PER_CALL) {
                let mut call = script::RELEASE.key(key);
                call.arg(STREAM_GROUP).arg(&self.consumer.name).arg(RELEASED_CONSUMER);
                for id in ids {
                    let deliveries = self.in_flight.deliveries(stream, *id).unwrap_or(1);
                    call.arg(id).arg(deliveries.saturating_sub(1));
                }
                match self.link.call::<()>(&call).await {
                    // A server that lost the group lost the messages.
                    Err(error) if !error.is("NOGROUP") => return Err(error.into()),
                    Ok(()) | Err(_) => {}
                }
            }
            // The reader skips leased entries.
            drop(remove_in_flight);
            self.hint(stream);
        }
        Ok(())
    }

    /// What is to be let go of in each stream: all of it, however far the calls for it come. Where one fails, the
    /// messages are found pending, and come again.
    fn remove_in_flight(&self, keys: &[MessageKey]) -> Vec<ReleasedEntries<'_>> {
        let places = self.streams.by_stream(keys).into_iter();
        places.map(|(stream, ids)| self.in_flight.remove_in_flight(stream, ids)).collect()
    }
}
