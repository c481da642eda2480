//! How the small servers of this binary listen and stop.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long requests in flight may take once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(2);

/// Opens a listener.
///
/// # Errors
/// The address cannot be had; the error names it and the flag that changes it.
pub(crate) async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, flag, source })
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: choose another address with {flag}")]
pub(crate) struct ListenError {
    address: SocketAddr,
    flag: &'static str,
    source: io::Error,
}

/// Serves `app` until `shutdown`, then finishes what is in flight, for 2 s at most.
///
/// # Errors
/// The listener fails.
pub(crate) async fn serve(listener: TcpListener, app: Router, shutdown: CancellationToken) -> io::Result<()> {
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    tokio::select! {
        ended = server.into_future() => ended,
        () = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        } => Ok(()),
    }
}
