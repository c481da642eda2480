//! Counters of calls by endpoint.

use std::collections::BTreeMap;

/// An endpoint of either protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EmulatorEndpoint {
    /// The broker's `POST /message`.
    BrokerMessage,
    /// The broker's `POST /batch`.
    BrokerBatch,
    /// The broker's `GET /metrics`.
    BrokerMetrics,
    /// `POST ../queues/{queue}/messages`.
    Send,
    /// `POST ../queues/{queue}/messages/batch`.
    SendBatch,
    /// `POST ../queues/{queue}/messages/pull`.
    Pull,
    /// `POST ../queues/{queue}/messages/ack`.
    Ack,
    /// `GET ../queues`.
    Queues,
    /// `GET ../queues/{queue}`.
    Queue,
    /// `GET ../queues/{queue}/consumers`.
    Consumers,
    /// `GET ../queues/{queue}/metrics`.
    Metrics,
}

/// Number of calls of an endpoint, and of the messages that they moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointTally {
    /// All calls, successful or not.
    pub calls: u64,
    /// Calls that moved no message: empty pulls and refused calls.
    pub empty: u64,
    /// Messages that were accepted, delivered, acknowledged or retried.
    pub messages: u64,
}

/// The tallies of all endpoints.
#[derive(Debug, Default)]
pub(crate) struct CallCounters {
    tallies: BTreeMap<EmulatorEndpoint, EndpointTally>,
}

impl CallCounters {
    /// Counts a call, at first as an empty one.
    pub(crate) fn came(&mut self, endpoint: EmulatorEndpoint) {
        let tally = self.tallies.entry(endpoint).or_default();
        tally.calls = tally.calls.saturating_add(1);
        tally.empty = tally.empty.saturating_add(1);
    }

    /// Adds the messages that a counted call moved.
    pub(crate) fn moved(&mut self, endpoint: EmulatorEndpoint, messages: usize) {
        if messages > 0 {
            let tally = self.tallies.entry(endpoint).or_default();
            tally.empty = tally.empty.saturating_sub(1);
            tally.messages = tally.messages.saturating_add(u64::try_from(messages).unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn of(&self, endpoint: EmulatorEndpoint) -> EndpointTally {
        self.tallies.get(&endpoint).copied().unwrap_or_default()
    }
}
