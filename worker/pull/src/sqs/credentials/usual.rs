//! Where AWS's own tools look for credentials.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::ProvideCredentials as _;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::TimeSource;
use chargegate_core::UnixMillis;
use chargegate_sigv4::AwsCredentials as Credentials;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use super::http::PlainHttp;
use super::{CredentialsError, Fetch, Fetched};
use crate::engine::ServiceClient;
use chargegate_storage::Clock;
use chargegate_storage::metric;

/// As much of an error's text is kept.
const MAX_TEXT: usize = 500;

/// The chain of sources of AWS's own crate: the first that is set up gives credentials, or none does.
pub(in super::super) struct Usual {
    region: Region,
    client: ServiceClient,
    clock: Arc<dyn Clock>,
}

impl Usual {
    /// `region` is where roles are assumed.
    pub(in super::super) fn new(region: &str, client: ServiceClient, clock: Arc<dyn Clock>) -> Self {
        Self { region: Region::new(region.to_owned()), client, clock }
    }

    /// A chain of its own for each fetch: one remembers what stood in the files when it was first asked.
    async fn chain(&self) -> DefaultCredentialsChain {
        let config = ProviderConfig::empty()
            .with_http_client(PlainHttp::new(self.client.clone()))
            .with_sleep_impl(TokioSleep::new())
            .with_time_source(Time(Arc::clone(&self.clock)))
            .with_behavior_version(Some(BehaviorVersion::latest()));
        DefaultCredentialsChain::builder().configure(config).region(self.region.clone()).build().await
    }
}

#[async_trait]
impl Fetch for Usual {
    async fn fetch(&self) -> Result<Fetched, CredentialsError> {
        let chain = Box::pin(self.chain()).await;
        // The crate would tell of a failure too, at each attempt and in its own words.
        let found = chain.provide_credentials().with_subscriber(NoSubscriber::default()).await;
        let found = found.map_err(|error| describe(&error))?;
        let (id, secret) = (found.access_key_id(), found.secret_access_key());
        let credentials = Credentials::new(id, secret, found.session_token())
            .map_err(|error| CredentialsError::new(error.to_string()))?;
        let millis = |expires: SystemTime| {
            UnixMillis::default().plus(expires.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
        };
        Ok(Fetched { credentials, expires: found.expiry().map(millis) })
    }
}

fn describe(error: &aws_credential_types::provider::error::CredentialsError) -> CredentialsError {
    let text = format!("{error}: {}", metric::cause(error));
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT);
    CredentialsError::new(line.collect::<String>())
}

/// The worker's clock, as the crate wants it.
struct Time(Arc<dyn Clock>);

impl TimeSource for Time {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.now().0)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
