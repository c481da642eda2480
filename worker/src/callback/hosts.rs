//! Places for attempts: so many in all, and so many for one host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts attempts under way, in all and by host.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    total: usize,
    per_host: usize,
    under_way: Arc<Mutex<UnderWay>>,
}

#[derive(Debug, Default)]
struct UnderWay {
    total: usize,
    by_host: HashMap<Box<str>, usize>,
}

/// A place for one attempt, free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    hosts: Hosts,
    host: Box<str>,
}

impl Hosts {
    pub(super) fn new(total: usize, per_host: usize) -> Self {
        Self { total, per_host, under_way: Arc::default() }
    }

    /// A place for an attempt at `host`, if both limits leave one.
    pub(super) fn take(&self, host: &str) -> Option<Place> {
        let mut under_way = self.lock();
        if under_way.total >= self.total {
            return None;
        }
        let count = under_way.by_host.get(host).copied().unwrap_or(0);
        if count >= self.per_host {
            return None;
        }
        under_way.by_host.insert(host.into(), count + 1);
        under_way.total += 1;
        Some(Place { hosts: self.clone(), host: host.into() })
    }

    /// How many places are free in all, and who is under way.
    pub(super) fn snapshot(&self) -> (usize, HashMap<Box<str>, usize>) {
        let under_way = self.lock();
        (self.total.saturating_sub(under_way.total), under_way.by_host.clone())
    }

    pub(super) fn per_host(&self) -> usize {
        self.per_host
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, UnderWay> {
        // Every update below is whole, so a panic elsewhere leaves the counts right.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut under_way = self.hosts.lock();
        under_way.total = under_way.total.saturating_sub(1);
        if let Some(count) = under_way.by_host.get_mut(&self.host) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                under_way.by_host.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_hold_and_a_dropped_place_is_free_again() {
        let hosts = Hosts::new(3, 2);
        let first = hosts.take("a").unwrap();
        let _second = hosts.take("a").unwrap();
        assert!(hosts.take("a").is_none(), "two for one host");
        let _third = hosts.take("b").unwrap();
        assert!(hosts.take("c").is_none(), "three in all");
        drop(first);
        assert!(hosts.take("a").is_some());
        assert_eq!(hosts.snapshot().1.get("b"), Some(&1));
    }
}
