//! Reading answers that say no, be they JSON, XML or neither.

use std::time::{Duration, UNIX_EPOCH};

use chargegate_core::UnixMillis;
use http::StatusCode;
use http::header::DATE;
use serde::Deserialize;

use super::refusal::{Failure, Refusal};
use super::url::QueueUrl;
use crate::polled::Answer;

/// Signatures hold for 5 minutes at least: clocks this close are not what is wrong with one.
const TOLERATED_SKEW: Duration = Duration::from_mins(4);
/// As much of what a service says goes into a line.
const MAX_DETAIL: usize = 300;

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
    let (status, operation) = (answer.status, asked.operation);
    let code_or_status = || if code.is_empty() { status.as_str().into() } else { code.as_str().into() };
    let refusal = match kind(&code) {
        Kind::Throttled => return Failure::Throttled(answer.retry_after()),
        Kind::UnknownKey => Refusal::UnknownKey,
        Kind::Expired => Refusal::Expired,
        Kind::Clock => clock(answer, asked.now)
            .unwrap_or(Refusal::Clock { ahead: Duration::ZERO, behind: Duration::ZERO }),
        // The text of such an answer may repeat what was signed, session token included.
        Kind::Signature => clock(answer, asked.now).unwrap_or_else(|| Refusal::Signature {
            code: code_or_status(),
            region: asked.queue.region().into(),
        }),
        Kind::NotPermitted => Refusal::NotPermitted { operation, detail: detail(&message).into() },
        Kind::NoQueue => Refusal::NoQueue { queue: asked.queue.to_string().into() },
        Kind::Unknown if status == StatusCode::TOO_MANY_REQUESTS => {
            return Failure::Throttled(answer.retry_after());
        }
        Kind::Unknown if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN => {
            Refusal::NotPermitted { operation, detail: code_or_status() }
        }
        Kind::Unknown if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT => {
            Refusal::Other { operation, status: status.as_u16(), code: detail(&code).into() }
        }
        Kind::Unknown => return Failure::unavailable(format!("{operation}: status {}", code_or_status())),
    };
    Failure::Refused(refusal)
}

enum Kind {
    Throttled,
    UnknownKey,
    Expired,
    Clock,
    Signature,
    NotPermitted,
    NoQueue,
    Unknown,
}

/// By "Common errors" of the API reference, in the spellings of both protocols.
fn kind(code: &str) -> Kind {
    match code {
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "SlowDown"
        | "OverLimit"
        | "KmsThrottled" => Kind::Throttled,
        "InvalidClientTokenId" | "UnrecognizedClientException" | "InvalidAccessKeyId" => Kind::UnknownKey,
        "ExpiredToken" | "ExpiredTokenException" => Kind::Expired,
        "RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture" => Kind::Clock,
        "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "AuthFailure" => Kind::Signature,
        "AccessDenied" | "AccessDeniedException" | "NotAuthorized" | "OptInRequired" | "KmsAccessDenied" => {
            Kind::NotPermitted
        }
        "QueueDoesNotExist"
        | "AWS.SimpleQueueService.NonExistentQueue"
        | "NonExistentQueue"
        | "InvalidAddress" => Kind::NoQueue,
        _ => Kind::Unknown,
    }
}

/// The skew, where clocks are further apart than signatures tolerate.
fn clock(answer: &Answer, now: UnixMillis) -> Option<Refusal> {
    let date = httpdate::parse_http_date(answer.headers.get(DATE)?.to_str().ok()?).ok()?;
    let theirs = UnixMillis::default().plus(date.duration_since(UNIX_EPOCH).ok()?);
    let (ahead, behind) = (now.since(theirs), theirs.since(now));
    (ahead.max(behind) > TOLERATED_SKEW).then_some(Refusal::Clock { ahead, behind })
}

/// What a service calls it, and what it says about it.
#[derive(Default)]
struct Said {
    code: String,
    message: String,
}

fn read(answer: &Answer) -> Said {
    let body = String::from_utf8_lossy(&answer.body);
    let said = json(&body).or_else(|| xml(&body)).unwrap_or_default();
    let header = || Some(answer.headers.get("x-amzn-errortype")?.to_str().ok()?.to_owned());
    let code = if said.code.is_empty() { header().unwrap_or_default() } else { said.code };
    // A namespace may stand before it, and a URL after it.
    let code = code.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default().to_owned();
    Said { code, ..said }
}

fn json(body: &str) -> Option<Said> {
    #[derive(Deserialize)]
    struct Error {
        #[serde(rename = "__type", default)]
        code: String,
        #[serde(default)]
        message: Option<String>,
        #[serde(rename = "Message", default)]
        capital: Option<String>,
    }
    let Error { code, message, capital } = serde_json::from_str(body).ok()?;
    Some(Said { code, message: message.or(capital).unwrap_or_default() })
}

/// Two elements that hold text only: they need no parser.
fn xml(body: &str) -> Option<Said> {
    let text = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        let (text, _) = rest.split_once(&format!("</{name}>"))?;
        Some(text.trim().to_owned())
    };
    Some(Said { code: text("Code")?, message: text("Message").unwrap_or_default() })
}

/// One line of printable characters.
fn detail(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_DETAIL).collect()
}

#[cfg(test)]
mod tests;
