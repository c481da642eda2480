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

/// Returns the heartbeat keys of a queue.
async fn heartbeats(url: &str, settings: &RedisSettings) -> Vec<String> {
    ask(url, cmd("KEYS").arg(heartbeat_key(&settings.prefix, "*"))).await
}

#[tokio::test]
async fn a_dead_consumer_is_deleted_and_living_ones_are_not() {
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
        eventually("the dead consumer is deleted, and only that", async || {
            // A new worker deletes dead consumers when it starts.
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
        assert_eq!(consumers(&server.url(), &settings).await.len(), 1, "the living consumer was not deleted");
    }
}

#[tokio::test]
async fn a_consumer_with_pending_messages_is_not_deleted() {
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
async fn messages_of_a_closed_worker_are_reclaimed_at_once() {
    let server = start(&servers()[0], &[]);
    let settings = on(&server);
    let (closing, staying) = (open(&settings).await, open(&settings).await);
    for body in ["leased", "never leased"] {
        closing.enqueue(body.to_owned()).await.unwrap();
    }
    let leased = lease(&worker(&closing), 1).await;
    closing.close().await;
    // The messages wait neither for their leases nor for the last heartbeat.
    assert_eq!(heartbeats(&server.url(), &settings).await.len(), 1);
    let mut received = lease(&worker(&staying), 2).await;
    received.sort_by_key(|message| message.key != leased[0].key);
    assert_eq!(bodies(&received), ["leased", "never leased"]);
    assert_eq!(deliveries(&received), [2, 1], "the first message was delivered before");
}

#[tokio::test]
async fn a_closed_worker_without_messages_leaves_no_keys() {
    let server = start(&servers()[0], &[]);
    let settings = on(&server);
    let engine = open(&settings).await;
    nothing_comes(&worker(&engine), Duration::from_millis(100)).await;
    engine.close().await;
    assert_eq!(consumers(&server.url(), &settings).await, [""; 0]);
    assert_eq!(heartbeats(&server.url(), &settings).await, [""; 0]);
}

#[tokio::test]
async fn a_closed_worker_stops_reading() {
    let server = start(&servers()[0], &[]);
    let engine = open(&on(&server)).await;
    let leasing = {
        let queue = worker(&engine);
        tokio::spawn(async move { queue.lease(1, PATIENCE).await })
    };
    let readers = async || {
        let clients: String = ask(&server.url(), cmd("CLIENT").arg("LIST")).await;
        clients.matches("cmd=xreadgroup").count()
    };
    eventually("the read blocks on the server", async || (readers().await == 1).then_some(())).await;
    engine.close().await;
    leasing.await.unwrap().unwrap_err();
    // The queue still exists, and so would its connection.
    eventually("the reading connection is closed", async || (readers().await == 0).then_some(())).await;
    drop(engine);
}

#[tokio::test]
async fn a_release_does_not_affect_the_lease_of_another_worker() {
    let server = start(&servers()[0], &[]);
    let settings = RedisSettings { message_lease: Duration::from_millis(600), ..on(&server) };
    let [first, second, third] = [open(&settings).await, open(&settings).await, open(&settings).await];
    first.enqueue("a".to_owned()).await.unwrap();
    let expired = lease(&worker(&first), 1).await;
    let again = lease(&worker(&second), 1).await;
    assert_eq!(keys(&again), keys(&expired));
    let began = Instant::now();
    release(&worker(&first), &expired).await;
    let next = lease(&worker(&third), 1).await;
    assert!(began.elapsed() > Duration::from_millis(400), "before the lease ended: {:?}", began.elapsed());
    assert_eq!(deliveries(&next), [3]);
}

#[tokio::test]
async fn a_release_does_not_affect_a_later_delivery_to_the_same_worker() {
    for program in servers() {
        let server = start(&program, &[]);
        let settings = on(&server);
        let engine = open(&settings).await;
        engine.enqueue("a".to_owned()).await.unwrap();
        let leased = lease(&worker(&engine), 1).await;
        let (stream, id) = leased[0].key.as_str().rsplit_once('/').unwrap();
        let consumer = consumers(&server.url(), &settings).await.remove(0);
        // As if a reply had been lost and its message was recovered before the release arrived.
        let again = [stream, "workers", &consumer, "0", id];
        ask::<redis::Value>(&server.url(), cmd("XCLAIM").arg(&again)).await;
        release(&worker(&engine), &leased).await;
        let mut command = cmd("XPENDING");
        command.arg(stream).arg("workers").arg("-").arg("+").arg(1);
        let pending: Vec<(String, String, u64, u32)> = ask(&server.url(), &command).await;
        assert_eq!((&pending[0].1, pending[0].3), (&consumer, 2));
    }
}

/// Returns a queue that read a message for a lease that was dropped meanwhile.
async fn queue_with_unclaimed_message(server: &RedisServer, settings: &RedisSettings) -> RedisQueue {
    let queue = open(settings).await;
    let leasing = {
        let queue = worker(&queue);
        tokio::spawn(async move { queue.lease(1, PATIENCE).await })
    };
    eventually("the read blocks on the server", async || {
        let clients: String = ask(&server.url(), cmd("CLIENT").arg("LIST")).await;
        clients.contains("cmd=xreadgroup").then_some(())
    })
    .await;
    leasing.abort();
    assert!(leasing.await.is_err());
    queue.enqueue("a".to_owned()).await.unwrap();
    queue
}

#[tokio::test]
async fn a_message_read_for_a_dropped_lease_goes_to_another_worker() {
    let server = start(&servers()[0], &[]);
    let settings = on(&server);
    let (_unclaimed, other) = (queue_with_unclaimed_message(&server, &settings).await, open(&settings).await);
    assert_eq!(deliveries(&lease(&worker(&other), 1).await), [1]);
}

#[tokio::test]
async fn a_message_read_for_a_dropped_lease_is_released_on_close() {
    let server = start(&servers()[0], &[]);
    let settings = on(&server);
    let unclaimed = queue_with_unclaimed_message(&server, &settings).await;
    eventually("the message is read", async || {
        let mut command = cmd("XPENDING");
        command.arg(stream_key(&settings.prefix)).arg("workers");
        let (pending, ..): (u64, redis::Value, redis::Value, redis::Value) =
            ask(&server.url(), &command).await;
        (pending == 1).then_some(())
    })
    .await;
    unclaimed.close().await;
    let other = open(&settings).await;
    assert_eq!(deliveries(&lease(&worker(&other), 1).await), [1], "the released delivery does not count");
}
