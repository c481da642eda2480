//! Detection of a server that forgot confirmed messages.

use std::time::Duration;

use chargegate_redis::RedisQueue;
use chargegate_redis_layout::history_key;
use chargegate_storage::history::{HistorySource as _, HistoryWatermark, QueueObservation};
use redis::cmd;

use super::{ask, eventually, on, servers, start, worker};
use crate::suite::{open, settings};
use chargegate_storage::conformance::queues::{ack, bodies, lease};
use chargegate_storage::testing::FaultProxy;

/// Observes as a worker does, retrying errors; returns the new watermark of the store, and the number of forgotten
/// messages.
async fn tick(engine: &RedisQueue, known: HistoryWatermark) -> (HistoryWatermark, Option<u64>) {
    let seen = eventually("the server answers", async || engine.observe(known.heartbeat).await.ok()).await;
    let advance = known.advance(seen);
    (advance.watermark, advance.forgotten)
}

async fn enqueue(engine: &RedisQueue, count: usize) {
    for n in 0..count {
        eventually("the message is enqueued", async || engine.enqueue(n.to_string()).await.ok()).await;
    }
}

#[tokio::test]
async fn a_heartbeat_begins_unless_a_higher_one_is_known() {
    for program in servers() {
        let server = start(&program, &[]);
        let engine = open(&on(&server)).await;
        let seen = engine.observe(0).await.unwrap();
        assert_eq!(seen, QueueObservation { begun_heartbeat: Some(1), ..QueueObservation::default() });
        enqueue(&engine, 3).await;
        let worker = worker(&engine);
        ack(&worker, &lease(&worker, 2).await).await;
        let seen = engine.observe(1).await.unwrap();
        let expected =
            QueueObservation { kept_heartbeat: 1, kept_enqueued: 0, enqueued: 3, begun_heartbeat: Some(2) };
        assert_eq!(seen, expected, "acked messages count");
        for _ in 0..2 {
            let seen = engine.observe(7).await.unwrap();
            let expected =
                QueueObservation { kept_heartbeat: 2, kept_enqueued: 3, enqueued: 3, begun_heartbeat: None };
            assert_eq!(seen, expected, "nothing is written");
        }
    }
}

#[tokio::test]
async fn a_server_that_was_emptied_forgot_every_message() {
    for program in servers() {
        let mut server = start(&program, &[]);
        let engine = open(&on(&server)).await;
        enqueue(&engine, 7).await;
        let (known, forgotten) = tick(&engine, HistoryWatermark::default()).await;
        assert_eq!(forgotten, None);
        server.restart_empty().unwrap();
        enqueue(&engine, 2).await;
        let (known, forgotten) = tick(&engine, known).await;
        assert_eq!(forgotten, Some(7));
        enqueue(&engine, 1).await;
        let (known, forgotten) = tick(&engine, known).await;
        assert_eq!((known.total(known.enqueued), forgotten), (10, None), "a loss is reported once");
        assert_eq!(lease(&worker(&engine), 3).await.len(), 3);
    }
}

#[tokio::test]
async fn a_replica_that_lagged_forgot_the_latest_messages() {
    for program in servers() {
        let mut primary = start(&program, &[]);
        let replica = start(&program, &["--replicaof", "127.0.0.1", &primary.port().to_string()]);
        let proxy = FaultProxy::to(primary.port()).await;
        let settings = settings(&proxy.url());
        let engine = open(&settings).await;
        enqueue(&engine, 10).await;
        let (known, _) = tick(&engine, HistoryWatermark::default()).await;
        eventually("the replica has every message", async || {
            let beat: Option<u64> =
                ask(&replica.url(), cmd("HGET").arg(history_key(&settings.prefix)).arg("beat")).await;
            (beat == Some(known.heartbeat)).then_some(())
        })
        .await;
        // It replicates no further, and becomes the primary.
        ask::<()>(&replica.url(), cmd("REPLICAOF").arg("NO").arg("ONE")).await;
        enqueue(&engine, 4).await;
        let (known, forgotten) = tick(&engine, known).await;
        assert_eq!(forgotten, None);
        primary.kill().unwrap();
        proxy.lead_to(replica.port());
        enqueue(&engine, 20).await;
        let (known, forgotten) = tick(&engine, known).await;
        assert_eq!(forgotten, Some(4), "although more messages were enqueued since");
        assert_eq!(known.total(known.enqueued), 34);
        let leased = lease(&worker(&engine), 30).await;
        assert_eq!(bodies(&leased).len(), 30);
        assert_eq!(worker(&engine).lease(1, Duration::from_millis(300)).await.unwrap().len(), 0);
    }
}
