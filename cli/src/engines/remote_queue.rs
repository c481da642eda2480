//! A queue on a server or a service of its own.

use std::sync::Arc;

use chargegate_pull::cloudflare;
use chargegate_pull::sqs;
use chargegate_redis as redis;
use chargegate_storage::Effects;
use chargegate_storage::history::Observe;
use chargegate_storage::queue::{EnqueueError, Queue};
use tracing::warn;

use crate::settings::RemoteQueueSettings;

/// An open queue; clones share it.
#[derive(Clone, Debug)]
pub(crate) enum RemoteQueue {
    /// Redis or Valkey streams.
    Redis(redis::Engine),
    /// Amazon SQS.
    Sqs(sqs::Engine),
    /// Cloudflare Queues.
    Cloudflare(cloudflare::Engine),
}

/// A queue cannot be used; its text names the variable and the remedy.
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
    /// Opens the queue, and tells the operator what puts it at risk.
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
                tell(&warnings);
                Ok(Self::Redis(engine))
            }
            RemoteQueueSettings::Sqs(settings) => {
                let (engine, warnings) = sqs::Engine::open(settings, effects).await?;
                tell(&warnings);
                Ok(Self::Sqs(engine))
            }
            RemoteQueueSettings::Cloudflare(settings) => {
                let (engine, warnings) = cloudflare::Engine::open(settings, effects).await?;
                tell(&warnings);
                Ok(Self::Cloudflare(engine))
            }
        }
    }

    /// The queue, as a worker needs it.
    pub(crate) fn queue(&self) -> Arc<dyn Queue> {
        match self {
            Self::Redis(engine) => Arc::new(engine.clone()),
            Self::Sqs(engine) => Arc::new(engine.clone()),
            Self::Cloudflare(engine) => Arc::new(engine.clone()),
        }
    }

    /// The queue's memory of itself, where it keeps one.
    pub(crate) fn history(&self) -> Option<Arc<dyn Observe>> {
        match self {
            Self::Redis(engine) => Some(Arc::new(engine.clone())),
            Self::Sqs(_) | Self::Cloudflare(_) => None,
        }
    }

    /// Puts a message into the queue; `Ok` comes after the queue confirmed it.
    ///
    /// # Errors
    /// [`EnqueueError`].
    pub(crate) async fn enqueue(&self, message: String) -> Result<(), EnqueueError> {
        match self {
            Self::Redis(engine) => engine.enqueue(message).await,
            Self::Sqs(engine) => engine.enqueue(message).await,
            Self::Cloudflare(engine) => engine.enqueue(message).await,
        }
    }

    /// Comes back once a part of the engine has ended, by a fault or because it was closed.
    pub(crate) async fn ended(&self) {
        match self {
            Self::Redis(engine) => engine.ended().await,
            Self::Sqs(engine) => engine.ended().await,
            Self::Cloudflare(engine) => engine.ended().await,
        }
    }

    /// Hands back what is held and takes leave.
    pub(crate) async fn close(&self) {
        match self {
            Self::Redis(engine) => engine.close().await,
            Self::Sqs(engine) => engine.close().await,
            Self::Cloudflare(engine) => engine.close().await,
        }
    }
}

fn tell(warnings: &[impl std::fmt::Display]) {
    for warning in warnings {
        warn!("{warning}");
    }
}
