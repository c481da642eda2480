//! Implementation of the queue traits.

use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::EnqueueError;
use tokio::time::Instant;

use super::messages::{Acknowledge, Lease, Leased, Release};
use super::{SqliteEngine, keys};
use chargegate_storage::QueueError;
use chargegate_storage::queue::{LeasedMessage, MessageKey, Producer, Queue, QueueDepth};

#[async_trait]
impl Queue for SqliteEngine {
    async fn lease(&self, max: usize, wait: Duration) -> Result<Vec<LeasedMessage>, QueueError> {
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        let until = Instant::now() + wait;
        loop {
            // Registered before the lease, so that no arrival in between is missed.
            let mut arrival = std::pin::pin!(self.shared.arrivals.notified());
            arrival.as_mut().enable();
            let Leased { messages, next_end } = self.write(Lease { max }).await?;
            if !messages.is_empty() || max == 0 || Instant::now() >= until {
                return Ok(messages);
            }
            let now = self.shared.effects.clock.now();
            // A lease ends when the clock reaches its end: wait at least one millisecond, or this would spin.
            let look_again =
                next_end.map_or(until, |end| Instant::now() + end.since(now).max(Duration::from_millis(1)));
            tokio::select! {
                () = arrival => {}
                () = tokio::time::sleep_until(look_again.min(until)) => {}
            }
        }
    }

    async fn ack(&self, keys: Vec<MessageKey>) -> Result<(), QueueError> {
        Ok(self.write(Acknowledge { sequences: sequences(&keys) }).await?)
    }

    async fn release(&self, keys: Vec<MessageKey>) -> Result<(), QueueError> {
        Ok(self.write(Release { sequences: sequences(&keys) }).await?)
    }

    async fn depth(&self) -> Result<QueueDepth, QueueError> {
        Ok(QueueDepth { waiting: self.waiting(), limit: self.shared.settings.depth_limit })
    }
}

#[async_trait]
impl Producer for SqliteEngine {
    async fn enqueue(&self, body: String) -> Result<(), EnqueueError> {
        Ok(SqliteEngine::enqueue(self, body).await?)
    }
}

/// Returns the sequence numbers of the keys that can be in this queue; other keys never were.
fn sequences(keys: &[MessageKey]) -> Vec<i64> {
    keys.iter().filter_map(keys::sequence).collect()
}
