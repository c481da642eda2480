//! One queue: messages that wait, are delayed, are leased, come back, are given up or grow too old. Time goes in as an
//! argument, always since the Unix epoch.

mod lease;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::message::EmulatorMessage;
use crate::settings::{EmulatedQueueSettings, PullConsumerSettings, QueueConsumer};

pub(crate) use self::lease::LeaseId;

/// Grows with each message, which is why messages in its order are in the order of their age.
type MessageSequence = u64;

#[derive(Debug)]
pub(crate) struct EmulatedQueue {
    settings: EmulatedQueueSettings,
    /// Tells this queue's messages from those of any other, also of a former run.
    origin: u64,
    next: MessageSequence,
    messages: BTreeMap<MessageSequence, StoredMessage>,
    /// What is not leased, by the time from which it can be pulled.
    waiting: BTreeSet<(Duration, MessageSequence)>,
    /// What is leased, by the end of the lease.
    leased: BTreeSet<(Duration, MessageSequence)>,
    bytes: u64,
    outcomes: MessageOutcomes,
}

#[derive(Debug)]
struct StoredMessage {
    message: EmulatorMessage,
    sent: Duration,
    attempts: u32,
    place: StoredState,
}

#[derive(Clone, Copy, Debug)]
enum StoredState {
    Waiting { from: Duration },
    Leased { until: Duration },
}

/// What became of messages, counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageOutcomes {
    /// Taken into the queue.
    pub sent: u64,
    /// Handed out, each time counted.
    pub delivered: u64,
    /// Removed by an acknowledgement.
    pub acknowledged: u64,
    /// Put back by a consumer.
    pub retried: u64,
    /// Put back by the end of a lease.
    pub lapsed: u64,
    /// Given up after too many deliveries, and put into the dead-letter queue.
    pub dead_lettered: u64,
    /// Given up after too many deliveries, and deleted.
    pub deleted: u64,
    /// Deleted because of age.
    pub expired: u64,
}

/// How much a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueBacklog {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    /// Zero where nothing is held.
    pub(crate) oldest: Duration,
}

/// A message on its way to a consumer.
#[derive(Debug)]
pub(crate) struct MessageDelivery {
    pub(crate) id: String,
    pub(crate) lease: LeaseId,
    pub(crate) message: EmulatorMessage,
    pub(crate) sent: Duration,
    pub(crate) attempts: u32,
}

/// How a pull leases what it hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseMode {
    /// For so long.
    For(Duration),
    /// Not at all: the next pull gets the same messages.
    Forgotten,
}

/// What came of settling a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckOutcome {
    Done,
    /// The message is already gone, or another lease holds it. No error, as documented.
    TooLate,
    /// This queue never gave such a lease.
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
        self.messages.values().map(|held| &held.message)
    }

    pub(crate) fn backlog(&self) -> QueueBacklog {
        let oldest = self.messages.first_key_value().map_or(Duration::ZERO, |(_, held)| held.sent);
        QueueBacklog { count: count(self.messages.len()), bytes: self.bytes, oldest }
    }

    pub(crate) fn leased(&self) -> usize {
        self.leased.len()
    }

    /// How many could be pulled now.
    pub(crate) fn ready(&self, now: Duration) -> usize {
        self.waiting.range(..=(now, MessageSequence::MAX)).count()
    }

    /// Takes a message, to be pulled after its own delay or else the queue's.
    pub(crate) fn send(&mut self, message: EmulatorMessage, delay: Option<Duration>, now: Duration) {
        let sequence = self.next;
        self.next = sequence.saturating_add(1);
        let from = now.saturating_add(delay.unwrap_or(self.settings.delivery_delay));
        self.bytes = self.bytes.saturating_add(count(message.body().len()));
        self.waiting.insert((from, sequence));
        let place = StoredState::Waiting { from };
        self.messages.insert(sequence, StoredMessage { message, sent: now, attempts: 0, place });
        self.outcomes.sent = self.outcomes.sent.saturating_add(1);
    }

    /// Hands out up to `most` messages, those first that can be pulled longest.
    pub(crate) fn pull(&mut self, most: usize, leasing: LeaseMode, now: Duration) -> Vec<MessageDelivery> {
        if self.settings.delivery_paused {
            return Vec::new();
        }
        let due: Vec<_> = self.waiting.range(..=(now, MessageSequence::MAX)).take(most).copied().collect();
        due.into_iter().filter_map(|entry| self.deliver(entry, leasing, now)).collect()
    }

    /// Removes a message for good.
    pub(crate) fn acknowledge(&mut self, lease: &LeaseId) -> AckOutcome {
        let Some(sequence) = self.known(lease) else { return AckOutcome::Unknown };
        // A lease that ended, or was followed by another, still acknowledges: Cloudflare is permissive, and says so.
        if self.remove(sequence).is_none() {
            return AckOutcome::TooLate;
        }
        self.outcomes.acknowledged = self.outcomes.acknowledged.saturating_add(1);
        AckOutcome::Done
    }

    /// Puts a message back, to be pulled after its own delay or else the consumer's. One that is given up goes to
    /// `given_up`.
    pub(crate) fn retry(
        &mut self,
        lease: &LeaseId,
        delay: Option<Duration>,
        now: Duration,
        given_up: &mut Vec<EmulatorMessage>,
    ) -> AckOutcome {
        let Some(sequence) = self.known(lease) else { return AckOutcome::Unknown };
        let current = self.messages.get(&sequence).is_some_and(|held| {
            held.attempts == lease.attempt() && matches!(held.place, StoredState::Leased { .. })
        });
        if !current {
            return AckOutcome::TooLate;
        }
        self.outcomes.retried = self.outcomes.retried.saturating_add(1);
        let from = now.saturating_add(delay.unwrap_or(self.consumer().retry_delay));
        self.put_back(sequence, from, given_up);
        AckOutcome::Done
    }

    /// Does what is due: ends leases and deletes what is too old. What is given up goes to `given_up`.
    pub(crate) fn advance(&mut self, now: Duration, given_up: &mut Vec<EmulatorMessage>) {
        while let Some((&sequence, held)) = self.messages.first_key_value() {
            if held.sent.saturating_add(self.settings.retention) > now {
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

    /// Notes that messages which were given up went to the dead-letter queue.
    pub(crate) fn dead_lettered(&mut self, messages: usize) {
        self.outcomes.dead_lettered = self.outcomes.dead_lettered.saturating_add(count(messages));
    }

    /// Notes that messages which were given up are lost.
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
        let held = self.messages.get_mut(&sequence)?;
        held.attempts = held.attempts.saturating_add(1);
        if let LeaseMode::For(visibility) = leasing {
            let until = now.saturating_add(visibility);
            held.place = StoredState::Leased { until };
            self.waiting.remove(&entry);
            self.leased.insert((until, sequence));
        }
        self.outcomes.delivered = self.outcomes.delivered.saturating_add(1);
        Some(MessageDelivery {
            id: format!("{:016x}{sequence:016x}", self.origin),
            lease: LeaseId::new(self.origin, sequence, held.attempts),
            message: held.message.clone(),
            sent: held.sent,
            attempts: held.attempts,
        })
    }

    /// The message of a lease that this queue gave, whether or not it still holds it.
    fn known(&self, lease: &LeaseId) -> Option<MessageSequence> {
        let sequence = lease.sequence_of(self.origin)?;
        (sequence < self.next).then_some(sequence)
    }

    /// The first delivery and `max_retries` more, then it is given up.
    fn put_back(&mut self, sequence: MessageSequence, from: Duration, given_up: &mut Vec<EmulatorMessage>) {
        let max_retries = self.consumer().max_retries;
        let Some(held) = self.messages.get_mut(&sequence) else { return };
        if held.attempts > max_retries {
            given_up.extend(self.remove(sequence));
            return;
        }
        if let StoredState::Leased { until } = held.place {
            self.leased.remove(&(until, sequence));
        }
        held.place = StoredState::Waiting { from };
        self.waiting.insert((from, sequence));
    }

    fn remove(&mut self, sequence: MessageSequence) -> Option<EmulatorMessage> {
        let held = self.messages.remove(&sequence)?;
        match held.place {
            StoredState::Waiting { from } => self.waiting.remove(&(from, sequence)),
            StoredState::Leased { until } => self.leased.remove(&(until, sequence)),
        };
        self.bytes = self.bytes.saturating_sub(count(held.message.body().len()));
        Some(held.message)
    }
}

pub(crate) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
