//! How hard the service is pressed.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// Counts calls as their callers see them: a call is in flight from its first header to its answer, waiting
/// included, or until the caller hangs up.
#[derive(Default)]
pub(super) struct AclCallStats(Mutex<AclCallCounts>);

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct AclCallCounts {
    /// Calls begun since the start.
    pub(super) calls: u64,
    /// Calls in flight now.
    pub(super) in_flight: u64,
    /// The most calls that were in flight at once.
    pub(super) max_in_flight: u64,
}

impl AclCallStats {
    /// Counts a call, which is in flight until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> AclCallGuard {
        self.update(|counts| {
            counts.calls += 1;
            counts.in_flight += 1;
            counts.max_in_flight = counts.max_in_flight.max(counts.in_flight);
        });
        AclCallGuard(Arc::clone(self))
    }

    /// The counts now.
    pub(super) fn snapshot(&self) -> AclCallCounts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut AclCallCounts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A call in flight.
pub(super) struct AclCallGuard(Arc<AclCallStats>);

impl Drop for AclCallGuard {
    fn drop(&mut self) {
        self.0.update(|counts| counts.in_flight = counts.in_flight.saturating_sub(1));
    }
}
