//! What is to be done from time to time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tracing::{debug, warn};

use super::Shared;
use super::held::Outcome;
use super::service::{Cause, Receipt, Service};
use chargegate_storage::metric;
use chargegate_storage::queue::MessageKey;

/// How often it is looked for messages that no lease came for.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// Calls that extend leases at the same time, at most.
const CALLS: usize = 8;

/// Extends leases, where they can be.
pub(super) async fn extend<S: Service>(shared: Arc<Shared<S>>) {
    if shared.terms.extend_for.is_zero() {
        return std::future::pending().await;
    }
    let mut ticks = ticks(shared.terms.lease / 6);
    loop {
        ticks.tick().await;
        shared.extend_held().await;
    }
}

/// Hands back what no lease came for.
pub(super) async fn tidy<S: Service>(shared: Arc<Shared<S>>) {
    let mut ticks = ticks(TIDY_EVERY);
    loop {
        ticks.tick().await;
        shared.hand_back_unclaimed().await;
        shared.held.forget_old();
    }
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl<S: Service> Shared<S> {
    /// Extends the leases of which more than a third is over.
    async fn extend_held(&self) {
        if self.gate.check().is_err() {
            return;
        }
        let now = Instant::now();
        let Some(since) = now.checked_sub(self.terms.extend_for) else { return };
        let due = self.held.ending(now + self.terms.lease * 2 / 3, since);
        let batches = due.chunks(self.terms.settle_batch);
        stream::iter(batches).for_each_concurrent(CALLS, |batch| self.extend_batch(batch)).await;
    }

    async fn extend_batch(&self, leases: &[(MessageKey, Receipt)]) {
        let begun = Instant::now();
        let receipts: Vec<_> = leases.iter().map(|(_, receipt)| receipt.clone()).collect();
        match self.call("extend", self.service.extend(&receipts)).await {
            Ok(unsettled) => {
                let causes: HashMap<_, _> =
                    unsettled.into_iter().map(|one| (one.receipt, one.cause)).collect();
                for (key, receipt) in leases {
                    match causes.get(receipt) {
                        None => self.held.extended(key, receipt, begun),
                        // It is due at the next tick again.
                        Some(Cause::Failed) => {}
                        Some(Cause::Over) => self.held.over(key, receipt),
                    }
                }
            }
            // The next tick tries again, and calls for messages tell of an outage.
            Err(error) => debug!(error = %error, cause = metric::cause(&error), "could not extend leases"),
        }
    }

    async fn hand_back_unclaimed(&self) {
        let keys: Vec<_> = self.intake.unclaimed().into_iter().map(|message| message.key).collect();
        if keys.is_empty() {
            return;
        }
        if let Err(error) = self.settle(keys, Outcome::Back).await {
            warn!(error = %error, cause = metric::cause(&error), "could not hand back messages; their leases will end");
        }
    }
}
