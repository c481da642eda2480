//! An in-memory queue.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{SessionMessage, UnixMillis};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{EventJournal, JournalEvent};
use crate::error::QueueError;
use crate::queue::{LeasedMessage, MessageKey, Queue, QueueDepth};

/// An in-memory queue: oldest first, with leases that end only on request.
#[derive(Default)]
pub struct MemoryQueue {
    state: Mutex<MemoryQueueState>,
    arrived: Notify,
    journal: EventJournal,
}

#[derive(Default)]
struct MemoryQueueState {
    messages: BTreeMap<String, MemoryQueueEntry>,
    enqueued: u32,
    most_leased: usize,
    lease_failures: VecDeque<QueueError>,
    acknowledge_failures: VecDeque<QueueError>,
}

struct MemoryQueueEntry {
    body: Vec<u8>,
    enqueued_at: Option<UnixMillis>,
    deliveries: u32,
    leased: bool,
}

impl MemoryQueue {
    /// Creates an empty queue that notes its operations in a journal.
    pub fn new(journal: EventJournal) -> Self {
        Self { journal, ..Self::default() }
    }

    /// Enqueues a message.
    pub fn enqueue(&self, message: &SessionMessage) {
        self.enqueue_body(message.encode().into_bytes(), None);
    }

    /// Enqueues any bytes, with the time that the server gives to the message.
    pub fn enqueue_body(&self, body: Vec<u8>, enqueued_at: Option<UnixMillis>) {
        let mut state = self.state.lock();
        let key = format!("{:06}", state.enqueued);
        state.enqueued += 1;
        state.messages.insert(key, MemoryQueueEntry { body, enqueued_at, deliveries: 0, leased: false });
        drop(state);
        self.arrived.notify_one();
    }

    /// Enqueues a message whose next delivery has this number.
    pub fn enqueue_redelivered(&self, message: &SessionMessage, delivery: u32) {
        self.enqueue(message);
        if let Some(mut last) = self.state.lock().messages.last_entry() {
            last.get_mut().deliveries = delivery - 1;
        }
    }

    /// Makes the next operations fail with these errors.
    pub fn fail_leases(&self, errors: impl IntoIterator<Item = QueueError>) {
        self.state.lock().lease_failures.extend(errors);
    }

    /// Makes the next acks fail with these errors.
    pub fn fail_acks(&self, errors: impl IntoIterator<Item = QueueError>) {
        self.state.lock().acknowledge_failures.extend(errors);
    }

    /// Ends every lease, as after a timeout or a crash: the messages are delivered again.
    pub fn end_leases(&self) {
        for entry in self.state.lock().messages.values_mut() {
            entry.leased = false;
        }
        self.arrived.notify_one();
    }

    /// Returns the number of messages not yet acknowledged.
    pub fn len(&self) -> usize {
        self.state.lock().messages.len()
    }

    /// Returns the number of leased messages.
    pub fn leased(&self) -> usize {
        self.state.lock().leased()
    }

    /// Returns the maximum number of messages leased at the same time.
    pub fn most_leased(&self) -> usize {
        self.state.lock().most_leased
    }

    fn take(&self, max: usize) -> Result<Vec<LeasedMessage>, QueueError> {
        let mut state = self.state.lock();
        if let Some(error) = state.lease_failures.pop_front() {
            return Err(error);
        }
        let free = state.messages.iter_mut().filter(|(_, entry)| !entry.leased).take(max);
        let leased = free
            .map(|(key, entry)| {
                entry.leased = true;
                entry.deliveries += 1;
                LeasedMessage {
                    key: MessageKey::from(key.clone()),
                    body: entry.body.clone(),
                    enqueued_at: entry.enqueued_at,
                    deliveries: entry.deliveries,
                }
            })
            .collect();
        state.most_leased = state.most_leased.max(state.leased());
        Ok(leased)
    }
}

impl MemoryQueueState {
    fn leased(&self) -> usize {
        self.messages.values().filter(|entry| entry.leased).count()
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn lease(&self, max: usize, wait: Duration) -> Result<Vec<LeasedMessage>, QueueError> {
        let leased = self.take(max)?;
        if !leased.is_empty() {
            return Ok(leased);
        }
        let _ = tokio::time::timeout(wait, self.arrived.notified()).await;
        self.take(max)
    }

    async fn ack(&self, keys: Vec<MessageKey>) -> Result<(), QueueError> {
        let mut state = self.state.lock();
        if let Some(error) = state.acknowledge_failures.pop_front() {
            return Err(error);
        }
        for key in keys {
            state.messages.remove(key.as_str());
            self.journal.note(JournalEvent::Acknowledged(key.as_str().to_owned()));
        }
        Ok(())
    }

    async fn release(&self, keys: Vec<MessageKey>) -> Result<(), QueueError> {
        let mut state = self.state.lock();
        for key in keys {
            if let Some(entry) = state.messages.get_mut(key.as_str()) {
                entry.leased = false;
                entry.deliveries = entry.deliveries.saturating_sub(1);
            }
            self.journal.note(JournalEvent::Released(key.as_str().to_owned()));
        }
        Ok(())
    }

    async fn depth(&self) -> Result<QueueDepth, QueueError> {
        let mut state = self.state.lock();
        if let Some(error) = state.lease_failures.pop_front() {
            return Err(error);
        }
        Ok(QueueDepth { waiting: u64::try_from(state.messages.len()).unwrap(), limit: 3 })
    }
}
