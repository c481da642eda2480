//! The queue on Cloudflare Queues, for any number of workers, pulled over HTTP.
//!
//! A lease lasts as long as the pull requested and cannot be extended, so it is chosen to outlast a decision. Messages
//! arrive roughly in order, a release counts as a delivery, and Cloudflare removes a message after a number of deliveries
//! that the queue's consumer sets; a [`CloudflareWarning`] reports a number that is too low.

mod answer;
mod api;
mod open;
mod pulled;
mod service;
mod token;
mod url;
mod warning;

use std::time::Duration;

pub use self::answer::CloudflareFailure;
use self::api::CloudflareApi;
pub use self::open::CloudflareOpenError;
pub use self::service::CloudflareService;
pub use self::token::{CloudflareToken, CloudflareTokenError};
pub use self::url::{
    BASE_URL, CloudflareBaseUrl, CloudflareBaseUrlError, CloudflareQueueUrl, CloudflareQueueUrlError,
};
pub use self::warning::CloudflareWarning;
use crate::engine;
use chargegate_storage::Effects;
pub use chargegate_storage::queue::EnqueueFailure;

/// Settings of the queue on Cloudflare Queues.
#[derive(Clone, Debug)]
pub struct CloudflareSettings {
    /// URL of the queue.
    pub url: CloudflareQueueUrl,
    /// API token.
    pub token: CloudflareToken,
    /// Base URL of the API.
    pub base_url: CloudflareBaseUrl,
    /// Lease of a pulled message. It must outlast a decision and its record.
    pub message_lease: Duration,
    /// Longest pause between pulls of an empty queue; each pull is billed.
    pub idle_pause: Duration,
    /// Most concurrent pulls.
    pub pullers: usize,
}

impl CloudflareSettings {
    /// Returns the default settings.
    #[must_use]
    pub fn new(url: CloudflareQueueUrl, token: CloudflareToken) -> Self {
        Self {
            url,
            token,
            base_url: CloudflareBaseUrl::default(),
            message_lease: Duration::from_secs(30),
            idle_pause: Duration::from_secs(5),
            pullers: 16,
        }
    }
}

/// Queue on Cloudflare Queues; clones share it.
pub type CloudflareEngine = engine::PullEngine<CloudflareService>;

impl engine::PullEngine<CloudflareService> {
    /// Checks the queue and its settings, and starts the engine. Returns warnings for the operator.
    ///
    /// # Errors
    /// [`CloudflareOpenError`] names the obstacle.
    pub async fn open(
        settings: CloudflareSettings,
        effects: Effects,
    ) -> Result<(Self, Vec<CloudflareWarning>), CloudflareOpenError> {
        let api = CloudflareApi::new(&settings).map_err(|error| CloudflareOpenError::Tls(error.into()))?;
        let warnings = open::check(&api).await?;
        Ok((Self::start_with_sender(CloudflareService::new(api, &settings), effects), warnings))
    }
}
