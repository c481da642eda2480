//! Reading the responses of the service.

use std::fmt;
use std::time::UNIX_EPOCH;

use chargegate_core::UnixMillis;
use chargegate_core::json::{self, JsonMember, JsonValue};
use chargegate_sqs_protocol::{ClockSkew, SqsFault, error_code};

use crate::SqsEnqueueError;

/// Bounds an error code; the service's own are shorter.
const MAX_CODE_LENGTH: usize = 64;

/// A complete response. `Debug` hides the body.
#[derive(Clone, PartialEq, Eq)]
pub struct SqsResponse {
    /// The status.
    pub status: u16,
    /// The value of the `Date` header.
    pub date: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl fmt::Debug for SqsResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqsResponse({}, ..)", self.status)
    }
}

/// Reads the response to a message that was sent; `now` is the time at which it arrived.
///
/// The body's digest in the confirmation is not compared: the signature covers the body, so the service accepted exactly
/// the message that was sent.
///
/// # Errors
/// [`SqsEnqueueError`]: the service did not accept the message, or the response does not confirm it.
pub(crate) fn read_confirmation(response: &SqsResponse, now: UnixMillis) -> Result<(), SqsEnqueueError> {
    if response.status != 200 {
        return Err(refusal(response, now));
    }
    if has_message_id(&response.body) { Ok(()) } else { Err(SqsEnqueueError::UnexpectedResponse) }
}

fn has_message_id(body: &[u8]) -> bool {
    let Ok(Some(members)) = json::read_object(body, ["MessageId"]) else { return false };
    let [id] = members.named;
    matches!(id, JsonMember::Once(JsonValue::String(id)) if !id.decode().is_empty())
}

fn refusal(response: &SqsResponse, now: UnixMillis) -> SqsEnqueueError {
    let status = response.status;
    // The text of a refusal may repeat the signed request, including the session token, so only the code is kept.
    let code = error_code(&response.body);
    match SqsFault::from_code(&code) {
        SqsFault::Throttled => SqsEnqueueError::Throttled,
        SqsFault::UnknownKey => SqsEnqueueError::UnknownKey,
        SqsFault::Expired => SqsEnqueueError::Expired,
        SqsFault::ClockSkew => SqsEnqueueError::ClockSkew(clock_skew(response, now).unwrap_or_default()),
        SqsFault::Signature => {
            clock_skew(response, now).map_or(SqsEnqueueError::Signature, SqsEnqueueError::ClockSkew)
        }
        SqsFault::NotPermitted => SqsEnqueueError::NotPermitted,
        SqsFault::NoQueue => SqsEnqueueError::NoQueue,
        SqsFault::Other if status == 429 => SqsEnqueueError::Throttled,
        SqsFault::Other => SqsEnqueueError::Refused { status, code: is_code(&code).then_some(code) },
    }
}

/// Returns the skew by the response's date if it exceeds the tolerance of signatures.
fn clock_skew(response: &SqsResponse, now: UnixMillis) -> Option<ClockSkew> {
    let date = httpdate::parse_http_date(response.date.as_ref()?).ok()?;
    let service_now = UnixMillis(0).plus(date.duration_since(UNIX_EPOCH).ok()?);
    ClockSkew::beyond_tolerance(now, service_now)
}

/// Returns whether `code` has the form of an error code; a server other than SQS may send any text.
fn is_code(code: &str) -> bool {
    let fits = (1..=MAX_CODE_LENGTH).contains(&code.len());
    fits && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

#[cfg(test)]
mod tests;
