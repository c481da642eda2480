//! The calls that ask for messages.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::held::Arrival;
use super::intake::Step;
use super::service::{Received, Service};
use chargegate_storage::metric;
use chargegate_storage::queue::LeasedMessage;

/// For the log.
const WHAT: &str = "receive messages";
const FAR: Duration = Duration::from_hours(24);

/// A call that is back no sooner waits for messages: the answer itself takes less.
const ANSWER: Duration = Duration::from_secs(1);

/// Asks for what leases want until `stop`; what is on its way then is waited for.
pub(super) async fn run<S: Service>(shared: Arc<Shared<S>>, stop: CancellationToken) {
    let mut calls = JoinSet::new();
    loop {
        let wake = match shared.intake.step(shared.held.count()) {
            Step::Call { count, wait } => {
                calls.spawn(Arc::clone(&shared).ask(count, wait, stop.clone()));
                continue;
            }
            Step::Sleep(until) => until.unwrap_or_else(|| Instant::now() + FAR),
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = shared.intake.asked() => {}
            () = sleep_until(wake) => {}
            Some(ended) = calls.join_next() => if ended.is_err() { return },
        }
    }
    while calls.join_next().await.is_some() {}
}

impl<S: Service> Shared<S> {
    async fn ask(self: Arc<Self>, count: usize, wait: Duration, stop: CancellationToken) {
        let begun = Instant::now();
        let nothing_comes = async {
            stop.cancelled().await;
            sleep_until(begun + ANSWER).await;
        };
        let received = tokio::select! {
            received = self.call("receive", self.service.receive(count, wait)) => received,
            // What it gets all the same comes again when its lease ends.
            () = nothing_comes, if wait > ANSWER => return,
        };
        match received {
            Ok(received) => {
                Self::worked(WHAT, &self.receiving);
                let got = received.len();
                // Leases begin when messages come, which may be long after the call began to wait for them.
                let leased = begun + begun.elapsed().saturating_sub(ANSWER).min(wait);
                let messages =
                    received.into_iter().filter_map(|received| self.take(received, leased)).collect();
                self.intake.bring(count, got, begun, messages);
            }
            Err(error) => {
                let until = self.failed(WHAT, &self.receiving, begun, &error);
                self.intake.fail(count, error, until);
            }
        }
    }

    /// Takes a message that came, unless it is in somebody's hands.
    fn take(&self, received: Received, leased: Instant) -> Option<LeasedMessage> {
        match self.held.take(&received, leased) {
            Arrival::New => {
                let Received { key, body, enqueued_at, deliveries, receipt: _ } = received;
                Some(LeasedMessage { key, body, enqueued_at, deliveries })
            }
            Arrival::Again => {
                metric::queue_leases_expired(1);
                None
            }
        }
    }
}
