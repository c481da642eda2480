//! The default credentials chain of AWS tools.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_sdk_sqs::config::{Credentials, ProvideCredentials as _, Region};
use aws_smithy_async::rt::sleep::TokioSleep;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use super::super::sdk::{SdkClock, SdkHttpClient, behavior_version};
use super::{CredentialsError, FetchCredentials};
use crate::http_client::ServiceClient;
use chargegate_storage::Clock;
use chargegate_storage::metric;

/// Longest duration of an exchange with a source of credentials.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);
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
            .with_http_client(SdkHttpClient::new(self.client.clone(), EXCHANGE_TIMEOUT))
            .with_sleep_impl(TokioSleep::new())
            .with_time_source(SdkClock(Arc::clone(&self.clock)))
            .with_behavior_version(Some(behavior_version()));
        DefaultCredentialsChain::builder().configure(config).region(self.region.clone()).build().await
    }
}

#[async_trait]
impl FetchCredentials for DefaultChain {
    async fn fetch(&self) -> Result<Credentials, CredentialsError> {
        let chain = Box::pin(self.chain()).await;
        // Silences the crate's own log of every failed attempt.
        let found = chain.provide_credentials().with_subscriber(NoSubscriber::default()).await;
        let found = found.map_err(|error| describe(&error))?;
        match malformed_part(&found) {
            Some(part) => {
                Err(CredentialsError::new(format!("the {part} is empty or contains an invalid character")))
            }
            None => Ok(found),
        }
    }
}

/// Returns the name of the first part that cannot be used: each is sent in a header or signs one.
fn malformed_part(credentials: &Credentials) -> Option<&'static str> {
    let is_visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let id = credentials.access_key_id();
    // These characters end the id in the `authorization` header.
    if !is_visible(id) || id.contains(['/', ',', '=']) {
        Some("access key id")
    } else if !is_visible(credentials.secret_access_key()) {
        Some("secret access key")
    } else if credentials.session_token().is_some_and(|token| !is_visible(token)) {
        Some("session token")
    } else {
        None
    }
}

fn describe(error: &dyn Error) -> CredentialsError {
    let text = format!("{error}: {}", metric::cause(error));
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_ERROR_TEXT);
    CredentialsError::new(line.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: &str, secret: &str, token: Option<&str>, expected: Option<&str>) {
        let credentials = Credentials::new(id, secret, token.map(str::to_owned), None, "test");
        assert_eq!(malformed_part(&credentials), expected, "{id:?} {secret:?} {token:?}");
    }

    #[test]
    fn characters_that_a_header_cannot_carry_are_refused() {
        check("AKIDEXAMPLE", "a+/=", Some("b+/="), None);
        for id in ["", "a b", "a\n", "a/b", "a,b", "a=b", "ä"] {
            check(id, "s", None, Some("access key id"));
        }
        for other in ["", "a b", "a\n", "ä"] {
            check("a", other, None, Some("secret access key"));
            check("a", "s", Some(other), Some("session token"));
        }
    }
}
