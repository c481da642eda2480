//! Redis and Valkey as the queue.

use std::num::NonZeroU64;
use std::sync::Arc;

use async_trait::async_trait;
use chargegate_redis::{RedisInspector, RedisOpenError, RedisQueue, RedisSettings};
use chargegate_storage::Effects;
use chargegate_storage::reconcile::CountedQueue;
use tracing::warn;

use super::connector::OpenQueue;
use super::{EngineHandle, EngineOpenError, QueueConnector};
use crate::settings::{QUEUE_URL, QueueArgs, SettingError, WorkerTuningArgs};

/// Returns the connector of a queue on Redis or Valkey.
pub(super) fn connector(url: &str, args: &QueueArgs) -> Result<Box<dyn QueueConnector>, SettingError> {
    let url =
        url.parse().map_err(|error: chargegate_redis::RedisUrlError| SettingError::QueueUrl(error.into()))?;
    Ok(Box::new(RedisConnector(RedisSettings {
        prefix: args.checked_prefix()?.to_owned(),
        // Only an edge enforces the limit.
        depth_limit: u64::MAX,
        ..RedisSettings::new(url)
    })))
}

struct RedisConnector(RedisSettings);

#[async_trait]
impl QueueConnector for RedisConnector {
    fn limit_depth(&mut self, limit: NonZeroU64) {
        self.0.depth_limit = limit.get();
    }

    fn tune_for_worker(&mut self, work: &WorkerTuningArgs) {
        self.0.message_lease = work.message_lease();
    }

    async fn open(self: Box<Self>, effects: &Effects) -> Result<OpenQueue, EngineOpenError> {
        let (engine, warnings) = RedisQueue::open(self.0, effects.clone()).await.map_err(with_remedy)?;
        for warning in warnings {
            warn!("{QUEUE_URL}: {warning}");
        }
        let engine = Arc::new(engine);
        Ok(OpenQueue { history: Some(engine.clone()), ..OpenQueue::new(engine) })
    }

    async fn open_counters(
        &self,
        effects: &Effects,
    ) -> Result<Option<Box<dyn CountedQueue>>, EngineOpenError> {
        let inspector = RedisInspector::open(&self.0, effects.clone()).await.map_err(with_remedy)?;
        Ok(Some(Box::new(inspector)))
    }
}

#[async_trait]
impl EngineHandle for RedisQueue {
    async fn ended(&self) {
        RedisQueue::ended(self).await;
    }

    async fn close(&self) {
        RedisQueue::close(self).await;
    }
}

/// Adds the setting to change and the remedy.
fn with_remedy(error: RedisOpenError) -> EngineOpenError {
    let remedy = match &error {
        RedisOpenError::Unreachable { .. } => format!(
            "check {QUEUE_URL}, with rediss:// if the server requires TLS, and that the server is running"
        ),
        RedisOpenError::Credentials { .. } => {
            format!("put a valid user and password into {QUEUE_URL}, as redis://user:password@host")
        }
        RedisOpenError::NotPermitted { prefix, .. } => format!(
            "let an ACL rule allow the user in {QUEUE_URL} the keys {{{prefix}}}:*, and scripts, streams, strings, hashes \
             and INFO"
        ),
        RedisOpenError::TooOld { .. } => format!("use Redis 7.0 or later, or any Valkey, in {QUEUE_URL}"),
        RedisOpenError::Evicts { .. } => {
            format!("set its maxmemory-policy to noeviction, or use another server in {QUEUE_URL}")
        }
        RedisOpenError::Replica { .. } => format!("use its primary in {QUEUE_URL}"),
        RedisOpenError::OtherNode { .. } => {
            format!(
                "use the node that owns the slot of the keys in {QUEUE_URL}; if none owns it, repair the cluster"
            )
        }
        RedisOpenError::WrongType { .. } => {
            format!("use another database in {QUEUE_URL}, as redis://host/1, or delete the key")
        }
        RedisOpenError::Refused { .. } => format!("check {QUEUE_URL}"),
    };
    EngineOpenError::new(error, remedy)
}
