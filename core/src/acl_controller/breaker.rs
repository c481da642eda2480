//! The breaker: no calls to a service that does not respond, but a probe each second.

use core::time::Duration;

use super::{BreakerChange, CallSums};
use crate::time::UnixMillis;

/// Calls in a row without a response that open the breaker.
pub(super) const OPEN_AFTER_CALLS: u32 = 10;
/// Time of calls without a response that opens the breaker.
const OPEN_AFTER: Duration = Duration::from_secs(5);
/// Answered probes in a row that close the breaker.
const CLOSE_AFTER_ANSWERS: u32 = 3;
/// Shortest time between two probes; with the jitter it is a second on average.
const MIN_PROBE_INTERVAL: Duration = Duration::from_millis(750);
/// Upper bound of the jitter that is added to [`MIN_PROBE_INTERVAL`].
const PROBE_JITTER: Duration = Duration::from_millis(500);

/// The state of the breaker, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls begin as the limit allows.
    Closed,
    /// One call begins per second, in the whole fleet.
    Open,
}

/// The breaker of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) enum AclBreaker {
    Closed {
        /// Calls without a response since the last response.
        silent_run: u32,
        /// The last report before this run.
        silent_since: UnixMillis,
    },
    Open {
        next_probe_at: UnixMillis,
        answers: u32,
    },
}

impl Default for AclBreaker {
    fn default() -> Self {
        Self::Closed { silent_run: 0, silent_since: UnixMillis::default() }
    }
}

impl AclBreaker {
    pub(super) const fn state(self) -> BreakerState {
        match self {
            Self::Closed { .. } => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
        }
    }

    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// Adds a report. Calls without a response count only after `settling`, in which other workers report theirs.
    pub(super) fn update(&mut self, now: UnixMillis, sums: &CallSums, settling: Duration) -> BreakerChange {
        match self {
            Self::Closed { silent_run, silent_since } => {
                if sums.has_response() {
                    *silent_run = 0;
                }
                if *silent_run == 0 {
                    *silent_since = now;
                }
                *silent_run = silent_run.saturating_add(sums.silent_run);
                let silent_for = now.since(*silent_since);
                let opens = *silent_run >= OPEN_AFTER_CALLS && silent_for >= settling
                    || sums.silent_run > 0 && silent_for >= OPEN_AFTER;
                if !opens {
                    return BreakerChange::None;
                }
                *self = Self::Open { next_probe_at: now.plus(MIN_PROBE_INTERVAL), answers: 0 };
                BreakerChange::Opened
            }
            Self::Open { next_probe_at, answers } => {
                if sums.silent_run > 0 || sums.overloaded > 0 {
                    *answers = 0;
                    return BreakerChange::None;
                }
                if sums.has_response() {
                    *answers = answers.saturating_add(sums.answered.saturating_add(sums.errors));
                    // The service responds again: the next probe need not wait.
                    *next_probe_at = now;
                }
                if *answers < CLOSE_AFTER_ANSWERS {
                    return BreakerChange::None;
                }
                *self = Self::default();
                BreakerChange::Closed
            }
        }
    }

    /// Limits times that lie further ahead than they can, because the clock stepped back.
    pub(super) fn limit_future(&mut self, now: UnixMillis) {
        match self {
            Self::Closed { silent_since, .. } => *silent_since = now.min(*silent_since),
            Self::Open { next_probe_at, .. } => {
                *next_probe_at = (*next_probe_at).min(now.plus(MIN_PROBE_INTERVAL).plus(PROBE_JITTER));
            }
        }
    }

    pub(super) fn take_probe(&mut self, now: UnixMillis, jitter: u32) -> bool {
        let Self::Open { next_probe_at, .. } = self else { return false };
        if now < *next_probe_at {
            return false;
        }
        *next_probe_at =
            now.plus(MIN_PROBE_INTERVAL).plus(crate::full_jitter(PROBE_JITTER, 0, PROBE_JITTER, jitter));
        true
    }
}
