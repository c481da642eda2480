//! The consumer of this worker, and its heartbeat.

use std::sync::Arc;
use std::time::Duration;

use redis::cmd;
use tokio::time::MissedTickBehavior;
use tracing::warn;

use super::RedisQueueState;
use super::connection::{CommandError, RedisConnection};
use super::keys::RedisKeys;
use super::source::milliseconds;
use chargegate_storage::Effects;
use chargegate_storage::metric;

/// Interval of heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Time after the last heartbeat at which the entries of a consumer are reclaimed.
const HEARTBEAT_TTL: Duration = Duration::from_secs(5);
/// File with the name of this machine.
const HOSTNAME_FILE: &str = "/proc/sys/kernel/hostname";

/// A consumer of the group. Its name is unique to this process: two processes that shared it would take each other's
/// entries for their own.
#[derive(Clone, Debug)]
pub(super) struct RedisConsumer {
    pub(super) name: String,
    pub(super) heartbeat_key: String,
}

impl RedisConsumer {
    /// Creates a consumer named after this machine, for operators who inspect the group.
    pub(super) async fn new(keys: &RedisKeys, effects: &Effects) -> Self {
        let host = tokio::fs::read_to_string(HOSTNAME_FILE).await.unwrap_or_default();
        let host: String =
            host.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).take(63).collect();
        let host = if host.is_empty() { "worker" } else { &host };
        let name = format!("{host}-{:016x}", effects.random.bits());
        Self { heartbeat_key: keys.heartbeat(&name), name }
    }

    /// Sends a heartbeat.
    pub(super) async fn send_heartbeat(&self, connection: &RedisConnection) -> Result<(), CommandError> {
        let ttl = milliseconds(HEARTBEAT_TTL);
        // A server whose memory is full extends the life of a key, but does not set one.
        if connection.run(cmd("PEXPIRE").arg(&self.heartbeat_key).arg(ttl)).await? {
            return Ok(());
        }
        connection.run(cmd("SET").arg(&self.heartbeat_key).arg(1).arg("PX").arg(ttl)).await
    }
}

/// Sends heartbeats periodically.
pub(super) async fn run_heartbeat(state: Arc<RedisQueueState>) {
    let mut ticks = tokio::time::interval(HEARTBEAT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        let sent = state.consumer.send_heartbeat(&state.connection).await;
        if let Err(error) = &sent
            && !failing
        {
            warn!(error = %error, cause = metric::cause(error), "could not send a heartbeat; retrying");
        }
        failing = sent.is_err();
    }
}
