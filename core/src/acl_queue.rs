//! The order in which waiting requests are put to the authorization service.
//!
//! Callback hosts take turns, so that the flood of one client does not delay the others. Within a host the oldest
//! request is first; once the oldest has waited longer than [`AclQueue::TARGET_WAIT`], the newest is first ("adaptive
//! LIFO"). Under overload first-in-first-out would make every request wait until just before it is shed.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

/// Waiting requests, by host and age. Times are durations since any fixed instant of a monotonic clock.
///
/// ```
/// use std::time::Duration;
///
/// use chargegate_core::AclQueue;
///
/// let at = Duration::from_millis;
/// let mut queue = AclQueue::new();
/// for (n, name) in ["a1", "a2", "a3"].into_iter().enumerate() {
///     queue.push("a.example", at(n as u64), name);
/// }
/// queue.push("b.example", at(50), "b1");
///
/// // Without a queue worth the name the oldest is first, and hosts take turns.
/// assert_eq!((queue.pop(at(60)), queue.pop(at(60))), (Some("a1"), Some("b1")));
/// // Later the newest is first.
/// assert_eq!((queue.pop(at(500)), queue.pop(at(500))), (Some("a3"), Some("a2")));
/// assert_eq!(queue.pop(at(500)), None);
/// ```
#[derive(Debug)]
pub struct AclQueue<T> {
    hosts: BTreeMap<Box<str>, BTreeMap<WaitKey, T>>,
    /// The hosts with waiting requests, in the order of their turns.
    turns: VecDeque<Box<str>>,
    len: usize,
    next_number: u64,
}

/// The place of a request among those of its host: by age, then by arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct WaitKey {
    since: Duration,
    number: u64,
}

/// The place of a waiting request, by which it can be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclTicket {
    host: Box<str>,
    key: WaitKey,
}

impl<T> AclQueue<T> {
    /// Wait of the oldest request of a host beyond which its newest is first.
    pub const TARGET_WAIT: Duration = Duration::from_millis(100);

    /// Creates an empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { hosts: BTreeMap::new(), turns: VecDeque::new(), len: 0, next_number: 0 }
    }

    /// Returns the number of waiting requests.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether no request waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a request for `host` that waits since `since`.
    pub fn push(&mut self, host: &str, since: Duration, item: T) -> AclTicket {
        let key = WaitKey { since, number: self.next_number };
        self.next_number = self.next_number.wrapping_add(1);
        self.len = self.len.saturating_add(1);
        if let Some(waiting) = self.hosts.get_mut(host) {
            waiting.insert(key, item);
        } else {
            self.hosts.insert(host.into(), BTreeMap::from([(key, item)]));
            self.turns.push_back(host.into());
        }
        AclTicket { host: host.into(), key }
    }

    /// Removes a request and returns it, or `None` if it left the queue before.
    pub fn remove(&mut self, ticket: &AclTicket) -> Option<T> {
        let waiting = self.hosts.get_mut(&ticket.host)?;
        let item = waiting.remove(&ticket.key)?;
        self.len = self.len.saturating_sub(1);
        if waiting.is_empty() {
            self.hosts.remove(&ticket.host);
            self.turns.retain(|host| *host != ticket.host);
        }
        Some(item)
    }

    /// Removes the request that is next at the time `now`, and ends the turn of its host.
    pub fn pop(&mut self, now: Duration) -> Option<T> {
        let host = self.turns.pop_front()?;
        let waiting = self.hosts.get_mut(&host)?;
        let oldest = waiting.first_key_value()?.0.since;
        let entry = if now.saturating_sub(oldest) > Self::TARGET_WAIT {
            waiting.pop_last()
        } else {
            waiting.pop_first()
        };
        self.len = self.len.saturating_sub(1);
        if waiting.is_empty() {
            self.hosts.remove(&host);
        } else {
            self.turns.push_back(host);
        }
        entry.map(|(_, item)| item)
    }
}

impl<T> Default for AclQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
