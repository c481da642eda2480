//! The worker as a whole: started, watched, stopped.

use std::sync::Arc;
use std::time::Duration;

use chargegate_core::UnixMillis;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::callback::{CallbackClient, Delivery, DeliverySettings};
use crate::pipeline::{Parts, Pipeline, PipelineSettings};
use chargegate_storage::Effects;
use chargegate_storage::spawn_watched;
use chargegate_storage::store::Store;

/// How often what is older than the retention is deleted.
const PURGE_EVERY: Duration = Duration::from_mins(1);

/// How a worker works.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Deciding.
    pub pipeline: PipelineSettings,
    /// Delivering.
    pub delivery: DeliverySettings,
    /// How long finished requests are kept: the window in which a repeat is recognised.
    pub retention: Duration,
}

/// A running worker.
pub struct Worker {
    pipeline: Pipeline,
    delivery: Delivery,
    purger: JoinHandle<()>,
    stop: CancellationToken,
    /// Cancelled when a task has ended.
    ended: CancellationToken,
    abandon: CancellationToken,
}

impl Worker {
    /// Starts to lease, decide and deliver.
    #[must_use]
    pub fn start(settings: &WorkerSettings, parts: Parts, client: CallbackClient) -> Self {
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
        let purging =
            purge(Arc::clone(&parts.store), parts.effects.clone(), settings.retention, stop.clone());
        let purger = spawn_watched(&ended, purging);
        let pipeline = Pipeline::start(settings.pipeline, parts, dispatcher, abandon.clone());
        Self { pipeline, delivery, purger, stop, ended, abandon }
    }

    /// Whether all of it still works.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.pipeline.is_running() && !self.ended.is_cancelled()
    }

    /// Waits until a part of it has ended although nobody stopped it: an engine failed in a way that trying again
    /// does not mend, or there was a panic.
    pub async fn failed(&self) {
        tokio::select! {
            () = self.pipeline.ended() => {}
            () = self.ended.cancelled() => {}
        }
    }

    /// Stops intake, finishes what was begun, and hands back the rest; after `grace` it leaves even that to the
    /// leases. Says whether everything begun was finished.
    pub async fn stop(self, grace: Duration) -> bool {
        let Self { pipeline, delivery, purger, stop, ended: _, abandon } = self;
        stop.cancel();
        let finish = async {
            pipeline.stop().await;
            delivery.stop().await;
            let _ = purger.await;
        };
        let finished = tokio::time::timeout(grace, finish).await.is_ok();
        // Whatever still tries to write gives up now.
        abandon.cancel();
        if !finished {
            warn!(
                grace_ms = grace.as_millis(),
                "stopped before everything was finished; the rest is taken up again"
            );
        }
        finished
    }
}

async fn purge(store: Arc<dyn Store>, effects: Effects, retention: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(PURGE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let before: UnixMillis = effects.clock.now().minus(retention);
        debug!(before_ms = before.0, "deleting what is past retention");
        loop {
            match store.purge(before).await {
                Ok(true) if !stop.is_cancelled() => tokio::task::yield_now().await,
                Ok(_) => break,
                Err(error) => {
                    warn!(error = %error, cause = chargegate_storage::metric::cause(&error), "could not delete what is past retention");
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
