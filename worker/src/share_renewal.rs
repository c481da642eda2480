//! Renewal of this worker's share of the calls that the authorization service bears.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chargegate_core::{AclFleet, AclShare, AclWorkerId, ShareRenewal};
use chargegate_storage::fleet::{FleetStore, decode_fleet, encode_fleet};
use chargegate_storage::{Effects, FailureBackoff, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::acl_gate::AclGate;

/// Longest exchange with the store: within a lease there is time for several.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// Writes that may fail in a row because other workers wrote first.
const MAX_CONFLICTS: u32 = 20;
/// Upper bound of the wait after such a failure.
const CONFLICT_WAIT: Duration = Duration::from_millis(20);
const RETRY_BASE: Duration = Duration::from_millis(100);
const RETRY_CAP: Duration = Duration::from_secs(1);
/// Shortest time between two renewals.
const MIN_INTERVAL: Duration = Duration::from_millis(50);

/// Renews the share of one worker.
pub(crate) struct ShareRenewer {
    worker: AclWorkerId,
    total: NonZeroU32,
    call_timeout: Duration,
    gate: AclGate,
    store: Arc<dyn FleetStore>,
    effects: Effects,
}

/// The reason why a share was not renewed.
#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store did not respond in time")]
    TimedOut,
    #[error("other workers wrote at each attempt")]
    Conflicts,
}

impl ShareRenewer {
    /// Creates the renewal for `gate`, of at most `total` calls over all workers.
    pub(crate) fn new(
        gate: AclGate,
        total: NonZeroU32,
        call_timeout: Duration,
        store: Arc<dyn FleetStore>,
        effects: Effects,
    ) -> Self {
        let worker = AclWorkerId(effects.random.bits());
        Self { worker, total, call_timeout, gate, store, effects }
    }

    /// Renews until `stop`, then returns the free slots.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut backoff = FailureBackoff::default();
        let mut last_limit = None;
        loop {
            let wait = match self.renew(false).await {
                Ok(share) => {
                    if backoff.reset() {
                        info!(slots = share.slots, "the share of the call budget is renewed again");
                    }
                    Self::log_breaker(&mut last_limit, &share);
                    share.renew_after
                }
                Err(error) => {
                    if backoff.should_warn() {
                        warn!(error = %error, "could not renew the share of the call budget; calls stop when its lease ends");
                    }
                    backoff.next_delay(RETRY_BASE, RETRY_CAP, &self.effects)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = async { tokio::join!(self.gate.renewal_due(), tokio::time::sleep(MIN_INTERVAL)); } => {}
                () = stop.cancelled() => break,
            }
        }
        if let Err(error) = self.renew(true).await {
            debug!(error = %error, "could not return the share of the call budget; its lease will expire");
        }
    }

    fn log_breaker(last_limit: &mut Option<u32>, share: &AclShare) {
        match (last_limit.replace(share.fleet_limit), share.fleet_limit) {
            (Some(1..), 0) => {
                warn!(
                    "the authorization service does not respond: calls stop, except for a probe each second"
                );
            }
            (Some(0), 1..) => info!("the authorization service responds again"),
            _ => {}
        }
        debug!(slots = share.slots, fleet_limit = share.fleet_limit, "share of the call budget renewed");
    }

    async fn renew(&self, leaving: bool) -> Result<AclShare, RenewalError> {
        for _ in 0..MAX_CONFLICTS {
            let attempt = tokio::time::timeout(STORE_TIMEOUT, self.try_renew(leaving));
            if let Some(share) = attempt.await.map_err(|_| RenewalError::TimedOut)?? {
                return Ok(share);
            }
            let wait =
                chargegate_core::full_jitter(CONFLICT_WAIT, 0, CONFLICT_WAIT, self.effects.random.jitter());
            tokio::time::sleep(wait).await;
        }
        Err(RenewalError::Conflicts)
    }

    /// Renews once. Returns `None` if another worker wrote first.
    async fn try_renew(&self, leaving: bool) -> Result<Option<AclShare>, StoreError> {
        // The lease begins before the state is read, so it ends here before it ends in the store.
        let begun = Instant::now();
        let report = self.gate.report();
        let stored = self.store.load_fleet().await?;
        let mut fleet =
            if stored.text.is_empty() { AclFleet::new(stored.now) } else { decode_fleet(&stored.text)? };
        let jitter = self.effects.random.jitter();
        let mut renewal = report.renewal(self.worker, self.total, self.call_timeout, jitter);
        if leaving {
            // No call begins any more.
            renewal = ShareRenewal { leaving, confirmed: report.in_use, ..renewal };
        }
        let share = fleet.renew(stored.now, &renewal);
        if !self.store.replace_fleet(stored.version, &encode_fleet(&fleet)?).await? {
            return Ok(None);
        }
        self.gate.apply(&share, begun, &report);
        Ok(Some(share))
    }
}
