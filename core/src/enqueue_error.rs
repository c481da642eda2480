//! The error of a queue that does not confirm a message.

use core::fmt;

/// The reason why a queue did not confirm a message.
///
/// Unless it is [`EnqueueError::TooLarge`], the message may be on the queue all the same: an enqueue that timed out may
/// still take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnqueueError {
    /// The queue is at its depth limit.
    Full,
    /// The message is larger than the queue accepts.
    TooLarge,
    /// The queue did not confirm in time.
    TimedOut,
    /// The queue cannot be reached, or failed.
    Unavailable,
}

impl EnqueueError {
    /// Every variant, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Full, Self::TooLarge, Self::TimedOut, Self::Unavailable];

    /// Returns the text for logs and for error chains.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "the queue is full",
            Self::TooLarge => "the message is too large for the queue",
            Self::TimedOut => "the queue did not confirm in time",
            Self::Unavailable => "the queue is unavailable",
        }
    }
}

impl fmt::Display for EnqueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::error::Error for EnqueueError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn every_error_has_a_distinct_text() {
        for (at, error) in EnqueueError::ALL.into_iter().enumerate() {
            assert_eq!(error.to_string(), error.as_str());
            let first = EnqueueError::ALL.iter().position(|other| other.as_str() == error.as_str());
            assert_eq!(first, Some(at), "{error}");
        }
    }
}
