//! A queue on a server or a cloud service.

use std::sync::Arc;

use chargegate_pull::cloudflare;
use chargegate_pull::sqs;
use chargegate_redis as redis;
use chargegate_storage::Effects;
use chargegate_storage::history::Observe;
use chargegate_storage::queue::{Producer, Queue};
use tracing::warn;

use crate::settings::RemoteQueueSettings;

/// An open queue; clones share the connection.
#[derive(Clone, Debug)]
pub(crate) enum RemoteQueue {
    /// Redis or Valkey streams.
    Redis(redis::Engine),
    /// Amazon SQS.
    Sqs(sqs::Engine),
    /// Cloudflare Queues.
    Cloudflare(cloudflare::Engine),
}

/// Error of [`RemoteQueue::open`]; its text names the variable and the remedy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueueOpenError {
    /// Redis or Valkey.
    #[error(transparent)]
    Redis(#[from] redis::OpenError),
    /// Amazon SQS.
    #[error(transparent)]
    Sqs(#[from] sqs::OpenError),
    /// Cloudflare Queues.
    #[error(transparent)]
    Cloudflare(#[from] cloudflare::OpenError),
}

impl RemoteQueue {
    /// Opens the queue and logs its configuration risks.
    ///
    /// # Errors
    /// [`QueueOpenError`].
    pub(crate) async fn open(
        settings: RemoteQueueSettings,
        effects: &Effects,
    ) -> Result<Self, QueueOpenError> {
        let effects = effects.clone();
        match settings {
            RemoteQueueSettings::Redis(settings) => {
                let (engine, warnings) = redis::Engine::open(settings, effects).await?;
                log_warnings(&warnings);
                Ok(Self::Redis(engine))
            }
            RemoteQueueSettings::Sqs(settings) => {
                let (engine, warnings) = sqs::Engine::open(settings, effects).await?;
                log_warnings(&warnings);
                Ok(Self::Sqs(engine))
            }
            RemoteQueueSettings::Cloudflare(settings) => {
                let (engine, warnings) = cloudflare::Engine::open(settings, effects).await?;
                log_warnings(&warnings);
                Ok(Self::Cloudflare(engine))
            }
        }
    }

    /// Returns the queue as a worker uses it.
    pub(crate) fn queue(&self) -> Arc<dyn Queue> {
        match self {
            Self::Redis(engine) => Arc::new(engine.clone()),
            Self::Sqs(engine) => Arc::new(engine.clone()),
            Self::Cloudflare(engine) => Arc::new(engine.clone()),
        }
    }

    /// Returns the queue's history, if the engine keeps one.
    pub(crate) fn history(&self) -> Option<Arc<dyn Observe>> {
        match self {
            Self::Redis(engine) => Some(Arc::new(engine.clone())),
            Self::Sqs(_) | Self::Cloudflare(_) => None,
        }
    }

    /// Returns the queue as an edge uses it.
    pub(crate) fn producer(&self) -> Arc<dyn Producer> {
        match self {
            Self::Redis(engine) => Arc::new(engine.clone()),
            Self::Sqs(engine) => Arc::new(engine.clone()),
            Self::Cloudflare(engine) => Arc::new(engine.clone()),
        }
    }

    /// Waits until a part of the engine has ended, after a fault or because it was closed.
    pub(crate) async fn ended(&self) {
        match self {
            Self::Redis(engine) => engine.ended().await,
            Self::Sqs(engine) => engine.ended().await,
            Self::Cloudflare(engine) => engine.ended().await,
        }
    }

    /// Releases leased messages, deregisters the consumer and closes the connection.
    pub(crate) async fn close(&self) {
        match self {
            Self::Redis(engine) => engine.close().await,
            Self::Sqs(engine) => engine.close().await,
            Self::Cloudflare(engine) => engine.close().await,
        }
    }
}

fn log_warnings(warnings: &[impl std::fmt::Display]) {
    for warning in warnings {
        warn!("{warning}");
    }
}
