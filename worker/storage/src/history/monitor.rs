//! Periodic check of a queue for lost messages.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::full_jitter;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::{HistoryWatermark, QueueObservation, WatermarkAdvance};
use crate::effects::Effects;
use crate::error::{EngineError, QueueError, StoreError};
use crate::metric;
use crate::task_end::spawn_signalling_end;

/// Interval of observations, and the jitter on top, so that workers do not observe in step.
const EVERY: Duration = Duration::from_secs(1);
const JITTER: Duration = Duration::from_millis(250);

/// A queue that records its history, so that lost messages are detected.
#[async_trait]
pub trait HistorySource: Send + Sync {
    /// Returns the history at one moment, and begins the next heartbeat unless the queue knows only a lower one than
    /// `known_heartbeat`, which means that it lost messages.
    ///
    /// # Errors
    /// [`QueueError`]; a heartbeat may have begun, which is harmless.
    async fn observe(&self, known_heartbeat: u64) -> Result<QueueObservation, QueueError>;
}

/// A store that records the history of a queue.
#[async_trait]
pub trait HistoryStore: Send + Sync {
    /// Returns the last recorded watermark; all zero if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn watermark(&self) -> Result<HistoryWatermark, StoreError>;

    /// Replaces the watermark by `now` if it is still `was`, and returns whether it did.
    ///
    /// # Errors
    /// [`StoreError`]; the watermark may have been replaced.
    async fn replace_watermark(
        &self,
        was: HistoryWatermark,
        now: HistoryWatermark,
    ) -> Result<bool, StoreError>;
}

/// A task that observes a queue about every second. Any number of workers may run one.
#[derive(Debug)]
pub struct HistoryMonitor {
    stop: CancellationToken,
    ended: CancellationToken,
    task: JoinHandle<()>,
}

impl HistoryMonitor {
    /// Starts the task.
    #[must_use]
    pub fn start(queue: Arc<dyn HistorySource>, store: Arc<dyn HistoryStore>, effects: Effects) -> Self {
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let watch = watch(queue, store, effects);
        let stopped = stop.clone();
        let task = spawn_signalling_end(&ended, async move {
            let _ = stopped.run_until_cancelled(watch).await;
        });
        Self { stop, ended, task }
    }

    /// Waits until the task has ended, which is a fault unless it was stopped.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Stops the task.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

async fn watch(queue: Arc<dyn HistorySource>, store: Arc<dyn HistoryStore>, effects: Effects) {
    loop {
        match look(queue.as_ref(), store.as_ref()).await {
            Ok(None) => {}
            Ok(Some(messages)) => {
                metric::forgotten(messages);
                error!(
                    messages,
                    "the queue has lost what it had confirmed: those of these messages that were not decided are gone, \
                     `chargegate reconcile` counts them"
                );
            }
            // The users of the engine report its outage.
            Err(error) => {
                debug!(error = %error, cause = metric::cause(&error), "could not observe the queue");
            }
        }
        tokio::time::sleep(EVERY + full_jitter(JITTER, 0, JITTER, effects.random.jitter())).await;
    }
}

/// Observes once and returns the number of lost messages, if this observer was the first to record the loss.
async fn look(queue: &dyn HistorySource, store: &dyn HistoryStore) -> Result<Option<u64>, EngineError> {
    let known = store.watermark().await?;
    let seen = queue.observe(known.heartbeat).await?;
    let WatermarkAdvance { watermark, forgotten } = known.advance(seen);
    let first = store.replace_watermark(known, watermark).await?;
    Ok(forgotten.filter(|_| first))
}

#[cfg(test)]
mod tests;
