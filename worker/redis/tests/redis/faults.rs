//! The server and the network fail; the engine goes on by itself, and nothing confirmed is lost.

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

/// Leases and acknowledges, through whatever errors, until told to stop and nothing is left; gives what came.
fn consume(worker: &QueueHandle, stop: &Arc<AtomicBool>) -> JoinHandle<HashSet<String>> {
    let (worker, stop) = (Arc::clone(worker), Arc::clone(stop));
    tokio::spawn(async move {
        let mut come = HashSet::new();
        loop {
            let stopping = stop.load(Ordering::SeqCst);
            match worker.lease(50, Duration::from_millis(100)).await {
                Ok(leased) => {
                    let _ = worker.ack(keys(&leased)).await;
                    come.extend(bodies(&leased));
                }
                Err(QueueError::Closed) => panic!("it was not closed"),
                Err(_) => {}
            }
            if stopping && worker.depth().await.is_ok_and(|depth| depth.waiting == 0) {
                return come;
            }
        }
    })
}

/// Asserts that every confirmed message was delivered during `faults`.
async fn nothing_is_lost_through(engine: &RedisQueue, faults: impl Future<Output = ()>) {
    let (stop_edge, stop_worker) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let edge = produce(engine, &stop_edge);
    let consumer = consume(&worker(engine), &stop_worker);
    faults.await;
    stop_edge.store(true, Ordering::SeqCst);
    let confirmed = edge.await.unwrap();
    stop_worker.store(true, Ordering::SeqCst);
    let come = tokio::time::timeout(PATIENCE * 2, consumer).await.expect("all is drained").unwrap();
    let lost: Vec<_> = confirmed.difference(&come).collect();
    assert!(confirmed.len() > 20, "{} confirmed", confirmed.len());
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), confirmed.len());
}

/// Enqueues `count` messages, retrying errors.
async fn eventually_leased(worker: &QueueHandle, count: usize) -> Vec<LeasedMessage> {
    let mut all = Vec::new();
    eventually("they come", async || {
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
async fn every_connection_is_killed_again_and_again() {
    for program in servers() {
        let server = start(&program, &[]);
        let settings = on(&server);
        let engine = open(&settings).await;
        let url = server.url();
        nothing_is_lost_through(&engine, async {
            for _ in 0..15 {
                ask::<()>(&url, cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])).await;
                let before = waiting(&engine).await;
                eventually("something is confirmed in between", async || {
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
async fn the_server_is_killed_and_comes_back_with_its_file() {
    for program in servers() {
        let mut server = start(&program, &["--appendfsync", "always"]);
        let settings = on(&server);
        let engine = open(&settings).await;
        nothing_is_lost_through(&engine, async {
            for round in 0..3 {
                for n in 0..50 {
                    eventually("the queue takes it", async || {
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
    nothing_is_lost_through(&engine, async {
        for n in 0..20 {
            eventually("the queue takes it", async || engine.enqueue(format!("cut {n}")).await.ok()).await;
            proxy.cut();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_costs_nobody_more_than_the_deadline() {
    for program in servers() {
        let server = start(&program, &[]);
        let engine = open(&on(&server)).await;
        let worker = worker(&engine);
        engine.enqueue("before".to_owned()).await.unwrap();
        let held = lease(&worker, 1).await;
        server.signal("STOP").unwrap();
        let began = Instant::now();
        let (enqueued, acknowledged, depth, leased) = tokio::join!(
            engine.enqueue("meanwhile".to_owned()),
            worker.ack(keys(&held)),
            worker.depth(),
            worker.lease(1, Duration::from_secs(1)),
        );
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        assert!(matches!(enqueued, Err(EnqueueFailure::Unavailable(_))), "{enqueued:?}");
        assert!(acknowledged.is_err() && depth.is_err());
        assert!(leased.is_ok_and(|leased| leased.is_empty()) || began.elapsed() < Duration::from_secs(4));
        server.signal("CONT").unwrap();
        eventually("it goes on", async || engine.enqueue("after".to_owned()).await.ok()).await;
        eventually("all is drained", async || {
            let leased = worker.lease(10, Duration::from_millis(200)).await.ok()?;
            let _ = worker.ack(keys(&leased)).await;
            (waiting(&engine).await == Some(0)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_group_that_is_gone_is_created_again() {
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
                eventually("the queue takes it", async || engine.enqueue(n.to_string()).await.ok()).await;
            }
            let leased = eventually_leased(&worker, 10).await;
            ack(&worker, &leased).await;
        }
    }
}

#[tokio::test]
async fn a_full_memory_stops_intake_and_not_the_drain() {
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
        let held = lease(&worker, 20).await;
        // It is still known to live, when all that it said before is over.
        let taken = Instant::now() + Duration::from_secs(7);
        let mut come = 0;
        while Instant::now() < taken {
            let wait = taken.saturating_duration_since(Instant::now());
            let leased = super::worker(&other).lease(count, wait).await.unwrap();
            assert_eq!(deliveries(&leased), vec![1; leased.len()], "only what nobody held");
            come += leased.len();
        }
        assert_eq!(come, count - 20);
        ack(&worker, &held).await;
        engine.enqueue("there is room again".to_owned()).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_becomes_a_replica_is_left_and_found_again() {
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
        // Only new connections lead to the other one: the old ones must be given up for it.
        proxy.lead_to(new.port());
        eventually("it goes on", async || engine.enqueue("after".to_owned()).await.ok()).await;
        assert_eq!(bodies(&eventually_leased(&worker, 1).await), ["after"]);
    }
}

#[tokio::test]
async fn a_read_whose_answer_was_lost_is_made_good_at_once() {
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
        eventually("its reader waits on the server", async || {
            let clients: String = ask(&server.url(), cmd("CLIENT").arg("LIST")).await;
            clients.contains("cmd=xreadgroup").then_some(())
        })
        .await;
        proxy.swallow_answers(true);
        for body in ["a", "b"] {
            edge.enqueue(body.to_owned()).await.unwrap();
        }
        eventually("the read is done, by the server's account", async || {
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
        let mut come = waiting.await.unwrap().unwrap();
        come.extend(lease(&worker, 2 - come.len()).await);
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        assert_eq!(bodies(&come), ["a", "b"]);
        assert_eq!(deliveries(&come)[0], 2, "this is not the first time");
        nothing_comes(&worker, NO_WAIT).await;
    }
}

#[tokio::test]
async fn a_message_whose_acknowledgement_was_lost_comes_again() {
    let server = start(&servers()[0], &[]);
    let proxy = FaultProxy::to(server.port()).await;
    let engine = open(&settings(&proxy.url())).await;
    let worker = worker(&engine);
    for body in ["a", "b"] {
        engine.enqueue(body.to_owned()).await.unwrap();
    }
    let held = lease(&worker, 2).await;
    proxy.swallow_commands(true);
    assert!(worker.ack(keys(&held[..1])).await.is_err());
    proxy.swallow_commands(false);
    proxy.cut();
    let again = eventually_leased(&worker, 1).await;
    assert_eq!((bodies(&again), deliveries(&again)), (bodies(&held[..1]), vec![2]));
    nothing_comes(&worker, Duration::from_millis(1_500)).await;
    ack(&worker, &again).await;
    ack(&worker, &held[1..]).await;
    assert_eq!(waiting(&engine).await, Some(0));
}
