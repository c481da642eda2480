//! A time limit for connecting.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use tower_service::Service;

/// Limits the time of connecting, including name resolution and TLS.
///
/// When another connection becomes free for a request, the pool completes the connection it had begun in the
/// background, outside the deadline of any request: a server that never completes a handshake would accumulate them.
#[derive(Clone)]
pub(crate) struct ConnectTimeout<S> {
    inner: S,
    limit: Duration,
}

impl<S> ConnectTimeout<S> {
    pub(crate) fn new(inner: S, limit: Duration) -> Self {
        Self { inner, limit }
    }
}

impl<S> Service<Uri> for ConnectTimeout<S>
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
        let connecting = tokio::time::timeout(self.limit, self.inner.call(uri));
        Box::pin(async move {
            let timed_out = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
            connecting.await.unwrap_or_else(timed_out)
        })
    }
}
