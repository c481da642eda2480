//! The embedded engine as the edge component sees it.

use std::error::Error as _;

use chargegate_host::{Enqueue, EnqueueError};
use chargegate_worker::sqlite::{self, Engine};
use tracing::debug;

/// Puts accepted requests into the engine's queue.
pub(super) struct EmbeddedQueue {
    engine: Engine,
}

impl EmbeddedQueue {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

impl Enqueue for EmbeddedQueue {
    async fn enqueue(&self, message: String) -> Result<(), EnqueueError> {
        self.engine.enqueue(message).await.map_err(|error| {
            debug!(%error, cause = error.source().map(tracing::field::display), "a request was not confirmed");
            match error {
                sqlite::EnqueueError::DepthLimit | sqlite::EnqueueError::Full => EnqueueError::Full,
                sqlite::EnqueueError::TooLarge => EnqueueError::TooLarge,
                sqlite::EnqueueError::Unavailable(_) | sqlite::EnqueueError::Closed => {
                    EnqueueError::Unavailable
                }
            }
        })
    }
}
