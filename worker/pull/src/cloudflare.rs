//! The queue on Cloudflare Queues, for any number of workers, pulled over HTTP.
//!
//! A lease lasts as long as the pull requested and cannot be extended, so it is chosen to outlast a decision. Messages
//! arrive roughly in order, a release counts as a delivery, and Cloudflare removes a message after a number of deliveries
//! that the queue's consumer sets; a [`Warning`] reports a number that is too low.

mod answer;
mod api;
mod open;
mod pulled;
mod service;
mod token;
mod url;
mod warning;

use std::time::Duration;

pub use self::answer::ApiFailure;
use self::api::CloudflareApi;
pub use self::open::OpenError;
pub use self::service::Cloudflare;
pub use self::token::{ApiToken, ApiTokenError};
pub use self::url::{BASE_URL, BaseUrl, BaseUrlError, QueueUrl, QueueUrlError};
pub use self::warning::Warning;
use crate::engine;
use chargegate_storage::Effects;
pub use chargegate_storage::queue::EnqueueFailure;

/// Settings of the queue on Cloudflare Queues.
#[derive(Clone, Debug)]
pub struct Settings {
    /// URL of the queue.
    pub url: QueueUrl,
    /// API token.
    pub token: ApiToken,
    /// Base URL of the API.
    pub base_url: BaseUrl,
    /// Lease of a pulled message. It must outlast a decision and its record.
    pub message_lease: Duration,
    /// Longest pause between pulls of an empty queue; each pull is billed.
    pub idle_pause: Duration,
    /// Most concurrent pulls.
    pub pullers: usize,
}

impl Settings {
    /// Returns the default settings.
    #[must_use]
    pub fn new(url: QueueUrl, token: ApiToken) -> Self {
        Self {
            url,
            token,
            base_url: BaseUrl::default(),
            message_lease: Duration::from_secs(30),
            idle_pause: Duration::from_secs(5),
            pullers: 16,
        }
    }
}

/// Queue on Cloudflare Queues; clones share it.
pub type Engine = engine::PullEngine<Cloudflare>;

impl engine::PullEngine<Cloudflare> {
    /// Checks the queue and its settings, and starts the engine. Returns warnings for the operator.
    ///
    /// # Errors
    /// [`OpenError`] names the obstacle.
    pub async fn open(settings: Settings, effects: Effects) -> Result<(Self, Vec<Warning>), OpenError> {
        let api = CloudflareApi::new(&settings).map_err(|error| OpenError::Tls(error.into()))?;
        let warnings = open::check(&api).await?;
        Ok((Self::start_with_sender(Cloudflare::new(api, &settings), effects), warnings))
    }
}
