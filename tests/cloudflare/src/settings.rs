//! Settings of the emulator.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::limits;

/// Settings of the emulator.
#[derive(Clone, Debug)]
pub struct EmulatorSettings {
    /// Listen address of both protocols.
    pub listen: SocketAddr,
    /// The queues of all accounts.
    pub queues: Vec<EmulatedQueueSettings>,
    /// Tokens of the API. The broker's protocol has none: only a Workers runtime uses it.
    pub tokens: Vec<ApiTokenSettings>,
    /// Messages that each queue accepts per second; `None` means unlimited.
    pub messages_per_second: Option<u32>,
    /// Calls of each token in five minutes, excluding pulls and acknowledgements; `None` means unlimited.
    pub calls_per_five_minutes: Option<u32>,
}

/// A queue and its consumer.
#[derive(Clone, Debug)]
pub struct EmulatedQueueSettings {
    /// The owning account.
    pub account: String,
    /// The id in API paths.
    pub id: String,
    /// The name, unique within its account.
    pub name: String,
    /// Delay before the first delivery of each message.
    pub delivery_delay: Duration,
    /// Whether delivery is paused, so that pulls return nothing.
    pub delivery_paused: bool,
    /// Retention of messages.
    pub retention: Duration,
    /// Maximum size of all messages in bytes.
    pub backlog_bytes: u64,
    /// The consumer.
    pub consumer: QueueConsumer,
}

/// Consumer of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueConsumer {
    /// No consumer.
    None,
    /// A Worker; pulls are refused.
    Worker {
        /// The Worker's name.
        script: String,
    },
    /// Clients that pull over HTTP.
    HttpPull(PullConsumerSettings),
}

/// Settings of an HTTP pull consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullConsumerSettings {
    /// Maximum number of redeliveries of a message.
    pub max_retries: u32,
    /// Delay before a redelivery.
    pub retry_delay: Duration,
    /// Lease duration if the pull sets none.
    pub visibility_timeout: Duration,
    /// Name of the dead-letter queue; without one, messages are deleted after too many deliveries.
    pub dead_letter_queue: Option<String>,
}

/// A token of the API.
#[derive(Clone)]
pub struct ApiTokenSettings {
    /// The account.
    pub account: String,
    /// The bearer token itself.
    pub token: String,
    /// The permission.
    pub access: TokenPermission,
}

/// Permission of a token. It is undocumented whether Cloudflare allows a token to pull but not to acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenPermission {
    /// Reading queues.
    Read,
    /// Reading and pulling only.
    Pull,
    /// Everything.
    Edit,
}

/// A setting is outside Cloudflare's limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("queue {queue}: {setting} must be {bounds}")]
pub struct EmulatorSettingsError {
    queue: String,
    setting: &'static str,
    bounds: &'static str,
}

impl EmulatorSettings {
    /// Returns settings with account `account`, a queue `jobs`, its dead-letter queue `jobs-dead` and a token `token`
    /// with all permissions, on a free port of loopback.
    #[must_use]
    pub fn sample() -> Self {
        let dead = EmulatedQueueSettings::new("account", "deadbeefdeadbeefdeadbeefdeadbeef", "jobs-dead");
        let mut jobs = EmulatedQueueSettings::new("account", "cafecafecafecafecafecafecafecafe", "jobs");
        let dead_letter_queue = Some(dead.name.clone());
        jobs.consumer = QueueConsumer::HttpPull(PullConsumerSettings {
            dead_letter_queue,
            ..PullConsumerSettings::default()
        });
        Self {
            queues: vec![jobs, dead],
            tokens: vec![ApiTokenSettings::new("account", "token", TokenPermission::Edit)],
            ..Self::default()
        }
    }

    pub(crate) fn check(&self) -> Result<(), EmulatorSettingsError> {
        self.queues.iter().try_for_each(EmulatedQueueSettings::check)
    }
}

/// No queue and no token, on a free port of loopback.
impl Default for EmulatorSettings {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            queues: Vec::new(),
            tokens: Vec::new(),
            messages_per_second: Some(limits::MESSAGES_PER_SECOND),
            calls_per_five_minutes: None,
        }
    }
}

impl EmulatedQueueSettings {
    /// Creates a queue with Cloudflare's defaults and an HTTP pull consumer.
    #[must_use]
    pub fn new(account: &str, id: &str, name: &str) -> Self {
        Self {
            account: account.to_owned(),
            id: id.to_owned(),
            name: name.to_owned(),
            delivery_delay: Duration::ZERO,
            delivery_paused: false,
            retention: limits::DEFAULT_RETENTION,
            backlog_bytes: limits::BACKLOG_BYTES,
            consumer: QueueConsumer::HttpPull(PullConsumerSettings::default()),
        }
    }

    fn check(&self) -> Result<(), EmulatorSettingsError> {
        let error =
            |setting, bounds| Err(EmulatorSettingsError { queue: self.name.clone(), setting, bounds });
        let delays = Duration::ZERO..=limits::DELAY;
        let retentions = limits::MIN_RETENTION..=limits::RETENTION;
        let visibilities = Duration::from_millis(1)..=limits::VISIBILITY;
        let within = |value: Duration, bounds: &RangeInclusive<Duration>| bounds.contains(&value);
        if self.id.is_empty() || !self.id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return error("the id", "letters and digits");
        }
        if !within(self.delivery_delay, &delays) {
            return error("the delivery delay", "at most 24 hours");
        }
        if !within(self.retention, &retentions) {
            return error("the retention", "60 seconds to 14 days");
        }
        let QueueConsumer::HttpPull(pull) = &self.consumer else { return Ok(()) };
        if pull.max_retries > limits::RETRIES {
            return error("max_retries", "at most 100");
        }
        if !within(pull.retry_delay, &delays) {
            return error("the retry delay", "at most 24 hours");
        }
        if !within(pull.visibility_timeout, &visibilities) {
            return error("the visibility timeout", "at most 12 hours");
        }
        Ok(())
    }
}

impl Default for PullConsumerSettings {
    fn default() -> Self {
        Self {
            max_retries: limits::DEFAULT_RETRIES,
            retry_delay: Duration::ZERO,
            visibility_timeout: limits::DEFAULT_VISIBILITY,
            dead_letter_queue: None,
        }
    }
}

impl ApiTokenSettings {
    /// Creates a token of one account.
    #[must_use]
    pub fn new(account: &str, token: &str, access: TokenPermission) -> Self {
        Self { account: account.to_owned(), token: token.to_owned(), access }
    }
}

impl fmt::Debug for ApiTokenSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSettings")
            .field("account", &self.account)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
