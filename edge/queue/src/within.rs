//! A limit on the time that something takes.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// What `work` gives, or `None` once `timer` is ready before it.
pub async fn within<T>(work: impl Future<Output = T>, timer: impl Future<Output = ()>) -> Option<T> {
    let (mut work, mut timer) = (pin!(work), pin!(timer));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
    })
    .await
}
