//! Read-only access for reconciliation.

use chargegate_storage::reconcile::CountedQueue as _;

use chargegate_redis::RedisInspector;
use chargegate_redis_layout::stream_key;
use chargegate_storage::Effects;
use redis::cmd;

use super::{ask, on, servers, start, worker};
use crate::suite::open;
use chargegate_storage::conformance::queues::{ack, keys, lease, sorted};

#[tokio::test]
async fn waiting_messages_are_listed_up_to_the_snapshot() {
    for program in servers() {
        let server = start(&program, &[]);
        let settings = on(&server);
        let engine = open(&settings).await;
        for n in 0..2_500 {
            engine.enqueue(n.to_string()).await.unwrap();
        }
        let worker = worker(&engine);
        let leased = lease(&worker, 2_500).await;
        ack(&worker, &leased[..300]).await;
        let inspector = RedisInspector::open(&settings, Effects::system()).await.unwrap();
        let snapshot = inspector.snapshot().await.unwrap();
        assert_eq!(snapshot.enqueued, 2_500);
        engine.enqueue("later".to_owned()).await.unwrap();
        ack(&worker, &leased[300..400]).await;
        let waiting = inspector.waiting(&snapshot).await.unwrap();
        assert_eq!(sorted(waiting), sorted(keys(&leased[400..])));
        let later = inspector.snapshot().await.unwrap();
        assert_eq!(later.enqueued, 2_501);
        assert_eq!(inspector.waiting(&later).await.unwrap().len(), 2_101);
    }
}

#[tokio::test]
async fn inspecting_a_new_queue_creates_nothing() {
    let server = start(&servers()[0], &[]);
    let settings = on(&server);
    let inspector = RedisInspector::open(&settings, Effects::system()).await.unwrap();
    let snapshot = inspector.snapshot().await.unwrap();
    assert_eq!(snapshot.enqueued, 0);
    assert!(inspector.waiting(&snapshot).await.unwrap().is_empty());
    let exists: bool = ask(&server.url(), cmd("EXISTS").arg(stream_key(&settings.prefix))).await;
    assert!(!exists);
}
