//! Permits that bound concurrent attempts, in all and for each host.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

/// Limits of concurrent attempts, in all and for each host.
#[derive(Clone, Debug)]
pub(super) struct HostPermits {
    total: usize,
    per_host: usize,
    in_flight: Arc<Mutex<InFlightAttempts>>,
}

#[derive(Debug, Default)]
struct InFlightAttempts {
    total: usize,
    by_host: HashMap<Box<str>, usize>,
}

/// Permission for one attempt, returned on drop.
#[derive(Debug)]
pub(super) struct HostPermit {
    limits: HostPermits,
    host: Box<str>,
}

impl HostPermits {
    pub(super) fn new(total: usize, per_host: usize) -> Self {
        Self { total, per_host, in_flight: Arc::default() }
    }

    /// Acquires a permit for an attempt at `host`, if neither limit is reached.
    pub(super) fn try_acquire(&self, host: &str) -> Option<HostPermit> {
        let mut in_flight = self.lock();
        if in_flight.total >= self.total {
            return None;
        }
        let count = in_flight.by_host.get(host).copied().unwrap_or(0);
        if count >= self.per_host {
            return None;
        }
        in_flight.by_host.insert(host.into(), count + 1);
        in_flight.total += 1;
        Some(HostPermit { limits: self.clone(), host: host.into() })
    }

    /// Returns the number of free permits in all, and the attempts in flight by host.
    pub(super) fn snapshot(&self) -> (usize, HashMap<Box<str>, usize>) {
        let in_flight = self.lock();
        (self.total.saturating_sub(in_flight.total), in_flight.by_host.clone())
    }

    pub(super) fn per_host(&self) -> usize {
        self.per_host
    }

    fn lock(&self) -> MutexGuard<'_, InFlightAttempts> {
        self.in_flight.lock()
    }
}

impl Drop for HostPermit {
    fn drop(&mut self) {
        let mut in_flight = self.limits.lock();
        in_flight.total = in_flight.total.saturating_sub(1);
        if let Some(count) = in_flight.by_host.get_mut(&self.host) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                in_flight.by_host.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_apply_and_a_dropped_permit_is_available_again() {
        let limits = HostPermits::new(3, 2);
        let first = limits.try_acquire("a").unwrap();
        let _second = limits.try_acquire("a").unwrap();
        assert!(limits.try_acquire("a").is_none(), "at most two for one host");
        let _third = limits.try_acquire("b").unwrap();
        assert!(limits.try_acquire("c").is_none(), "at most three in total");
        drop(first);
        assert!(limits.try_acquire("a").is_some());
        assert_eq!(limits.snapshot().1.get("b"), Some(&1));
    }
}
