//! Connections to receivers. Every address, literal or resolved, is judged here, just before the connection.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{CallbackHost, CallbackUrl, CallbackUrlError, DestinationPolicy, ForbiddenAddress};
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower::Service;

/// Longest wait for the connection to one address of a name.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Resolver of host names.
#[async_trait]
pub trait HostResolver: Send + Sync {
    /// Returns all addresses of `name`.
    ///
    /// # Errors
    /// [`io::Error`] when there are none.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver, with a bounded number of concurrent look-ups.
///
/// A look-up blocks a thread, and continues when its caller has given up. The permit is held until the look-up itself
/// ends, so that names which never resolve cannot exhaust the threads.
#[derive(Clone, Debug)]
pub struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl SystemResolver {
    /// Creates a resolver with at most `lookups` concurrent look-ups.
    #[must_use]
    pub fn new(lookups: usize) -> Self {
        Self { lookups: Arc::new(Semaphore::new(lookups)) }
    }
}

#[async_trait]
impl HostResolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(io::Error::other)?;
        let target = (name.to_owned(), 0_u16);
        let lookup = tokio::task::spawn_blocking(move || {
            let found = target.to_socket_addrs().map(|found| found.map(|address| address.ip()).collect());
            drop(permit);
            found
        });
        lookup.await.map_err(io::Error::other)?
    }
}

/// Failure to connect to a receiver.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The connection pool passed something other than the scheme and authority of a callback URL.
    #[error("the URL is not a callback URL")]
    InvalidUrl(#[source] CallbackUrlError),
    /// The name has no address.
    #[error("the name does not resolve")]
    Unresolved(#[source] io::Error),
    /// Every address of the host is forbidden.
    #[error("every address is forbidden")]
    Blocked(#[source] ForbiddenAddress),
    /// No address accepted the connection.
    #[error("the receiver cannot be reached")]
    Unreachable(#[source] io::Error),
}

/// Connector to receivers whose addresses the policy permits.
#[derive(Clone)]
pub(super) struct GuardedConnector {
    policy: Arc<DestinationPolicy>,
    resolver: Arc<dyn HostResolver>,
}

impl GuardedConnector {
    pub(super) fn new(policy: Arc<DestinationPolicy>, resolver: Arc<dyn HostResolver>) -> Self {
        Self { policy, resolver }
    }

    /// Connects to the host and port of `url`; nothing else of it counts.
    async fn connect(self, url: CallbackUrl) -> Result<TokioIo<TcpStream>, ConnectError> {
        let addresses = match url.host() {
            CallbackHost::Address(address) => vec![address],
            CallbackHost::Name(name) => {
                self.resolver.resolve(name).await.map_err(ConnectError::Unresolved)?
            }
        };

        let mut failure = ConnectError::Unresolved(io::ErrorKind::NotFound.into());
        for address in addresses {
            match self.policy.judge_address(address) {
                Err(forbidden) => {
                    // A failed connection is the more useful result than a forbidden address.
                    if !matches!(failure, ConnectError::Unreachable(_)) {
                        failure = ConnectError::Blocked(forbidden);
                    }
                }
                Ok(()) => match self.open(SocketAddr::new(address, url.port())).await {
                    Ok(stream) => return Ok(TokioIo::new(stream)),
                    Err(error) => failure = error,
                },
            }
        }
        Err(failure)
    }

    async fn open(&self, address: SocketAddr) -> Result<TcpStream, ConnectError> {
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(ConnectError::Unreachable)?;
        // A second line of defence: judges the address of the connected peer.
        let peer = stream.peer_addr().map_err(ConnectError::Unreachable)?;
        self.policy.judge_address(peer.ip()).map_err(ConnectError::Blocked)?;
        stream.set_nodelay(true).map_err(ConnectError::Unreachable)?;
        Ok(stream)
    }
}

impl Service<Uri> for GuardedConnector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        // The pool passes the scheme and authority of the request's callback URL, which are a callback URL again.
        let url = CallbackUrl::try_from(uri.to_string().as_str()).map_err(ConnectError::InvalidUrl);
        let connector = self.clone();
        Box::pin(async move { connector.connect(url?).await })
    }
}
