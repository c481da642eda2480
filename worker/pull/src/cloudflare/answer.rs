//! Responses of the API.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::RETRY_AFTER;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::engine::PullServiceError;
use crate::http_client::{ServiceCallError, ServiceResponse, parse_bounded_retry_after};

/// Error codes of a rejected token, under any status: missing or malformed, wrong form, unknown, no permission.
const TOKEN_CODES: [u64; 6] = [6003, 6111, 9106, 9109, 10_000, 10_001];

/// Failure of a call to Cloudflare's API.
#[derive(Debug, thiserror::Error)]
pub enum CloudflareFailure {
    /// No complete response arrived.
    #[error("no answer of Cloudflare's API")]
    NoAnswer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The response is not one of the API.
    #[error("the answer, with status {status}, is none of Cloudflare's API")]
    Unreadable {
        /// The HTTP status.
        status: u16,
    },
    /// The API failed.
    #[error("Cloudflare's API failed with status {status} and code {code}")]
    Failed {
        /// The HTTP status.
        status: u16,
        /// Error code; 0 if absent.
        code: u64,
    },
    /// The API throttles calls.
    #[error("Cloudflare's API asks for fewer calls")]
    Throttled {
        /// Requested pause.
        retry_after: Option<Duration>,
    },
    /// The token is wrong, or does not permit the call.
    #[error(
        "Cloudflare's API does not accept the token (code {code}): it must be of the queue's account, not expired, and have the permission Queues Edit"
    )]
    Token {
        /// Its code.
        code: u64,
    },
    /// There is no such queue.
    #[error(
        "there is no queue of that id in the account: `npx wrangler queues list` shows the ids, `npx wrangler queues create` makes a queue"
    )]
    NoQueue,
    /// The API refused the call.
    #[error(
        "Cloudflare's API refuses with status {status} and code {code}: the queue must have an HTTP pull consumer (`npx wrangler queues consumer http add NAME`)"
    )]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its code.
        code: u64,
    },
}

/// Envelope of every response.
#[derive(Deserialize)]
struct Envelope<'a> {
    success: bool,
    errors: Option<Vec<ApiError>>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

/// Error of the API. Its message is not read, because it may contain secrets.
#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    code: u64,
}

impl From<ServiceCallError> for CloudflareFailure {
    fn from(error: ServiceCallError) -> Self {
        Self::NoAnswer(error.into())
    }
}

impl From<CloudflareFailure> for PullServiceError {
    fn from(failure: CloudflareFailure) -> Self {
        match failure {
            CloudflareFailure::Throttled { retry_after } => Self::Throttled { retry_after },
            CloudflareFailure::NoAnswer(_)
            | CloudflareFailure::Unreadable { .. }
            | CloudflareFailure::Failed { .. } => Self::unavailable(failure),
            CloudflareFailure::Token { .. }
            | CloudflareFailure::NoQueue
            | CloudflareFailure::Refused { .. } => Self::Refused(failure.to_string().into()),
        }
    }
}

/// Parses the result of a response.
pub(super) fn read<T: DeserializeOwned>(answer: &ServiceResponse) -> Result<T, CloudflareFailure> {
    let unreadable = CloudflareFailure::Unreadable { status: answer.status.as_u16() };
    let envelope: Option<Envelope<'_>> = serde_json::from_slice(&answer.body).ok();
    let errors = envelope.as_ref().and_then(|envelope| envelope.errors.as_ref());
    let code = errors.and_then(|errors| errors.first()).map_or(0, |error| error.code);
    if answer.status.is_success() {
        let Some(envelope) = envelope else { return Err(unreadable) };
        if !envelope.success {
            return Err(failure(answer, code));
        }
        let result = envelope.result.map_or("null", RawValue::get);
        return serde_json::from_str(result).map_err(|_| unreadable);
    }
    Err(failure(answer, code))
}

fn failure(answer: &ServiceResponse, code: u64) -> CloudflareFailure {
    let status = answer.status.as_u16();
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS => {
            let value = answer.headers.get(RETRY_AFTER);
            let retry_after = value.and_then(|value| parse_bounded_retry_after(value.as_bytes()));
            CloudflareFailure::Throttled { retry_after }
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => CloudflareFailure::Token { code },
        _ if TOKEN_CODES.contains(&code) => CloudflareFailure::Token { code },
        StatusCode::NOT_FOUND => CloudflareFailure::NoQueue,
        StatusCode::REQUEST_TIMEOUT => CloudflareFailure::Failed { status, code },
        _ if answer.status.is_client_error() => CloudflareFailure::Refused { status, code },
        _ => CloudflareFailure::Failed { status, code },
    }
}

/// Serializes a request body.
pub(super) fn json(value: &impl serde::Serialize) -> Bytes {
    // Serialization fails only for non-string keys, which no request has.
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}

#[cfg(test)]
mod tests;
