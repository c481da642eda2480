//! Identity of this worker on the server, and its heartbeat.

use std::sync::Arc;
use std::time::Duration;

use redis::cmd;
use tokio::time::MissedTickBehavior;
use tracing::warn;

use super::RedisState;
use super::connection::{CommandError, RedisConnection};
use super::reclaim::milliseconds;
use super::streams::StreamSet;
use chargegate_storage::Effects;
use chargegate_storage::metric;

/// Interval of heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// For how long that holds: its messages are taken over when it has said nothing for so long.
const HEARTBEAT_TTL: Duration = Duration::from_secs(5);
const HOST_FILE: &str = "/proc/sys/kernel/hostname";

/// A consumer of the group. Its name is this process's alone: two that shared it would take each other's messages for
/// their own.
#[derive(Clone, Debug)]
pub(super) struct StreamConsumer {
    pub(super) name: String,
    pub(super) alive_key: String,
}

impl StreamConsumer {
    /// A new one, named after this machine, for those who look at the group.
    pub(super) async fn new(streams: &StreamSet, effects: &Effects) -> Self {
        let host = tokio::fs::read_to_string(HOST_FILE).await.unwrap_or_default();
        let host: String =
            host.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).take(63).collect();
        let host = if host.is_empty() { "worker" } else { &host };
        let name = format!("{host}-{:016x}", effects.random.bits());
        Self { alive_key: streams.alive_key(&name), name }
    }

    /// Says that it lives.
    pub(super) async fn send_heartbeat(&self, link: &RedisConnection) -> Result<(), CommandError> {
        let alive = milliseconds(HEARTBEAT_TTL);
        // A server whose memory is full prolongs a key, and sets none.
        if link.run(cmd("PEXPIRE").arg(&self.alive_key).arg(alive)).await? {
            return Ok(());
        }
        link.run(cmd("SET").arg(&self.alive_key).arg(1).arg("PX").arg(alive)).await
    }
}

/// Says again and again that the worker lives, and hands back what was read for a lease that did not wait for it.
pub(super) async fn live(shared: Arc<RedisState>) {
    let mut beats = tokio::time::interval(HEARTBEAT_INTERVAL);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = false;
    loop {
        beats.tick().await;
        let said = shared.consumer.send_heartbeat(&shared.link).await;
        if let Err(error) = &said
            && !silent
        {
            warn!(error = %error, cause = metric::cause(error), "cannot tell the queue that this worker lives; trying again");
        }
        silent = said.is_err();
        let unclaimed: Vec<_> = shared.prefetch.unclaimed().into_iter().map(|message| message.key).collect();
        if !unclaimed.is_empty()
            && let Err(error) = shared.release(&unclaimed).await
        {
            warn!(error = %error, cause = metric::cause(&error), "could not release messages; their leases will expire");
        }
    }
}
