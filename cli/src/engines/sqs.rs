//! Amazon SQS as the queue.

use std::sync::Arc;

use async_trait::async_trait;
use chargegate_pull::sqs::{Engine, OpenError, QueueUrlError, Refusal, Settings};
use chargegate_storage::Effects;
use tracing::warn;

use super::{EngineHandle, EngineOpenError, OpenQueue, QueueConnector};
use crate::settings::{QUEUE_URL, SettingError, WorkerTuningArgs};

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
            warn!("{QUEUE_URL}: {warning}");
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

/// Adds the setting to change and the remedy.
fn with_remedy(error: OpenError) -> EngineOpenError {
    let remedy = match &error {
        OpenError::Unreachable { .. } => {
            format!("check the host in {QUEUE_URL}, and use sqs+http:// if it has no TLS")
        }
        OpenError::Throttled => format!("it is named in {QUEUE_URL}; start again later"),
        OpenError::Refused(refusal) => refusal_remedy(refusal),
        OpenError::Tls(_) => String::new(),
    };
    EngineOpenError::new(error, remedy)
}

/// Returns the settings behind a refusal. The text of the refusal names the fault.
fn refusal_remedy(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NoCredentials(_) => {
            format!("see AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, and {QUEUE_URL}")
        }
        Refusal::UnknownKey => format!("see AWS_ACCESS_KEY_ID and {QUEUE_URL}"),
        Refusal::Expired => format!("see AWS_SESSION_TOKEN and {QUEUE_URL}"),
        Refusal::Signature { .. } => {
            format!("see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and {QUEUE_URL}")
        }
        Refusal::Clock { .. } => String::new(),
        Refusal::NotPermitted { .. } | Refusal::NoQueue { .. } | Refusal::Other { .. } => {
            format!("see {QUEUE_URL}")
        }
    }
}
