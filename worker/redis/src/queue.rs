//! The engine as a queue.

use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::EnqueueError;
use chargegate_redis_layout::STREAM_GROUP;
use redis::pipe;

use super::held::LetGo;
use super::left::RELEASED;
use super::{Engine, Shared, script};
use chargegate_storage::QueueError;
use chargegate_storage::queue::{LeasedMessage, MessageKey, Producer, Queue, QueueDepth};

/// Messages acknowledged or handed back by one command.
const CHUNK: usize = 512;

#[async_trait]
impl Queue for Engine {
    async fn lease(&self, max: usize, wait: Duration) -> Result<Vec<LeasedMessage>, QueueError> {
        self.shared.intake.lease(max, wait).await
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
impl Producer for Engine {
    async fn enqueue(&self, body: String) -> Result<(), EnqueueError> {
        Ok(Engine::enqueue(self, body).await?)
    }
}

impl Shared {
    pub(super) fn check_open(&self) -> Result<(), QueueError> {
        if self.intake.is_closed() { Err(QueueError::Closed) } else { Ok(()) }
    }

    async fn ack(&self, keys: &[MessageKey]) -> Result<(), QueueError> {
        for let_go in self.let_go(keys) {
            let Some(key) = self.streams.keys().get(let_go.stream) else { continue };
            for ids in let_go.ids.chunks(CHUNK) {
                self.link.call::<()>(script::ACKNOWLEDGE.key(key).arg(STREAM_GROUP).arg(ids)).await?;
            }
        }
        Ok(())
    }

    /// Releases entries that are still leased here; this delivery does not count.
    pub(super) async fn release(&self, keys: &[MessageKey]) -> Result<(), QueueError> {
        for let_go in self.let_go(keys) {
            let stream = let_go.stream;
            let Some(key) = self.streams.keys().get(stream) else { continue };
            for ids in let_go.ids.chunks(CHUNK) {
                let mut call = script::RELEASE.key(key);
                call.arg(STREAM_GROUP).arg(&self.consumer.name).arg(RELEASED);
                for id in ids {
                    let deliveries = self.held.deliveries(stream, *id).unwrap_or(1);
                    call.arg(id).arg(deliveries.saturating_sub(1));
                }
                match self.link.call::<()>(&call).await {
                    // A server that lost the group lost the messages.
                    Err(error) if !error.is("NOGROUP") => return Err(error.into()),
                    Ok(()) | Err(_) => {}
                }
            }
            // The reader skips leased entries.
            drop(let_go);
            self.hint(stream);
        }
        Ok(())
    }

    /// What is to be let go of in each stream: all of it, however far the calls for it come. Where one fails, the
    /// messages are found pending, and come again.
    fn let_go(&self, keys: &[MessageKey]) -> Vec<LetGo<'_>> {
        let places = self.streams.by_stream(keys).into_iter();
        places.map(|(stream, ids)| self.held.let_go(stream, ids)).collect()
    }
}
