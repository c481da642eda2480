//! The interface between the edge and the host it runs in.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use chargegate_core::{EnqueueError, UnixMillis};

use crate::settings::{EdgeSettings, EdgeSettingsError};

/// The host of an edge: its queue, its clocks, its randomness and its settings.
pub trait EdgeHost {
    /// Puts a message on the queue; ready once the queue has confirmed it.
    ///
    /// # Errors
    /// [`EnqueueError`]: the queue did not confirm.
    fn enqueue(&self, message: &str) -> impl Future<Output = Result<(), EnqueueError>>;

    /// Reports to the operator that the queue has not confirmed within `timeout`.
    ///
    /// A host whose queue reports failures itself has nothing to do.
    fn report_timeout(&self, _timeout: Duration) {}

    /// Returns the current time.
    fn now(&self) -> UnixMillis;

    /// Waits for `duration`, by a monotonic clock.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;

    /// Returns unpredictable bytes.
    fn random<const N: usize>(&self) -> [u8; N];

    /// Returns the settings, which are read once for many requests.
    ///
    /// # Errors
    /// [`EdgeSettingsError`]: a variable is malformed or cannot be read, so no request can be accepted.
    fn settings(&self) -> impl Future<Output = Result<&EdgeSettings, EdgeSettingsError>>;
}

/// Enqueues `message` and waits no longer than `timeout`; the message may still arrive later.
pub(crate) async fn enqueue_with_timeout(
    host: &impl EdgeHost,
    message: &str,
    timeout: Duration,
) -> Result<(), EnqueueError> {
    let mut enqueue = pin!(host.enqueue(message));
    // Created only if the queue does not confirm at the first poll, since a timer is a call on some hosts.
    let mut timer = pin!(None);
    poll_fn(|cx| {
        if let Poll::Ready(result) = enqueue.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        if timer.is_none() {
            timer.set(Some(host.sleep(timeout)));
        }
        match timer.as_mut().as_pin_mut().map(|timer| timer.poll(cx)) {
            Some(Poll::Ready(())) => {
                host.report_timeout(timeout);
                Poll::Ready(Err(EnqueueError::TimedOut))
            }
            Some(Poll::Pending) | None => Poll::Pending,
        }
    })
    .await
}
