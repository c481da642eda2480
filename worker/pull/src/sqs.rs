//! The queue on Amazon SQS, for any number of workers.
//!
//! A message is leased for some seconds, and its lease is extended while a worker processes it, so that the messages of a
//! dead worker are delivered again before their deadline. The order is loose, and a release counts as a delivery.

mod answer;
mod api;
mod credentials;
mod open;
mod refusal;
mod sdk;
mod service;
mod url;
mod warning;

use std::sync::Arc;
use std::time::Duration;

pub use aws_sdk_sqs::config::Credentials as AwsCredentials;

use self::api::SqsApi;
use self::credentials::{CredentialsCache, DefaultChain};
pub use self::credentials::{CredentialsError, CredentialsSource};
pub use self::open::SqsOpenError;
pub use self::refusal::SqsRefusal;
pub use self::service::SqsService;
pub use self::url::{SqsQueueUrl, SqsQueueUrlError};
pub use self::warning::SqsWarning;
use crate::engine;
use crate::http_client::ServiceClient;
use chargegate_storage::Effects;
pub use chargegate_storage::queue::EnqueueFailure;

/// Visibility time-out of a lease between two extensions: a fraction of the time to decide.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(6);
/// Most bytes of a response: ten messages of the largest size with every character escaped.
const MAX_RESPONSE_BYTES: usize = 24 * 1024 * 1024;
/// Most bytes of a response from a source of credentials.
const MAX_CREDENTIALS_BYTES: usize = 256 * 1024;

/// Settings of the queue on Amazon SQS.
#[derive(Clone, Debug)]
pub struct SqsSettings {
    /// URL of the queue.
    pub url: SqsQueueUrl,
    /// Source of AWS credentials.
    pub credentials: CredentialsSource,
    /// Longest time for which the lease of a message is extended.
    pub message_lease: Duration,
    /// Most concurrent receive calls.
    pub pullers: usize,
}

impl SqsSettings {
    /// Returns the default settings.
    #[must_use]
    pub fn new(url: SqsQueueUrl) -> Self {
        let credentials = CredentialsSource::default();
        Self { url, credentials, message_lease: Duration::from_secs(30), pullers: 32 }
    }
}

/// Queue on Amazon SQS; clones share it.
pub type SqsEngine = engine::PullEngine<SqsService>;

impl engine::PullEngine<SqsService> {
    /// Checks the queue and its settings, and starts the engine. Returns warnings for the operator.
    ///
    /// # Errors
    /// [`SqsOpenError`] names the obstacle.
    pub async fn open(
        settings: SqsSettings,
        effects: Effects,
    ) -> Result<(Self, Vec<SqsWarning>), SqsOpenError> {
        let SqsSettings { url, credentials, message_lease, pullers } = settings;
        let tls = |error: rustls::Error| SqsOpenError::Tls(error.into());
        let clock = Arc::clone(&effects.clock);
        let cache = match credentials {
            CredentialsSource::DefaultChain => {
                let client = ServiceClient::new(1, MAX_CREDENTIALS_BYTES).map_err(tls)?;
                let usual = DefaultChain::new(url.region(), client, Arc::clone(&clock));
                CredentialsCache::new(usual, Arc::clone(&clock))
            }
            CredentialsSource::Fixed(credentials) => CredentialsCache::new(credentials, Arc::clone(&clock)),
        };
        let client = ServiceClient::new(pullers.saturating_mul(2), MAX_RESPONSE_BYTES).map_err(tls)?;
        let address = url.to_string();
        let api = SqsApi::new(client, url, cache, clock);
        let warnings = open::check(&api, &address).await?;
        let service = SqsService::new(api, VISIBILITY_TIMEOUT.min(message_lease), message_lease, pullers);
        Ok((Self::start_with_sender(service, effects), warnings))
    }
}
