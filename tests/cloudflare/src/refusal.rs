//! Refusals of calls, and their responses in both protocols.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

const ERROR_CODE: HeaderName = HeaderName::from_static("cf-queues-error-code");
const ERROR_CAUSE: HeaderName = HeaderName::from_static("cf-queues-error-cause");

/// Reason why a call is refused. The codes are Cloudflare's where documented or observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallRefusal {
    /// No endpoint has this path.
    NoRoute,
    /// The endpoint has another method.
    Method,
    /// The bearer token is missing.
    NoToken,
    /// The token is unknown.
    UnknownToken,
    /// The token lacks the permission, or belongs to another account.
    Forbidden,
    /// The queue id is malformed.
    QueueIdMalformed,
    /// The queue does not exist, for calls on messages.
    QueueNotFound,
    /// The queue does not exist, for calls on queues: another part of Cloudflare with another code.
    NoSuchQueue,
    /// The queue's consumer does not pull.
    PullDisabled,
    /// The request is not JSON.
    BodyMalformed,
    /// The request is JSON of a different shape, or out of bounds.
    BodyInvalid,
    /// The delay of a batch is out of bounds.
    BatchDelay,
    /// The content type of a message is unknown or does not match, or its delay is out of bounds.
    MessageMetadata,
    /// A message is too large.
    MessageSize,
    /// A batch is too large.
    BatchSize,
    /// A batch is empty or has too many messages.
    BatchCount,
    /// The queue's message rate is exceeded.
    Overloaded(Option<Duration>),
    /// The backlog is full.
    StorageLimit,
    /// The token's call rate is exceeded.
    RateLimited(Duration),
    /// An internal error of Cloudflare.
    Internal,
}

impl CallRefusal {
    /// Returns status, code and text.
    fn parts(self) -> (StatusCode, u32, &'static str) {
        use StatusCode as S;
        match self {
            Self::NoRoute => (
                S::NOT_FOUND,
                7003,
                "Could not route to the path, perhaps your object identifier is invalid?",
            ),
            Self::Method => (S::METHOD_NOT_ALLOWED, 7001, "Method not available for that URI."),
            Self::NoToken => {
                (S::BAD_REQUEST, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")
            }
            Self::UnknownToken => (S::UNAUTHORIZED, 10_000, "Authentication error"),
            Self::Forbidden => (S::FORBIDDEN, 10_000, "Authentication error"),
            Self::QueueIdMalformed => (S::BAD_REQUEST, 10_107, "Malformed queue ID"),
            Self::QueueNotFound => (S::NOT_FOUND, 10_104, "Queue does not exist"),
            Self::NoSuchQueue => (S::NOT_FOUND, 11_000, "Queue not found"),
            Self::PullDisabled => {
                (S::BAD_REQUEST, 0, "messages cannot be pulled unless http_pull mode is enabled")
            }
            Self::BodyMalformed => (S::BAD_REQUEST, 10_208, "Request body is not valid JSON"),
            Self::BodyInvalid => (S::BAD_REQUEST, 10_207, "Request JSON body does not match expected schema"),
            Self::BatchDelay => (S::BAD_REQUEST, 10_202, "Invalid batch delay"),
            Self::MessageMetadata => (S::BAD_REQUEST, 10_203, "Invalid message metadata"),
            Self::MessageSize => (S::PAYLOAD_TOO_LARGE, 10_204, "Message size out of bounds"),
            Self::BatchSize => (S::PAYLOAD_TOO_LARGE, 10_205, "Batch size out of bounds"),
            Self::BatchCount => (S::BAD_REQUEST, 10_206, "Batch count out of bounds"),
            Self::Overloaded(_) => (S::TOO_MANY_REQUESTS, 10_250, "Queue is overloaded"),
            Self::StorageLimit => (S::TOO_MANY_REQUESTS, 10_251, "Queue storage limit exceeded"),
            Self::RateLimited(_) => {
                (S::TOO_MANY_REQUESTS, 971, "Please wait and consider throttling your request speed")
            }
            Self::Internal => (S::INTERNAL_SERVER_ERROR, 15_000, "Unknown error"),
        }
    }

    /// Converts the refusal to a response of the API.
    pub(crate) fn to_api(self) -> Response<Bytes> {
        let (status, code, message) = self.parts();
        let body = json!({
            "success": false,
            "errors": [{ "code": code, "message": message }],
            "messages": [],
            "result": null,
        });
        self.with_wait(json_response(status, &body))
    }

    /// Converts the refusal to a response of the broker.
    pub(crate) fn to_broker(self) -> Response<Bytes> {
        let (status, code, message) = self.parts();
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        response.headers_mut().insert(ERROR_CODE, HeaderValue::from(code));
        response.headers_mut().insert(ERROR_CAUSE, HeaderValue::from_static(message));
        self.with_wait(response)
    }

    fn with_wait(self, mut response: Response<Bytes>) -> Response<Bytes> {
        let wait = match self {
            Self::Overloaded(wait) => wait,
            Self::RateLimited(wait) => Some(wait),
            _ => None,
        };
        if let Some(wait) = wait {
            let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

pub(crate) fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
