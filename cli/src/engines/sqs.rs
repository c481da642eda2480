//! Amazon SQS as the queue.

use std::sync::Arc;

use async_trait::async_trait;
use chargegate_pull::sqs::{Engine, OpenError, QueueUrlError, Settings};
use chargegate_storage::Effects;
use tracing::warn;

use super::{EngineHandle, EngineOpenError, OpenQueue, QueueConnector};
use crate::settings::{SettingError, WorkerTuningArgs};

/// Returns the connector of a queue on Amazon SQS.
pub(super) fn connector(url: &str) -> Result<Box<dyn QueueConnector>, SettingError> {
    let url = url.parse().map_err(|error: QueueUrlError| SettingError::QueueUrl(error.into()))?;
    Ok(Box::new(SqsConnector(Settings::new(url))))
}

struct SqsConnector(Settings);

#[async_trait]
impl QueueConnector for SqsConnector {
    fn tune_for_worker(&mut self, work: &WorkerTuningArgs) {
        self.0.message_lease = work.message_lease();
    }

    async fn open(self: Box<Self>, effects: &Effects) -> Result<OpenQueue, EngineOpenError> {
        let (engine, warnings) = Engine::open(self.0, effects.clone()).await.map_err(with_remedy)?;
        for warning in warnings {
            warn!("{warning}");
        }
        Ok(OpenQueue::new(Arc::new(engine)))
    }
}

#[async_trait]
impl EngineHandle for Engine {
    async fn ended(&self) {
        Engine::ended(self).await;
    }

    async fn close(&self) {
        Engine::close(self).await;
    }
}

fn with_remedy(error: OpenError) -> EngineOpenError {
    EngineOpenError::new(error, "")
}
