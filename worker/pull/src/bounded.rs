//! Opening connections within a time.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use tower_service::Service;

/// Ends the opening of a connection, name and TLS included, at a limit of its own.
///
/// When another connection becomes free for its request, the pool goes on with an opening in the background, where
/// the deadline of no attempt reaches it: a receiver that never ends a handshake would pile them up.
#[derive(Clone)]
pub(crate) struct Bounded<S> {
    inner: S,
    limit: Duration,
}

impl<S> Bounded<S> {
    pub(crate) fn new(inner: S, limit: Duration) -> Self {
        Self { inner, limit }
    }
}

impl<S> Service<Uri> for Bounded<S>
where
    S: Service<Uri, Error = Box<dyn Error + Send + Sync>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let opening = tokio::time::timeout(self.limit, self.inner.call(uri));
        Box::pin(async move {
            let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
            opening.await.unwrap_or_else(late)
        })
    }
}
