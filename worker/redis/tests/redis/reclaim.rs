//! Messages of workers that died or stopped.

use std::time::Duration;

use chargegate_redis::{RedisQueue, RedisSettings};
use chargegate_redis_layout::{heartbeat_key, stream_key};
use chargegate_servers::RedisServer;
use redis::cmd;
use tokio::time::Instant;

use super::{ask, eventually, on, servers, start, worker};
use crate::suite::open;
use chargegate_storage::conformance::queues::{
    NO_WAIT, PATIENCE, bodies, deliveries, keys, lease, nothing_comes, release,
};

/// Returns the names of the consumers of a queue.
async fn consumers(url: &str, settings: &RedisSettings) -> Vec<String> {
    let mut command = cmd("XINFO");
    command.arg("CONSUMERS").arg(stream_key(&settings.prefix)).arg("workers");
    let all: Vec<Vec<redis::Value>> = ask(url, &command).await;
    all.into_iter().map(|fields| redis::from_redis_value(fields[1].clone()).unwrap()).collect()
}

#[tokio::test]
async fn a_consumer_that_is_gone_is_deleted_and_living_ones_are_not() {
    for program in servers() {
        let server = start(&program, &[]);
        let settings = on(&server);
        let (living, dead) = (open(&settings).await, open(&settings).await);
        for engine in [&living, &dead] {
            engine.enqueue("a".to_owned()).await.unwrap();
            let leased = lease(&worker(engine), 1).await;
            worker(engine).ack(keys(&leased)).await.unwrap();
        }
        assert_eq!(consumers(&server.url(), &settings).await.len(), 2);
        drop(dead);
        eventually("the dead one is deleted, and only that", async || {
            // A new worker looks about when it begins.
            let new = open(&settings).await;
            nothing_comes(&worker(&new), NO_WAIT).await;
            new.close().await;
            let left = consumers(&server.url(), &settings).await.len();
            assert!(left >= 1);
            (left == 1).then_some(())
        })
        .await;
        living.enqueue("b".to_owned()).await.unwrap();
        assert_eq!(lease(&worker(&living), 1).await.len(), 1);
        assert_eq!(consumers(&server.url(), &settings).await.len(), 1, "the living one was not deleted");
    }
}

#[tokio::test]
async fn a_consumer_with_messages_is_never_deleted() {
    for program in servers() {
        let server = start(&program, &[]);
        let settings = on(&server);
        let dead = open(&settings).await;
        dead.enqueue("a".to_owned()).await.unwrap();
        lease(&worker(&dead), 1).await;
        dead.close().await;
        assert_eq!(consumers(&server.url(), &settings).await.len(), 1);
        let next = open(&settings).await;
        assert_eq!(bodies(&lease(&worker(&next), 1).await), ["a"]);
    }
}

#[tokio::test]
async fn a_worker_that_takes_leave_hands_over_at_once() {
    let server = start(&servers()[0], &[]);
    let settings = on(&server);
    let (leaving, staying) = (open(&settings).await, open(&settings).await);
    for body in ["held", "never leased"] {
        leaving.enqueue(body.to_owned()).await.unwrap();
    }
    let held = lease(&worker(&leaving), 1).await;
    let began = Instant::now();
    leaving.close().await;
    let mut come = lease(&worker(&staying), 2).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    come.sort_by_key(|message| message.key != held[0].key);
    assert_eq!(bodies(&come), ["held", "never leased"]);
    assert_eq!(deliveries(&come), [2, 1], "what was held was delivered before");
}

#[tokio::test]
async fn a_worker_with_nothing_leaves_nothing() {
    let server = start(&servers()[0], &[]);
    let settings = on(&server);
    let engine = open(&settings).await;
    nothing_comes(&worker(&engine), Duration::from_millis(100)).await;
    engine.close().await;
    assert_eq!(consumers(&server.url(), &settings).await, [""; 0]);
    let alive: Vec<String> = ask(&server.url(), cmd("KEYS").arg(heartbeat_key(&settings.prefix, "*"))).await;
    assert_eq!(alive, [""; 0]);
}

#[tokio::test]
async fn nobody_hands_back_what_another_holds() {
    let server = start(&servers()[0], &[]);
    let settings = RedisSettings { message_lease: Duration::from_millis(600), ..on(&server) };
    let [first, second, third] = [open(&settings).await, open(&settings).await, open(&settings).await];
    first.enqueue("a".to_owned()).await.unwrap();
    let held = lease(&worker(&first), 1).await;
    let again = lease(&worker(&second), 1).await;
    assert_eq!(keys(&again), keys(&held));
    let began = Instant::now();
    release(&worker(&first), &held).await;
    let next = lease(&worker(&third), 1).await;
    assert!(began.elapsed() > Duration::from_millis(400), "only when the lease ended: {:?}", began.elapsed());
    assert_eq!(deliveries(&next), [3]);
}

/// An engine whose reader has read a message that no lease waits for any more.
async fn careless(server: &RedisServer, settings: &RedisSettings) -> RedisQueue {
    let careless = open(settings).await;
    let leasing = {
        let careless = worker(&careless);
        tokio::spawn(async move { careless.lease(1, PATIENCE).await })
    };
    eventually("its reader waits on the server", async || {
        let clients: String = ask(&server.url(), cmd("CLIENT").arg("LIST")).await;
        clients.contains("cmd=xreadgroup").then_some(())
    })
    .await;
    leasing.abort();
    assert!(leasing.await.is_err());
    careless.enqueue("a".to_owned()).await.unwrap();
    careless
}

#[tokio::test]
async fn what_was_read_for_a_lease_that_is_gone_goes_to_others() {
    let server = start(&servers()[0], &[]);
    let settings = on(&server);
    let (_careless, other) = (careless(&server, &settings).await, open(&settings).await);
    assert_eq!(deliveries(&lease(&worker(&other), 1).await), [1]);
}

#[tokio::test]
async fn what_was_read_for_no_lease_is_handed_back_by_a_worker_that_takes_leave() {
    let server = start(&servers()[0], &[]);
    let settings = on(&server);
    let careless = careless(&server, &settings).await;
    eventually("it is read", async || {
        let mut command = cmd("XPENDING");
        command.arg(stream_key(&settings.prefix)).arg("workers");
        let (pending, ..): (u64, redis::Value, redis::Value, redis::Value) =
            ask(&server.url(), &command).await;
        (pending == 1).then_some(())
    })
    .await;
    careless.close().await;
    let other = open(&settings).await;
    assert_eq!(deliveries(&lease(&worker(&other), 1).await), [1], "as if it had not been delivered");
}
