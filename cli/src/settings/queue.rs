//! Flags of a queue on a server or a cloud service.

use std::fmt;
use std::io::Read as _;
use std::num::{NonZeroU16, NonZeroU64};
use std::path::PathBuf;

use chargegate_pull::cloudflare::{self, ApiToken};
use chargegate_pull::sqs;
use chargegate_redis as redis;
use chargegate_redis::RedisUrlError;

use super::{SettingError, WorkerTuningArgs};

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
    /// Number of streams of the queue in Redis; must be the same for every edge and worker
    #[arg(long, env = "CHARGEGATE_QUEUE_STREAMS", value_name = "STREAMS", default_value = "1")]
    queue_streams: NonZeroU16,
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
    #[arg(long, env = "CLOUDFLARE_BASE_URL", value_name = "URL", default_value = cloudflare::BASE_URL)]
    cloudflare_base_url: String,
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

/// Settings of the queue's engine, by the scheme of the URL.
#[derive(Clone, Debug)]
pub(crate) enum RemoteQueueSettings {
    /// `redis:` and `rediss:`.
    Redis(redis::Settings),
    /// `sqs:` and `sqs+http:`.
    Sqs(sqs::Settings),
    /// `cloudflare:`.
    Cloudflare(cloudflare::Settings),
}

/// The reason why a queue URL is unusable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueueUrlError {
    /// The scheme names no engine.
    #[error("expected a URL that begins with redis://, rediss://, sqs:// or cloudflare://")]
    Scheme,
    /// Redis or Valkey.
    #[error(transparent)]
    Redis(#[from] RedisUrlError),
    /// Amazon SQS.
    #[error(transparent)]
    Sqs(#[from] sqs::QueueUrlError),
    /// Cloudflare Queues.
    #[error(transparent)]
    Cloudflare(#[from] cloudflare::QueueUrlError),
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

    /// Returns the settings of a queue that is only inspected.
    ///
    /// # Errors
    /// [`SettingError`]: no queue is configured, or a setting is unusable.
    pub(crate) fn settings(&self) -> Result<RemoteQueueSettings, SettingError> {
        let url = self.configured_url().ok_or(SettingError::NoQueue)?;
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("redis" | "rediss") => self.redis(url).map(RemoteQueueSettings::Redis),
            Some("sqs" | "sqs+http") => {
                let url = url.parse().map_err(|error| SettingError::QueueUrl(QueueUrlError::Sqs(error)))?;
                Ok(RemoteQueueSettings::Sqs(sqs::Settings::new(url)))
            }
            Some("cloudflare") => self.cloudflare(url).map(RemoteQueueSettings::Cloudflare),
            _ => Err(SettingError::QueueUrl(QueueUrlError::Scheme)),
        }
    }

    fn redis(&self, url: &str) -> Result<redis::Settings, SettingError> {
        let url = url.parse().map_err(|error| SettingError::QueueUrl(QueueUrlError::Redis(error)))?;
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '{' || c == '}';
        if self.queue_prefix.is_empty()
            || self.queue_prefix.len() > MAX_PREFIX
            || self.queue_prefix.contains(forbidden)
        {
            return Err(SettingError::QueuePrefix);
        }
        Ok(redis::Settings {
            streams: self.queue_streams,
            prefix: self.queue_prefix.clone(),
            // Only an edge enforces the limit.
            depth_limit: u64::MAX,
            ..redis::Settings::new(url)
        })
    }

    fn cloudflare(&self, url: &str) -> Result<cloudflare::Settings, SettingError> {
        let url = url.parse().map_err(|error| SettingError::QueueUrl(QueueUrlError::Cloudflare(error)))?;
        let base_url = self.cloudflare_base_url.parse().map_err(SettingError::CloudflareBaseUrl)?;
        Ok(cloudflare::Settings { base_url, ..cloudflare::Settings::new(url, self.cloudflare_token()?) })
    }

    /// Returns the token from the variable or from the file.
    fn cloudflare_token(&self) -> Result<ApiToken, SettingError> {
        let text = match (&self.cloudflare_api_token, &self.cloudflare_api_token_file) {
            (_, Some(path)) => {
                let unreadable = |source| SettingError::CloudflareTokenFile { path: path.clone(), source };
                let mut text = String::new();
                let file = std::fs::File::open(path).map_err(unreadable)?;
                file.take(MAX_TOKEN_FILE).read_to_string(&mut text).map_err(unreadable)?;
                text
            }
            (Some(token), None) if !token.is_empty() => token.clone(),
            _ => return Err(SettingError::NoCloudflareToken),
        };
        text.parse().map_err(SettingError::CloudflareToken)
    }
}

impl RemoteQueueSettings {
    /// Returns the settings for an edge: at most `depth_limit` messages wait, on engines that let us count them.
    pub(crate) fn for_edge(self, depth_limit: NonZeroU64) -> Self {
        match self {
            Self::Redis(settings) => {
                Self::Redis(redis::Settings { depth_limit: depth_limit.get(), ..settings })
            }
            Self::Sqs(_) | Self::Cloudflare(_) => self,
        }
    }

    /// Returns the settings for a worker with the flags `work`: a lease outlasts the work done under it.
    pub(crate) fn for_worker(self, work: &WorkerTuningArgs) -> Self {
        let message_lease = work.message_lease();
        match self {
            Self::Redis(settings) => Self::Redis(redis::Settings { message_lease, ..settings }),
            Self::Sqs(settings) => Self::Sqs(sqs::Settings { message_lease, ..settings }),
            Self::Cloudflare(settings) => {
                let message_lease = work.shortest_message_lease();
                // A message that arrives during the pause is still leased in time for a call.
                let idle_pause = settings.idle_pause.min(work.decision_deadline() / 2);
                Self::Cloudflare(cloudflare::Settings { message_lease, idle_pause, ..settings })
            }
        }
    }
}
