//! Cloudflare Queues as the queue.

use std::sync::Arc;

use async_trait::async_trait;
use chargegate_pull::cloudflare::{
    CloudflareBaseUrlError, CloudflareEngine, CloudflareFailure, CloudflareOpenError,
    CloudflareQueueUrlError, CloudflareSettings, CloudflareToken, CloudflareTokenError,
};
use chargegate_storage::Effects;
use tracing::warn;

use super::connector::OpenQueue;
use super::{EngineHandle, EngineOpenError, QueueConnector};
use crate::settings::{QUEUE_URL, QueueArgs, SettingError, WorkerTuningArgs};

/// Returns the connector of a queue on Cloudflare Queues.
pub(super) fn connector(url: &str, args: &QueueArgs) -> Result<Box<dyn QueueConnector>, SettingError> {
    let url = url.parse().map_err(|error: CloudflareQueueUrlError| SettingError::QueueUrl(error.into()))?;
    let base_url = args
        .cloudflare_base_url
        .parse()
        .map_err(|error: CloudflareBaseUrlError| SettingError::CloudflareBaseUrl(error.into()))?;
    let token: CloudflareToken = args
        .cloudflare_token()?
        .parse()
        .map_err(|error: CloudflareTokenError| SettingError::CloudflareToken(error.into()))?;
    Ok(Box::new(CloudflareConnector(CloudflareSettings { base_url, ..CloudflareSettings::new(url, token) })))
}

struct CloudflareConnector(CloudflareSettings);

#[async_trait]
impl QueueConnector for CloudflareConnector {
    fn tune_for_worker(&mut self, work: &WorkerTuningArgs) {
        self.0.message_lease = work.shortest_message_lease();
        // A message that arrives during the pause is still leased in time for a call.
        self.0.idle_pause = self.0.idle_pause.min(work.decision_deadline() / 2);
    }

    async fn open(self: Box<Self>, effects: &Effects) -> Result<OpenQueue, EngineOpenError> {
        let (engine, warnings) =
            CloudflareEngine::open(self.0, effects.clone()).await.map_err(with_remedy)?;
        for warning in warnings {
            warn!("{QUEUE_URL}: {warning}");
        }
        Ok(OpenQueue::new(Arc::new(engine)))
    }
}

#[async_trait]
impl EngineHandle for CloudflareEngine {
    async fn ended(&self) {
        CloudflareEngine::ended(self).await;
    }

    async fn close(&self) {
        CloudflareEngine::close(self).await;
    }
}

/// Adds the setting to change and the remedy.
fn with_remedy(error: CloudflareOpenError) -> EngineOpenError {
    let remedy = match &error {
        CloudflareOpenError::Unreachable(_) => {
            format!(
                "check the network, and CLOUDFLARE_BASE_URL if it is set; the queue is that of {QUEUE_URL}"
            )
        }
        CloudflareOpenError::Throttled => format!("start again later; the queue is that of {QUEUE_URL}"),
        CloudflareOpenError::Refused(failure) => refusal_remedy(failure),
        CloudflareOpenError::NoPullConsumer { .. } => format!("or name another queue in {QUEUE_URL}"),
        CloudflareOpenError::Tls(_) => String::new(),
    };
    EngineOpenError::new(error, remedy)
}

/// Returns the settings behind a refusal. The text of the refusal names the fault.
fn refusal_remedy(failure: &CloudflareFailure) -> String {
    match failure {
        CloudflareFailure::Token { .. } => {
            format!("see CLOUDFLARE_API_TOKEN, and the account in {QUEUE_URL}")
        }
        CloudflareFailure::NoQueue => format!("correct {QUEUE_URL}"),
        CloudflareFailure::Refused { .. } => {
            format!("check {QUEUE_URL}, and CLOUDFLARE_BASE_URL if it is set")
        }
        CloudflareFailure::NoAnswer(_)
        | CloudflareFailure::Unreadable { .. }
        | CloudflareFailure::Failed { .. }
        | CloudflareFailure::Throttled { .. } => format!("see {QUEUE_URL}"),
    }
}
