//! Connections to the authorization service: kept between calls, and renewed often enough to follow a name that moves.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use chargegate_storage::Effects;
use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Request, Response};
use rustls::ClientConfig;
use tokio::time::Instant;
use tower::{Layer, Service};
use tracing::warn;

use super::failure;
use super::resolver::HostResolver;

/// Longest time for look-up, connection and TLS handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time that a connection is kept without a call; common servers close theirs after 5 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Shortest time that connections are used.
const MIN_LIFETIME: Duration = Duration::from_secs(30);
/// Most random time on top, so that a fleet does not reconnect at once.
const LIFETIME_JITTER: Duration = Duration::from_secs(30);

tokio::task_local! {
    /// Set when the call of this task opened its connection.
    static DIALED: Arc<AtomicBool>;
}

/// Pool of connections whose members are used for 30 to 60 s.
pub(super) struct Connections {
    resolver: Arc<dyn HostResolver>,
    effects: Effects,
    idle: usize,
    state: Mutex<ConnectionState>,
}

struct ConnectionState {
    tls: ClientConfig,
    clients: ClientPair,
    /// From here on new clients, and so new connections, are used.
    expires: Instant,
}

/// Clients of one lifetime.
#[derive(Clone)]
pub(super) struct ClientPair {
    /// Keeps connections.
    pooled: Client,
    /// Opens a connection for each call.
    fresh: Client,
}

impl Connections {
    /// Creates a pool that keeps at most `idle` connections without a call.
    ///
    /// # Errors
    /// The client refuses its settings.
    pub(super) fn new(
        tls: ClientConfig,
        resolver: Arc<dyn HostResolver>,
        idle: usize,
        effects: Effects,
    ) -> Result<Self, reqwest::Error> {
        let clients = ClientPair::new(&tls, &resolver, idle)?;
        let state = ConnectionState { tls, clients, expires: Instant::now() + lifetime(&effects) };
        Ok(Self { resolver, effects, idle, state: Mutex::new(state) })
    }

    /// Uses `tls` for all connections from now on.
    pub(super) fn replace_tls(&self, tls: ClientConfig) {
        let mut state = self.state.lock();
        state.tls = tls;
        state.expires = Instant::now();
    }

    /// Sends a request and returns the response once its head has arrived. A request that met the end of a kept
    /// connection is sent once more on a new one.
    pub(super) async fn send(&self, request: Request) -> Result<ServiceResponse, reqwest::Error> {
        let clients = self.current();
        let again = request.try_clone();
        let dialed = Arc::new(AtomicBool::new(false));
        let sent = DIALED.scope(Arc::clone(&dialed), clients.pooled.execute(request)).await;
        let kept = !dialed.load(Ordering::Relaxed);
        let response = match (sent, again) {
            (Err(error), Some(again)) if kept && failure::closed_before_answer(&error) => {
                clients.fresh.execute(again).await?
            }
            (sent, _) => sent?,
        };
        Ok(ServiceResponse { response, clients })
    }

    /// Returns the clients, new ones if the lifetime of the previous has ended. Connections of those are closed when
    /// their last call ends.
    fn current(&self) -> ClientPair {
        let mut state = self.state.lock();
        let now = Instant::now();
        if now >= state.expires {
            match ClientPair::new(&state.tls, &self.resolver, self.idle) {
                Ok(clients) => state.clients = clients,
                Err(error) => warn!(%error, "could not renew the connections to the authorization service"),
            }
            state.expires = now + lifetime(&self.effects);
        }
        state.clients.clone()
    }
}

/// A response whose body has yet to be read. It keeps the pool to which its connection returns.
pub(super) struct ServiceResponse {
    pub(super) response: Response,
    pub(super) clients: ClientPair,
}

impl ClientPair {
    fn new(
        tls: &ClientConfig,
        resolver: &Arc<dyn HostResolver>,
        idle: usize,
    ) -> Result<Self, reqwest::Error> {
        let build = |idle| {
            Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .http1_only()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .tcp_nodelay(true)
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_max_idle_per_host(idle)
                .dns_resolver(SharedResolver(Arc::clone(resolver)))
                .connector_layer(NoteDial)
                .build()
        };
        Ok(Self { pooled: build(idle)?, fresh: build(0)? })
    }
}

fn lifetime(effects: &Effects) -> Duration {
    let jitter = (u128::from(effects.random.jitter()) * LIFETIME_JITTER.as_millis()) >> 32_u32;
    MIN_LIFETIME + Duration::from_millis(u64::try_from(jitter).unwrap_or(0))
}

/// The resolver of this crate as one of the client.
struct SharedResolver(Arc<dyn HostResolver>);

impl Resolve for SharedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses = resolver.resolve(name.as_str()).await?;
            // The client replaces port 0 by the one of the URL.
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// Notes in [`DIALED`] that a call opened a connection.
///
/// A call that got a kept connection while it opened one leaves the opening to a background task, which has no
/// [`DIALED`].
#[derive(Clone, Copy)]
struct NoteDial;

impl<S> Layer<S> for NoteDial {
    type Service = NotedDial<S>;

    fn layer(&self, connector: S) -> NotedDial<S> {
        NotedDial(connector)
    }
}

#[derive(Clone)]
struct NotedDial<S>(S);

impl<S, T> Service<T> for NotedDial<S>
where
    S: Service<T>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, target: T) -> Self::Future {
        let connecting = self.0.call(target);
        Box::pin(async move {
            let connected = connecting.await;
            let _ = DIALED.try_with(|dialed| dialed.store(true, Ordering::Relaxed));
            connected
        })
    }
}
