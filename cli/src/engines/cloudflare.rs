//! Cloudflare Queues as the queue.

use std::sync::Arc;

use async_trait::async_trait;
use chargegate_pull::cloudflare::{
    ApiFailure, ApiToken, ApiTokenError, BaseUrlError, Engine, OpenError, QueueUrlError, Settings,
};
use chargegate_storage::Effects;
use tracing::warn;

use super::{EngineHandle, EngineOpenError, OpenQueue, QueueConnector};
use crate::settings::{QUEUE_URL, QueueArgs, SettingError, WorkerTuningArgs};

/// Returns the connector of a queue on Cloudflare Queues.
pub(super) fn connector(url: &str, args: &QueueArgs) -> Result<Box<dyn QueueConnector>, SettingError> {
    let url = url.parse().map_err(|error: QueueUrlError| SettingError::QueueUrl(error.into()))?;
    let base_url = args
        .cloudflare_base_url
        .parse()
        .map_err(|error: BaseUrlError| SettingError::CloudflareBaseUrl(error.into()))?;
    let token: ApiToken = args
        .cloudflare_token()?
        .parse()
        .map_err(|error: ApiTokenError| SettingError::CloudflareToken(error.into()))?;
    Ok(Box::new(CloudflareConnector(Settings { base_url, ..Settings::new(url, token) })))
}

struct CloudflareConnector(Settings);

#[async_trait]
impl QueueConnector for CloudflareConnector {
    fn tune_for_worker(&mut self, work: &WorkerTuningArgs) {
        self.0.message_lease = work.shortest_message_lease();
        // A message that arrives during the pause is still leased in time for a call.
        self.0.idle_pause = self.0.idle_pause.min(work.decision_deadline() / 2);
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
        OpenError::Unreachable(_) => {
            format!(
                "check the network, and CLOUDFLARE_BASE_URL if it is set; the queue is that of {QUEUE_URL}"
            )
        }
        OpenError::Throttled => format!("start again later; the queue is that of {QUEUE_URL}"),
        OpenError::Refused(failure) => refusal_remedy(failure),
        OpenError::NoPullConsumer { .. } => format!("or name another queue in {QUEUE_URL}"),
        OpenError::Tls(_) => String::new(),
    };
    EngineOpenError::new(error, remedy)
}

/// Returns the settings behind a refusal. The text of the refusal names the fault.
fn refusal_remedy(failure: &ApiFailure) -> String {
    match failure {
        ApiFailure::Token { .. } => format!("see CLOUDFLARE_API_TOKEN, and the account in {QUEUE_URL}"),
        ApiFailure::NoQueue => format!("correct {QUEUE_URL}"),
        ApiFailure::Refused { .. } => format!("check {QUEUE_URL}, and CLOUDFLARE_BASE_URL if it is set"),
        ApiFailure::NoAnswer(_)
        | ApiFailure::Unreadable { .. }
        | ApiFailure::Failed { .. }
        | ApiFailure::Throttled { .. } => format!("see {QUEUE_URL}"),
    }
}
