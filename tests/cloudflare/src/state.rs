//! All queues, and what both protocols do with them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::calls::Calls;
use crate::fault::Faults;
use crate::limits::{self, Rate};
use crate::message::{JsonBodies, Message};
use crate::queue::{Backlog, Queue, count};
use crate::refusal::Refusal;
use crate::settings::{Settings, TokenSettings};

/// A message and its own delay.
pub(crate) type Sent = (Message, Option<Duration>);

#[derive(Debug)]
pub(crate) struct State {
    queues: Vec<Queue>,
    pub(crate) tokens: Vec<TokenSettings>,
    pub(crate) faults: Faults,
    pub(crate) calls: Calls,
    pub(crate) json_bodies: JsonBodies,
    /// A pull may bring fewer than asked for.
    pub(crate) pull_at_most: usize,
    messages_per_second: Option<u32>,
    calls_per_five_minutes: Option<u32>,
    /// By queue id.
    message_rates: BTreeMap<String, Rate>,
    /// By token.
    call_rates: BTreeMap<String, Rate>,
}

impl State {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            queues: settings.queues.into_iter().map(Queue::new).collect(),
            tokens: settings.tokens,
            faults: Faults::default(),
            calls: Calls::default(),
            json_bodies: JsonBodies::default(),
            pull_at_most: limits::PULL_MESSAGES,
            messages_per_second: settings.messages_per_second,
            calls_per_five_minutes: settings.calls_per_five_minutes,
            message_rates: BTreeMap::new(),
            call_rates: BTreeMap::new(),
        }
    }

    pub(crate) fn queues(&self) -> &[Queue] {
        &self.queues
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.queues.retain(|queue| queue.settings().id != id);
    }

    /// The queue with an id, in any account.
    pub(crate) fn queue(&mut self, id: &str) -> Option<&mut Queue> {
        self.queues.iter_mut().find(|queue| queue.settings().id == id)
    }

    /// Does what is due in all queues.
    pub(crate) fn advance(&mut self, now: Duration) {
        for index in 0..self.queues.len() {
            let mut given_up = Vec::new();
            if let Some(queue) = self.queues.get_mut(index) {
                queue.advance(now, &mut given_up);
            }
            self.bury(index, given_up, now);
        }
    }

    /// Takes messages, all or none, within all limits.
    pub(crate) fn send(&mut self, id: &str, batch: Vec<Sent>, now: Duration) -> Result<Backlog, Refusal> {
        let per_second = self.messages_per_second;
        let queue = self.queues.iter_mut().find(|queue| queue.settings().id == id);
        let queue = queue.ok_or(Refusal::QueueNotFound)?;
        if batch.is_empty() || batch.len() > limits::BATCH_MESSAGES {
            return Err(Refusal::BatchCount);
        }
        let mut bytes: usize = 0;
        for (message, delay) in &batch {
            if message.body().len() > limits::MESSAGE_BYTES {
                return Err(Refusal::MessageSize);
            }
            if delay.is_some_and(|delay| delay > limits::DELAY) {
                return Err(Refusal::MessageMetadata);
            }
            bytes = bytes.saturating_add(message.body().len());
        }
        if bytes > limits::BATCH_BYTES {
            return Err(Refusal::BatchSize);
        }
        if queue.backlog().bytes.saturating_add(count(bytes)) > queue.settings().backlog_bytes {
            return Err(Refusal::StorageLimit);
        }
        if let Some(most) = per_second {
            let rate = self.message_rates.entry(id.to_owned());
            let rate = rate.or_insert_with(|| Rate::new(most, Duration::from_secs(1)));
            let messages = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            rate.take(messages, now).map_err(|_| Refusal::Overloaded(None))?;
        }
        for (message, delay) in batch {
            queue.send(message, delay, now);
        }
        Ok(queue.backlog())
    }

    /// Counts a call against the limit of its token.
    pub(crate) fn count_call(&mut self, token: &str, now: Duration) -> Result<(), Refusal> {
        let Some(most) = self.calls_per_five_minutes else { return Ok(()) };
        let rate = self.call_rates.entry(token.to_owned());
        let rate = rate.or_insert_with(|| Rate::new(most, Duration::from_mins(5)));
        rate.take(1, now).map_err(Refusal::RateLimited)
    }

    /// Puts what a queue gave up where it belongs.
    pub(crate) fn bury_of(&mut self, id: &str, given_up: Vec<Message>, now: Duration) {
        if let Some(index) = self.queues.iter().position(|queue| queue.settings().id == id) {
            self.bury(index, given_up, now);
        }
    }

    fn bury(&mut self, index: usize, given_up: Vec<Message>, now: Duration) {
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
