//! Calls to the service through its SDK.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{
    Builder, Config, Credentials, IdentityCache, Region, StalledStreamProtectionConfig,
};
use aws_sdk_sqs::error::{BoxError, ConnectorError, SdkError};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_async::rt::sleep::TokioSleep;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use super::answer::{self, RequestContext};
use super::credentials::{CredentialsCache, same_keys};
use super::refusal::{SqsCallError, SqsRefusal};
use super::sdk::{SdkClock, SdkHttpClient, behavior_version};
use super::url::SqsQueueUrl;
use crate::http_client::ServiceClient;
use chargegate_storage::Clock;

/// Longest duration of a call, without its wait for messages.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// API client of one queue.
pub(super) struct SqsApi {
    sdk: Client,
    http: ServiceClient,
    queue: SqsQueueUrl,
    /// Queue URL as a parameter of calls.
    queue_parameter: String,
    cache: CredentialsCache,
    clock: Arc<dyn Clock>,
}

/// SDK client and settings of one call.
pub(super) struct SqsCall {
    pub(super) sdk: Client,
    pub(super) settings: Builder,
}

impl SqsApi {
    pub(super) fn new(
        http: ServiceClient,
        queue: SqsQueueUrl,
        cache: CredentialsCache,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let config = Config::builder()
            .behavior_version(behavior_version())
            .region(Region::new(queue.region().to_owned()))
            .endpoint_url(queue.endpoint())
            .time_source(SdkClock(Arc::clone(&clock)))
            .sleep_impl(TokioSleep::new())
            // The engine repeats calls, and the HTTP client bounds their time.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // A wrong clock is reported to the operator; corrected here, it would stay wrong for deadlines.
            .disable_clock_skew_correction(true)
            .build();
        let (sdk, queue_parameter) = (Client::from_conf(config), queue.in_calls());
        Self { sdk, http, queue, queue_parameter, cache, clock }
    }

    /// Returns the queue URL as a parameter of calls.
    pub(super) fn queue(&self) -> &str {
        &self.queue_parameter
    }

    /// Calls `operation` by `send`; `deadline` bounds the exchange once credentials are available.
    ///
    /// Refused credentials are renewed, and the call is repeated once if the new ones differ.
    pub(super) async fn call<T, E, F>(
        &self,
        operation: &'static str,
        deadline: Duration,
        send: impl Fn(SqsCall) -> F + Send + Sync,
    ) -> Result<T, SqsCallError>
    where
        E: Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E>>> + Send,
    {
        let credentials = self.credentials().await?;
        match self.exchange(operation, send(self.prepare(deadline, &credentials))).await {
            Err(SqsCallError::Refused(refusal)) if refusal.is_of_credentials() => {
                self.cache.forget(&credentials);
                let others = self.credentials().await?;
                if same_keys(&others, &credentials) {
                    return Err(SqsCallError::Refused(refusal));
                }
                self.exchange(operation, send(self.prepare(deadline, &others))).await
            }
            result => result,
        }
    }

    /// Returns attributes of the queue.
    pub(super) async fn attributes(
        &self,
        names: &[QueueAttributeName],
    ) -> Result<HashMap<QueueAttributeName, String>, SqsCallError> {
        let send = |SqsCall { sdk, settings }| {
            let request =
                sdk.get_queue_attributes().queue_url(self.queue()).set_attribute_names(Some(names.to_vec()));
            request.customize().config_override(settings).send()
        };
        let answer = self.call("GetQueueAttributes", CALL_TIMEOUT, send).await?;
        Ok(answer.attributes.unwrap_or_default())
    }

    async fn credentials(&self) -> Result<Credentials, SqsCallError> {
        let credentials = self.cache.credentials().await;
        credentials.map_err(|error| SqsCallError::Refused(SqsRefusal::NoCredentials(error)))
    }

    fn prepare(&self, deadline: Duration, credentials: &Credentials) -> SqsCall {
        let settings = Config::builder()
            .http_client(SdkHttpClient::new(self.http.clone(), deadline))
            .credentials_provider(credentials.clone())
            .identity_cache(IdentityCache::no_cache());
        SqsCall { sdk: self.sdk.clone(), settings }
    }

    async fn exchange<T, E: Error + Send + Sync + 'static>(
        &self,
        operation: &'static str,
        exchange: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, SqsCallError> {
        // At level TRACE the SDK logs requests and responses, messages included.
        let result = exchange.with_subscriber(NoSubscriber::default()).await;
        result.map_err(|error| match error.raw_response() {
            // The parser's error text might repeat a part of a message.
            Some(response) if response.status().is_success() => {
                SqsCallError::unavailable(format!("{operation}: the answer cannot be read"))
            }
            Some(response) => {
                let context = RequestContext { operation, queue: &self.queue, now: self.clock.now() };
                answer::failure(response, &context)
            }
            None => SqsCallError::unavailable(cause(error)),
        })
    }
}

/// Returns the cause of a call without a response.
fn cause<E: Error + Send + Sync + 'static>(error: SdkError<E>) -> BoxError {
    let source = error.into_source().unwrap_or_else(Into::into);
    match source.downcast::<ConnectorError>() {
        Ok(connector) => connector.into_source(),
        Err(source) => source,
    }
}

impl fmt::Debug for SqsApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqsApi({}, ..)", self.queue)
    }
}

#[cfg(test)]
mod tests;
