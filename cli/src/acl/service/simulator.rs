//! The work on a call: waiting for a slot, taking time, failing and hanging.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use tokio::sync::Semaphore;

use super::stats::{AclCallGuard, AclCallStats};
use crate::acl::delay::unit;
use crate::acl::simulation::AclSimulation;

/// Time for which a call that hangs occupies its slot.
pub(super) const HANG_TIME: Duration = Duration::from_secs(30);
/// Maximum number of calls in flight, which bounds the memory; further calls are refused.
const MAX_IN_FLIGHT: usize = 65_536;

/// Simulator of a service's load.
pub(super) struct AclSimulator {
    settings: AclSimulation,
    slots: Option<Semaphore>,
    random: Mutex<StdRng>,
    pub(super) stats: Arc<AclCallStats>,
    pub(super) max_in_flight: usize,
}

/// Outcome of the simulated work on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SimulatedOutcome {
    /// The work is done.
    Done,
    /// The call fails at once, with a `Retry-After` in seconds if the service sends one.
    Failed(Option<u32>),
    /// Too many calls wait.
    Refused(Option<u32>),
    /// The call gets no answer.
    Hung,
}

/// Course of a call, drawn when it arrives.
enum CallCourse {
    Work(Duration),
    Fail,
    Hang,
}

impl AclSimulator {
    pub(super) fn new(settings: AclSimulation, random: StdRng, stats: AclCallStats) -> Self {
        let slots = |capacity: NonZeroUsize| Semaphore::new(capacity.get().min(Semaphore::MAX_PERMITS));
        Self {
            slots: settings.capacity.map(slots),
            settings,
            random: Mutex::new(random),
            stats: Arc::new(stats),
            max_in_flight: MAX_IN_FLIGHT,
        }
    }

    /// Waits for a slot and for the time that the call takes, unless it fails or is refused at once.
    pub(super) async fn work(&self, call: &AclCallGuard) -> SimulatedOutcome {
        if let Some(refused) = self.refusal(call.earlier_calls()) {
            return refused;
        }
        let course = self.draw_course();
        if matches!(course, CallCourse::Fail) {
            return SimulatedOutcome::Failed(self.settings.retry_after);
        }
        let _slot = match &self.slots {
            None => None,
            Some(slots) => slots.acquire().await.ok(),
        };
        match course {
            CallCourse::Work(delay) => {
                let time = self.slowed_down(delay);
                if !time.is_zero() {
                    tokio::time::sleep(time).await;
                }
                SimulatedOutcome::Done
            }
            CallCourse::Fail | CallCourse::Hang => {
                tokio::time::sleep(HANG_TIME).await;
                SimulatedOutcome::Hung
            }
        }
    }

    /// Returns the refusal of a call that arrives after `earlier` ones, if too many of those wait.
    fn refusal(&self, earlier: usize) -> Option<SimulatedOutcome> {
        let AclSimulation { capacity, retry_after, .. } = self.settings;
        let most = match (capacity, retry_after) {
            // As many calls as the capacity are worked on, and as many wait.
            (Some(capacity), Some(_)) => capacity.get().saturating_mul(2).min(self.max_in_flight),
            _ => self.max_in_flight,
        };
        (earlier >= most).then_some(SimulatedOutcome::Refused(retry_after))
    }

    fn draw_course(&self) -> CallCourse {
        let AclSimulation { fail_rate, hang_rate, delay, .. } = &self.settings;
        let mut random = self.random.lock();
        let drawn = unit(&mut *random);
        if drawn < fail_rate.0 {
            CallCourse::Fail
        } else if drawn < fail_rate.0 + hang_rate.0 {
            CallCourse::Hang
        } else {
            CallCourse::Work(delay.draw(&mut *random))
        }
    }

    /// Returns the time of a call whose work starts now: `delay * (1 + queue / capacity)` under contention.
    fn slowed_down(&self, delay: Duration) -> Duration {
        match self.settings.capacity {
            Some(capacity) if self.settings.contention => {
                let capacity = u32::try_from(capacity.get()).unwrap_or(u32::MAX);
                let queue = u32::try_from(self.stats.queue()).unwrap_or(u32::MAX);
                delay.saturating_mul(capacity.saturating_add(queue)) / capacity
            }
            _ => delay,
        }
    }
}
