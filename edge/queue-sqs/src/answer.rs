//! What the service's answers mean.

use std::fmt;
use std::time::Duration;

use chargegate_core::UnixMillis;
use chargegate_core::json::{self, JsonMember, JsonValue};
use chargegate_core::sqs::{Fault, Said};

use crate::QueueError;
use crate::cause::Cause;

/// Signatures hold for 5 minutes at least: clocks this close are not what is wrong with one.
const TOLERATED_SKEW: Duration = Duration::from_mins(4);
/// No code of the service is longer.
const MAX_CODE: usize = 64;

/// An answer, whole. `Debug` hides the body.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The value of the `Date` header.
    pub date: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, ..)", self.status)
    }
}

/// Reads the answer to a message that was sent; `now` is when it came.
///
/// The digest of the body that a confirmation holds is not compared: the signature covers the body, so what the service
/// took is what was sent.
///
/// # Errors
/// [`QueueError`]: the message was not taken, or the answer does not say so.
pub(crate) fn sent(answer: &Answer, now: UnixMillis) -> Result<(), QueueError> {
    if answer.status != 200 {
        return Err(QueueError::Unavailable(refusal(answer, now)));
    }
    if has_message_id(&answer.body) { Ok(()) } else { Err(QueueError::Unavailable(Cause::Answer)) }
}

fn has_message_id(body: &[u8]) -> bool {
    let Ok(Some(members)) = json::read_object(body, ["MessageId"]) else { return false };
    let [id] = members.named;
    matches!(id, JsonMember::Once(JsonValue::String(id)) if !id.decode().is_empty())
}

fn refusal(answer: &Answer, now: UnixMillis) -> Cause {
    let status = answer.status;
    // The text of a refusal may repeat what was signed, session token included: only the code is kept.
    let code = Said::read(&answer.body).code;
    match Fault::of(&code) {
        Fault::Throttled => Cause::Throttled,
        Fault::UnknownKey => Cause::UnknownKey,
        Fault::Expired => Cause::Expired,
        Fault::Clock => {
            clock(answer, now).unwrap_or(Cause::Clock { ahead: Duration::ZERO, behind: Duration::ZERO })
        }
        Fault::Signature => clock(answer, now).unwrap_or(Cause::Signature),
        Fault::NotPermitted => Cause::NotPermitted,
        Fault::NoQueue => Cause::NoQueue,
        Fault::Other if status == 429 => Cause::Throttled,
        Fault::Other => Cause::Refused { status, code: printable(&code) },
    }
}

/// The skew, where clocks are further apart than signatures tolerate.
fn clock(answer: &Answer, now: UnixMillis) -> Option<Cause> {
    let theirs = UnixMillis::from_http_date(answer.date.as_ref()?)?;
    let (ahead, behind) = (now.since(theirs), theirs.since(now));
    (ahead.max(behind) > TOLERATED_SKEW).then_some(Cause::Clock { ahead, behind })
}

/// What can be a code: whatever else answers may say anything.
fn printable(code: &str) -> Option<String> {
    let fits = (1..=MAX_CODE).contains(&code.len());
    let is_code = fits && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    is_code.then(|| code.to_owned())
}

#[cfg(test)]
mod tests;
