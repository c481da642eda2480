//! Time limit on opening a connection.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use tower_service::Service;

/// Connector that fails when opening a connection, look-up and TLS handshake included, exceeds a limit.
///
/// When another connection becomes free for a request, the pool continues to open the new one in the background, beyond
/// the deadline of any attempt. Without a limit, a receiver that never completes a handshake would accumulate them.
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
        let opening = tokio::time::timeout(self.limit, self.inner.call(uri));
        Box::pin(async move {
            let timed_out = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
            opening.await.unwrap_or_else(timed_out)
        })
    }
}
