//! What the edge needs of the host it runs in.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use chargegate_core::UnixMillis;

use crate::settings::{SettingError, Settings};

/// The host of an edge: its queue, its clocks, its randomness and its settings.
pub trait Host {
    /// Puts a message on the queue; ready once the queue has confirmed it.
    ///
    /// # Errors
    /// [`QueueError`]: the queue did not confirm.
    fn enqueue(&self, message: &str) -> impl Future<Output = Result<(), QueueError>>;

    /// Told when the queue has not confirmed within `patience`, for an operator to learn of it.
    ///
    /// A host whose queue tells by itself has nothing to do.
    fn gave_up(&self, _patience: Duration) {}

    /// The time.
    fn now(&self) -> UnixMillis;

    /// Ready after `duration`, by a clock that is never set back.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;

    /// Unpredictable bytes.
    fn random<const N: usize>(&self) -> [u8; N];

    /// The settings; read once for many requests.
    ///
    /// # Errors
    /// [`SettingError`]: a variable is malformed or cannot be read, and nothing can be accepted.
    fn settings(&self) -> impl Future<Output = Result<&Settings, SettingError>>;
}

/// Why the queue did not confirm a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// The queue is at its depth limit.
    Full,
    /// The message is larger than the queue takes.
    TooLarge,
    /// The queue did not confirm in time.
    TimedOut,
    /// The queue cannot be reached, or failed.
    Unavailable,
}

/// Enqueues `message` and waits no longer than `patience`; the message may then still arrive.
pub(crate) async fn enqueue_within(
    host: &impl Host,
    message: &str,
    patience: Duration,
) -> Result<(), QueueError> {
    let mut enqueue = pin!(host.enqueue(message));
    // Made only once the queue has not answered at once, since to some hosts a timer is a call.
    let mut timer = pin!(None);
    poll_fn(|cx| {
        if let Poll::Ready(result) = enqueue.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        if timer.is_none() {
            timer.set(Some(host.sleep(patience)));
        }
        match timer.as_mut().as_pin_mut().map(|timer| timer.poll(cx)) {
            Some(Poll::Ready(())) => {
                host.gave_up(patience);
                Poll::Ready(Err(QueueError::TimedOut))
            }
            Some(Poll::Pending) | None => Poll::Pending,
        }
    })
    .await
}
