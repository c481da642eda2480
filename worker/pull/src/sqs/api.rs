//! Signed calls to the service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chargegate_sigv4::{
    AwsCredentials as Credentials, SigningScope as Scope, UnsignedRequest as Unsigned, sign,
};
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::{self, RequestContext};
use super::credentials::CredentialsCache;
use super::refusal::{SqsCallError, SqsRefusal};
use super::url::SqsQueueUrl;
use crate::http_client::{ServiceCallError, ServiceClient};
use chargegate_storage::Clock;

/// Header that names the operation.
const TARGET_HEADER: &str = "x-amz-target";
const JSON: &str = "application/x-amz-json-1.0";

/// API client of one queue.
pub(super) struct SqsApi {
    client: ServiceClient,
    queue: SqsQueueUrl,
    /// Queue URL as a parameter of calls.
    queue_parameter: String,
    cache: CredentialsCache,
    clock: Arc<dyn Clock>,
}

impl SqsApi {
    pub(super) fn new(
        client: ServiceClient,
        queue: SqsQueueUrl,
        cache: CredentialsCache,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { queue_parameter: queue.in_calls(), client, queue, cache, clock }
    }

    /// Returns the queue URL as a parameter of calls.
    pub(super) fn queue(&self) -> &str {
        &self.queue_parameter
    }

    /// Calls `operation`; `deadline` bounds the exchange once credentials are available.
    ///
    /// Refused credentials are renewed, and the call is repeated once if the new ones differ.
    pub(super) async fn call<A: DeserializeOwned>(
        &self,
        operation: &'static str,
        question: &impl Serialize,
        deadline: Duration,
    ) -> Result<A, SqsCallError> {
        let body = serde_json::to_vec(question).map_err(SqsCallError::unavailable)?;
        let body = Bytes::from(body);
        let credentials = self.credentials().await?;
        match self.exchange(operation, body.clone(), deadline, &credentials).await {
            Err(SqsCallError::Refused(refusal)) if refusal.is_of_credentials() => {
                self.cache.forget(&credentials);
                let others = self.credentials().await?;
                if others == credentials {
                    return Err(SqsCallError::Refused(refusal));
                }
                self.exchange(operation, body, deadline, &others).await
            }
            result => result,
        }
    }

    async fn credentials(&self) -> Result<Credentials, SqsCallError> {
        let credentials = self.cache.credentials().await;
        credentials.map_err(|error| SqsCallError::Refused(SqsRefusal::NoCredentials(error)))
    }

    async fn exchange<A: DeserializeOwned>(
        &self,
        operation: &'static str,
        body: Bytes,
        deadline: Duration,
        credentials: &Credentials,
    ) -> Result<A, SqsCallError> {
        let request = self.signed(operation, body, credentials).map_err(SqsCallError::unavailable)?;
        let answer = self.client.call(request, deadline).await;
        let answer = answer.map_err(|error: ServiceCallError| SqsCallError::unavailable(error))?;
        if answer.status != StatusCode::OK {
            let context = RequestContext { operation, queue: &self.queue, now: self.clock.now() };
            return Err(answer::failure(&answer, &context));
        }
        // The parser's error text might repeat a part of a message.
        serde_json::from_slice(&answer.body)
            .map_err(|_| SqsCallError::unavailable(format!("{operation}: the answer cannot be read")))
    }

    /// Signs a request just before it is sent, since a signature is valid from now on for a limited time.
    fn signed(
        &self,
        operation: &'static str,
        body: Bytes,
        credentials: &Credentials,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let target = format!("AmazonSQS.{operation}");
        let unsigned = Unsigned {
            method: "POST",
            host: self.queue.host(),
            path: "/",
            query: "",
            headers: &[(CONTENT_TYPE.as_str(), JSON), (TARGET_HEADER, &target)],
            body: &body,
        };
        let scope = Scope { region: self.queue.region(), service: "sqs" };
        let signature = sign(&unsigned, scope, credentials, self.clock.now());
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.queue.endpoint())
            .header(HOST, self.queue.host())
            .header(CONTENT_TYPE, JSON)
            .header(TARGET_HEADER, &target);
        for (name, value) in signature.headers() {
            request = request.header(name, value);
        }
        request.body(Full::new(body))
    }
}

impl fmt::Debug for SqsApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqsApi({}, ..)", self.queue)
    }
}

#[cfg(test)]
mod tests;
