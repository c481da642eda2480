//! The queue on Amazon SQS, for any number of workers.
//!
//! A message is leased for some seconds, and its lease extended while a worker has it, so that those of a worker that
//! died come again before their deadline. The order is loose, and handing a message back counts as a delivery.

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

use self::api::Api;
pub use self::credentials::{CredentialsError, CredentialsSource};
use self::credentials::{Keeper, Usual};
pub use self::message_group::message_group;
pub use self::open::OpenError;
pub use self::refusal::Refusal;
pub use self::service::Sqs;
pub use self::url::{QueueUrl, QueueUrlError};
pub use self::warning::Warning;
use crate::engine::{self, ServiceClient};
use chargegate_storage::Effects;
pub use chargegate_storage::queue::EnqueueFailure;

/// How long the service keeps a message from others without hearing of us: a fraction of what there is to decide.
const LEASE: Duration = Duration::from_secs(6);
/// Ten messages of the largest size, each character of which is escaped.
const MAX_ANSWER_BYTES: usize = 24 * 1024 * 1024;
/// What gives credentials answers in a few lines.
const MAX_CREDENTIALS_BYTES: usize = 256 * 1024;

/// How the engine behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the queue is.
    pub url: QueueUrl,
    /// Who we are to the service.
    pub credentials: CredentialsSource,
    /// How long a leased message stays its holder's, while this one lives.
    pub message_lease: Duration,
    /// Calls that ask for messages at the same time, at most.
    pub pullers: usize,
}

impl Settings {
    /// The usual settings.
    #[must_use]
    pub fn new(url: QueueUrl) -> Self {
        let credentials = CredentialsSource::default();
        Self { url, credentials, message_lease: Duration::from_secs(30), pullers: 32 }
    }
}

/// The engine; clones share it.
pub type Engine = engine::PullEngine<Sqs>;

impl engine::PullEngine<Sqs> {
    /// Looks whether the queue is there and can be trusted, and begins to ask for messages when they are wanted.
    ///
    /// The warnings are for the operator.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way and what to do about it.
    pub async fn open(settings: Settings, effects: Effects) -> Result<(Self, Vec<Warning>), OpenError> {
        let Settings { url, credentials, message_lease, pullers } = settings;
        let tls = |error: rustls::Error| OpenError::Tls(error.into());
        let clock = Arc::clone(&effects.clock);
        let keeper = match credentials {
            CredentialsSource::Usual => {
                let client = ServiceClient::new(1, MAX_CREDENTIALS_BYTES).map_err(tls)?;
                let usual = Usual::new(url.region(), client, Arc::clone(&clock));
                Keeper::new(usual, Arc::clone(&clock))
            }
            CredentialsSource::Fixed(credentials) => Keeper::new(credentials, Arc::clone(&clock)),
        };
        let client = ServiceClient::new(pullers.saturating_mul(2), MAX_ANSWER_BYTES).map_err(tls)?;
        let address = url.to_string();
        let api = Api::new(client, url, keeper, clock);
        let warnings = open::check(&api, &address).await?;
        let service = Sqs::new(api, LEASE.min(message_lease), message_lease, pullers);
        Ok((Self::start_with_sender(service, effects), warnings))
    }
}
