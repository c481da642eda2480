//! The budget of calls to the authorization service, shared by all workers of a store.
//!
//! The state of the fleet is one small record in the store. Each worker reads it once a second, renews its share with
//! [`AclFleet::renew`] and writes it back with a compare-and-set, so that all rules stand here and no call to the
//! authorization service costs a call to the store.
//!
//! A worker *holds* the most calls that it may have in flight. The sum over all workers never exceeds the total: a share
//! shrinks when its worker has confirmed the smaller one, and others grow only into free slots. The hold of a worker that
//! stopped renewing ends with its lease, when its last calls have left the service.

use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::acl_controller::{AclController, CallSums, ControlTerms};
use crate::time::UnixMillis;

/// Shortest time for which a worker uses a share.
const MIN_SHARE_VALIDITY: Duration = Duration::from_secs(5);
/// Time that a share is valid beyond the longest work on a call: a renewal and its delays.
const SHARE_VALIDITY_MARGIN: Duration = Duration::from_millis(1500);
/// Time between two renewals.
pub const SHARE_RENEWAL: Duration = Duration::from_secs(1);
/// Time to the next renewal while a share waits for others, or others wait for it.
const UNSETTLED_RENEWAL: Duration = Duration::from_millis(250);
/// Part of a time by which a worker's monotonic clock may be slower than the store's: a twentieth.
const CLOCK_DRIFT: u32 = 20;
/// Time after which other workers receive the shares, when there are more workers than slots.
const ROTATION: Duration = Duration::from_secs(2);

/// Most workers with a share. Further ones receive none until others leave.
const MAX_WORKERS: usize = 512;

/// The identity of a running worker, chosen at random at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AclWorkerId(pub u64);

/// The shared state: the hold of each worker, and the controller of all calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AclFleet {
    /// Ordered by id.
    workers: Vec<WorkerHold>,
    controller: AclController,
}

/// The part of the budget that a worker holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct WorkerHold {
    id: AclWorkerId,
    /// Most calls that the worker has in flight until `expires_at`.
    held: u32,
    /// The setting of the worker.
    total: NonZeroU32,
    expires_at: UnixMillis,
    /// The time from the last renewal to `expires_at`.
    lease_ms: u64,
    /// A stopping worker holds what its last calls occupy, and receives nothing.
    leaving: bool,
}

/// The renewal of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareRenewal {
    /// The worker.
    pub worker: AclWorkerId,
    /// Most calls in flight over all workers, by the setting of this one. The smallest setting of the fleet applies.
    pub total: NonZeroU32,
    /// Most calls that this worker will have in flight until it receives another share: the greater one of its share and
    /// its calls in flight now, those that timed out and still occupy the service included.
    pub confirmed: u32,
    /// Messages that wait for a slot.
    pub waiting: u32,
    /// Time-out of a call. A call occupies the service for up to twice this time.
    pub call_timeout: Duration,
    /// Calls that ended since the last successful renewal.
    pub sums: CallSums,
    /// The longest pause that the service asked for since then, limited by the caller.
    pub pause: Duration,
    /// Set if the worker stops.
    pub leaving: bool,
    /// Uniform over `u32`.
    pub jitter: u32,
}

/// A share of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclShare {
    /// Most calls in flight.
    pub slots: u32,
    /// Calls that may begin under this share.
    pub allowance: CallAllowance,
    /// Time from the moment before the state was read, at whose end no call of this worker may occupy the service.
    pub valid_for: Duration,
    /// Time until calls may begin.
    pub pause: Duration,
    /// Time until the next renewal.
    pub renew_after: Duration,
    /// The limit of the fleet; zero while the breaker is open.
    pub fleet_limit: u32,
    /// Set if another live worker holds slots: messages need not be leased by a worker without a share.
    pub others_hold: bool,
}

/// Returns the time for which a worker uses a share, by its own clock. It renews the share each second, and begins only
/// calls that have left the service when the time ends; so that is longer than two time-outs and a renewal.
fn share_validity(call_timeout: Duration) -> Duration {
    MIN_SHARE_VALIDITY.max(call_timeout.saturating_mul(2).saturating_add(SHARE_VALIDITY_MARGIN))
}

/// Returns the time for which the store keeps a share: its validity by the slowest clock, rounded up to a millisecond.
fn share_lease(call_timeout: Duration) -> Duration {
    let validity = share_validity(call_timeout);
    validity.saturating_add(validity / (CLOCK_DRIFT - 1)).saturating_add(Duration::from_millis(1))
}

/// The calls that may begin under a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallAllowance {
    /// As many as there are free slots.
    Unlimited,
    /// One: the breaker is open, and this worker probes.
    Probe,
    /// None: the breaker is open.
    None,
}

impl AclFleet {
    /// Creates the state of a fleet without workers.
    #[must_use]
    pub fn new(now: UnixMillis) -> Self {
        Self { workers: Vec::new(), controller: AclController::new(now) }
    }

    /// Returns the controller.
    #[must_use]
    pub const fn controller(&self) -> &AclController {
        &self.controller
    }

    /// Returns the sum of all holds at `now`.
    #[must_use]
    pub fn held(&self, now: UnixMillis) -> u32 {
        let live = self.workers.iter().filter(|hold| hold.expires_at > now);
        live.fold(0, |sum, hold| sum.saturating_add(hold.held))
    }

    /// Renews the share of a worker at the time `now` of the store's clock, and returns it.
    ///
    /// The share is valid only if the changed state is stored while nobody else has changed it.
    pub fn renew(&mut self, now: UnixMillis, renewal: &ShareRenewal) -> AclShare {
        self.limit_future(now);
        self.workers.retain(|hold| hold.expires_at > now);
        let held_before = self.enlist(now, renewal);
        let total = self.total();
        let is_alone = self.workers.len() <= 1;
        let terms = ControlTerms {
            total,
            call_timeout: renewal.call_timeout,
            settling: if is_alone { Duration::ZERO } else { SHARE_RENEWAL },
        };
        self.controller.update(now, renewal.sums, terms);
        self.controller.pause_for(now, renewal.pause);

        let limit = self.controller.limit(total);
        let pause = self.controller.pause(now);
        let others = self.held(now).saturating_sub(held_before);
        let free = |most: u32| most.saturating_sub(others);
        let is_listed = self.workers.iter().any(|hold| hold.id == renewal.worker);
        let is_probe = limit == 0
            && is_listed
            && renewal.waiting > 0
            && !renewal.leaving
            && pause.is_zero()
            && free(total) > renewal.confirmed
            && self.controller.take_probe(now, renewal.jitter);
        let (target, free) = if is_probe {
            // One slot beside those of calls that still occupy the service.
            (renewal.confirmed.saturating_add(1), free(total))
        } else {
            (self.target(renewal.worker, limit, now), free(limit))
        };
        // The slots that the worker has confirmed not to use are free for others; it grows by what others have left.
        let held = held_before.min(renewal.confirmed).max(target.min(free));
        if let Some(hold) = self.workers.iter_mut().find(|hold| hold.id == renewal.worker) {
            hold.held = held;
        }
        if renewal.leaving && held == 0 {
            self.workers.retain(|hold| hold.id != renewal.worker);
        }
        let is_settled = held == target && (limit > 0 || renewal.waiting == 0);
        AclShare {
            slots: target.min(held),
            allowance: match limit {
                _ if is_probe => CallAllowance::Probe,
                0 => CallAllowance::None,
                _ => CallAllowance::Unlimited,
            },
            valid_for: share_validity(renewal.call_timeout),
            pause,
            renew_after: if is_settled { SHARE_RENEWAL } else { UNSETTLED_RENEWAL },
            fleet_limit: limit,
            others_hold: others > 0,
        }
    }

    /// Limits times that lie further ahead than they can, because the clock of the store stepped back.
    fn limit_future(&mut self, now: UnixMillis) {
        for hold in &mut self.workers {
            hold.expires_at = hold.expires_at.min(now.plus(Duration::from_millis(hold.lease_ms)));
        }
        self.controller.limit_future(now);
    }

    /// Extends the lease of a worker and returns what it holds; a new worker holds nothing.
    fn enlist(&mut self, now: UnixMillis, renewal: &ShareRenewal) -> u32 {
        let lease = share_lease(renewal.call_timeout);
        let mut hold = WorkerHold {
            id: renewal.worker,
            held: 0,
            total: renewal.total,
            expires_at: now.plus(lease),
            lease_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
            leaving: renewal.leaving,
        };
        match self.workers.binary_search_by_key(&hold.id, |hold| hold.id) {
            Ok(index) => {
                if let Some(known) = self.workers.get_mut(index) {
                    hold.held = known.held;
                    *known = hold;
                }
            }
            Err(index) if self.workers.len() < MAX_WORKERS => self.workers.insert(index, hold),
            // Without an entry it has no rank, and so no share.
            Err(_) => {}
        }
        hold.held
    }

    /// Returns the smallest setting of the fleet.
    fn total(&self) -> u32 {
        self.workers.iter().map(|hold| hold.total.get()).min().unwrap_or(0)
    }

    /// Returns the share of a worker of `limit` slots: an equal part, and the remainder by rank.
    fn target(&self, id: AclWorkerId, limit: u32, now: UnixMillis) -> u32 {
        let staying = self.workers.iter().filter(|hold| !hold.leaving);
        let count = u32::try_from(staying.clone().count()).unwrap_or(u32::MAX);
        let Some(rank) = staying.clone().position(|hold| hold.id == id) else { return 0 };
        let rank = u64::try_from(rank).unwrap_or(u64::MAX);
        let (Some(part), Some(remainder)) = (limit.checked_div(count), limit.checked_rem(count)) else {
            return 0;
        };
        // With fewer slots than workers the slots move on, so that each worker can ask for the messages that it leased.
        let turn = if part == 0 { now.0 / u64::try_from(ROTATION.as_millis()).unwrap_or(1) } else { 0 };
        let first = turn.wrapping_mul(limit.into()) % u64::from(count);
        let place = (rank + u64::from(count) - first) % u64::from(count);
        part + u32::from(place < u64::from(remainder))
    }
}

#[cfg(test)]
mod tests;
