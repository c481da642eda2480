//! The engine on a service in memory.

mod acks;
mod demand;
mod faults;

use std::time::Duration;

use tokio::time::Instant;

use super::PullEngine;
use super::fake_service::FakePullService;
use chargegate_storage::queue::{LeasedMessage, MessageKey, Queue as _};

const LONG: Duration = Duration::from_mins(1);

fn keys(messages: &[LeasedMessage]) -> Vec<MessageKey> {
    messages.iter().map(|message| message.key.clone()).collect()
}

/// Leases until `count` messages were delivered.
async fn lease(engine: &PullEngine<FakePullService>, count: usize) -> Vec<LeasedMessage> {
    let end = Instant::now() + LONG * 10;
    let mut all = Vec::new();
    while all.len() < count {
        assert!(Instant::now() < end, "{} of {count} messages were delivered", all.len());
        all.extend(engine.lease(count - all.len(), LONG).await.unwrap_or_default());
    }
    all
}

fn spawn_lease(
    engine: &PullEngine<FakePullService>,
    max: usize,
) -> tokio::task::JoinHandle<Vec<LeasedMessage>> {
    let engine = engine.clone();
    tokio::spawn(async move { engine.lease(max, LONG).await.unwrap() })
}
