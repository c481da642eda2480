//! The queue as the edge component in this process uses it.

use std::error::Error as _;

use chargegate_host::{Enqueue, EnqueueError};
use chargegate_sqlite as sqlite;
use chargegate_storage::queue;
use tracing::debug;

use super::RemoteQueue;

/// The queue as the edge component in this process uses it.
pub(crate) enum EdgeQueue {
    /// In the data folder.
    Embedded(sqlite::Engine),
    /// On a server or a service.
    Remote(RemoteQueue),
}

impl Enqueue for EdgeQueue {
    async fn enqueue(&self, message: String) -> Result<(), EnqueueError> {
        let enqueued = match self {
            Self::Embedded(engine) => engine.enqueue(message).await,
            Self::Remote(engine) => engine.enqueue(message).await,
        };
        enqueued.map_err(|error| {
            debug!(%error, cause = error.source().map(tracing::field::display), "the queue did not confirm a request");
            match error {
                queue::EnqueueError::DepthLimit | queue::EnqueueError::Full => EnqueueError::Full,
                queue::EnqueueError::TooLarge => EnqueueError::TooLarge,
                queue::EnqueueError::Unavailable(_) | queue::EnqueueError::Closed => EnqueueError::Unavailable,
            }
        })
    }
}
