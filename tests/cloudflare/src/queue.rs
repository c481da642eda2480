//! One queue: its messages wait, are delayed, leased, retried, given up or expire. The time is always an argument,
//! counted since the Unix epoch.

mod lease;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::message::EmulatorMessage;
use crate::settings::{EmulatedQueueSettings, PullConsumerSettings, QueueConsumer};

pub(crate) use self::lease::LeaseId;

/// Increases with each message, so this order is also the order by age.
type MessageSequence = u64;

#[derive(Debug)]
pub(crate) struct EmulatedQueue {
    settings: EmulatedQueueSettings,
    /// Distinguishes this queue's messages from those of other queues and of former runs.
    origin: u64,
    next: MessageSequence,
    messages: BTreeMap<MessageSequence, StoredMessage>,
    /// Messages that are not leased, by the time from which they can be pulled.
    waiting: BTreeSet<(Duration, MessageSequence)>,
    /// Leased messages, by the end of the lease.
    leased: BTreeSet<(Duration, MessageSequence)>,
    bytes: u64,
    outcomes: MessageOutcomes,
}

#[derive(Debug)]
struct StoredMessage {
    message: EmulatorMessage,
    sent: Duration,
    attempts: u32,
    state: StoredState,
}

#[derive(Clone, Copy, Debug)]
enum StoredState {
    Waiting { from: Duration },
    Leased { until: Duration },
}

/// Outcomes of messages, counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageOutcomes {
    /// Accepted by the queue.
    pub sent: u64,
    /// Delivered, counting each delivery.
    pub delivered: u64,
    /// Removed by an acknowledgement.
    pub acknowledged: u64,
    /// Retried by a consumer.
    pub retried: u64,
    /// Made visible again because the lease expired.
    pub lapsed: u64,
    /// Moved to the dead-letter queue after too many deliveries.
    pub dead_lettered: u64,
    /// Deleted after too many deliveries.
    pub deleted: u64,
    /// Deleted at the end of the retention.
    pub expired: u64,
}

/// Size of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueBacklog {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    /// Zero if the queue is empty.
    pub(crate) oldest: Duration,
}

/// A message as delivered to a consumer.
#[derive(Debug)]
pub(crate) struct MessageDelivery {
    pub(crate) id: String,
    pub(crate) lease: LeaseId,
    pub(crate) message: EmulatorMessage,
    pub(crate) sent: Duration,
    pub(crate) attempts: u32,
}

/// Leasing of the messages that a pull delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseMode {
    /// For this long.
    For(Duration),
    /// No lease: the next pull delivers the same messages.
    Forgotten,
}

/// Outcome of acknowledging or retrying a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckOutcome {
    Done,
    /// The message is gone, or a newer lease owns it. Not an error, as documented.
    TooLate,
    /// This queue never issued the lease.
    Unknown,
}

impl EmulatedQueue {
    pub(crate) fn new(settings: EmulatedQueueSettings) -> Self {
        let origin = RandomState::new().hash_one(&settings.id);
        Self {
            settings,
            origin,
            next: 0,
            messages: BTreeMap::new(),
            waiting: BTreeSet::new(),
            leased: BTreeSet::new(),
            bytes: 0,
            outcomes: MessageOutcomes::default(),
        }
    }

    pub(crate) fn settings(&self) -> &EmulatedQueueSettings {
        &self.settings
    }

    pub(crate) fn settings_mut(&mut self) -> &mut EmulatedQueueSettings {
        &mut self.settings
    }

    pub(crate) fn outcomes(&self) -> MessageOutcomes {
        self.outcomes
    }

    pub(crate) fn messages(&self) -> impl ExactSizeIterator<Item = &EmulatorMessage> {
        self.messages.values().map(|stored| &stored.message)
    }

    pub(crate) fn backlog(&self) -> QueueBacklog {
        let oldest = self.messages.first_key_value().map_or(Duration::ZERO, |(_, stored)| stored.sent);
        QueueBacklog { count: count(self.messages.len()), bytes: self.bytes, oldest }
    }

    pub(crate) fn leased(&self) -> usize {
        self.leased.len()
    }

    /// Returns the number of messages that could be pulled now.
    pub(crate) fn ready(&self, now: Duration) -> usize {
        self.waiting.range(..=(now, MessageSequence::MAX)).count()
    }

    /// Adds a message, visible after its delay or else the queue's.
    pub(crate) fn send(&mut self, message: EmulatorMessage, delay: Option<Duration>, now: Duration) {
        let sequence = self.next;
        self.next = sequence.saturating_add(1);
        let from = now.saturating_add(delay.unwrap_or(self.settings.delivery_delay));
        self.bytes = self.bytes.saturating_add(count(message.body().len()));
        self.waiting.insert((from, sequence));
        let state = StoredState::Waiting { from };
        self.messages.insert(sequence, StoredMessage { message, sent: now, attempts: 0, state });
        self.outcomes.sent = self.outcomes.sent.saturating_add(1);
    }

    /// Delivers up to `limit` messages, starting with those visible longest.
    pub(crate) fn pull(&mut self, limit: usize, leasing: LeaseMode, now: Duration) -> Vec<MessageDelivery> {
        if self.settings.delivery_paused {
            return Vec::new();
        }
        let due: Vec<_> = self.waiting.range(..=(now, MessageSequence::MAX)).take(limit).copied().collect();
        due.into_iter().filter_map(|entry| self.deliver(entry, leasing, now)).collect()
    }

    /// Removes a message.
    pub(crate) fn acknowledge(&mut self, lease: &LeaseId) -> AckOutcome {
        let Some(sequence) = self.known(lease) else { return AckOutcome::Unknown };
        // Documented: an expired or superseded lease still acknowledges.
        if self.remove(sequence).is_none() {
            return AckOutcome::TooLate;
        }
        self.outcomes.acknowledged = self.outcomes.acknowledged.saturating_add(1);
        AckOutcome::Done
    }

    /// Makes a message visible again after the given delay or else the consumer's. A message with too many deliveries
    /// goes to `given_up`.
    pub(crate) fn retry(
        &mut self,
        lease: &LeaseId,
        delay: Option<Duration>,
        now: Duration,
        given_up: &mut Vec<EmulatorMessage>,
    ) -> AckOutcome {
        let Some(sequence) = self.known(lease) else { return AckOutcome::Unknown };
        let current = self.messages.get(&sequence).is_some_and(|stored| {
            stored.attempts == lease.attempt() && matches!(stored.state, StoredState::Leased { .. })
        });
        if !current {
            return AckOutcome::TooLate;
        }
        self.outcomes.retried = self.outcomes.retried.saturating_add(1);
        let from = now.saturating_add(delay.unwrap_or(self.consumer().retry_delay));
        self.put_back(sequence, from, given_up);
        AckOutcome::Done
    }

    /// Expires messages and leases that are due. Messages with too many deliveries go to `given_up`.
    pub(crate) fn advance(&mut self, now: Duration, given_up: &mut Vec<EmulatorMessage>) {
        while let Some((&sequence, stored)) = self.messages.first_key_value() {
            if stored.sent.saturating_add(self.settings.retention) > now {
                break;
            }
            self.remove(sequence);
            self.outcomes.expired = self.outcomes.expired.saturating_add(1);
        }
        while let Some(&(until, sequence)) = self.leased.first().filter(|(until, _)| *until <= now) {
            self.outcomes.lapsed = self.outcomes.lapsed.saturating_add(1);
            let from = until.saturating_add(self.consumer().retry_delay);
            self.put_back(sequence, from, given_up);
        }
    }

    /// Counts messages that were moved to the dead-letter queue.
    pub(crate) fn dead_lettered(&mut self, messages: usize) {
        self.outcomes.dead_lettered = self.outcomes.dead_lettered.saturating_add(count(messages));
    }

    /// Counts messages that were deleted after too many deliveries.
    pub(crate) fn deleted(&mut self, messages: usize) {
        self.outcomes.deleted = self.outcomes.deleted.saturating_add(count(messages));
    }

    pub(crate) fn consumer(&self) -> PullConsumerSettings {
        match &self.settings.consumer {
            QueueConsumer::HttpPull(pull) => pull.clone(),
            QueueConsumer::None | QueueConsumer::Worker { .. } => PullConsumerSettings::default(),
        }
    }

    fn deliver(
        &mut self,
        entry: (Duration, MessageSequence),
        leasing: LeaseMode,
        now: Duration,
    ) -> Option<MessageDelivery> {
        let (_, sequence) = entry;
        let stored = self.messages.get_mut(&sequence)?;
        stored.attempts = stored.attempts.saturating_add(1);
        if let LeaseMode::For(visibility) = leasing {
            let until = now.saturating_add(visibility);
            stored.state = StoredState::Leased { until };
            self.waiting.remove(&entry);
            self.leased.insert((until, sequence));
        }
        self.outcomes.delivered = self.outcomes.delivered.saturating_add(1);
        Some(MessageDelivery {
            id: format!("{:016x}{sequence:016x}", self.origin),
            lease: LeaseId::new(self.origin, sequence, stored.attempts),
            message: stored.message.clone(),
            sent: stored.sent,
            attempts: stored.attempts,
        })
    }

    /// Returns the message of a lease that this queue issued, whether or not the message still exists.
    fn known(&self, lease: &LeaseId) -> Option<MessageSequence> {
        let sequence = lease.sequence_of(self.origin)?;
        (sequence < self.next).then_some(sequence)
    }

    /// Makes a message visible again, or gives it up after the first delivery and `max_retries` more.
    fn put_back(&mut self, sequence: MessageSequence, from: Duration, given_up: &mut Vec<EmulatorMessage>) {
        let max_retries = self.consumer().max_retries;
        let Some(stored) = self.messages.get_mut(&sequence) else { return };
        if stored.attempts > max_retries {
            given_up.extend(self.remove(sequence));
            return;
        }
        if let StoredState::Leased { until } = stored.state {
            self.leased.remove(&(until, sequence));
        }
        stored.state = StoredState::Waiting { from };
        self.waiting.insert((from, sequence));
    }

    fn remove(&mut self, sequence: MessageSequence) -> Option<EmulatorMessage> {
        let stored = self.messages.remove(&sequence)?;
        match stored.state {
            StoredState::Waiting { from } => self.waiting.remove(&(from, sequence)),
            StoredState::Leased { until } => self.leased.remove(&(until, sequence)),
        };
        self.bytes = self.bytes.saturating_sub(count(stored.message.body().len()));
        Some(stored.message)
    }
}

pub(crate) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
