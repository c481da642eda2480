//! The default credentials chain of AWS tools.

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

use super::http::CredentialsHttpClient;
use super::{CredentialsError, FetchCredentials, FetchedCredentials};
use crate::http_client::ServiceClient;
use chargegate_storage::Clock;
use chargegate_storage::metric;

/// Most characters kept of an error text.
const MAX_ERROR_TEXT: usize = 500;

/// Chain of credential sources of `aws-config`: the first configured source provides the credentials.
pub(in super::super) struct DefaultChain {
    region: Region,
    client: ServiceClient,
    clock: Arc<dyn Clock>,
}

impl DefaultChain {
    /// Creates the chain; roles are assumed in `region`.
    pub(in super::super) fn new(region: &str, client: ServiceClient, clock: Arc<dyn Clock>) -> Self {
        Self { region: Region::new(region.to_owned()), client, clock }
    }

    /// Builds a new chain for each fetch, because a chain caches the files that it has read.
    async fn chain(&self) -> DefaultCredentialsChain {
        let config = ProviderConfig::empty()
            .with_http_client(CredentialsHttpClient::new(self.client.clone()))
            .with_sleep_impl(TokioSleep::new())
            .with_time_source(ClockTimeSource(Arc::clone(&self.clock)))
            .with_behavior_version(Some(BehaviorVersion::latest()));
        DefaultCredentialsChain::builder().configure(config).region(self.region.clone()).build().await
    }
}

#[async_trait]
impl FetchCredentials for DefaultChain {
    async fn fetch(&self) -> Result<FetchedCredentials, CredentialsError> {
        let chain = Box::pin(self.chain()).await;
        // Silences the crate's own log of every failed attempt.
        let found = chain.provide_credentials().with_subscriber(NoSubscriber::default()).await;
        let found = found.map_err(|error| describe(&error))?;
        let (id, secret) = (found.access_key_id(), found.secret_access_key());
        let credentials = Credentials::new(id, secret, found.session_token())
            .map_err(|error| CredentialsError::new(error.to_string()))?;
        let millis = |expires: SystemTime| {
            UnixMillis::default().plus(expires.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
        };
        Ok(FetchedCredentials { credentials, expires: found.expiry().map(millis) })
    }
}

fn describe(error: &aws_credential_types::provider::error::CredentialsError) -> CredentialsError {
    let text = format!("{error}: {}", metric::cause(error));
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_ERROR_TEXT);
    CredentialsError::new(line.collect::<String>())
}

/// Adapter from the worker's clock to the crate's time source.
struct ClockTimeSource(Arc<dyn Clock>);

impl TimeSource for ClockTimeSource {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.now().0)
    }
}

impl fmt::Debug for ClockTimeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
