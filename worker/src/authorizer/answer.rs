//! Reading of a response.

use std::fmt;
use std::time::Duration;

use chargegate_core::{DecisionStatus, UnixMillis};
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::Response;

use super::check::CallRecord;
use super::profile::{AclProfile, AnswerMeaning, ResponseView};
use super::{AclCallError, failure};
use crate::retry_after;

/// Most bytes of a response; a regular one has about 30.
const MAX_RESPONSE_BYTES: usize = 16 * 1024;
/// Longest wait for a body that does not count, so that its connection can be kept.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(100);

/// Reads a response by the rules of a profile. A `Retry-After` is measured from `now`.
pub(super) async fn read(
    profile: &AclProfile,
    mut response: Response,
    now: UnixMillis,
    mut record: Option<&mut CallRecord>,
) -> Result<DecisionStatus, AclCallError> {
    let status = response.status().as_u16();
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().to_owned();
    let retry_after =
        response.headers().get(RETRY_AFTER).and_then(|value| retry_after::parse(value.as_bytes(), now));
    if let Some(record) = record.as_deref_mut() {
        record.responded(status, &media_type);
    }

    let body = if profile.reads_body(status) {
        read_body(&mut response).await.map_err(|error| {
            if let Some(record) = record.as_deref_mut() {
                record.failed(&error);
            }
            failure::classify(&error)
        })?
    } else {
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, read_body(&mut response)).await;
        None
    };

    let mut note = |step: fmt::Arguments<'_>| {
        if let Some(record) = record.as_deref_mut() {
            record.steps.push(step.to_string());
        }
    };
    let view = ResponseView { status, media_type: &media_type, body: body.as_deref() };
    let meaning = profile.read(view, &mut note);
    let overloaded =
        [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&response.status());
    match meaning {
        Some(AnswerMeaning::Decided(decision)) => Ok(decision),
        _ if overloaded => Err(AclCallError::Overloaded { status, retry_after }),
        None if response.status().is_success() && profile.reads_body(status) => Err(AclCallError::Unreadable),
        None | Some(AnswerMeaning::Retry) => Err(AclCallError::Status(status)),
    }
}

/// Reads a body; `None` if it exceeds the limit.
async fn read_body(response: &mut Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len().saturating_add(chunk.len()) > MAX_RESPONSE_BYTES {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}
