//! The one place where what went wrong becomes an HTTP answer.

use chargegate_core::{ProblemDetails, ProblemKind};

use crate::body::{BodyError, ReadError};
use crate::host::QueueError;
use crate::http::Response;
use crate::settings::SettingError;

/// Seconds after which a client may try again.
const RETRY_AFTER: &str = "1";

/// The problem as an answer (RFC 9457 section 3).
pub(crate) fn response(problem: &ProblemDetails) -> Response {
    let response = Response::new(problem.kind.status(), "application/problem+json", problem.to_json());
    match problem.kind {
        ProblemKind::NotConfirmed => response.with("retry-after", RETRY_AFTER),
        _ => response,
    }
}

impl From<ReadError> for ProblemDetails {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge => ProblemDetails::new(ProblemKind::BodyTooLarge),
            ReadError::Incomplete(BodyError::Cut) => {
                ProblemDetails::new(ProblemKind::NotJson).with_detail("the body did not arrive whole")
            }
            ReadError::Incomplete(BodyError::Late) => ProblemDetails::new(ProblemKind::BodyTooLate),
        }
    }
}

impl From<QueueError> for ProblemDetails {
    fn from(error: QueueError) -> Self {
        let (kind, detail) = match error {
            QueueError::Full => (ProblemKind::NotConfirmed, "the queue is full"),
            // Repeating it cannot help.
            QueueError::TooLarge => (ProblemKind::BodyTooLarge, "the request is too large for the queue"),
            QueueError::TimedOut => (
                ProblemKind::NotConfirmed,
                "the queue did not confirm in time; the request may still be processed",
            ),
            QueueError::Unavailable => (ProblemKind::NotConfirmed, "the queue is unavailable"),
        };
        ProblemDetails::new(kind).with_detail(detail)
    }
}

impl From<SettingError> for ProblemDetails {
    fn from(error: SettingError) -> Self {
        ProblemDetails::new(ProblemKind::NotConfirmed).with_detail(error.as_str())
    }
}
