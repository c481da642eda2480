//! The one place where errors become HTTP responses.

use chargegate_core::{EnqueueError, ProblemDetails, ProblemKind};

use crate::body::{ReadBodyError, RequestBodyError};
use crate::http::EdgeResponse;
use crate::settings::EdgeSettingsError;

/// The delay in seconds after which a client may retry.
const RETRY_AFTER: &str = "1";

/// Returns the response for a problem (RFC 9457 section 3).
pub(crate) fn response(problem: &ProblemDetails) -> EdgeResponse {
    let response = EdgeResponse::new(problem.kind.status(), "application/problem+json", problem.to_json());
    match problem.kind {
        ProblemKind::NotConfirmed => response.with_header("retry-after", RETRY_AFTER),
        _ => response,
    }
}

impl From<ReadBodyError> for ProblemDetails {
    fn from(error: ReadBodyError) -> Self {
        match error {
            ReadBodyError::TooLarge => ProblemDetails::new(ProblemKind::BodyTooLarge),
            ReadBodyError::Incomplete(RequestBodyError::Truncated) => {
                ProblemDetails::new(ProblemKind::NotJson).with_detail("the body did not arrive completely")
            }
            ReadBodyError::Incomplete(RequestBodyError::TimedOut) => {
                ProblemDetails::new(ProblemKind::BodyTooLate)
            }
        }
    }
}

/// Returns the problem for a message that the queue did not confirm.
pub(crate) fn not_confirmed(error: EnqueueError) -> ProblemDetails {
    let (kind, detail) = match error {
        EnqueueError::Full => (ProblemKind::NotConfirmed, "the queue is full"),
        // A retry cannot succeed.
        EnqueueError::TooLarge => (ProblemKind::BodyTooLarge, "the request is too large for the queue"),
        EnqueueError::TimedOut => (
            ProblemKind::NotConfirmed,
            "the queue did not confirm in time; the request may still be processed",
        ),
        EnqueueError::Unavailable => (ProblemKind::NotConfirmed, "the queue is unavailable"),
    };
    ProblemDetails::new(kind).with_detail(detail)
}

impl From<EdgeSettingsError> for ProblemDetails {
    fn from(error: EdgeSettingsError) -> Self {
        ProblemDetails::new(ProblemKind::NotConfirmed).with_detail(error.as_str())
    }
}
