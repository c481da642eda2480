//! Where the queue is, when it is on a server or a service of its own.

use std::fmt;
use std::io::Read as _;
use std::num::{NonZeroU16, NonZeroU64};
use std::path::PathBuf;

use chargegate_pull::cloudflare::{self, ApiToken};
use chargegate_pull::sqs;
use chargegate_redis as redis;
use chargegate_redis::RedisUrlError;

use super::{SettingError, WorkerTuningArgs};

/// The longest name that keys may begin with.
const MAX_PREFIX: usize = 100;
/// A token file that is longer holds something else.
const MAX_TOKEN_FILE: u64 = 4 * 1024;

/// Where the queue is.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct QueueArgs {
    #[arg(help = "The queue: redis://host:6379 (Redis or Valkey; rediss:// is over TLS), \
                sqs://sqs.REGION.amazonaws.com/ACCOUNT/QUEUE, or cloudflare://ACCOUNT/QUEUE_ID")]
    #[arg(long, env = "QUEUE_URL", value_name = "URL", hide_env_values = true)]
    queue_url: Option<String>,
    /// What the names of the queue's keys in Redis begin with
    #[arg(long, env = "CHARGEGATE_QUEUE_PREFIX", value_name = "NAME", default_value = "chargegate")]
    queue_prefix: String,
    /// How many streams the queue in Redis spreads over: the same for every edge and worker
    #[arg(long, env = "CHARGEGATE_QUEUE_STREAMS", value_name = "STREAMS", default_value = "1")]
    queue_streams: NonZeroU16,
    /// Cloudflare's API token, with the permissions to read and write queues; better in the environment than here
    #[arg(long, env = "CLOUDFLARE_API_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    cloudflare_api_token: Option<String>,
    /// A file that holds it instead
    #[arg(
        long,
        env = "CLOUDFLARE_API_TOKEN_FILE",
        value_name = "PATH",
        conflicts_with = "cloudflare_api_token"
    )]
    cloudflare_api_token_file: Option<PathBuf>,
    /// Where Cloudflare's API is
    #[arg(long, env = "CLOUDFLARE_BASE_URL", value_name = "URL", default_value = cloudflare::BASE_URL)]
    cloudflare_base_url: String,
}

/// How much the queue may hold.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct QueueLimitArgs {
    /// Messages the queue holds; further requests are answered 503. SQS and Cloudflare Queues have limits of their own
    #[arg(long, env = "CHARGEGATE_QUEUE_LIMIT", value_name = "MESSAGES", default_value = "100000")]
    pub(crate) queue_limit: NonZeroU64,
}

/// How the queue is used, by the scheme of its URL.
#[derive(Clone, Debug)]
pub(crate) enum RemoteQueueSettings {
    /// `redis:` and `rediss:`.
    Redis(redis::Settings),
    /// `sqs:` and `sqs+http:`.
    Sqs(sqs::Settings),
    /// `cloudflare:`.
    Cloudflare(cloudflare::Settings),
}

/// The text is the URL of no queue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueueUrlError {
    /// Its scheme is none of ours.
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
        // A URL may hold a password, and a token is one.
        f.debug_struct("QueueArgs").finish_non_exhaustive()
    }
}

impl QueueArgs {
    /// The URL as it was given; an empty one is as good as none.
    pub(crate) fn given(&self) -> Option<&str> {
        self.queue_url.as_deref().filter(|url| !url.is_empty())
    }

    /// The queue's settings, as whoever only reads it needs them.
    ///
    /// # Errors
    /// [`SettingError`]: there is no queue, or a setting cannot be used.
    pub(crate) fn settings(&self) -> Result<RemoteQueueSettings, SettingError> {
        let url = self.given().ok_or(SettingError::NoQueue)?;
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
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '{' || c == '}';
        if self.queue_prefix.is_empty()
            || self.queue_prefix.len() > MAX_PREFIX
            || self.queue_prefix.contains(odd)
        {
            return Err(SettingError::QueuePrefix);
        }
        Ok(redis::Settings {
            streams: self.queue_streams,
            prefix: self.queue_prefix.clone(),
            // The edges refuse.
            depth_limit: u64::MAX,
            ..redis::Settings::new(url)
        })
    }

    fn cloudflare(&self, url: &str) -> Result<cloudflare::Settings, SettingError> {
        let url = url.parse().map_err(|error| SettingError::QueueUrl(QueueUrlError::Cloudflare(error)))?;
        let base_url = self.cloudflare_base_url.parse().map_err(SettingError::CloudflareBaseUrl)?;
        Ok(cloudflare::Settings { base_url, ..cloudflare::Settings::new(url, self.cloudflare_token()?) })
    }

    /// The token, from the environment or from the file.
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
    /// As an edge uses it: no more than `depth_limit` messages wait, where we are the ones who count them.
    pub(crate) fn for_edge(self, depth_limit: NonZeroU64) -> Self {
        match self {
            Self::Redis(settings) => {
                Self::Redis(redis::Settings { depth_limit: depth_limit.get(), ..settings })
            }
            Self::Sqs(_) | Self::Cloudflare(_) => self,
        }
    }

    /// As a worker uses it that works as `work` says: leases outlast what is done under them.
    pub(crate) fn for_worker(self, work: &WorkerTuningArgs) -> Self {
        let message_lease = work.message_lease();
        match self {
            Self::Redis(settings) => Self::Redis(redis::Settings { message_lease, ..settings }),
            Self::Sqs(settings) => Self::Sqs(sqs::Settings { message_lease, ..settings }),
            Self::Cloudflare(settings) => {
                let message_lease = work.shortest_message_lease();
                // What comes after a pause is found in time to be asked for.
                let idle_pause = settings.idle_pause.min(work.decision_deadline() / 2);
                Self::Cloudflare(cloudflare::Settings { message_lease, idle_pause, ..settings })
            }
        }
    }
}
