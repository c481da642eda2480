//! State of all queues, and the operations of both protocols on it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::calls::CallCounters;
use crate::fault::PendingFaults;
use crate::limits::{self, RateWindow};
use crate::message::{EmulatorMessage, JsonBodyForm};
use crate::queue::{EmulatedQueue, QueueBacklog, count};
use crate::refusal::CallRefusal;
use crate::settings::{ApiTokenSettings, EmulatorSettings};

/// A message and its delay.
pub(crate) type OutgoingMessage = (EmulatorMessage, Option<Duration>);

#[derive(Debug)]
pub(crate) struct EmulatorState {
    queues: Vec<EmulatedQueue>,
    pub(crate) tokens: Vec<ApiTokenSettings>,
    pub(crate) faults: PendingFaults,
    pub(crate) calls: CallCounters,
    pub(crate) json_bodies: JsonBodyForm,
    /// Maximum number of messages per pull, whatever the client requests.
    pub(crate) pull_at_most: usize,
    messages_per_second: Option<u32>,
    calls_per_five_minutes: Option<u32>,
    /// By queue id.
    message_rates: BTreeMap<String, RateWindow>,
    /// By token.
    call_rates: BTreeMap<String, RateWindow>,
}

impl EmulatorState {
    pub(crate) fn new(settings: EmulatorSettings) -> Self {
        Self {
            queues: settings.queues.into_iter().map(EmulatedQueue::new).collect(),
            tokens: settings.tokens,
            faults: PendingFaults::default(),
            calls: CallCounters::default(),
            json_bodies: JsonBodyForm::default(),
            pull_at_most: limits::PULL_MESSAGES,
            messages_per_second: settings.messages_per_second,
            calls_per_five_minutes: settings.calls_per_five_minutes,
            message_rates: BTreeMap::new(),
            call_rates: BTreeMap::new(),
        }
    }

    pub(crate) fn queues(&self) -> &[EmulatedQueue] {
        &self.queues
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.queues.retain(|queue| queue.settings().id != id);
    }

    /// Returns the queue with this id, in any account.
    pub(crate) fn queue(&mut self, id: &str) -> Option<&mut EmulatedQueue> {
        self.queues.iter_mut().find(|queue| queue.settings().id == id)
    }

    /// Expires messages and leases that are due in all queues.
    pub(crate) fn advance(&mut self, now: Duration) {
        for index in 0..self.queues.len() {
            let mut given_up = Vec::new();
            if let Some(queue) = self.queues.get_mut(index) {
                queue.advance(now, &mut given_up);
            }
            self.dead_letter(index, given_up, now);
        }
    }

    /// Accepts a batch entirely or not at all, within all limits.
    pub(crate) fn send(
        &mut self,
        id: &str,
        batch: Vec<OutgoingMessage>,
        now: Duration,
    ) -> Result<QueueBacklog, CallRefusal> {
        let per_second = self.messages_per_second;
        let queue = self.queues.iter_mut().find(|queue| queue.settings().id == id);
        let queue = queue.ok_or(CallRefusal::QueueNotFound)?;
        if batch.is_empty() || batch.len() > limits::BATCH_MESSAGES {
            return Err(CallRefusal::BatchCount);
        }
        let mut bytes: usize = 0;
        for (message, delay) in &batch {
            if message.body().len() > limits::MESSAGE_BYTES {
                return Err(CallRefusal::MessageSize);
            }
            if delay.is_some_and(|delay| delay > limits::DELAY) {
                return Err(CallRefusal::MessageMetadata);
            }
            bytes = bytes.saturating_add(message.body().len());
        }
        if bytes > limits::BATCH_BYTES {
            return Err(CallRefusal::BatchSize);
        }
        if queue.backlog().bytes.saturating_add(count(bytes)) > queue.settings().backlog_bytes {
            return Err(CallRefusal::StorageLimit);
        }
        if let Some(most) = per_second {
            let rate = self.message_rates.entry(id.to_owned());
            let rate = rate.or_insert_with(|| RateWindow::new(most, Duration::from_secs(1)));
            let messages = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            rate.take(messages, now).map_err(|_| CallRefusal::Overloaded(None))?;
        }
        for (message, delay) in batch {
            queue.send(message, delay, now);
        }
        Ok(queue.backlog())
    }

    /// Counts a call against the limit of its token.
    pub(crate) fn count_call(&mut self, token: &str, now: Duration) -> Result<(), CallRefusal> {
        let Some(most) = self.calls_per_five_minutes else { return Ok(()) };
        let rate = self.call_rates.entry(token.to_owned());
        let rate = rate.or_insert_with(|| RateWindow::new(most, Duration::from_mins(5)));
        rate.take(1, now).map_err(CallRefusal::RateLimited)
    }

    /// Moves messages that a queue gave up to its dead-letter queue, or deletes them.
    pub(crate) fn dead_letter_for(&mut self, id: &str, given_up: Vec<EmulatorMessage>, now: Duration) {
        if let Some(index) = self.queues.iter().position(|queue| queue.settings().id == id) {
            self.dead_letter(index, given_up, now);
        }
    }

    fn dead_letter(&mut self, index: usize, given_up: Vec<EmulatorMessage>, now: Duration) {
        let Some(queue) = self.queues.get(index).filter(|_| !given_up.is_empty()) else { return };
        let account = queue.settings().account.clone();
        let name = queue.consumer().dead_letter_queue;
        let number = given_up.len();
        let dead_letters = self.queues.iter_mut().find(|queue| {
            queue.settings().account == account && Some(&queue.settings().name) == name.as_ref()
        });
        let buried = dead_letters.map(|dead_letters| {
            for message in given_up {
                dead_letters.send(message, None, now);
            }
        });
        if let Some(queue) = self.queues.get_mut(index) {
            match buried {
                Some(()) => queue.dead_lettered(number),
                None => queue.deleted(number),
            }
        }
    }
}
