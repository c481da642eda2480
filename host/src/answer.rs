//! The answers the host gives in the component's place.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

/// Why the host answers by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The client did not send its body in time.
    SlowBody,
    /// The client cut its body short.
    CutBody,
    /// The body is longer than the component may see.
    BodyTooLarge,
    /// The component refused the request as malformed.
    Malformed,
    /// The component trapped.
    Trapped,
    /// The component did not answer in time, or its turn did not come.
    TimedOut,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::CutBody | Self::Malformed => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Trapped => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::SlowBody => "The body did not arrive in time",
            Self::CutBody => "The body did not arrive whole",
            Self::BodyTooLarge => "The body is longer than 8192 bytes",
            Self::Malformed => "The request is malformed",
            Self::Trapped => "The request failed; repeat it with the same Idempotency-Key",
            Self::TimedOut => "The request was not confirmed; repeat it with the same Idempotency-Key",
        }
    }

    /// The kinds the component also tells keep its names.
    fn type_uri(self) -> &'static str {
        match self {
            Self::BodyTooLarge => "urn:chargegate:problem:body-too-large",
            Self::TimedOut => "urn:chargegate:problem:not-confirmed",
            Self::SlowBody | Self::CutBody | Self::Malformed | Self::Trapped => "about:blank",
        }
    }

    /// The problem document (RFC 9457).
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
            // What is left of the body will not be read, so the connection has no further use.
            Self::SlowBody | Self::CutBody | Self::BodyTooLarge => {
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
