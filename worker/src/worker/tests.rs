//! The worker as a whole over engines in memory.

use crate::fake_authorizer::FakeAuthorizer;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use chargegate_core::{AddressPolicy, DecisionRules, DecisionStatus, SessionMessage};

use super::{Worker, WorkerSettings};
use crate::callback::{CallbackClient, DeliverySettings, SystemResolver};
use crate::pipeline::{PipelineSettings, WorkerDependencies};
use chargegate_storage::testing::{
    CallbackState, EventJournal, HostileServer, MemoryQueue, MemoryStore, effects, eventually, message,
};

struct Plant {
    queue: Arc<MemoryQueue>,
    store: Arc<MemoryStore>,
    worker: Worker,
}

fn start(acl: FakeAuthorizer) -> Plant {
    let seconds = Duration::from_secs;
    let settings = WorkerSettings {
        pipeline: PipelineSettings {
            window: NonZeroUsize::new(32).unwrap(),
            slots: NonZeroUsize::new(4).unwrap(),
            rules: DecisionRules::new(seconds(10), seconds(2), seconds(1)).unwrap(),
            record_interval: Duration::ZERO,
        },
        delivery: DeliverySettings::default(),
        retention: Duration::from_hours(72),
    };
    let queue = Arc::new(MemoryQueue::default());
    let store = Arc::new(MemoryStore::new(EventJournal::default()));
    let parts = WorkerDependencies {
        queue: queue.clone(),
        store: store.clone(),
        authorizer: Arc::new(acl),
        effects: effects(),
    };
    let policy = AddressPolicy::allowing("127.0.0.1").unwrap();
    let client = CallbackClient::new(policy, Arc::new(SystemResolver::new(1)), seconds(20), 1).unwrap();
    Plant { queue, store, worker: Worker::start(&settings, parts, client) }
}

#[tokio::test]
async fn what_is_enqueued_is_decided_and_called_back_and_a_stop_finishes() {
    let peer =
        HostileServer::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let plant = start(FakeAuthorizer::always(Duration::from_millis(1), Ok(DecisionStatus::Allowed)));
    let url = format!("http://127.0.0.1:{}/", peer.port());
    for n in 0..100 {
        let message = message(n, effects().clock.now());
        plant.queue.enqueue(&SessionMessage { callback_url: url.parse().unwrap(), ..message });
    }
    eventually(Duration::from_secs(20), || plant.queue.len() == 0).await;
    assert!(plant.worker.is_running());
    // Callbacks that have no place now, or are under way, are not lost by the stop.
    assert!(plant.worker.stop(Duration::from_secs(20)).await);
    let delivered = plant.store.count(|state| state == CallbackState::Delivered);
    let due = plant.store.count(|state| matches!(state, CallbackState::Due(_)));
    assert_eq!((delivered + due, delivered), (100, peer.connections()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_with_its_grace_and_says_so() {
    let plant = start(FakeAuthorizer::always(Duration::from_millis(1), Ok(DecisionStatus::Allowed)));
    plant.store.hang();
    plant.queue.enqueue(&message(1, effects().clock.now()));
    eventually(Duration::from_secs(5), || plant.queue.leased() == 1).await;
    let begin = tokio::time::Instant::now();
    assert!(!plant.worker.stop(Duration::from_secs(7)).await);
    assert!(begin.elapsed() <= Duration::from_secs(8));
    assert_eq!(plant.queue.len(), 1, "left to its lease");
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_which_a_part_has_ended_has_failed() {
    let plant = start(FakeAuthorizer::hung());
    let waited = tokio::time::timeout(Duration::from_mins(5), plant.worker.failed()).await;
    assert!(waited.is_err() && plant.worker.is_running());
    plant.store.break_purge();
    tokio::time::timeout(Duration::from_mins(5), plant.worker.failed()).await.unwrap();
    assert!(!plant.worker.is_running());
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_stops_at_once() {
    let plant = start(FakeAuthorizer::hung());
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert!(plant.worker.stop(Duration::from_secs(1)).await);
}
