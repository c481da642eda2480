//! Faults of a Redis server, each test on its own servers.
#![cfg(test)]

mod entries;
mod faults;
mod history;
mod inspection;
mod old_server;
mod opening;
mod rate;
mod reclaim;
mod suite;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chargegate_redis::{RedisQueue, RedisSettings};
use chargegate_servers::{RedisServer, redis_server, valkey_server};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};
use tokio::time::Instant;

use self::suite::{by_hand, settings};
use chargegate_storage::conformance::queues::{PATIENCE, QueueHandle};

/// Returns the programs of both servers, on each of which a test runs.
fn servers() -> [PathBuf; 2] {
    [redis_server(), valkey_server()]
}

fn start(program: &Path, options: &[&str]) -> RedisServer {
    RedisServer::start(program, options).unwrap()
}

fn worker(engine: &RedisQueue) -> QueueHandle {
    Arc::new(engine.clone())
}

/// Runs a command and returns its reply.
async fn ask<T: FromRedisValue>(url: &str, command: &Cmd) -> T {
    let mut connection: MultiplexedConnection = by_hand(url).await;
    command.query_async(&mut connection).await.unwrap()
}

/// Returns the settings of a queue on a server that no other test uses.
fn on(server: &RedisServer) -> RedisSettings {
    settings(&server.url())
}

/// Waits until `check` returns a value.
async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE * 2;
    loop {
        if let Some(done) = check().await {
            return done;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
