//! Flags of a queue on a server or a cloud service.

use std::fmt;
use std::io::Read as _;
use std::num::NonZeroU64;
use std::path::PathBuf;

use super::SettingError;

/// The base URL of Cloudflare's API.
const CLOUDFLARE_BASE_URL: &str = "https://api.cloudflare.com/client/v4";
/// Maximum length of the key prefix.
const MAX_PREFIX: usize = 100;
/// Size limit of a token file; a larger file holds something else.
const MAX_TOKEN_FILE: u64 = 4 * 1024;

/// Flags of a queue on a server or a cloud service.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct QueueArgs {
    #[arg(help = "URL of the queue: redis://host:6379 (Redis or Valkey; rediss:// for TLS), \
                sqs://sqs.REGION.amazonaws.com/ACCOUNT/QUEUE, or cloudflare://ACCOUNT/QUEUE_ID")]
    #[arg(long, env = "QUEUE_URL", value_name = "URL", hide_env_values = true)]
    queue_url: Option<String>,
    /// Prefix of the queue's keys in Redis
    #[arg(long, env = "CHARGEGATE_QUEUE_PREFIX", value_name = "NAME", default_value = "chargegate")]
    queue_prefix: String,
    /// Cloudflare API token that may read and write queues; prefer the environment variable to the flag
    #[arg(long, env = "CLOUDFLARE_API_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    cloudflare_api_token: Option<String>,
    /// File that holds the Cloudflare API token
    #[arg(
        long,
        env = "CLOUDFLARE_API_TOKEN_FILE",
        value_name = "PATH",
        conflicts_with = "cloudflare_api_token"
    )]
    cloudflare_api_token_file: Option<PathBuf>,
    /// Base URL of Cloudflare's API
    #[arg(long, env = "CLOUDFLARE_BASE_URL", value_name = "URL", default_value = CLOUDFLARE_BASE_URL)]
    pub(crate) cloudflare_base_url: String,
}

/// Flags of the queue's capacity.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct QueueLimitArgs {
    /// Maximum number of messages in the queue; further requests are answered 503. SQS and Cloudflare Queues ignore
    /// it: they have their own limits
    #[arg(long, env = "CHARGEGATE_QUEUE_LIMIT", value_name = "MESSAGES", default_value = "100000")]
    pub(crate) queue_limit: NonZeroU64,
}

impl fmt::Debug for QueueArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password, and the token is a secret.
        f.debug_struct("QueueArgs").finish_non_exhaustive()
    }
}

impl QueueArgs {
    /// Returns the configured URL; an empty one counts as unset.
    pub(crate) fn configured_url(&self) -> Option<&str> {
        self.queue_url.as_deref().filter(|url| !url.is_empty())
    }

    /// Returns the key prefix.
    ///
    /// # Errors
    /// [`SettingError::QueuePrefix`].
    pub(crate) fn checked_prefix(&self) -> Result<&str, SettingError> {
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '{' || c == '}';
        let prefix = &self.queue_prefix;
        if prefix.is_empty() || prefix.len() > MAX_PREFIX || prefix.contains(forbidden) {
            return Err(SettingError::QueuePrefix);
        }
        Ok(prefix)
    }

    /// Returns the token from the variable or from the file.
    ///
    /// # Errors
    /// [`SettingError`]: no token is configured, or its file cannot be read.
    pub(crate) fn cloudflare_token(&self) -> Result<String, SettingError> {
        match (&self.cloudflare_api_token, &self.cloudflare_api_token_file) {
            (_, Some(path)) => {
                let unreadable = |source| SettingError::CloudflareTokenFile { path: path.clone(), source };
                let mut text = String::new();
                let file = std::fs::File::open(path).map_err(unreadable)?;
                file.take(MAX_TOKEN_FILE).read_to_string(&mut text).map_err(unreadable)?;
                Ok(text)
            }
            (Some(token), None) if !token.is_empty() => Ok(token.clone()),
            _ => Err(SettingError::NoCloudflareToken),
        }
    }
}

#[cfg(all(test, feature = "cloudflare"))]
mod tests {
    #[test]
    fn the_default_base_url_is_that_of_the_engine() {
        assert_eq!(super::CLOUDFLARE_BASE_URL, chargegate_pull::cloudflare::BASE_URL);
    }
}
