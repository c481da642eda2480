//! Reading answers that say no, be they JSON, XML or neither.

use std::time::{Duration, UNIX_EPOCH};

use chargegate_core::UnixMillis;
use http::StatusCode;
use http::header::DATE;

use super::fault::{SqsErrorBody, SqsFault, bare_code};
use super::refusal::{Failure, Refusal};
use super::url::QueueUrl;
use crate::engine::ServiceResponse;

/// Signatures hold for 5 minutes at least: clocks this close are not what is wrong with one.
const TOLERATED_SKEW: Duration = Duration::from_mins(4);
/// As much of what a service says goes into a line.
const MAX_DETAIL: usize = 300;
/// Too many messages are leased: a matter of receiving alone.
const OVER_LIMIT: &str = "OverLimit";

/// The exchange that failed.
pub(super) struct Asked<'a> {
    pub(super) operation: &'static str,
    pub(super) queue: &'a QueueUrl,
    /// When the answer came, by this machine's clock.
    pub(super) now: UnixMillis,
}

/// What an answer other than 200 says.
pub(super) fn failure(answer: &ServiceResponse, asked: &Asked<'_>) -> Failure {
    let SqsErrorBody { code, message } = read(answer);
    let code = detail(&code);
    let (status, operation) = (answer.status, asked.operation);
    let code_or_status = || if code.is_empty() { status.as_str().into() } else { code.as_str().into() };
    let refusal = match SqsFault::from_code(&code) {
        // Deletes go on, since they are what mends it.
        SqsFault::Throttled if code == OVER_LIMIT => {
            let text = format!("{operation}: {code}: as many messages as the queue can have are leased");
            return Failure::unavailable(text);
        }
        SqsFault::Throttled => return Failure::Throttled(answer.retry_after()),
        SqsFault::UnknownKey => Refusal::UnknownKey,
        SqsFault::Expired => Refusal::Expired,
        SqsFault::Clock => clock(answer, asked.now)
            .unwrap_or(Refusal::Clock { ahead: Duration::ZERO, behind: Duration::ZERO }),
        // The text of such an answer may repeat what was signed, session token included.
        SqsFault::Signature => clock(answer, asked.now).unwrap_or_else(|| Refusal::Signature {
            code: code_or_status(),
            region: asked.queue.region().into(),
        }),
        SqsFault::NotPermitted => Refusal::NotPermitted { operation, detail: detail(&message).into() },
        SqsFault::NoQueue => Refusal::NoQueue { queue: asked.queue.to_string().into() },
        SqsFault::Other if status == StatusCode::TOO_MANY_REQUESTS => {
            return Failure::Throttled(answer.retry_after());
        }
        SqsFault::Other if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN => {
            Refusal::NotPermitted { operation, detail: code_or_status() }
        }
        SqsFault::Other if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT => {
            Refusal::Other { operation, status: status.as_u16(), code: code.into() }
        }
        SqsFault::Other => return Failure::unavailable(format!("{operation}: status {}", code_or_status())),
    };
    Failure::Refused(refusal)
}

/// The skew, where clocks are further apart than signatures tolerate.
fn clock(answer: &ServiceResponse, now: UnixMillis) -> Option<Refusal> {
    let date = httpdate::parse_http_date(answer.headers.get(DATE)?.to_str().ok()?).ok()?;
    let theirs = UnixMillis(0).plus(date.duration_since(UNIX_EPOCH).ok()?);
    let (ahead, behind) = (now.since(theirs), theirs.since(now));
    (ahead.max(behind) > TOLERATED_SKEW).then_some(Refusal::Clock { ahead, behind })
}

fn read(answer: &ServiceResponse) -> SqsErrorBody {
    let said = SqsErrorBody::parse(&answer.body);
    if !said.code.is_empty() {
        return said;
    }
    let header = || answer.headers.get("x-amzn-errortype")?.to_str().ok();
    SqsErrorBody { code: bare_code(header().unwrap_or_default()).to_owned(), ..said }
}

/// One line of printable characters.
fn detail(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_DETAIL).collect()
}

#[cfg(test)]
mod tests;
