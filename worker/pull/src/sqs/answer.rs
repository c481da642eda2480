//! Classification of error responses, whether JSON, XML or neither.

use std::time::UNIX_EPOCH;

use chargegate_core::UnixMillis;
use chargegate_sqs_protocol::{ClockSkew, SqsFault, bare_code, error_code, error_message};
use http::StatusCode;
use http::header::DATE;

use super::refusal::{SqsCallError, SqsRefusal};
use super::url::SqsQueueUrl;
use crate::http_client::ServiceResponse;

/// Most characters of a service's text in one line.
const MAX_DETAIL: usize = 300;
/// Code for too many leased messages, which concerns receive calls only.
const OVER_LIMIT: &str = "OverLimit";

/// Context of a failed exchange.
pub(super) struct RequestContext<'a> {
    pub(super) operation: &'static str,
    pub(super) queue: &'a SqsQueueUrl,
    /// Time of the response, by this machine's clock.
    pub(super) now: UnixMillis,
}

/// Classifies a response other than 200.
pub(super) fn failure(answer: &ServiceResponse, context: &RequestContext<'_>) -> SqsCallError {
    let code = detail(&read_code(answer));
    let (status, operation) = (answer.status, context.operation);
    let code_or_status = || if code.is_empty() { status.as_str().into() } else { code.as_str().into() };
    let refusal = match SqsFault::from_code(&code) {
        // Deletes continue, since they reduce the number of leased messages.
        SqsFault::Throttled if code == OVER_LIMIT => {
            let text = format!("{operation}: {code}: as many messages as the queue can have are leased");
            return SqsCallError::unavailable(text);
        }
        SqsFault::Throttled => return SqsCallError::Throttled(answer.retry_after()),
        SqsFault::UnknownKey => SqsRefusal::UnknownKey,
        SqsFault::Expired => SqsRefusal::Expired,
        SqsFault::ClockSkew => SqsRefusal::Clock(clock_skew(answer, context.now).unwrap_or_default()),
        // The text of such a response may repeat the signed request, session token included.
        SqsFault::Signature => match clock_skew(answer, context.now) {
            Some(skew) => SqsRefusal::Clock(skew),
            None => SqsRefusal::Signature { code: code_or_status(), region: context.queue.region().into() },
        },
        SqsFault::NotPermitted => {
            SqsRefusal::NotPermitted { operation, detail: detail(&error_message(&answer.body)).into() }
        }
        SqsFault::NoQueue => SqsRefusal::NoQueue { queue: context.queue.to_string().into() },
        SqsFault::Other if status == StatusCode::TOO_MANY_REQUESTS => {
            return SqsCallError::Throttled(answer.retry_after());
        }
        SqsFault::Other if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN => {
            SqsRefusal::NotPermitted { operation, detail: code_or_status() }
        }
        SqsFault::Other if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT => {
            SqsRefusal::Other { operation, status: status.as_u16(), code: code.into() }
        }
        SqsFault::Other => {
            return SqsCallError::unavailable(format!("{operation}: status {}", code_or_status()));
        }
    };
    SqsCallError::Refused(refusal)
}

/// Returns the clock skew if it exceeds the tolerance of signatures.
fn clock_skew(answer: &ServiceResponse, now: UnixMillis) -> Option<ClockSkew> {
    let date = httpdate::parse_http_date(answer.headers.get(DATE)?.to_str().ok()?).ok()?;
    let theirs = UnixMillis(0).plus(date.duration_since(UNIX_EPOCH).ok()?);
    ClockSkew::beyond_tolerance(now, theirs)
}

/// Returns the error code of the body or, if it has none, of the header.
fn read_code(answer: &ServiceResponse) -> String {
    let code = error_code(&answer.body);
    if !code.is_empty() {
        return code;
    }
    let header = || answer.headers.get("x-amzn-errortype")?.to_str().ok();
    bare_code(header().unwrap_or_default()).to_owned()
}

/// Reduces a text to one line of printable characters.
fn detail(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_DETAIL).collect()
}

#[cfg(test)]
mod tests;
