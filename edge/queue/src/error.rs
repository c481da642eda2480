//! Why a message was not confirmed.

/// Why a message was not confirmed. Unless it is [`Self::TooLarge`], it may be on the queue all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueError<C> {
    /// The queue is at its depth limit, or the server at its memory limit.
    Full,
    /// The message is longer than any that is decoded.
    TooLarge,
    /// The server did not confirm in time.
    TimedOut,
    /// The server cannot be reached, or refuses.
    Unavailable(C),
}
