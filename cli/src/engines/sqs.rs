//! Amazon SQS as the queue.

use std::sync::Arc;

use async_trait::async_trait;
use chargegate_pull::sqs::{SqsEngine, SqsOpenError, SqsQueueUrlError, SqsRefusal, SqsSettings};
use chargegate_storage::Effects;
use tracing::warn;

use super::connector::OpenQueue;
use super::{EngineHandle, EngineOpenError, QueueConnector};
use crate::settings::{QUEUE_URL, SettingError, WorkerTuningArgs};

/// Returns the connector of a queue on Amazon SQS.
pub(super) fn connector(url: &str) -> Result<Box<dyn QueueConnector>, SettingError> {
    let url = url.parse().map_err(|error: SqsQueueUrlError| SettingError::QueueUrl(error.into()))?;
    Ok(Box::new(SqsConnector(SqsSettings::new(url))))
}

struct SqsConnector(SqsSettings);

#[async_trait]
impl QueueConnector for SqsConnector {
    fn tune_for_worker(&mut self, work: &WorkerTuningArgs) {
        self.0.message_lease = work.message_lease();
    }

    async fn open(self: Box<Self>, effects: &Effects) -> Result<OpenQueue, EngineOpenError> {
        let (engine, warnings) = SqsEngine::open(self.0, effects.clone()).await.map_err(with_remedy)?;
        for warning in warnings {
            warn!("{QUEUE_URL}: {warning}");
        }
        Ok(OpenQueue::new(Arc::new(engine)))
    }
}

#[async_trait]
impl EngineHandle for SqsEngine {
    async fn ended(&self) {
        SqsEngine::ended(self).await;
    }

    async fn close(&self) {
        SqsEngine::close(self).await;
    }
}

/// Adds the setting to change and the remedy.
fn with_remedy(error: SqsOpenError) -> EngineOpenError {
    let remedy = match &error {
        SqsOpenError::Unreachable { .. } => {
            format!("check the host in {QUEUE_URL}, and use sqs+http:// if it has no TLS")
        }
        SqsOpenError::Throttled => format!("it is named in {QUEUE_URL}; start again later"),
        SqsOpenError::Refused(refusal) => refusal_remedy(refusal),
        SqsOpenError::Tls(_) => String::new(),
    };
    EngineOpenError::new(error, remedy)
}

/// Returns the settings behind a refusal. The text of the refusal names the fault.
fn refusal_remedy(refusal: &SqsRefusal) -> String {
    match refusal {
        SqsRefusal::NoCredentials(_) => {
            format!("see AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, and {QUEUE_URL}")
        }
        SqsRefusal::UnknownKey => format!("see AWS_ACCESS_KEY_ID and {QUEUE_URL}"),
        SqsRefusal::Expired => format!("see AWS_SESSION_TOKEN and {QUEUE_URL}"),
        SqsRefusal::Signature { .. } => {
            format!("see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and {QUEUE_URL}")
        }
        SqsRefusal::Clock(_) => String::new(),
        SqsRefusal::NotPermitted { .. } | SqsRefusal::NoQueue { .. } | SqsRefusal::Other { .. } => {
            format!("see {QUEUE_URL}")
        }
    }
}
