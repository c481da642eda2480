//! Faults of the server and the network: the queue recovers, and no confirmed message is lost.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chargegate_redis::{RedisQueue, RedisSettings};
use chargegate_redis_layout::stream_key;
use chargegate_storage::QueueError;
use chargegate_storage::queue::{EnqueueFailure, LeasedMessage};
use redis::cmd;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{ask, eventually, on, servers, start, worker};
use crate::suite::{open, settings};
use chargegate_storage::conformance::queues::{
    NO_WAIT, PATIENCE, QueueHandle, ack, bodies, deliveries, keys, lease, nothing_comes,
};
use chargegate_storage::testing::FaultProxy;

/// Enqueues until stopped; returns the confirmed messages.
fn produce(engine: &RedisQueue, stop: &Arc<AtomicBool>) -> JoinHandle<HashSet<String>> {
    let (engine, stop) = (engine.clone(), Arc::clone(stop));
    tokio::spawn(async move {
        let mut confirmed = HashSet::new();
        for n in 0.. {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            let body = format!("message {n}");
            if engine.enqueue(body.clone()).await.is_ok() {
                confirmed.insert(body);
            }
        }
        confirmed
    })
}

/// Leases and acks despite errors until stopped and the queue is empty; returns the bodies.
fn consume(worker: &QueueHandle, stop: &Arc<AtomicBool>) -> JoinHandle<HashSet<String>> {
    let (worker, stop) = (Arc::clone(worker), Arc::clone(stop));
    tokio::spawn(async move {
        let mut received = HashSet::new();
        loop {
            let stopping = stop.load(Ordering::SeqCst);
            match worker.lease(50, Duration::from_millis(100)).await {
                Ok(leased) => {
                    let _ = worker.ack(keys(&leased)).await;
                    received.extend(bodies(&leased));
                }
                Err(QueueError::Closed) => panic!("the queue was not closed"),
                Err(_) => {}
            }
            if stopping && worker.depth().await.is_ok_and(|depth| depth.waiting == 0) {
                return received;
            }
        }
    })
}

/// Asserts that every confirmed message was delivered during `faults`.
async fn assert_nothing_is_lost(engine: &RedisQueue, faults: impl Future<Output = ()>) {
    let (stop_edge, stop_worker) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let edge = produce(engine, &stop_edge);
    let consumer = consume(&worker(engine), &stop_worker);
    faults.await;
    stop_edge.store(true, Ordering::SeqCst);
    let confirmed = edge.await.unwrap();
    stop_worker.store(true, Ordering::SeqCst);
    let received = tokio::time::timeout(PATIENCE * 2, consumer).await.expect("the queue is drained").unwrap();
    let lost: Vec<_> = confirmed.difference(&received).collect();
    assert!(confirmed.len() > 20, "{} confirmed", confirmed.len());
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), confirmed.len());
}

/// Leases `count` messages, retrying errors.
async fn eventually_leased(worker: &QueueHandle, count: usize) -> Vec<LeasedMessage> {
    let mut all = Vec::new();
    eventually("the messages are delivered", async || {
        all.extend(worker.lease(count - all.len(), Duration::from_millis(500)).await.ok()?);
        (all.len() == count).then_some(())
    })
    .await;
    all
}

async fn waiting(engine: &RedisQueue) -> Option<u64> {
    worker(engine).depth().await.ok().map(|depth| depth.waiting)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeatedly_killed_connections_lose_nothing() {
    for program in servers() {
        let server = start(&program, &[]);
        let settings = on(&server);
        let engine = open(&settings).await;
        let url = server.url();
        assert_nothing_is_lost(&engine, async {
            for _ in 0..15 {
                ask::<()>(&url, cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])).await;
                let before = waiting(&engine).await;
                eventually("a message is confirmed in between", async || {
                    let now = engine.enqueue("in between".to_owned()).await;
                    (now.is_ok() && waiting(&engine).await.is_some()).then_some(before)
                })
                .await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_loses_nothing() {
    for program in servers() {
        let mut server = start(&program, &["--appendfsync", "always"]);
        let settings = on(&server);
        let engine = open(&settings).await;
        assert_nothing_is_lost(&engine, async {
            for round in 0..3 {
                for n in 0..50 {
                    eventually("the message is enqueued", async || {
                        engine.enqueue(format!("{round} {n}")).await.ok()
                    })
                    .await;
                }
                server.restart().unwrap();
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_cuts_connections_loses_nothing() {
    let server = start(&servers()[0], &[]);
    let proxy = FaultProxy::to(server.port()).await;
    let engine = open(&settings(&proxy.url())).await;
    assert_nothing_is_lost(&engine, async {
        for n in 0..20 {
            eventually("the message is enqueued", async || engine.enqueue(format!("cut {n}")).await.ok())
                .await;
            proxy.cut();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_on_a_hung_server_end_at_their_deadline() {
    for program in servers() {
        let server = start(&program, &[]);
        let engine = open(&on(&server)).await;
        let worker = worker(&engine);
        engine.enqueue("before".to_owned()).await.unwrap();
        let leased_before = lease(&worker, 1).await;
        server.signal("STOP").unwrap();
        let began = Instant::now();
        let (enqueued, acknowledged, depth, leased) = tokio::join!(
            engine.enqueue("meanwhile".to_owned()),
            worker.ack(keys(&leased_before)),
            worker.depth(),
            worker.lease(1, Duration::from_secs(1)),
        );
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
        assert!(matches!(enqueued, Err(EnqueueFailure::Unavailable(_))), "{enqueued:?}");
        assert!(acknowledged.is_err() && depth.is_err());
        assert!(leased.unwrap_or_default().is_empty());
        server.signal("CONT").unwrap();
        eventually("the queue recovers", async || engine.enqueue("after".to_owned()).await.ok()).await;
        eventually("the queue is drained", async || {
            let leased = worker.lease(10, Duration::from_millis(200)).await.ok()?;
            let _ = worker.ack(keys(&leased)).await;
            (waiting(&engine).await == Some(0)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_lost_group_is_created_again() {
    for program in servers() {
        let mut server = start(&program, &[]);
        let settings = on(&server);
        let engine = open(&settings).await;
        let worker = worker(&engine);
        nothing_comes(&worker, NO_WAIT).await;
        for round in 0..2 {
            if round == 0 {
                server.restart_empty().unwrap();
            } else {
                let stream = stream_key(&settings.prefix);
                ask::<()>(&server.url(), cmd("XGROUP").arg("DESTROY").arg(stream).arg("workers")).await;
            }
            for n in 0..10 {
                eventually("the message is enqueued", async || engine.enqueue(n.to_string()).await.ok())
                    .await;
            }
            let leased = eventually_leased(&worker, 10).await;
            ack(&worker, &leased).await;
        }
    }
}

#[tokio::test]
async fn a_full_memory_stops_enqueues_and_not_the_drain() {
    for program in servers() {
        let server = start(&program, &["--maxmemory", "6mb"]);
        let settings = on(&server);
        let (engine, other) = (open(&settings).await, open(&settings).await);
        let mut count = 0;
        let refused = loop {
            match engine.enqueue(format!("{count} {}", "x".repeat(15_000))).await {
                Ok(()) => count += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, EnqueueFailure::Full), "{refused}");
        let worker = worker(&engine);
        let leased = lease(&worker, 20).await;
        // Heartbeats extend a key that exists even while memory is full: after more than its term nothing is reclaimed.
        let end = Instant::now() + Duration::from_secs(7);
        let mut others = 0;
        while Instant::now() < end {
            let wait = end.saturating_duration_since(Instant::now());
            let leased = super::worker(&other).lease(count, wait).await.unwrap();
            assert_eq!(deliveries(&leased), vec![1; leased.len()], "none was leased before");
            others += leased.len();
        }
        assert_eq!(others, count - 20);
        ack(&worker, &leased).await;
        engine.enqueue("memory is free again".to_owned()).await.unwrap();
    }
}

#[tokio::test]
async fn connections_to_a_server_that_became_a_replica_are_replaced() {
    for program in servers() {
        let (old, new) = (start(&program, &[]), start(&program, &[]));
        let proxy = FaultProxy::to(old.port()).await;
        let engine = open(&settings(&proxy.url())).await;
        let worker = worker(&engine);
        engine.enqueue("before".to_owned()).await.unwrap();
        ack(&worker, &lease(&worker, 1).await).await;
        let demote = ["127.0.0.1", &new.port().to_string()].map(str::to_owned);
        ask::<()>(&old.url(), cmd("REPLICAOF").arg(&demote)).await;
        assert!(engine.enqueue("refused".to_owned()).await.is_err());
        // Only new connections reach the new primary, so the old ones must be closed.
        proxy.lead_to(new.port());
        eventually("the queue recovers", async || engine.enqueue("after".to_owned()).await.ok()).await;
        assert_eq!(bodies(&eventually_leased(&worker, 1).await), ["after"]);
    }
}

#[tokio::test]
async fn messages_of_a_lost_reply_are_recovered_at_once() {
    for program in servers() {
        let server = start(&program, &[]);
        let proxy = FaultProxy::to(server.port()).await;
        let settings = settings(&proxy.url());
        let direct = RedisSettings { url: on(&server).url, ..settings.clone() };
        let (engine, edge) = (open(&settings).await, open(&direct).await);
        let worker = worker(&engine);
        nothing_comes(&worker, NO_WAIT).await;
        let waiting = {
            let worker = Arc::clone(&worker);
            tokio::spawn(async move { worker.lease(10, PATIENCE).await })
        };
        eventually("the read blocks on the server", async || {
            let clients: String = ask(&server.url(), cmd("CLIENT").arg("LIST")).await;
            clients.contains("cmd=xreadgroup").then_some(())
        })
        .await;
        proxy.swallow_answers(true);
        for body in ["a", "b"] {
            edge.enqueue(body.to_owned()).await.unwrap();
        }
        eventually("the server has replied to the read", async || {
            let mut command = cmd("XPENDING");
            command.arg(stream_key(&settings.prefix)).arg("workers");
            let (pending, ..): (u64, redis::Value, redis::Value, redis::Value) =
                ask(&server.url(), &command).await;
            (pending > 0).then_some(())
        })
        .await;
        proxy.swallow_answers(false);
        proxy.cut();
        let began = Instant::now();
        let mut received = waiting.await.unwrap().unwrap();
        received.extend(lease(&worker, 2 - received.len()).await);
        assert!(began.elapsed() < settings.message_lease / 2, "{:?}", began.elapsed());
        assert_eq!(bodies(&received), ["a", "b"]);
        assert_eq!(deliveries(&received)[0], 2, "the lost delivery counts");
        nothing_comes(&worker, NO_WAIT).await;
    }
}

#[tokio::test]
async fn a_message_whose_ack_was_lost_is_delivered_again() {
    let server = start(&servers()[0], &[]);
    let proxy = FaultProxy::to(server.port()).await;
    let engine = open(&settings(&proxy.url())).await;
    let worker = worker(&engine);
    for body in ["a", "b"] {
        engine.enqueue(body.to_owned()).await.unwrap();
    }
    let leased = lease(&worker, 2).await;
    proxy.swallow_commands(true);
    assert!(worker.ack(keys(&leased[..1])).await.is_err());
    proxy.swallow_commands(false);
    proxy.cut();
    let again = eventually_leased(&worker, 1).await;
    assert_eq!((bodies(&again), deliveries(&again)), (bodies(&leased[..1]), vec![2]));
    nothing_comes(&worker, Duration::from_millis(1_500)).await;
    ack(&worker, &again).await;
    ack(&worker, &leased[1..]).await;
    assert_eq!(waiting(&engine).await, Some(0));
}
