//! Client of Cloudflare's API.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::{self, CloudflareFailure};
use super::{CloudflareSettings, CloudflareToken};
use crate::http_client::{ServiceCallError, ServiceClient};

/// Longest duration of a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of a response: a hundred messages of 128 KB in base64, and their envelope.
const MAX_RESPONSE_BYTES: usize = 20 * 1024 * 1024;

/// API client of one queue.
pub(super) struct CloudflareApi {
    client: ServiceClient,
    /// URL of the queue.
    queue: String,
    token: CloudflareToken,
}

impl CloudflareApi {
    /// Creates a client without making a call.
    ///
    /// # Errors
    /// The TLS library offers no usable protocol version.
    pub(super) fn new(settings: &CloudflareSettings) -> Result<Self, rustls::Error> {
        let client = ServiceClient::new(settings.pullers.saturating_mul(2), MAX_RESPONSE_BYTES)?;
        let queue = format!("{}{}", settings.base_url.as_str(), settings.url.path());
        Ok(Self { client, queue, token: settings.token.clone() })
    }

    /// Gets the resource at `path` below the queue.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CloudflareFailure> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// Posts to the resource at `path` below the queue.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CloudflareFailure> {
        self.call(Method::POST, path, answer::json(body)).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, CloudflareFailure> {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.queue))
            .header(AUTHORIZATION, self.token.header())
            .header(CONTENT_TYPE, JSON)
            .header(ACCEPT, JSON)
            .body(Full::new(body))
            .map_err(|error| ServiceCallError::Broken(error.into()))?;
        answer::read(&self.client.call(request, CALL_TIMEOUT).await?)
    }
}

impl fmt::Debug for CloudflareApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudflareApi").field("queue", &self.queue).finish_non_exhaustive()
    }
}
