//! Counters of the service's load.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

/// Counters of calls as their callers see them: a call is in flight from its headers to its answer, including the
/// wait for a slot, or until the caller hangs up.
#[derive(Default)]
pub(super) struct AclCallStats(Mutex<AclCallCounts>);

/// A snapshot of the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct AclCallCounts {
    /// Calls since the service started.
    pub(super) calls: u64,
    /// Calls in flight now.
    pub(super) in_flight: u64,
    /// Highest number of concurrent calls so far.
    pub(super) max_in_flight: u64,
}

impl AclCallStats {
    /// Counts a call as in flight until the guard is dropped.
    pub(super) fn start_call(self: &Arc<Self>) -> AclCallGuard {
        self.update(|counts| {
            counts.calls += 1;
            counts.in_flight += 1;
            counts.max_in_flight = counts.max_in_flight.max(counts.in_flight);
        });
        AclCallGuard(Arc::clone(self))
    }

    /// Returns the current counts.
    pub(super) fn snapshot(&self) -> AclCallCounts {
        *self.0.lock()
    }

    fn update(&self, change: impl FnOnce(&mut AclCallCounts)) {
        change(&mut self.0.lock());
    }
}

/// Guard that counts a call as in flight.
pub(super) struct AclCallGuard(Arc<AclCallStats>);

impl Drop for AclCallGuard {
    fn drop(&mut self) {
        self.0.update(|counts| counts.in_flight = counts.in_flight.saturating_sub(1));
    }
}
