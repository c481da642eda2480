//! Responses that the host sends in place of the component.

use bytes::Bytes;
use chargegate_core::ProblemKind;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

/// The reason why the host responds in place of the component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostRefusal {
    /// The client did not send its body in time.
    SlowBody,
    /// The client ended the connection before the end of its body.
    TruncatedBody,
    /// The body is longer than the limit for the component.
    BodyTooLarge,
    /// The component refused the request as malformed.
    Malformed,
    /// The component trapped.
    Trapped,
    /// The component did not respond in time, or no permit became free in time.
    TimedOut,
}

impl HostRefusal {
    fn status(self) -> StatusCode {
        match self {
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::TruncatedBody | Self::Malformed => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Trapped => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the problem's title; problems that the component also reports have its title and type.
    fn title(self) -> &'static str {
        match self {
            Self::SlowBody => ProblemKind::BodyTooLate.title(),
            Self::TruncatedBody => "The body did not arrive completely",
            Self::BodyTooLarge => ProblemKind::BodyTooLarge.title(),
            Self::Malformed => "The request is malformed",
            Self::Trapped => "The request failed; repeat it with the same Idempotency-Key",
            Self::TimedOut => ProblemKind::NotConfirmed.title(),
        }
    }

    /// Returns the problem type.
    fn type_uri(self) -> &'static str {
        match self {
            Self::SlowBody => ProblemKind::BodyTooLate.type_uri(),
            Self::BodyTooLarge => ProblemKind::BodyTooLarge.type_uri(),
            Self::TimedOut => ProblemKind::NotConfirmed.type_uri(),
            Self::TruncatedBody | Self::Malformed | Self::Trapped => "about:blank",
        }
    }

    /// Returns the response with its problem document (RFC 9457).
    pub(crate) fn response(self) -> Response<Full<Bytes>> {
        let status = self.status();
        let (kind, title, code) = (self.type_uri(), self.title(), status.as_u16());
        let body = format!(r#"{{"type":"{kind}","title":"{title}","status":{code}}}"#);
        let length = body.len();
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CONTENT_LENGTH, length.into());
        match self {
            // The rest of the body is not read, so the connection cannot carry another request.
            Self::SlowBody | Self::TruncatedBody | Self::BodyTooLarge => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::TimedOut => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Malformed | Self::Trapped => {}
        }
        response
    }
}
