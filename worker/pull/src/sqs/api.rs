//! Calls to the service, signed.

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

use super::answer::{self, Asked};
use super::credentials::Keeper;
use super::refusal::{Failure, Refusal};
use super::url::QueueUrl;
use crate::engine::{ServiceCallError, ServiceClient};
use chargegate_storage::Clock;

/// The header that names what is asked for.
const TARGET: &str = "x-amz-target";
const JSON: &str = "application/x-amz-json-1.0";

/// The service, for one queue.
pub(super) struct Api {
    client: ServiceClient,
    queue: QueueUrl,
    /// The queue's name within calls.
    queue_in_calls: String,
    keeper: Keeper,
    clock: Arc<dyn Clock>,
}

impl Api {
    pub(super) fn new(client: ServiceClient, queue: QueueUrl, keeper: Keeper, clock: Arc<dyn Clock>) -> Self {
        Self { queue_in_calls: queue.in_calls(), client, queue, keeper, clock }
    }

    /// The queue's name within calls.
    pub(super) fn queue(&self) -> &str {
        &self.queue_in_calls
    }

    /// Asks for `operation`; the exchange is over at `deadline` from when there are credentials.
    ///
    /// Credentials that the service refuses are renewed, and the call is made once more where there are others then.
    pub(super) async fn call<A: DeserializeOwned>(
        &self,
        operation: &'static str,
        question: &impl Serialize,
        deadline: Duration,
    ) -> Result<A, Failure> {
        let body = serde_json::to_vec(question).map_err(Failure::unavailable)?;
        let body = Bytes::from(body);
        let credentials = self.credentials().await?;
        match self.exchange(operation, body.clone(), deadline, &credentials).await {
            Err(Failure::Refused(refusal)) if refusal.is_of_credentials() => {
                self.keeper.forget(&credentials);
                let others = self.credentials().await?;
                if others == credentials {
                    return Err(Failure::Refused(refusal));
                }
                self.exchange(operation, body, deadline, &others).await
            }
            result => result,
        }
    }

    async fn credentials(&self) -> Result<Credentials, Failure> {
        let credentials = self.keeper.credentials().await;
        credentials.map_err(|error| Failure::Refused(Refusal::NoCredentials(error)))
    }

    async fn exchange<A: DeserializeOwned>(
        &self,
        operation: &'static str,
        body: Bytes,
        deadline: Duration,
        credentials: &Credentials,
    ) -> Result<A, Failure> {
        let request = self.signed(operation, body, credentials).map_err(Failure::unavailable)?;
        let answer = self.client.call(request, deadline).await;
        let answer = answer.map_err(|error: ServiceCallError| Failure::unavailable(error))?;
        if answer.status != StatusCode::OK {
            let asked = Asked { operation, queue: &self.queue, now: self.clock.now() };
            return Err(answer::failure(&answer, &asked));
        }
        // The reader's own words might repeat a part of a message.
        serde_json::from_slice(&answer.body)
            .map_err(|_| Failure::unavailable(format!("{operation}: the answer cannot be read")))
    }

    /// The signature holds from now on: it is made just before sending.
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
            headers: &[(CONTENT_TYPE.as_str(), JSON), (TARGET, &target)],
            body: &body,
        };
        let scope = Scope { region: self.queue.region(), service: "sqs" };
        let signature = sign(&unsigned, scope, credentials, self.clock.now());
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.queue.endpoint())
            .header(HOST, self.queue.host())
            .header(CONTENT_TYPE, JSON)
            .header(TARGET, &target);
        for (name, value) in signature.headers() {
            request = request.header(name, value);
        }
        request.body(Full::new(body))
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Api({}, ..)", self.queue)
    }
}

#[cfg(test)]
mod tests;
