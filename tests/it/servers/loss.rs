//! A queue that loses confirmed messages: the loss is counted exactly and raises an alarm.

use chargegate_servers::{RedisServer, redis_server};
use serde_json::json;

use super::proxy::TcpProxy;
use super::system::{ServerUrls, TestSystem};
use crate::app::{AuthorizerAnswer, eventually};

/// Waits until a worker has recorded the number of messages.
async fn wait_until_recorded(system: &TestSystem) {
    // After two more heartbeats every earlier message is recorded.
    for _ in 0..2 {
        let before = heartbeat(system).await;
        eventually("the next heartbeat", async || (heartbeat(system).await > before).then_some(())).await;
    }
}

async fn heartbeat(system: &TestSystem) -> i64 {
    let options: sqlx::postgres::PgConnectOptions = system.postgres.url().parse().unwrap();
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query_scalar("SELECT heartbeat FROM chargegate.watermark").fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn an_emptied_redis_loses_exactly_the_undecided_messages_and_they_are_counted() {
    const DECIDED: usize = 15;
    const IN_FLIGHT: usize = 32;
    const LOST: usize = 25;
    // One full window is in flight at the worker; the rest is only in the queue.
    let flags = ["--window", "32", "--decision-deadline", "10m", "--acl-timeout", "10s"];
    let mut system = TestSystem::start(&flags).await;
    for n in 0..DECIDED {
        system.ask(&format!("/decided/{n}")).await.request_id();
        system.receiver.wait(&format!("/decided/{n}"), 1).await;
    }
    system.wait_until_settled().await;
    system.authorizer.set_answer(AuthorizerAnswer::Hang);
    for n in 0..IN_FLIGHT + LOST {
        system.ask(&format!("/waiting/{n}")).await.request_id();
    }
    eventually("the window is full", async || (system.authorizer.in_flight() == IN_FLIGHT).then_some(()))
        .await;
    wait_until_recorded(&system).await;
    // The worker dies as well, so its messages were only in the queue, and then are nowhere.
    system.redis.restart_empty().unwrap();
    system.workers.remove(0).kill().await;
    system.authorizer.set_answer(AuthorizerAnswer::Status("allowed"));
    system.add_worker().await;

    let lost = IN_FLIGHT + LOST;
    let books = eventually("the loss is recorded", async || {
        let (balanced, books) = system.reconcile().await;
        (!balanced && books["forgotten"] != 0).then_some(books)
    })
    .await;
    assert_eq!(books["lost"], json!(lost), "{books}");
    assert_eq!(books["enqueued"], json!(DECIDED + lost), "{books}");
    assert!(system.metric(0, "chargegate_queue_forgotten_total").await > 0.0, "the alarm is raised");

    system.wait_until_ready().await;
    for n in 0..10 {
        system.ask(&format!("/after/{n}")).await.request_id();
        system.receiver.wait(&format!("/after/{n}"), 1).await;
    }
    let (_, books) = system.reconcile().await;
    assert_eq!((&books["lost"], &books["decided"]), (&json!(lost), &json!(DECIDED + 10)), "{books}");
}

#[tokio::test]
async fn a_failover_that_drops_writes_loses_exactly_those_and_they_are_counted() {
    const DECIDED: usize = 10;
    const IN_FLIGHT: usize = 16;
    const DROPPED: usize = 12;
    let mut proxy = None;
    let flags = ["--window", "16", "--decision-deadline", "10m", "--acl-timeout", "10s"];
    let mut system = TestSystem::start_behind(&flags, &[], async |urls| {
        let port: u16 = urls.queue.rsplit_once(':').unwrap().1.parse().unwrap();
        let before = proxy.insert(TcpProxy::start(port).await);
        ServerUrls { queue: urls.queue.replace(&port.to_string(), &before.port.to_string()), ..urls }
    })
    .await;
    let proxy = proxy.unwrap();
    let primary = system.redis.port().to_string();
    let replica = RedisServer::start(&redis_server(), &["--replicaof", "127.0.0.1", &primary]).unwrap();
    for n in 0..DECIDED {
        system.ask(&format!("/decided/{n}")).await.request_id();
        system.receiver.wait(&format!("/decided/{n}"), 1).await;
    }
    system.wait_until_settled().await;
    system.authorizer.set_answer(AuthorizerAnswer::Hang);
    for n in 0..IN_FLIGHT {
        system.ask(&format!("/held/{n}")).await.request_id();
    }
    eventually("the window is full", async || (system.authorizer.in_flight() == IN_FLIGHT).then_some(()))
        .await;
    wait_until_recorded(&system).await;
    let client = redis::Client::open(replica.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    eventually("the replica has every message", async || {
        let length: usize =
            redis::cmd("XLEN").arg("{chargegate}:messages").query_async(&mut connection).await.unwrap();
        (length == IN_FLIGHT).then_some(())
    })
    .await;
    wait_until_recorded(&system).await;
    let recorded = heartbeat(&system).await;
    eventually("the replica has the heartbeat", async || {
        let kept: Option<i64> = redis::cmd("HGET")
            .arg("{chargegate}:history")
            .arg("beat")
            .query_async(&mut connection)
            .await
            .unwrap();
        (kept >= Some(recorded)).then_some(())
    })
    .await;

    // From here on the replica misses the primary's confirmed writes.
    let () = redis::cmd("REPLICAOF").arg("NO").arg("ONE").query_async(&mut connection).await.unwrap();
    for n in 0..DROPPED {
        system.ask(&format!("/dropped/{n}")).await.request_id();
    }
    wait_until_recorded(&system).await;
    proxy.switch(replica.port());
    system.redis = replica;
    system.authorizer.set_answer(AuthorizerAnswer::Status("allowed"));
    // Hung calls would be retried after their timeout, which is not under test: another worker decides.
    system.workers.remove(0).kill().await;
    system.add_worker().await;
    for n in 0..IN_FLIGHT {
        system.receiver.wait(&format!("/held/{n}"), 1).await;
    }
    let books = eventually("the loss is recorded", async || {
        let (balanced, books) = system.reconcile().await;
        (!balanced && books["forgotten"] != 0).then_some(books)
    })
    .await;
    assert_eq!((&books["lost"], &books["forgotten"]), (&json!(DROPPED), &json!(DROPPED)), "{books}");
    assert_eq!(books["enqueued"], json!(DECIDED + IN_FLIGHT + DROPPED), "{books}");
    system.ask("/after").await.request_id();
    system.receiver.wait("/after", 1).await;
}
