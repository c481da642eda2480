//! What this worker holds.

use std::collections::{HashMap, hash_map};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::service::{Receipt, Received};
use chargegate_storage::queue::MessageKey;

/// How often a message may come again to its holder before the holder is thought to have lost it.
const MAX_REPEATS: u8 = 3;
/// What is held for longer has come to nothing here: its leases ended, and who took it up then has settled it.
const FORGET_AFTER: Duration = Duration::from_hours(1);

/// The messages that came and are not settled, each with its newest lease.
///
/// A lease may run out while its message is held: when the store is down, say. The message comes again then, and if it
/// comes to us, it is not given out a second time: its holder goes on, under the new lease.
#[derive(Debug)]
pub(super) struct Held {
    holds: Mutex<HashMap<MessageKey, Hold>>,
    lease: Duration,
}

#[derive(Debug)]
struct Hold {
    lease: Lease,
    /// When it came first.
    since: Instant,
    /// How often it came again since.
    repeats: u8,
    /// Whether the service says that the lease is over.
    over: bool,
    /// What is being done about it.
    ending: Option<Outcome>,
}

/// How a lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// For good.
    Done,
    /// The message comes again.
    Back,
}

/// A lease of a message in our hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) receipt: Receipt,
    /// When it ends, at the earliest.
    pub(super) until: Instant,
}

/// What is to be done with a message that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Give it out.
    New,
    /// Nothing: it is in somebody's hands, whose lease had ended.
    Again,
}

impl Held {
    /// Nothing held yet.
    pub(super) fn new(lease: Duration) -> Self {
        Self { holds: Mutex::default(), lease }
    }

    /// Notes a message leased at `leased`, at the earliest.
    pub(super) fn take(&self, received: &Received, leased: Instant) -> Arrival {
        let lease = Lease { receipt: received.receipt.clone(), until: leased + self.lease };
        let mut holds = self.lock();
        match holds.entry(received.key.clone()) {
            hash_map::Entry::Vacant(place) => {
                place.insert(Hold { lease, since: leased, repeats: 0, over: false, ending: None });
                Arrival::New
            }
            hash_map::Entry::Occupied(mut place) => {
                let hold = place.get_mut();
                // What is on its way back is nobody's already.
                if hold.ending == Some(Outcome::Back) || hold.repeats >= MAX_REPEATS {
                    *hold = Hold { lease, since: leased, repeats: 0, over: false, ending: None };
                    return Arrival::New;
                }
                (hold.lease, hold.over) = (lease, false);
                hold.repeats += 1;
                Arrival::Again
            }
        }
    }

    /// Begins to end the lease of a message; `None` if it is not held, or its lease is being ended.
    pub(super) fn end(&self, key: &MessageKey, outcome: Outcome) -> Option<Lease> {
        let mut holds = self.lock();
        let hold = holds.get_mut(key).filter(|hold| hold.ending.is_none())?;
        hold.ending = Some(outcome);
        Some(hold.lease.clone())
    }

    /// The newest lease of a message that is being done with.
    pub(super) fn renewed(&self, key: &MessageKey) -> Option<Lease> {
        let holds = self.lock();
        let hold = holds.get(key).filter(|hold| hold.ending == Some(Outcome::Done))?;
        Some(hold.lease.clone())
    }

    /// Holds a message no longer whose lease has ended; `false` where there is a newer lease to be ended.
    pub(super) fn let_go(&self, key: &MessageKey, ended: &Receipt) -> bool {
        let mut holds = self.lock();
        match holds.get(key) {
            Some(hold) if hold.lease.receipt != *ended => hold.ending != Some(Outcome::Done),
            Some(_) => {
                holds.remove(key);
                true
            }
            None => true,
        }
    }

    /// Holds a message no longer whose lease could not be ended, so that it is given out when it comes again.
    pub(super) fn give_up(&self, key: &MessageKey) {
        let mut holds = self.lock();
        if holds.get(key).is_some_and(|hold| hold.ending.is_some()) {
            holds.remove(key);
        }
    }

    /// How many messages are held.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// The leases that end before `before` and can be extended, of what came after `since`.
    pub(super) fn ending(&self, before: Instant, since: Instant) -> Vec<(MessageKey, Receipt)> {
        let holds = self.lock();
        let due =
            holds.iter().filter(|(_, hold)| !hold.over && hold.lease.until < before && hold.since > since);
        due.map(|(key, hold)| (key.clone(), hold.lease.receipt.clone())).collect()
    }

    /// A lease was extended by a call begun at `begun`.
    pub(super) fn extended(&self, key: &MessageKey, receipt: &Receipt, begun: Instant) {
        if let Some(hold) = self.lock().get_mut(key).filter(|hold| hold.lease.receipt == *receipt) {
            hold.lease.until = begun + self.lease;
        }
    }

    /// A lease is over, so that it cannot be extended any more.
    pub(super) fn over(&self, key: &MessageKey, receipt: &Receipt) {
        if let Some(hold) = self.lock().get_mut(key).filter(|hold| hold.lease.receipt == *receipt) {
            hold.over = true;
        }
    }

    /// Forgets what nobody will settle any more.
    pub(super) fn forget_old(&self) {
        self.lock().retain(|_, hold| hold.since.elapsed() < FORGET_AFTER);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MessageKey, Hold>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
