//! The engines a process works with: all in the data folder, or on servers of their own.

use std::error::Error as _;
use std::sync::Arc;

use chargegate_host::{Enqueue, EnqueueError};
use chargegate_worker::queue::{self, Queue};
use chargegate_worker::store::Store;
use chargegate_worker::{Effects, HistoryWatch, postgres, redis, sqlite};
use tracing::{debug, warn};

/// Queue and store, open.
pub(crate) enum Engines {
    /// One file for both.
    Embedded(sqlite::Engine),
    /// A server for each, and a watch over what the queue's server may forget.
    Remote {
        /// The queue.
        queue: redis::Engine,
        /// The store.
        store: postgres::Engine,
        /// The watch.
        watch: HistoryWatch,
    },
}

/// An engine on a server cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// The queue.
    #[error(transparent)]
    Queue(#[from] redis::OpenError),
    /// The store.
    #[error(transparent)]
    Store(#[from] postgres::OpenError),
}

impl Engines {
    /// Opens both servers.
    ///
    /// # Errors
    /// [`RemoteError`] names the variable and the remedy.
    pub(crate) async fn open_remote(
        queue: redis::Settings,
        store: postgres::Settings,
        effects: &Effects,
    ) -> Result<Self, RemoteError> {
        // The store first: a queue that is open takes part in the group of workers.
        let (store, warnings) = postgres::Engine::open(store, effects.clone()).await?;
        for warning in warnings {
            warn!("{warning}");
        }
        let queue = open_queue(queue, effects).await?;
        let watch = HistoryWatch::start(Arc::new(queue.clone()), Arc::new(store.clone()), effects.clone());
        Ok(Self::Remote { queue, store, watch })
    }

    /// The queue, as a worker needs it.
    pub(crate) fn queue(&self) -> Arc<dyn Queue> {
        match self {
            Self::Embedded(engine) => Arc::new(engine.clone()),
            Self::Remote { queue, .. } => Arc::new(queue.clone()),
        }
    }

    /// The store.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Embedded(engine) => Arc::new(engine.clone()),
            Self::Remote { store, .. } => Arc::new(store.clone()),
        }
    }

    /// The queue, as an edge in this process needs it.
    pub(crate) fn edge_queue(&self) -> EdgeQueue {
        match self {
            Self::Embedded(engine) => EdgeQueue::Embedded(engine.clone()),
            Self::Remote { queue, .. } => EdgeQueue::Redis(queue.clone()),
        }
    }

    /// Comes back when an engine has failed for good by itself; the embedded one never does.
    pub(crate) async fn failed(&self) {
        match self {
            Self::Embedded(_) => std::future::pending().await,
            Self::Remote { queue, watch, .. } => {
                tokio::select! {
                    () = queue.ended() => {}
                    () = watch.ended() => {}
                }
            }
        }
    }

    /// Writes what still waits and takes leave.
    pub(crate) async fn close(self) {
        match self {
            Self::Embedded(engine) => engine.close().await,
            Self::Remote { queue, store, watch } => {
                watch.stop().await;
                queue.close().await;
                store.close().await;
            }
        }
    }
}

/// Opens the queue alone, and tells the operator what puts it at risk.
///
/// # Errors
/// [`redis::OpenError`] names the variable and the remedy.
pub(crate) async fn open_queue(
    settings: redis::Settings,
    effects: &Effects,
) -> Result<redis::Engine, redis::OpenError> {
    let (queue, warnings) = redis::Engine::open(settings, effects.clone()).await?;
    for warning in warnings {
        warn!("{warning}");
    }
    Ok(queue)
}

/// The queue as the edge component in this process sees it.
pub(crate) enum EdgeQueue {
    /// In the data folder.
    Embedded(sqlite::Engine),
    /// On a Redis or Valkey server.
    Redis(redis::Engine),
}

impl Enqueue for EdgeQueue {
    async fn enqueue(&self, message: String) -> Result<(), EnqueueError> {
        let enqueued = match self {
            Self::Embedded(engine) => engine.enqueue(message).await,
            Self::Redis(engine) => engine.enqueue(message).await,
        };
        enqueued.map_err(|error| {
            debug!(%error, cause = error.source().map(tracing::field::display), "a request was not confirmed");
            match error {
                queue::EnqueueError::DepthLimit | queue::EnqueueError::Full => EnqueueError::Full,
                queue::EnqueueError::TooLarge => EnqueueError::TooLarge,
                queue::EnqueueError::Unavailable(_) | queue::EnqueueError::Closed => EnqueueError::Unavailable,
            }
        })
    }
}
