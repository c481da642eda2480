//! Risky settings of a queue.

use std::fmt;
use std::time::Duration;

/// Setting of a queue that puts accepted requests at risk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SqsWarning {
    /// The settings may not be read.
    AttributesHidden,
    /// The redrive policy removes messages before they are decided.
    RedriveTooEarly {
        /// Its `maxReceiveCount`.
        max_receive_count: u64,
        /// Smallest suitable value.
        needed: u64,
    },
    /// Messages are deleted soon.
    ShortRetention {
        /// Retention of a message.
        retention: Duration,
    },
    /// Messages are delayed.
    Delayed {
        /// Delay of each message.
        delay: Duration,
    },
    /// Some messages do not fit.
    SmallMessages {
        /// Most bytes of a message.
        limit: u64,
        /// Bytes of the largest message.
        needed: u64,
    },
}

impl fmt::Display for SqsWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const QUEUE: &str = "the queue";
        match self {
            Self::AttributesHidden => write!(
                f,
                "the settings of {QUEUE} could not be looked at, nor can it be seen how full it is: let a policy allow sqs:GetQueueAttributes"
            ),
            Self::RedriveTooEarly { max_receive_count, needed } => write!(
                f,
                "{QUEUE} gives a message up after {max_receive_count} deliveries, before it is decided, and its client may never be called back: set maxReceiveCount of its RedrivePolicy to {needed} or more"
            ),
            Self::ShortRetention { retention } => write!(
                f,
                "{QUEUE} deletes messages after {} s: accepted requests are lost if workers stop for that long; set its MessageRetentionPeriod to 345600 or more",
                retention.as_secs()
            ),
            Self::Delayed { delay } => write!(
                f,
                "{QUEUE} delays each message by {} s of the time there is to decide: set its DelaySeconds to 0",
                delay.as_secs()
            ),
            Self::SmallMessages { limit, needed } => write!(
                f,
                "{QUEUE} takes no message of more than {limit} bytes: requests with a larger one are answered 503; set its MaximumMessageSize to {needed} or more"
            ),
        }
    }
}
