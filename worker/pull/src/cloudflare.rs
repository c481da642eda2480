//! The queue on Cloudflare Queues, for any number of workers, pulled over HTTP.
//!
//! A lease lasts as long as the pull asked for and cannot be extended, so it is chosen to outlast a decision. Messages
//! come roughly in order, handing one back counts as a delivery, and after a number of deliveries that the queue's
//! consumer sets Cloudflare takes a message away; [`Warning`] tells where that is too soon.

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
use self::api::Api;
pub use self::open::OpenError;
pub use self::service::Cloudflare;
pub use self::token::{ApiToken, ApiTokenError};
pub use self::url::{BASE_URL, BaseUrl, BaseUrlError, QueueUrl, QueueUrlError};
pub use self::warning::Warning;
use crate::engine;
use chargegate_storage::Effects;
pub use chargegate_storage::queue::EnqueueFailure;

/// How the engine behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which queue.
    pub url: QueueUrl,
    /// Who we are to the API.
    pub token: ApiToken,
    /// Where the API is.
    pub base_url: BaseUrl,
    /// How long a leased message stays its holder's. It must outlast a decision and its record.
    pub message_lease: Duration,
    /// The longest pause between pulls of an empty queue: each is billed.
    pub idle_pause: Duration,
    /// Pulls at the same time, at most.
    pub pullers: usize,
}

impl Settings {
    /// The usual settings.
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

/// The engine; clones share it.
pub type Engine = engine::PullEngine<Cloudflare>;

impl engine::PullEngine<Cloudflare> {
    /// Looks whether the queue is there and can be trusted, and begins to pull when messages are wanted.
    ///
    /// The warnings are for the operator.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way and what to do about it.
    pub async fn open(settings: Settings, effects: Effects) -> Result<(Self, Vec<Warning>), OpenError> {
        let api = Api::new(&settings).map_err(|error| OpenError::Tls(error.into()))?;
        let warnings = open::check(&api).await?;
        Ok((Self::start_with_sender(Cloudflare::new(api, &settings), effects), warnings))
    }
}
