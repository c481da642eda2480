//! Listening and graceful shutdown, shared by the small HTTP servers of this binary.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Time limit for requests in flight at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Binds a listener to `address`.
///
/// # Errors
/// The address cannot be bound; the error names it and `flag`, which changes it.
pub(crate) async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, flag, source })
}

/// Error of [`listen`]: the address cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: choose another address with {flag}")]
pub(crate) struct ListenError {
    address: SocketAddr,
    flag: &'static str,
    source: io::Error,
}

/// Serves `app` until `shutdown`, then finishes requests in flight within 2 s.
///
/// # Errors
/// The listener failed.
pub(crate) async fn serve(listener: TcpListener, app: Router, shutdown: CancellationToken) -> io::Result<()> {
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    tokio::select! {
        ended = server.into_future() => ended,
        () = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN_TIMEOUT).await;
        } => Ok(()),
    }
}
