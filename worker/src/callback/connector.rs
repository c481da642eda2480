//! Connections to receivers: every address, literal or resolved, is judged here, just before the connection.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{AddressPolicy, ForbiddenAddress};
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower_service::Service;

/// No address of a name keeps the others waiting longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Turns names into addresses.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// All addresses of `name`.
    ///
    /// # Errors
    /// [`io::Error`] when there are none.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The machine's own resolver, with a bounded number of look-ups under way.
///
/// A look-up blocks a thread, and goes on in it when nobody waits for it any more: the bound is held until the
/// look-up itself ends, so that names which never resolve cannot use up the threads.
#[derive(Clone, Debug)]
pub struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl SystemResolver {
    /// A resolver with at most `lookups` look-ups under way.
    #[must_use]
    pub fn new(lookups: usize) -> Self {
        Self { lookups: Arc::new(Semaphore::new(lookups)) }
    }
}

#[async_trait]
impl Resolve for SystemResolver {
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

/// Why there is no connection to a receiver.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The name has no address.
    #[error("the name does not resolve")]
    Unresolved(#[source] io::Error),
    /// Every address is one that is never called.
    #[error("every address is in a forbidden range")]
    Blocked(#[source] ForbiddenAddress),
    /// No address took the connection.
    #[error("the receiver cannot be reached")]
    Unreachable(#[source] io::Error),
}

/// Connects to receivers whose addresses the policy permits.
#[derive(Clone)]
pub(super) struct GuardedConnector {
    policy: Arc<AddressPolicy>,
    resolver: Arc<dyn Resolve>,
}

impl GuardedConnector {
    pub(super) fn new(policy: AddressPolicy, resolver: Arc<dyn Resolve>) -> Self {
        Self { policy: Arc::new(policy), resolver }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, ConnectError> {
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let addresses = match literal.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.resolver.resolve(host).await.map_err(ConnectError::Unresolved)?,
        };

        let mut refusal = ConnectError::Unresolved(io::ErrorKind::NotFound.into());
        for address in addresses {
            match self.policy.judge(address) {
                Err(forbidden) => {
                    // An address that could be called and failed says more than one that could not.
                    if !matches!(refusal, ConnectError::Unreachable(_)) {
                        refusal = ConnectError::Blocked(forbidden);
                    }
                }
                Ok(()) => match self.open(SocketAddr::new(address, port)).await {
                    Ok(stream) => return Ok(TokioIo::new(stream)),
                    Err(error) => refusal = error,
                },
            }
        }
        Err(refusal)
    }

    async fn open(&self, address: SocketAddr) -> Result<TcpStream, ConnectError> {
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(ConnectError::Unreachable)?;
        // A second line of defence: whatever happened on the way, this is who is at the other end.
        let peer = stream.peer_addr().map_err(ConnectError::Unreachable)?;
        self.policy.judge(peer.ip()).map_err(ConnectError::Blocked)?;
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
        Box::pin(self.clone().connect(uri))
    }
}
