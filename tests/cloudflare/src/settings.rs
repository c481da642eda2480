//! What an emulator is started with.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::limits;

/// What an emulator is started with.
#[derive(Clone, Debug)]
pub struct EmulatorSettings {
    /// Where both protocols are served.
    pub listen: SocketAddr,
    /// The queues of all accounts.
    pub queues: Vec<EmulatedQueueSettings>,
    /// Who may call the API. The broker's protocol has no tokens: only a Workers runtime speaks it.
    pub tokens: Vec<ApiTokenSettings>,
    /// Messages that each queue takes in a second; `None` is no limit.
    pub messages_per_second: Option<u32>,
    /// Calls that each token may make in five minutes, pulls and acknowledgements aside; `None` is no limit.
    pub calls_per_five_minutes: Option<u32>,
}

/// A queue and its consumer.
#[derive(Clone, Debug)]
pub struct EmulatedQueueSettings {
    /// The account it belongs to.
    pub account: String,
    /// Its id, as in the path of the API.
    pub id: String,
    /// Its name, unique in its account.
    pub name: String,
    /// How long each message is held back before its first delivery.
    pub delivery_delay: Duration,
    /// Whether pulls get nothing.
    pub delivery_paused: bool,
    /// How long a message is kept.
    pub retention: Duration,
    /// How many bytes of messages it holds.
    pub backlog_bytes: u64,
    /// Who takes messages from it.
    pub consumer: QueueConsumer,
}

/// Who takes messages from a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueConsumer {
    /// Nobody yet.
    None,
    /// A Worker, which means that nobody can pull.
    Worker {
        /// The Worker's name.
        script: String,
    },
    /// Whoever pulls over HTTP.
    HttpPull(PullConsumerSettings),
}

/// A consumer that pulls over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullConsumerSettings {
    /// How often a message is delivered again before it is given up.
    pub max_retries: u32,
    /// How long a message is held back before it is delivered again.
    pub retry_delay: Duration,
    /// How long a lease lasts where the pull does not say.
    pub visibility_timeout: Duration,
    /// The name of the queue that gets what was given up; without one it is deleted.
    pub dead_letter_queue: Option<String>,
}

/// A token of the API.
#[derive(Clone)]
pub struct ApiTokenSettings {
    /// The account it is for.
    pub account: String,
    /// The bearer token itself.
    pub token: String,
    /// What it permits.
    pub access: TokenPermission,
}

/// What a token permits. Whether Cloudflare lets a token pull that may not acknowledge is not documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenPermission {
    /// Looking at queues.
    Read,
    /// Looking and pulling, but nothing else.
    Pull,
    /// Everything.
    Edit,
}

/// Something that Cloudflare would not let be configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("queue {queue}: {setting} must be {bounds}")]
pub struct EmulatorSettingsError {
    queue: String,
    setting: &'static str,
    bounds: &'static str,
}

impl EmulatorSettings {
    /// Account `account` with one queue named `jobs`, its dead-letter queue `jobs-dead` and one token `token` that
    /// permits everything, on a free port of loopback.
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
    /// A queue with Cloudflare's defaults and an HTTP pull consumer.
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
            return error("its id", "letters and digits");
        }
        if !within(self.delivery_delay, &delays) {
            return error("the delivery delay", "24 hours at most");
        }
        if !within(self.retention, &retentions) {
            return error("the retention", "60 seconds to 14 days");
        }
        let QueueConsumer::HttpPull(pull) = &self.consumer else { return Ok(()) };
        if pull.max_retries > limits::RETRIES {
            return error("max_retries", "100 at most");
        }
        if !within(pull.retry_delay, &delays) {
            return error("the retry delay", "24 hours at most");
        }
        if !within(pull.visibility_timeout, &visibilities) {
            return error("the visibility timeout", "12 hours at most");
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
    /// A token for one account.
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
