//! One attempt to post a decision.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chargegate_core::{AddressPolicy, CallbackScheme, CallbackUrl, Traceparent, callback_body};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use super::connector::{ConnectError, GuardedConnector, Resolve};
use crate::bounded::Bounded;
use crate::retry_after::retry_after;
use chargegate_storage::store::{AttemptResult, CallbackJob};

/// A receiver's answer is its status. This much of its body is read, so that the connection can be used again; a
/// longer body costs the connection.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// Posts callbacks: no proxy, no redirects, no forbidden address, one deadline over the whole exchange.
#[derive(Clone)]
pub struct CallbackClient {
    client: Client<Bounded<HttpsConnector<GuardedConnector>>, Full<Bytes>>,
    deadline: Duration,
}

/// The TLS library offers no usable protocol version.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up")]
pub struct CallbackClientError(#[from] rustls::Error);

/// What an attempt came to, with the wait the receiver asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) result: AttemptResult,
    pub(super) retry_after: Option<Duration>,
}

impl From<AttemptResult> for Attempt {
    fn from(result: AttemptResult) -> Self {
        Self { result, retry_after: None }
    }
}

impl CallbackClient {
    /// A client that may call what `policy` permits, and spends at most `deadline` on one exchange. It keeps up to
    /// `connections` idle connections to a host: fewer than there are attempts at once would be opened again and again.
    ///
    /// # Errors
    /// [`CallbackClientError`].
    pub fn new(
        policy: AddressPolicy,
        resolver: Arc<dyn Resolve>,
        deadline: Duration,
        connections: usize,
    ) -> Result<Self, CallbackClientError> {
        let provider = rustls::crypto::ring::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(provider)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(GuardedConnector::new(policy, resolver));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(15))
            .pool_max_idle_per_host(connections)
            // An attempt runs out of time first, and says so.
            .build(Bounded::new(connector, deadline.saturating_add(Duration::from_secs(1))));
        Ok(Self { client, deadline })
    }

    /// The longest an attempt takes.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(super) async fn post(&self, job: &CallbackJob, traceparent: Option<Traceparent>) -> Attempt {
        let Some(request) = request(job, traceparent) else { return AttemptResult::BadAnswer.into() };
        let end = Instant::now() + self.deadline;
        match tokio::time::timeout_at(end, self.client.request(request)).await {
            Err(_) => AttemptResult::TimedOut.into(),
            Ok(Err(error)) => classify(&error).into(),
            Ok(Ok(response)) => {
                let (head, body) = response.into_parts();
                drain(body, end).await;
                Attempt {
                    result: AttemptResult::Answered(head.status.as_u16()),
                    retry_after: retry_after(&head.headers),
                }
            }
        }
    }
}

/// The request of a job. `None` cannot happen to a URL of core's grammar; a message is never lost for it.
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

/// Reads what a receiver says besides its status, up to the cap and the deadline, and forgets it.
async fn drain(mut body: Incoming, end: Instant) {
    let mut room = MAX_ANSWER_BYTES;
    let _ = tokio::time::timeout_at(end, async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match room.checked_sub(length) {
                Some(left) => room = left,
                None => break,
            }
        }
    })
    .await;
}

fn classify(error: &(dyn Error + 'static)) -> AttemptResult {
    let mut cause = Some(error);
    let mut result = AttemptResult::Unreachable;
    while let Some(error) = cause {
        if let Some(connect) = error.downcast_ref::<ConnectError>() {
            return match connect {
                ConnectError::Unresolved(_) => AttemptResult::Unresolved,
                ConnectError::Blocked(_) => AttemptResult::Blocked,
                ConnectError::Unreachable(_) => AttemptResult::Unreachable,
            };
        }
        if error.is::<hyper::Error>() {
            result = AttemptResult::BadAnswer;
        }
        cause = error.source();
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_callback_url_makes_a_request_target() {
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
