//! The complete worker over engines in memory.

use crate::fake_authorizer::FakeAuthorizer;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use chargegate_core::{AddressPolicy, DecisionRules, DecisionStatus, SessionMessage};

use super::{Worker, WorkerSettings};
use crate::callback::{CallbackClient, CallbackTls, DeliverySettings, DnsResolver};
use crate::pipeline::{PipelineSettings, WorkerDependencies};
use chargegate_storage::fleet::LocalFleet;
use chargegate_storage::testing::{
    CallbackState, EventJournal, HostileServer, MemoryQueue, MemoryStore, effects, eventually, message,
};

struct WorkerHarness {
    queue: Arc<MemoryQueue>,
    store: Arc<MemoryStore>,
    worker: Worker,
}

fn start(acl: FakeAuthorizer) -> WorkerHarness {
    let seconds = Duration::from_secs;
    let settings = WorkerSettings {
        pipeline: PipelineSettings {
            window: NonZeroUsize::new(32).unwrap(),
            slots: NonZeroU32::new(4).unwrap(),
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
        fleet: Arc::new(LocalFleet::new()),
        authorizer: Arc::new(acl),
        effects: effects(),
    };
    let policy = AddressPolicy::allowing("127.0.0.1").unwrap();
    let client = CallbackClient::new(
        policy.into(),
        Arc::new(DnsResolver::with_servers(&[]).unwrap()),
        seconds(20),
        1,
        &CallbackTls::public().unwrap(),
        effects(),
    );
    WorkerHarness { queue, store, worker: Worker::start(&settings, parts, client) }
}

#[tokio::test]
async fn messages_are_decided_and_a_stop_loses_no_callback() {
    let peer =
        HostileServer::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let harness = start(FakeAuthorizer::always(Duration::from_millis(1), Ok(DecisionStatus::Allowed)));
    let url = format!("http://127.0.0.1:{}/", peer.port());
    for n in 0..100 {
        let message = message(n, effects().clock.now());
        harness.queue.enqueue(&SessionMessage { callback_url: url.parse().unwrap(), ..message });
    }
    eventually(Duration::from_secs(20), || harness.queue.len() == 0).await;
    assert!(harness.worker.is_running());
    // The stop loses no callback that has no permit or is in flight.
    assert!(harness.worker.stop(Duration::from_secs(20)).await);
    let delivered = harness.store.count(|state| state == CallbackState::Delivered);
    let due = harness.store.count(|state| matches!(state, CallbackState::Due(_)));
    assert_eq!((delivered + due, delivered), (100, peer.connections()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_at_its_timeout_and_reports_it() {
    let harness = start(FakeAuthorizer::always(Duration::from_millis(1), Ok(DecisionStatus::Allowed)));
    harness.store.hang();
    harness.queue.enqueue(&message(1, effects().clock.now()));
    eventually(Duration::from_secs(5), || harness.queue.leased() == 1).await;
    let begin = tokio::time::Instant::now();
    assert!(!harness.worker.stop(Duration::from_secs(7)).await);
    assert!(begin.elapsed() <= Duration::from_secs(8));
    assert_eq!(harness.queue.len(), 1, "the lease releases the message");
}

#[tokio::test(start_paused = true)]
async fn a_worker_fails_when_one_of_its_tasks_ends() {
    let harness = start(FakeAuthorizer::hung());
    let waited = tokio::time::timeout(Duration::from_mins(5), harness.worker.failed()).await;
    assert!(waited.is_err() && harness.worker.is_running());
    harness.store.break_purge();
    tokio::time::timeout(Duration::from_mins(5), harness.worker.failed()).await.unwrap();
    assert!(!harness.worker.is_running());
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_stops_at_once() {
    let harness = start(FakeAuthorizer::hung());
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert!(harness.worker.stop(Duration::from_secs(1)).await);
}
