//! Periodic tasks: extending leases, and releasing messages that no lease claimed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tracing::{debug, warn};

use super::PullEngineState;
use super::in_flight::LeaseOutcome;
use super::service::{LeaseReceipt, PullService, ReceiptFailure};
use chargegate_storage::metric;
use chargegate_storage::queue::MessageKey;

/// Interval at which unclaimed messages are released.
const RELEASE_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of concurrent extend calls.
const MAX_EXTEND_CALLS: usize = 8;

/// Extends leases periodically, where the service can.
pub(super) async fn extend_leases<S: PullService>(state: Arc<PullEngineState<S>>) {
    if state.settings.extend_for.is_zero() {
        return std::future::pending().await;
    }
    let mut ticks = ticks(state.settings.lease / 6);
    loop {
        ticks.tick().await;
        state.extend_due().await;
    }
}

/// Releases messages periodically that no lease claimed.
pub(super) async fn release_unclaimed<S: PullService>(state: Arc<PullEngineState<S>>) {
    let mut ticks = ticks(RELEASE_INTERVAL);
    loop {
        ticks.tick().await;
        let unclaimed = state.prefetcher.take_unclaimed().into_iter().map(|message| message.key).collect();
        state.release_prefetched(unclaimed).await;
        state.in_flight.remove_abandoned();
    }
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl<S: PullService> PullEngineState<S> {
    /// Extends the leases of which more than a third has passed.
    async fn extend_due(&self) {
        if self.throttle.check().is_err() {
            return;
        }
        let now = Instant::now();
        let Some(since) = now.checked_sub(self.settings.extend_for) else { return };
        let due = self.in_flight.ending(now + self.settings.lease * 2 / 3, since);
        let batches = due.chunks(self.settings.ack_batch);
        stream::iter(batches).for_each_concurrent(MAX_EXTEND_CALLS, |batch| self.extend_batch(batch)).await;
    }

    async fn extend_batch(&self, leases: &[(MessageKey, LeaseReceipt)]) {
        let begun = Instant::now();
        let receipts: Vec<_> = leases.iter().map(|(_, receipt)| receipt.clone()).collect();
        match self.call("extend", self.service.extend(&receipts)).await {
            Ok(failed) => {
                let failures: HashMap<_, _> =
                    failed.into_iter().map(|failed| (failed.receipt, failed.reason)).collect();
                for (key, receipt) in leases {
                    match failures.get(receipt) {
                        None => self.in_flight.note_extended(key, receipt, begun),
                        // It is due again at the next tick.
                        Some(ReceiptFailure::Transient) => {}
                        Some(ReceiptFailure::LeaseEnded) => self.in_flight.note_lease_ended(key, receipt),
                    }
                }
            }
            // The next tick retries, and receive calls warn of an outage.
            Err(error) => debug!(error = %error, cause = metric::cause(&error), "could not extend leases"),
        }
    }

    /// Releases received messages that no lease has claimed.
    pub(super) async fn release_prefetched(&self, keys: Vec<MessageKey>) {
        if keys.is_empty() {
            return;
        }
        if let Err(error) = self.end_leases(keys, LeaseOutcome::Release).await {
            warn!(
                error = %error, cause = metric::cause(&error),
                "could not release unclaimed messages; their leases will expire"
            );
        }
    }
}
