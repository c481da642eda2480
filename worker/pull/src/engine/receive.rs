//! Receive calls, made as leases ask for messages.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::PullEngineState;
use super::in_flight::ArrivalKind;
use super::prefetch::PrefetchStep;
use super::service::{IdlePolicy, PullService, ReceivedMessage};
use chargegate_storage::metric;
use chargegate_storage::queue::LeasedMessage;

/// The action in log lines.
const ACTION: &str = "receive messages";
/// Sleep that stands for "until notified".
const MAX_SLEEP: Duration = Duration::from_hours(24);

/// Upper bound of the time that an answer itself takes: a call that has not returned by then is waiting for messages.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Receives what leases ask for until `stop`, then waits for the calls under way.
pub(super) async fn run<S: PullService>(state: Arc<PullEngineState<S>>, stop: CancellationToken) {
    let mut calls = JoinSet::new();
    loop {
        let wake = match state.prefetcher.next_step(state.in_flight.len()) {
            PrefetchStep::Receive { count, wait } => {
                calls.spawn(Arc::clone(&state).receive(count, wait, stop.clone()));
                continue;
            }
            PrefetchStep::Sleep(until) => until.unwrap_or_else(|| Instant::now() + MAX_SLEEP),
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = state.prefetcher.demand_changed() => {}
            () = sleep_until(wake) => {}
            Some(ended) = calls.join_next() => if ended.is_err() { return },
        }
    }
    while calls.join_next().await.is_some() {}
}

impl<S: PullService> PullEngineState<S> {
    async fn receive(self: Arc<Self>, count: usize, wait: Duration, stop: CancellationToken) {
        let begun = Instant::now();
        // A service that blocks keeps what an abandoned call received for the next consumer, without a lease.
        let blocks = matches!(self.settings.idle, IdlePolicy::Block(_));
        let abandon = async {
            stop.cancelled().await;
            if !blocks {
                sleep_until(begun + ANSWER_TIMEOUT).await;
            }
        };
        let received = tokio::select! {
            received = self.call("receive", self.service.receive(count, wait, &self.in_flight)) => received,
            // Messages that the call received nevertheless come again when their leases end.
            () = abandon, if blocks || wait > ANSWER_TIMEOUT => return,
        };
        match received {
            Ok(received) => {
                Self::note_success(ACTION, &self.receive_outage);
                let got = received.len();
                // Leases begin when messages arrive, which may be long after the call began to wait for them.
                let leased = begun + begun.elapsed().saturating_sub(ANSWER_TIMEOUT).min(wait);
                let messages =
                    received.into_iter().filter_map(|received| self.accept(received, leased)).collect();
                self.prefetcher.deliver(count, got, begun, messages);
            }
            Err(error) => {
                let until = self.note_failure(ACTION, &self.receive_outage, begun, &error);
                self.prefetcher.fail(count, error, until);
            }
        }
    }

    /// Registers a received message; returns `None` if it is already in flight.
    fn accept(&self, received: ReceivedMessage, leased: Instant) -> Option<LeasedMessage> {
        match self.in_flight.insert(&received, leased) {
            ArrivalKind::New => {
                let ReceivedMessage { key, body, enqueued_at, deliveries, receipt: _ } = received;
                Some(LeasedMessage { key, body, enqueued_at, deliveries })
            }
            ArrivalKind::Redelivered => {
                metric::queue_leases_expired(1);
                None
            }
        }
    }
}
