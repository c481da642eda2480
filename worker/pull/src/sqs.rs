//! The queue on Amazon SQS, for any number of workers.
//!
//! A message is leased for some seconds, and its lease is extended while a worker processes it, so that the messages of a
//! dead worker are delivered again before their deadline. The order is loose, and a release counts as a delivery.

mod answer;
mod api;
mod credentials;
mod endpoint;
mod fault;
mod message_group;
mod open;
mod refusal;
mod service;
mod url;
mod warning;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use self::api::SqsApi;
use self::credentials::{CredentialsCache, DefaultChain};
pub use self::credentials::{CredentialsError, CredentialsSource};
pub use self::message_group::message_group;
pub use self::open::OpenError;
pub use self::refusal::Refusal;
pub use self::service::Sqs;
pub use self::url::{QueueUrl, QueueUrlError};
pub use self::warning::Warning;
use crate::engine::{self, ServiceClient};
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
pub struct Settings {
    /// URL of the queue.
    pub url: QueueUrl,
    /// Source of AWS credentials.
    pub credentials: CredentialsSource,
    /// Longest time for which the lease of a message is extended.
    pub message_lease: Duration,
    /// Most concurrent receive calls.
    pub pullers: usize,
}

impl Settings {
    /// Returns the default settings.
    #[must_use]
    pub fn new(url: QueueUrl) -> Self {
        let credentials = CredentialsSource::default();
        Self { url, credentials, message_lease: Duration::from_secs(30), pullers: 32 }
    }
}

/// Queue on Amazon SQS; clones share it.
pub type Engine = engine::PullEngine<Sqs>;

impl engine::PullEngine<Sqs> {
    /// Checks the queue and its settings, and starts the engine. Returns warnings for the operator.
    ///
    /// # Errors
    /// [`OpenError`] names the obstacle.
    pub async fn open(settings: Settings, effects: Effects) -> Result<(Self, Vec<Warning>), OpenError> {
        let Settings { url, credentials, message_lease, pullers } = settings;
        let tls = |error: rustls::Error| OpenError::Tls(error.into());
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
        let service = Sqs::new(api, VISIBILITY_TIMEOUT.min(message_lease), message_lease, pullers);
        Ok((Self::start_with_sender(service, effects), warnings))
    }
}
