//! One attempt to post a decision.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chargegate_core::{
    CallbackScheme, CallbackUrl, DestinationPolicy, ForbiddenDestination, Traceparent, callback_body,
    parse_retry_after,
};
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower::BoxError;
use tower::timeout::Timeout;
use tower::util::BoxCloneSyncService;

use super::connector::{ConnectError, GuardedConnector, HostResolver};
use chargegate_storage::store::{AttemptResult, CallbackJob};

/// Most bytes read of a response body, so that the connection can be reused; a longer body closes the connection. Only
/// the status of a response counts.
const MAX_RESPONSE_BODY: usize = 16 * 1024;

/// Connector to receivers with a time limit on look-up, connection and TLS handshake together.
type ReceiverConnector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// HTTP client for callbacks: no proxy, no redirects, no forbidden destination, one deadline over the whole exchange.
#[derive(Clone)]
pub struct CallbackClient {
    client: Client<ReceiverConnector, Full<Bytes>>,
    policy: Arc<DestinationPolicy>,
    deadline: Duration,
}

/// TLS library without a usable protocol version.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up")]
pub struct CallbackClientError(#[from] rustls::Error);

/// Result of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttemptResponse {
    pub(super) result: AttemptResult,
    /// The wait that the receiver asked for.
    pub(super) retry_after: Option<Duration>,
    /// The rule that forbids a blocked destination.
    pub(super) forbidden: Option<ForbiddenDestination>,
}

impl From<AttemptResult> for AttemptResponse {
    fn from(result: AttemptResult) -> Self {
        Self { result, retry_after: None, forbidden: None }
    }
}

impl From<ForbiddenDestination> for AttemptResponse {
    fn from(forbidden: ForbiddenDestination) -> Self {
        Self { forbidden: Some(forbidden), ..AttemptResult::Blocked.into() }
    }
}

impl CallbackClient {
    /// Creates a client that calls only destinations that `policy` permits and spends at most `deadline` on one exchange.
    /// It keeps up to `connections` idle connections to a host; with fewer than concurrent attempts, connections would be
    /// reopened constantly.
    ///
    /// # Errors
    /// [`CallbackClientError`].
    pub fn new(
        policy: DestinationPolicy,
        resolver: Arc<dyn HostResolver>,
        deadline: Duration,
        connections: usize,
    ) -> Result<Self, CallbackClientError> {
        let policy = Arc::new(policy);
        let provider = rustls::crypto::ring::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(provider)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(GuardedConnector::new(Arc::clone(&policy), resolver));
        // When another connection becomes free for a request, the pool continues to open the new one in the background,
        // beyond the deadline of any attempt. Without a limit, a receiver that never completes a handshake would
        // accumulate them. The attempt times out first, which gives the more precise result.
        let connect_timeout = deadline.saturating_add(Duration::from_secs(1));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(15))
            .pool_max_idle_per_host(connections)
            .build(ReceiverConnector::new(Timeout::new(connector, connect_timeout)));
        Ok(Self { client, policy, deadline })
    }

    /// Returns the longest duration of an attempt.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(super) async fn post(&self, job: &CallbackJob, traceparent: Option<Traceparent>) -> AttemptResponse {
        // The message may have been enqueued under other rules, or by an edge with other settings.
        if let Err(forbidden) = self.policy.judge_url(&job.callback_url) {
            return forbidden.into();
        }
        let Some(request) = request(job, traceparent) else { return AttemptResult::BadAnswer.into() };
        let end = Instant::now() + self.deadline;
        match tokio::time::timeout_at(end, self.client.request(request)).await {
            Err(_) => AttemptResult::TimedOut.into(),
            Ok(Err(error)) => classify(&error),
            Ok(Ok(response)) => {
                let (head, body) = response.into_parts();
                drain(body, end).await;
                AttemptResponse {
                    retry_after: head
                        .headers
                        .get(RETRY_AFTER)
                        .and_then(|value| parse_retry_after(value.as_bytes())),
                    ..AttemptResult::Answered(head.status.as_u16()).into()
                }
            }
        }
    }
}

/// Builds the request of a job. `None` is impossible for a URL of core's grammar, and counts as a failed attempt.
fn request(job: &CallbackJob, traceparent: Option<Traceparent>) -> Option<Request<Full<Bytes>>> {
    let body = callback_body(&job.station_id, &job.driver_token, job.decision.status);
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(uri(&job.callback_url)?)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("chargegate/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", job.request_id.to_string())
        .header("chargegate-decision-reason", job.decision.reason.as_str())
        .header("chargegate-accepted-at", job.accepted_at.0.to_string())
        .header("chargegate-decided-at", job.decided_at.0.to_string());
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent.as_str());
    }
    request.body(Full::new(Bytes::from(body))).ok()
}

fn uri(url: &CallbackUrl) -> Option<Uri> {
    let scheme = match url.scheme() {
        CallbackScheme::Http => "http",
        CallbackScheme::Https => "https",
    };
    let target = url.target().to_string();
    Uri::builder().scheme(scheme).authority(url.authority()).path_and_query(target).build().ok()
}

/// Reads and discards a response body, up to the cap and the deadline.
async fn drain(mut body: Incoming, end: Instant) {
    let mut remaining = MAX_RESPONSE_BODY;
    let _ = tokio::time::timeout_at(end, async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match remaining.checked_sub(length) {
                Some(left) => remaining = left,
                None => break,
            }
        }
    })
    .await;
}

fn classify(error: &(dyn Error + 'static)) -> AttemptResponse {
    let mut cause = Some(error);
    let mut result = AttemptResult::Unreachable;
    while let Some(error) = cause {
        if let Some(connect) = error.downcast_ref::<ConnectError>() {
            return match connect {
                // Impossible for a URL of core's grammar, as in `request`.
                ConnectError::InvalidUrl(_) => AttemptResult::BadAnswer.into(),
                ConnectError::Unresolved(_) => AttemptResult::Unresolved.into(),
                ConnectError::Blocked(forbidden) => ForbiddenDestination::Address(*forbidden).into(),
                ConnectError::Unreachable(_) => AttemptResult::Unreachable.into(),
            };
        }
        if error.is::<hyper::Error>() {
            result = AttemptResult::BadAnswer;
        }
        cause = error.source();
    }
    result.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_callback_url_yields_a_request_uri() {
        for (text, expected) in [
            ("https://a.example", "https://a.example/"),
            ("http://a.example?x=1", "http://a.example/?x=1"),
            ("http://[::1]:81/p;a=b/(c)!*'$&+,~@:%20?q=/?", "http://[::1]:81/p;a=b/(c)!*'$&+,~@:%20?q=/?"),
        ] {
            let uri = uri(&text.parse().unwrap()).map(|uri| uri.to_string());
            assert_eq!(uri.as_deref(), Some(expected));
        }
    }
}
