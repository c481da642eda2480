//! Start, supervision and shutdown of a worker.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::callback::{CallbackClient, Delivery, DeliverySettings};
use crate::pipeline::{Pipeline, PipelineSettings, WorkerDependencies};
use chargegate_storage::spawn_signalling_end;
use chargegate_storage::store::Store;

/// Interval between purges of rows past their retention.
const PURGE_INTERVAL: Duration = Duration::from_mins(1);

/// Settings of a worker.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Decisions.
    pub pipeline: PipelineSettings,
    /// Callback delivery.
    pub delivery: DeliverySettings,
    /// Retention of finished requests: the window in which a repeated request is recognised.
    pub retention: Duration,
}

/// A running worker.
pub struct Worker {
    pipeline: Pipeline,
    delivery: Delivery,
    purge_task: JoinHandle<()>,
    stop: CancellationToken,
    /// Cancelled when a task has ended.
    ended: CancellationToken,
    abandon: CancellationToken,
}

impl Worker {
    /// Starts leasing, deciding and delivering.
    #[must_use]
    pub fn start(settings: &WorkerSettings, parts: WorkerDependencies, client: CallbackClient) -> Self {
        let stop = CancellationToken::new();
        let abandon = CancellationToken::new();
        let ended = CancellationToken::new();
        let (delivery, dispatcher) = Delivery::start(
            client,
            Arc::clone(&parts.store),
            &settings.delivery,
            parts.effects.clone(),
            abandon.clone(),
            &ended,
        );
        let purging = purge_periodically(Arc::clone(&parts.store), settings.retention, stop.clone());
        let purge_task = spawn_signalling_end(&ended, purging);
        let pipeline = Pipeline::start(settings.pipeline, parts, dispatcher, abandon.clone());
        Self { pipeline, delivery, purge_task, stop, ended, abandon }
    }

    /// Returns whether every task of the worker runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.pipeline.is_running() && !self.ended.is_cancelled()
    }

    /// Waits until a task has ended without a stop: after a permanent engine failure, or a panic.
    pub async fn failed(&self) {
        tokio::select! {
            () = self.pipeline.ended() => {}
            () = self.ended.cancelled() => {}
        }
    }

    /// Stops leasing, finishes work in progress and releases the rest. After `timeout`, unfinished work is left to expiring
    /// leases. Returns whether everything in progress was finished.
    pub async fn stop(self, timeout: Duration) -> bool {
        let Self { pipeline, delivery, purge_task, stop, ended: _, abandon } = self;
        stop.cancel();
        let finish = async {
            pipeline.stop().await;
            delivery.stop().await;
            let _ = purge_task.await;
        };
        let finished = tokio::time::timeout(timeout, finish).await.is_ok();
        // Ends the retries of pending writes.
        abandon.cancel();
        if !finished {
            warn!(
                timeout_ms = timeout.as_millis(),
                "shutdown timed out; unfinished work will be resumed when its leases expire"
            );
        }
        finished
    }
}

/// Purges rows past their retention, once a minute.
async fn purge_periodically(store: Arc<dyn Store>, retention: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(PURGE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        debug!(retention_ms = retention.as_millis(), "purging rows past retention");
        loop {
            match store.purge(retention).await {
                Ok(true) if !stop.is_cancelled() => tokio::task::yield_now().await,
                Ok(_) => break,
                Err(error) => {
                    warn!(error = %error, cause = chargegate_storage::metric::cause(&error), "could not purge rows past retention; retrying in a minute");
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
