//! Where the queue and the store are, when they are on servers of their own.

use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};
use std::time::Duration;

use chargegate_worker::{postgres, redis};

use super::SettingError;

/// The longest name that keys may begin with.
const MAX_PREFIX: usize = 100;

/// Where the queue is.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[expect(clippy::struct_field_names, reason = "each field is the name of its flag")]
pub(crate) struct QueueArgs {
    #[arg(help = "The queue: a Redis or Valkey server, like redis://127.0.0.1:6379; rediss:// is over TLS")]
    #[arg(long, env = "QUEUE_URL", value_name = "URL", hide_env_values = true)]
    queue_url: Option<String>,
    /// What the names of the queue's keys begin with
    #[arg(long, env = "CHARGEGATE_QUEUE_PREFIX", value_name = "NAME", default_value = "chargegate")]
    queue_prefix: String,
    /// How many streams the queue spreads over: the same for every edge and worker
    #[arg(long, env = "CHARGEGATE_QUEUE_STREAMS", value_name = "STREAMS", default_value = "1")]
    queue_streams: NonZeroU16,
}

/// How much the queue may hold.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct QueueLimitArgs {
    /// Messages the queue holds; further requests are answered 503
    #[arg(long, env = "CHARGEGATE_QUEUE_LIMIT", value_name = "MESSAGES", default_value = "100000")]
    pub(crate) queue_limit: NonZeroU64,
}

/// Where the store is.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct DatabaseArgs {
    #[arg(help = "The store: a PostgreSQL database, like postgres://user:password@host/database")]
    #[arg(long, global = true, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
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
    pub(crate) fn settings(&self) -> Result<redis::Settings, SettingError> {
        let url = self.given().ok_or(SettingError::NoQueue)?;
        let url = url.parse().map_err(SettingError::QueueUrl)?;
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
            ..redis::Settings::new(url)
        })
    }
}

impl DatabaseArgs {
    /// The URL as it was given; an empty one is as good as none.
    pub(crate) fn given(&self) -> Option<&str> {
        self.database_url.as_deref().filter(|url| !url.is_empty())
    }

    /// The database's URL.
    ///
    /// # Errors
    /// [`SettingError`]: there is no database, or its URL cannot be read.
    pub(crate) fn url(&self) -> Result<postgres::DatabaseUrl, SettingError> {
        let url = self.given().ok_or(SettingError::NoDatabase)?;
        url.parse().map_err(SettingError::DatabaseUrl)
    }

    /// The store's settings.
    ///
    /// # Errors
    /// See [`Self::url`].
    pub(crate) fn settings(
        &self,
        connections: NonZeroU32,
        callback_lease: Duration,
        retention: Duration,
    ) -> Result<postgres::Settings, SettingError> {
        Ok(postgres::Settings {
            connections,
            callback_lease,
            retention,
            ..postgres::Settings::new(self.url()?)
        })
    }
}
