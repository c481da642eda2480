//! Client of the authorization service over HTTP.

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chargegate_core::{DecisionStatus, authorization_body, parse_authorization_answer};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::uri::Scheme;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{AclCallError, AuthorizationRequest, Authorizer};

/// Most bytes of a response; a regular one has about 30.
const MAX_RESPONSE_BYTES: usize = 16 * 1024;
/// Longest time for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Base URL of the authorization service: `http://host[:port][/path]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclUrl(Uri);

/// Text that is not a base URL of an authorization service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a URL like http://acl.internal:8080, without credentials, query or fragment (the authorization service speaks HTTP only)"
)]
pub struct AclUrlError;

impl FromStr for AclUrl {
    type Err = AclUrlError;

    fn from_str(text: &str) -> Result<Self, AclUrlError> {
        let uri: Uri = text.parse().map_err(|_| AclUrlError)?;
        let authority = uri.authority().ok_or(AclUrlError)?;
        let plain = uri.scheme() == Some(&Scheme::HTTP)
            && uri.query().is_none()
            && !text.contains('#')
            && !authority.as_str().contains('@')
            && !authority.host().is_empty();
        if !plain {
            return Err(AclUrlError);
        }
        let endpoint = format!("http://{authority}{}/v1/authorizations", uri.path().trim_end_matches('/'));
        endpoint.parse().map(Self).map_err(|_| AclUrlError)
    }
}

/// Client of the authorization service over kept HTTP connections.
#[derive(Clone, Debug)]
pub struct HttpAuthorizer {
    client: Client<HttpConnector, Full<Bytes>>,
    endpoint: Uri,
}

impl HttpAuthorizer {
    /// Creates a client that keeps up to `connections` idle connections.
    #[must_use]
    pub fn new(url: AclUrl, connections: usize) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        // The timeout of a call does not end the opening of a connection, which the pool continues in the background.
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(connections)
            .build(connector);
        Self { client, endpoint: url.0 }
    }

    async fn exchange(
        &self,
        authorization: AuthorizationRequest<'_>,
    ) -> Result<DecisionStatus, AclCallError> {
        let body = authorization_body(authorization.station_id, authorization.driver_token);
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.endpoint.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .header("traceparent", authorization.traceparent.as_str())
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| AclCallError::Unreachable)?;
        let response = self.client.request(request).await.map_err(|_| AclCallError::Unreachable)?;
        let (head, body) = response.into_parts();
        if head.status != StatusCode::OK {
            return Err(AclCallError::Status(head.status.as_u16()));
        }
        if !head.headers.get(CONTENT_TYPE).is_some_and(|value| is_json(value.as_bytes())) {
            return Err(AclCallError::Unreadable);
        }
        let body = Limited::new(body, MAX_RESPONSE_BYTES).collect().await.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                AclCallError::Unreadable
            } else {
                AclCallError::Unreachable
            }
        })?;
        parse_authorization_answer(&body.to_bytes()).map_err(|_| AclCallError::Unreadable)
    }
}

/// Returns whether a content type is `application/json`, with or without parameters.
fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

#[async_trait]
impl Authorizer for HttpAuthorizer {
    async fn authorize(
        &self,
        request: AuthorizationRequest<'_>,
        timeout: Duration,
    ) -> Result<DecisionStatus, AclCallError> {
        tokio::time::timeout(timeout, self.exchange(request)).await.unwrap_or(Err(AclCallError::TimedOut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, endpoint: Option<&str>) {
        let found = text.parse::<AclUrl>().ok().map(|url| url.0.to_string());
        assert_eq!(found.as_deref(), endpoint, "{text}");
    }

    #[test]
    fn the_endpoint_is_below_the_base_url() {
        check("http://127.0.0.1:3002", Some("http://127.0.0.1:3002/v1/authorizations"));
        check("http://acl.internal/base/", Some("http://acl.internal/base/v1/authorizations"));
        for text in [
            "",
            "acl.internal",
            "https://acl.internal",
            "http://",
            "http://u:p@acl",
            "http://acl?x",
            "/v1",
            "http://acl#x",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn only_the_json_media_type_is_json() {
        for (text, expected) in [
            ("application/json", true),
            ("Application/JSON ; charset=utf-8", true),
            ("application/jsonp", false),
            ("text/html", false),
            ("", false),
        ] {
            assert_eq!(is_json(text.as_bytes()), expected, "{text}");
        }
    }
}
