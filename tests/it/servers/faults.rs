//! Servers that are killed, restarted or refuse work under load. Only the servers are restarted by the tests.

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

use super::load::LoadGenerator;
use super::system::TestSystem;
use crate::app::eventually;

async fn admin(system: &TestSystem) -> PgConnection {
    let options: sqlx::postgres::PgConnectOptions = system.postgres.url().parse().unwrap();
    options.connect().await.unwrap()
}

async fn execute(admin: &mut PgConnection, sql: &'static str) {
    sqlx::query(AssertSqlSafe(sql)).execute(admin).await.unwrap();
}

/// Waits until a worker reports `part` as unavailable.
async fn wait_until_noticed(system: &TestSystem, part: &str) {
    eventually("the worker reports the outage", async || {
        let reply = system.readiness(&system.workers[0]).await;
        (reply.status == 503 && reply.json()[part] == "does not answer").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_killed_redis_loses_no_confirmed_message() {
    let mut system = TestSystem::start(&[]).await;
    let load = LoadGenerator::start(&system);
    for _ in 0..3 {
        load.wait_for_accepted(100).await;
        system.redis.kill().unwrap();
        let refused = load.refused();
        eventually("the edge refuses", async || (load.refused() > refused).then_some(())).await;
        wait_until_noticed(&system, "queue").await;
        system.redis.restart().unwrap();
        system.wait_until_ready().await;
    }
    load.wait_for_accepted(100).await;
    load.finish(&system).await;
}

#[tokio::test]
async fn a_killed_postgres_loses_nothing_and_requests_are_accepted_meanwhile() {
    let mut system = TestSystem::start(&[]).await;
    let load = LoadGenerator::start(&system);
    for _ in 0..2 {
        load.wait_for_accepted(100).await;
        system.postgres.kill().unwrap();
        wait_until_noticed(&system, "store").await;
        load.wait_for_accepted(20).await;
        system.postgres.restart().unwrap();
        system.wait_until_ready().await;
    }
    system.postgres.stop().unwrap();
    load.wait_for_accepted(20).await;
    system.postgres.restart().unwrap();
    load.wait_for_accepted(100).await;
    assert_eq!(load.refused(), 0, "the edge needs no store");
    load.finish(&system).await;
}

#[tokio::test]
async fn a_read_only_postgres_stops_decisions_until_it_is_writable_again() {
    let system = TestSystem::start(&[]).await;
    let load = LoadGenerator::start(&system);
    load.wait_for_accepted(50).await;
    let mut admin = admin(&system).await;
    execute(&mut admin, "ALTER SYSTEM SET default_transaction_read_only = on").await;
    execute(&mut admin, "SELECT pg_reload_conf()").await;
    eventually("recording fails", async || {
        (system.metric(0, "chargegate_engine_failures_total").await > 0.0).then_some(())
    })
    .await;
    load.wait_for_accepted(50).await;
    execute(&mut admin, "SET default_transaction_read_only = off").await;
    execute(&mut admin, "ALTER SYSTEM RESET default_transaction_read_only").await;
    execute(&mut admin, "SELECT pg_reload_conf()").await;
    load.wait_for_accepted(50).await;
    load.finish(&system).await;
}

#[tokio::test]
async fn a_postgres_without_free_connections_is_retried() {
    let system = TestSystem::start_behind(&[], &["max_connections=12"], async |urls| urls).await;
    let load = LoadGenerator::start(&system);
    load.wait_for_accepted(50).await;
    let mut held = vec![admin(&system).await];
    // Test and worker compete for connections; repeat until the worker has none.
    eventually("the worker has no connection", async || {
        execute(
            &mut held[0],
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'chargegate'",
        )
        .await;
        let options: sqlx::postgres::PgConnectOptions = system.postgres.url().parse().unwrap();
        while let Ok(connection) = options.connect().await {
            held.push(connection);
        }
        let reply = system.readiness(&system.workers[0]).await;
        (reply.json()["store"] == "does not answer").then_some(())
    })
    .await;
    load.wait_for_accepted(100).await;
    for connection in held {
        connection.close().await.unwrap();
    }
    load.wait_for_accepted(50).await;
    load.finish(&system).await;
}

#[tokio::test]
async fn a_killed_edge_loses_no_acknowledged_request() {
    let mut system = TestSystem::start(&[]).await;
    for n in 0..20 {
        system.ask(&format!("/{n}")).await.request_id();
    }
    system.edge.kill().await;
    system.restart_edge().await;
    system.ask("/after").await.request_id();
    for n in 0..20 {
        system.receiver.wait(&format!("/{n}"), 1).await;
    }
    system.receiver.wait("/after", 1).await;
    let books = system.wait_until_settled().await;
    assert_eq!(books["decided"], 21, "{books}");
}

#[tokio::test]
async fn a_hung_redis_is_answered_503_in_time() {
    let system = TestSystem::start(&[]).await;
    system.ask("/before").await.request_id();
    system.redis.signal("STOP").unwrap();
    let reply = system.ask("/hung").await;
    assert_eq!(reply.status, 503, "{}", reply.body);
    assert!(reply.headers.contains_key("retry-after"));
    // The queue has given up: without its limit the host would have answered at its own, which gives no detail.
    assert!(reply.json()["detail"].is_string(), "{}", reply.body);
    system.redis.signal("CONT").unwrap();
    system.wait_until_ready().await;
    system.ask("/after").await.request_id();
    system.receiver.wait("/after", 1).await;
    system.wait_until_settled().await;
}
