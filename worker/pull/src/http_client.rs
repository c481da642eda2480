//! HTTP calls to a service: one deadline per exchange, a size limit on the response, no redirects, no proxy.

use std::time::Duration;

use bytes::Bytes;
use chargegate_core::parse_retry_after;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tower::BoxError;
use tower::timeout::Timeout;
use tower::util::BoxCloneSyncService;

/// Time limit of connecting, including name resolution and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Upper bound of the waits between attempts: calls are paid for.
pub(crate) const RETRY_CAP: Duration = Duration::from_secs(5);
/// Upper bound of a wait that a service asks for.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);

/// Connector to a service with a time limit on look-up, connection and TLS handshake together.
type ServiceConnector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// HTTP client with a pool of connections.
#[derive(Clone, Debug)]
pub(crate) struct ServiceClient {
    pool: HyperClient<ServiceConnector, Full<Bytes>>,
    max_response: usize,
}

/// Response of a service.
pub(crate) struct ServiceResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Failure of an HTTP call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceCallError {
    /// The connection could not be established, or broke.
    #[error("the connection failed")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The deadline passed.
    #[error("no answer in time")]
    TimedOut,
    /// The response exceeds the size limit.
    #[error("the answer is too large")]
    TooLarge,
}

impl ServiceClient {
    /// Creates a client that reads responses of up to `max_response` bytes, and keeps up to `connections` idle
    /// connections.
    ///
    /// # Errors
    /// The TLS library offers no usable protocol version.
    pub(crate) fn new(connections: usize, max_response: usize) -> Result<Self, rustls::Error> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let pool = HyperClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(connections)
            // When another connection becomes free for a request, the pool continues to open the new one in the
            // background, beyond the deadline of any request. Without a limit, a server that never completes a handshake
            // would accumulate them.
            .build(ServiceConnector::new(Timeout::new(connector, CONNECT_TIMEOUT)));
        Ok(Self { pool, max_response })
    }

    /// Performs one exchange, which ends `deadline` from now at the latest.
    ///
    /// # Errors
    /// [`ServiceCallError`]; the service may have processed the call all the same.
    pub(crate) async fn call(
        &self,
        mut request: Request<Full<Bytes>>,
        deadline: Duration,
    ) -> Result<ServiceResponse, ServiceCallError> {
        let name = HeaderValue::from_static(concat!("chargegate/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, name);
        let exchange = async {
            let answer =
                self.pool.request(request).await.map_err(|error| ServiceCallError::Broken(error.into()))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, self.max_response).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    ServiceCallError::TooLarge
                } else {
                    ServiceCallError::Broken(error)
                }
            })?;
            Ok(ServiceResponse { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        tokio::time::timeout(deadline, exchange).await.unwrap_or(Err(ServiceCallError::TimedOut))
    }
}

/// Parses the wait that a service asks for (RFC 9110 section 10.2.3), bounded by [`MAX_RETRY_AFTER`]. The date form is
/// ignored.
pub(crate) fn parse_bounded_retry_after(value: &[u8]) -> Option<Duration> {
    parse_retry_after(value).map(|wait| wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests;
