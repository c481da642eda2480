//! Reading answers that say no, be they JSON, XML or neither.

use std::time::Duration;

use chargegate_core::UnixMillis;
use chargegate_core::sqs::{self, Fault, Said};
use http::StatusCode;
use http::header::DATE;

use super::refusal::{Failure, Refusal};
use super::url::QueueUrl;
use crate::engine::Answer;

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
pub(super) fn failure(answer: &Answer, asked: &Asked<'_>) -> Failure {
    let Said { code, message } = read(answer);
    let code = detail(&code);
    let (status, operation) = (answer.status, asked.operation);
    let code_or_status = || if code.is_empty() { status.as_str().into() } else { code.as_str().into() };
    let refusal = match Fault::of(&code) {
        // Deletes go on, since they are what mends it.
        Fault::Throttled if code == OVER_LIMIT => {
            let text = format!("{operation}: {code}: as many messages as the queue can have are leased");
            return Failure::unavailable(text);
        }
        Fault::Throttled => return Failure::Throttled(answer.retry_after()),
        Fault::UnknownKey => Refusal::UnknownKey,
        Fault::Expired => Refusal::Expired,
        Fault::Clock => clock(answer, asked.now)
            .unwrap_or(Refusal::Clock { ahead: Duration::ZERO, behind: Duration::ZERO }),
        // The text of such an answer may repeat what was signed, session token included.
        Fault::Signature => clock(answer, asked.now).unwrap_or_else(|| Refusal::Signature {
            code: code_or_status(),
            region: asked.queue.region().into(),
        }),
        Fault::NotPermitted => Refusal::NotPermitted { operation, detail: detail(&message).into() },
        Fault::NoQueue => Refusal::NoQueue { queue: asked.queue.to_string().into() },
        Fault::Other if status == StatusCode::TOO_MANY_REQUESTS => {
            return Failure::Throttled(answer.retry_after());
        }
        Fault::Other if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN => {
            Refusal::NotPermitted { operation, detail: code_or_status() }
        }
        Fault::Other if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT => {
            Refusal::Other { operation, status: status.as_u16(), code: code.into() }
        }
        Fault::Other => return Failure::unavailable(format!("{operation}: status {}", code_or_status())),
    };
    Failure::Refused(refusal)
}

/// The skew, where clocks are further apart than signatures tolerate.
fn clock(answer: &Answer, now: UnixMillis) -> Option<Refusal> {
    let theirs = UnixMillis::from_http_date(answer.headers.get(DATE)?.to_str().ok()?)?;
    let (ahead, behind) = (now.since(theirs), theirs.since(now));
    (ahead.max(behind) > TOLERATED_SKEW).then_some(Refusal::Clock { ahead, behind })
}

fn read(answer: &Answer) -> Said {
    let said = Said::read(&answer.body);
    if !said.code.is_empty() {
        return said;
    }
    let header = || answer.headers.get("x-amzn-errortype")?.to_str().ok();
    Said { code: sqs::code(header().unwrap_or_default()).to_owned(), ..said }
}

/// One line of printable characters.
fn detail(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_DETAIL).collect()
}

#[cfg(test)]
mod tests;
