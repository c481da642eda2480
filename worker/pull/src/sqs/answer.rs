//! Classification of error responses, whether JSON, XML or neither.

use std::time::{Duration, SystemTime};

use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::primitives::{DateTime, DateTimeFormat};
use chargegate_core::UnixMillis;
use chargegate_sqs_protocol::{ClockSkew, SqsFault, bare_code, error_code, error_message};
use http::StatusCode;
use http::header::{DATE, RETRY_AFTER};

use super::refusal::{SqsCallError, SqsRefusal};
use super::sdk::unix_millis;
use super::url::SqsQueueUrl;
use crate::http_client::parse_bounded_retry_after;

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

/// Classifies a response that is not a success.
pub(super) fn failure(answer: &HttpResponse, context: &RequestContext<'_>) -> SqsCallError {
    let code = detail(&read_code(answer));
    let (status, operation) = (answer.status().as_u16(), context.operation);
    let code_or_status = || if code.is_empty() { status.to_string() } else { code.clone() };
    let refusal = match SqsFault::from_code(&code) {
        // Deletes continue, since they reduce the number of leased messages.
        SqsFault::Throttled if code == OVER_LIMIT => {
            let text = format!("{operation}: {code}: as many messages as the queue can have are leased");
            return SqsCallError::unavailable(text);
        }
        SqsFault::Throttled => return SqsCallError::Throttled(retry_after(answer)),
        SqsFault::UnknownKey => SqsRefusal::UnknownKey,
        SqsFault::Expired => SqsRefusal::Expired,
        SqsFault::ClockSkew => SqsRefusal::Clock(clock_skew(answer, context.now).unwrap_or_default()),
        // The text of such a response may repeat the signed request, session token included.
        SqsFault::Signature => match clock_skew(answer, context.now) {
            Some(skew) => SqsRefusal::Clock(skew),
            None => {
                SqsRefusal::Signature { code: code_or_status().into(), region: context.queue.region().into() }
            }
        },
        SqsFault::NotPermitted => {
            SqsRefusal::NotPermitted { operation, detail: detail(&error_message(body(answer))).into() }
        }
        SqsFault::NoQueue => SqsRefusal::NoQueue { queue: context.queue.to_string().into() },
        SqsFault::Other if status == StatusCode::TOO_MANY_REQUESTS => {
            return SqsCallError::Throttled(retry_after(answer));
        }
        SqsFault::Other if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN => {
            SqsRefusal::NotPermitted { operation, detail: code_or_status().into() }
        }
        SqsFault::Other if (400..500).contains(&status) && status != StatusCode::REQUEST_TIMEOUT => {
            SqsRefusal::Other { operation, status, code: code.into() }
        }
        SqsFault::Other => {
            return SqsCallError::unavailable(format!("{operation}: status {}", code_or_status()));
        }
    };
    SqsCallError::Refused(refusal)
}

/// Returns the clock skew if it exceeds the tolerance of signatures.
fn clock_skew(answer: &HttpResponse, now: UnixMillis) -> Option<ClockSkew> {
    let date = DateTime::from_str(answer.headers().get(DATE)?, DateTimeFormat::HttpDate).ok()?;
    ClockSkew::beyond_tolerance(now, unix_millis(SystemTime::try_from(date).ok()?))
}

fn retry_after(answer: &HttpResponse) -> Option<Duration> {
    parse_bounded_retry_after(answer.headers().get(RETRY_AFTER)?.as_bytes())
}

/// Returns the body, which the HTTP client has read to its end.
fn body(answer: &HttpResponse) -> &[u8] {
    answer.body().bytes().unwrap_or_default()
}

/// Returns the error code of the body or, if it has none, of the header.
fn read_code(answer: &HttpResponse) -> String {
    let code = error_code(body(answer));
    if !code.is_empty() {
        return code;
    }
    bare_code(answer.headers().get("x-amzn-errortype").unwrap_or_default()).to_owned()
}

/// Reduces a text to one line of printable characters.
fn detail(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_DETAIL).collect()
}

#[cfg(test)]
mod tests;
