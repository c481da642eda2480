//! Risky settings of a queue.

use std::fmt;

/// Setting of a queue that puts accepted requests at risk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudflareWarning {
    /// The token may not read the queue's settings.
    SettingsHidden,
    /// Messages are removed after too few deliveries.
    FewRetries {
        /// The queue's name.
        queue: String,
        /// Retries that the consumer allows.
        max_retries: u64,
        /// Smallest suitable number.
        needed: u64,
    },
    /// Removed messages are deleted.
    NoDeadLetterQueue {
        /// The queue's name.
        queue: String,
    },
    /// Waiting messages are deleted soon.
    ShortRetention {
        /// The queue's name.
        queue: String,
        /// Retention in seconds.
        seconds: u64,
    },
    /// Messages are delayed before they can be pulled.
    Delayed {
        /// The queue's name.
        queue: String,
        /// Delay in seconds.
        seconds: u64,
    },
    /// Delivery is paused.
    Paused {
        /// The queue's name.
        queue: String,
    },
}

impl fmt::Display for CloudflareWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SettingsHidden => f.write_str(
                "the API token may not read the settings of the queue, so its retention and its limits are unchecked; give the token the permission Queues Edit",
            ),
            Self::FewRetries { queue, max_retries, needed } => write!(
                f,
                "the consumer of the queue gives up messages after {max_retries} retries: a worker that fails a few times loses requests that were accepted; allow {needed} or more, by `npx wrangler queues consumer http remove {queue}` and `npx wrangler queues consumer http add {queue} --message-retries {needed} --dead-letter-queue {queue}-dead`"
            ),
            Self::NoDeadLetterQueue { queue } => write!(
                f,
                "the consumer of the queue has no dead-letter queue: messages that it gives up are deleted; create one by `npx wrangler queues create {queue}-dead`, then `npx wrangler queues consumer http remove {queue}` and `npx wrangler queues consumer http add {queue} --message-retries 100 --dead-letter-queue {queue}-dead`"
            ),
            Self::ShortRetention { queue, seconds } => write!(
                f,
                "the queue deletes messages after {seconds} s: requests that were accepted are lost when workers stop for longer; run `npx wrangler queues update {queue} --message-retention-period-secs 345600`"
            ),
            Self::Delayed { queue, seconds } => write!(
                f,
                "the queue holds back every message for {seconds} s, which is taken from the time to decide; run `npx wrangler queues update {queue} --delivery-delay-secs 0`"
            ),
            Self::Paused { queue } => write!(
                f,
                "the queue is paused, and nothing is decided; run `npx wrangler queues resume-delivery {queue}`"
            ),
        }
    }
}
