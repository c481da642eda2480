//! Reading the responses of the service.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use chargegate_core::UnixMillis;
use chargegate_core::json::{self, JsonMember, JsonValue};

use crate::SqsEnqueueError;
use crate::fault::{SqsFault, error_code};

/// The difference of clocks at which a signature is still valid, which the service accepts for at least 5 minutes.
const TOLERATED_SKEW: Duration = Duration::from_mins(4);
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
    let unknown_skew = SqsEnqueueError::ClockSkew { ahead: Duration::ZERO, behind: Duration::ZERO };
    match SqsFault::from_code(&code) {
        SqsFault::Throttled => SqsEnqueueError::Throttled,
        SqsFault::UnknownKey => SqsEnqueueError::UnknownKey,
        SqsFault::Expired => SqsEnqueueError::Expired,
        SqsFault::ClockSkew => clock_skew(response, now).unwrap_or(unknown_skew),
        SqsFault::Signature => clock_skew(response, now).unwrap_or(SqsEnqueueError::Signature),
        SqsFault::NotPermitted => SqsEnqueueError::NotPermitted,
        SqsFault::NoQueue => SqsEnqueueError::NoQueue,
        SqsFault::Other if status == 429 => SqsEnqueueError::Throttled,
        SqsFault::Other => SqsEnqueueError::Refused { status, code: is_code(&code).then_some(code) },
    }
}

/// Returns the skew if the clocks are further apart than a signature tolerates.
fn clock_skew(response: &SqsResponse, now: UnixMillis) -> Option<SqsEnqueueError> {
    let date = httpdate::parse_http_date(response.date.as_ref()?).ok()?;
    let service_now = UnixMillis(0).plus(date.duration_since(UNIX_EPOCH).ok()?);
    let (ahead, behind) = (now.since(service_now), service_now.since(now));
    (ahead.max(behind) > TOLERATED_SKEW).then_some(SqsEnqueueError::ClockSkew { ahead, behind })
}

/// Returns whether `code` has the form of an error code; a server other than SQS may send any text.
fn is_code(code: &str) -> bool {
    let fits = (1..=MAX_CODE_LENGTH).contains(&code.len());
    fits && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

#[cfg(test)]
mod tests;
