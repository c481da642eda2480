//! What works and should not stay so.

use std::fmt;

/// Something about a queue that an operator should know before trusting it with messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The token may not read the queue's settings.
    SettingsHidden,
    /// Messages are taken away after too few deliveries.
    FewRetries {
        /// The queue's name.
        queue: String,
        /// How often the consumer has a message delivered again.
        max_retries: u64,
        /// How often it must at least.
        needed: u64,
    },
    /// Messages that are taken away are deleted.
    NoDeadLetterQueue {
        /// The queue's name.
        queue: String,
    },
    /// Messages that wait are soon deleted.
    ShortRetention {
        /// The queue's name.
        queue: String,
        /// After how many seconds.
        seconds: u64,
    },
    /// Messages are held back before they can be pulled.
    Delayed {
        /// The queue's name.
        queue: String,
        /// For how many seconds.
        seconds: u64,
    },
    /// Nothing can be pulled.
    Paused {
        /// The queue's name.
        queue: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SettingsHidden => f.write_str(
                "CLOUDFLARE_API_TOKEN may not read the settings of the queue in QUEUE_URL (--queue-url), so that nobody checked that it keeps messages long enough; give the token the permission Queues Edit",
            ),
            Self::FewRetries { queue, max_retries, needed } => write!(
                f,
                "the consumer of the queue in QUEUE_URL (--queue-url) gives up messages after {max_retries} retries: a worker that fails a few times loses requests that were accepted; allow {needed} or more, by `npx wrangler queues consumer http remove {queue}` and `npx wrangler queues consumer http add {queue} --message-retries {needed} --dead-letter-queue {queue}-dead`"
            ),
            Self::NoDeadLetterQueue { queue } => write!(
                f,
                "the consumer of the queue in QUEUE_URL (--queue-url) has no dead-letter queue: messages that it gives up are deleted; create one by `npx wrangler queues create {queue}-dead`, then `npx wrangler queues consumer http remove {queue}` and `npx wrangler queues consumer http add {queue} --message-retries 100 --dead-letter-queue {queue}-dead`"
            ),
            Self::ShortRetention { queue, seconds } => write!(
                f,
                "the queue in QUEUE_URL (--queue-url) deletes messages after {seconds} s: requests that were accepted are lost when workers stop for longer; run `npx wrangler queues update {queue} --message-retention-period-secs 345600`"
            ),
            Self::Delayed { queue, seconds } => write!(
                f,
                "the queue in QUEUE_URL (--queue-url) holds back every message for {seconds} s, which is taken from the time to decide; run `npx wrangler queues update {queue} --delivery-delay-secs 0`"
            ),
            Self::Paused { queue } => write!(
                f,
                "the queue in QUEUE_URL (--queue-url) is paused, and nothing is decided; run `npx wrangler queues resume-delivery {queue}`"
            ),
        }
    }
}
