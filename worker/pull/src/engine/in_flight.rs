//! The messages in flight in this worker.

use std::collections::{HashMap, hash_map};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::service::{LeaseReceipt, ReceivedMessage};
use chargegate_storage::queue::MessageKey;

/// Number of redeliveries after which the holder of a message is presumed to have lost it.
const MAX_REDELIVERIES: u8 = 3;
/// Age at which a message is dropped from the books: its leases have ended, and another worker has processed it.
const MAX_AGE: Duration = Duration::from_hours(1);

/// The messages that were received and not yet acked or released, each with its newest lease.
///
/// A lease may end while its message is in flight: when the store is down, say. The message is then delivered again,
/// and if it is delivered to this worker, it is not handed out a second time: its holder goes on under the new lease.
#[derive(Debug)]
pub struct InFlightMessages {
    messages: Mutex<HashMap<MessageKey, InFlightLease>>,
    lease: Duration,
}

#[derive(Debug)]
struct InFlightLease {
    lease: MessageLease,
    /// Time of the first delivery.
    since: Instant,
    /// Number of deliveries since the first.
    redeliveries: u8,
    /// Set when the service reports the lease as ended.
    lease_ended: bool,
    /// Pending end of the lease, if any.
    ending: Option<LeaseOutcome>,
}

/// Way in which a worker ends a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaseOutcome {
    /// The message is removed.
    Ack,
    /// The message is delivered again.
    Release,
}

/// The lease of a message in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MessageLease {
    pub(super) receipt: LeaseReceipt,
    /// Earliest end of the lease.
    pub(super) until: Instant,
}

/// Relation of a received message to those in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArrivalKind {
    /// It is not in flight and is to be handed out.
    New,
    /// It is in flight; its previous lease had ended.
    Redelivered,
}

impl InFlightMessages {
    /// Creates an empty set for leases of the term `lease`.
    pub(super) fn new(lease: Duration) -> Self {
        Self { messages: Mutex::default(), lease }
    }

    /// Returns whether a message is in flight.
    #[must_use]
    pub fn contains(&self, key: &MessageKey) -> bool {
        self.messages.lock().contains_key(key)
    }

    /// Returns whether a message is in flight under a lease that has not ended.
    #[must_use]
    pub fn is_leased(&self, key: &MessageKey) -> bool {
        self.messages.lock().get(key).is_some_and(|message| message.lease.until > Instant::now())
    }

    /// Returns the number of messages in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.lock().len()
    }

    /// Returns whether no message is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.lock().is_empty()
    }

    /// Adds a message leased at `leased` at the earliest, or renews the lease of one that is in flight.
    pub(super) fn insert(&self, received: &ReceivedMessage, leased: Instant) -> ArrivalKind {
        let lease = MessageLease { receipt: received.receipt.clone(), until: leased + self.lease };
        let new =
            |lease| InFlightLease { lease, since: leased, redeliveries: 0, lease_ended: false, ending: None };
        match self.messages.lock().entry(received.key.clone()) {
            hash_map::Entry::Vacant(entry) => {
                entry.insert(new(lease));
                ArrivalKind::New
            }
            hash_map::Entry::Occupied(mut entry) => {
                let message = entry.get_mut();
                // A message that is being released has no holder any more.
                if message.ending == Some(LeaseOutcome::Release) || message.redeliveries >= MAX_REDELIVERIES {
                    *message = new(lease);
                    return ArrivalKind::New;
                }
                (message.lease, message.lease_ended) = (lease, false);
                message.redeliveries += 1;
                ArrivalKind::Redelivered
            }
        }
    }

    /// Begins to end the lease of a message; returns `None` if it is not in flight, or its lease is being ended.
    pub(super) fn begin_end(&self, key: &MessageKey, outcome: LeaseOutcome) -> Option<MessageLease> {
        let mut messages = self.messages.lock();
        let message = messages.get_mut(key).filter(|message| message.ending.is_none())?;
        message.ending = Some(outcome);
        Some(message.lease.clone())
    }

    /// Returns the newest lease of a message that is being acked.
    pub(super) fn renewed(&self, key: &MessageKey) -> Option<MessageLease> {
        let messages = self.messages.lock();
        let message = messages.get(key).filter(|message| message.ending == Some(LeaseOutcome::Ack))?;
        Some(message.lease.clone())
    }

    /// Removes a message whose lease `ended`; returns `false` where a newer lease has to be ended as well.
    pub(super) fn remove(&self, key: &MessageKey, ended: &LeaseReceipt) -> bool {
        let mut messages = self.messages.lock();
        match messages.get(key) {
            Some(message) if message.lease.receipt != *ended => message.ending != Some(LeaseOutcome::Ack),
            Some(_) => {
                messages.remove(key);
                true
            }
            None => true,
        }
    }

    /// Removes a message whose lease could not be ended, so that it is handed out when it is delivered again.
    pub(super) fn abandon(&self, key: &MessageKey) {
        let mut messages = self.messages.lock();
        if messages.get(key).is_some_and(|message| message.ending.is_some()) {
            messages.remove(key);
        }
    }

    /// Returns the leases that end before `before` and can be extended, of messages received after `since`.
    pub(super) fn ending(&self, before: Instant, since: Instant) -> Vec<(MessageKey, LeaseReceipt)> {
        let messages = self.messages.lock();
        let due = messages.iter().filter(|(_, message)| {
            !message.lease_ended && message.lease.until < before && message.since > since
        });
        due.map(|(key, message)| (key.clone(), message.lease.receipt.clone())).collect()
    }

    /// Notes that a lease was extended by a call begun at `begun`.
    pub(super) fn note_extended(&self, key: &MessageKey, receipt: &LeaseReceipt, begun: Instant) {
        self.update(key, receipt, |message| message.lease.until = begun + self.lease);
    }

    /// Notes that a lease has ended and cannot be extended any more.
    pub(super) fn note_lease_ended(&self, key: &MessageKey, receipt: &LeaseReceipt) {
        self.update(key, receipt, |message| message.lease_ended = true);
    }

    fn update(&self, key: &MessageKey, receipt: &LeaseReceipt, change: impl FnOnce(&mut InFlightLease)) {
        if let Some(message) =
            self.messages.lock().get_mut(key).filter(|message| message.lease.receipt == *receipt)
        {
            change(message);
        }
    }

    /// Removes messages that no holder will ack any more.
    pub(super) fn remove_abandoned(&self) {
        self.messages.lock().retain(|_, message| message.since.elapsed() < MAX_AGE);
    }
}

#[cfg(test)]
mod tests;
