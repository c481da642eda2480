//! The engines of a process: queue and store in the data folder, or each on a server.

mod remote_queue;

use std::sync::Arc;

use chargegate_postgres as postgres;
use chargegate_sqlite as sqlite;
use chargegate_storage::Effects;
use chargegate_storage::history::HistoryWatch;
use chargegate_storage::queue::{Producer, Queue};
use chargegate_storage::store::Store;
use tracing::warn;

pub(crate) use self::remote_queue::{QueueOpenError, RemoteQueue};
use crate::settings::RemoteQueueSettings;

/// An open queue and an open store.
pub(crate) enum Engines {
    /// One file for both.
    Embedded(sqlite::Engine),
    /// A server for each, and a watch for messages that the queue loses, where the queue keeps a history.
    Remote {
        /// The queue.
        queue: RemoteQueue,
        /// The store.
        store: postgres::PostgresStore,
        /// The watch.
        watch: Option<HistoryWatch>,
    },
}

/// Error of [`Engines::open_remote`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueOpenError),
    /// The store.
    #[error(transparent)]
    Store(#[from] postgres::PostgresOpenError),
}

impl Engines {
    /// Opens both servers.
    ///
    /// # Errors
    /// [`RemoteError`] names the variable and the remedy.
    pub(crate) async fn open_remote(
        queue: RemoteQueueSettings,
        store: postgres::PostgresSettings,
        effects: &Effects,
    ) -> Result<Self, RemoteError> {
        // The store first: an open queue is already a member of the group of workers.
        let (store, warnings) = postgres::PostgresStore::open(store, effects.clone()).await?;
        for warning in warnings {
            warn!("{warning}");
        }
        let queue = RemoteQueue::open(queue, effects).await?;
        let watch = queue
            .history()
            .map(|history| HistoryWatch::start(history, Arc::new(store.clone()), effects.clone()));
        Ok(Self::Remote { queue, store, watch })
    }

    /// Returns the queue as a worker uses it.
    pub(crate) fn queue(&self) -> Arc<dyn Queue> {
        match self {
            Self::Embedded(engine) => Arc::new(engine.clone()),
            Self::Remote { queue, .. } => queue.queue(),
        }
    }

    /// Returns the store.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Embedded(engine) => Arc::new(engine.clone()),
            Self::Remote { store, .. } => Arc::new(store.clone()),
        }
    }

    /// Returns the queue as an edge in this process uses it.
    pub(crate) fn producer(&self) -> Arc<dyn Producer> {
        match self {
            Self::Embedded(engine) => Arc::new(engine.clone()),
            Self::Remote { queue, .. } => queue.producer(),
        }
    }

    /// Waits until an engine has failed permanently, which the embedded one never does.
    pub(crate) async fn failed(&self) {
        match self {
            Self::Embedded(_) => std::future::pending().await,
            Self::Remote { queue, watch, .. } => {
                let watch_ended = async {
                    match watch {
                        Some(watch) => watch.ended().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = queue.ended() => {}
                    () = watch_ended => {}
                }
            }
        }
    }

    /// Flushes pending writes, deregisters the consumer and closes the connections.
    pub(crate) async fn close(self) {
        match self {
            Self::Embedded(engine) => engine.close().await,
            Self::Remote { queue, store, watch } => {
                if let Some(watch) = watch {
                    watch.stop().await;
                }
                queue.close().await;
                store.close().await;
            }
        }
    }
}
