//! Problem details (RFC 9457), the body of a response that does not accept a request.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::json::write_string;
use crate::request::{FieldError, RequestRejection};

/// The problem details of a response, in the format `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProblemDetails {
    /// The kind of problem.
    pub kind: ProblemKind,
    /// The details of this occurrence, if the kind alone is not specific enough. They never echo input.
    pub detail: Option<&'static str>,
    /// The invalid fields, for [`ProblemKind::InvalidFields`].
    pub errors: Vec<FieldError>,
}

/// The kind of a problem, which determines status, title and type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// 400: the body is not JSON.
    NotJson,
    /// 400: the body is nested too deep.
    TooDeep,
    /// 400: the `Idempotency-Key` is malformed.
    BadIdempotencyKey,
    /// 404: the resource does not exist.
    NotFound,
    /// 405: the resource has other methods.
    MethodNotAllowed,
    /// 408: the body did not arrive in time.
    BodyTooLate,
    /// 413: the body is longer than 8 KiB.
    BodyTooLarge,
    /// 415: the body is not declared as JSON.
    UnsupportedMediaType,
    /// 422: the body breaks the contract.
    InvalidFields,
    /// 503: the queue has not confirmed the request.
    NotConfirmed,
}

impl ProblemKind {
    /// Returns the HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NotJson | Self::TooDeep | Self::BadIdempotencyKey => 400,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::BodyTooLate => 408,
            Self::BodyTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::InvalidFields => 422,
            Self::NotConfirmed => 503,
        }
    }

    /// Returns the URI that identifies the kind, stable across releases.
    #[must_use]
    pub const fn type_uri(self) -> &'static str {
        match self {
            Self::NotJson => "urn:chargegate:problem:not-json",
            Self::TooDeep => "urn:chargegate:problem:too-deep",
            Self::BadIdempotencyKey => "urn:chargegate:problem:bad-idempotency-key",
            Self::NotFound => "urn:chargegate:problem:not-found",
            Self::MethodNotAllowed => "urn:chargegate:problem:method-not-allowed",
            // It adds nothing to the HTTP status (RFC 9457 section 4.2.1).
            Self::BodyTooLate => "about:blank",
            Self::BodyTooLarge => "urn:chargegate:problem:body-too-large",
            Self::UnsupportedMediaType => "urn:chargegate:problem:unsupported-media-type",
            Self::InvalidFields => "urn:chargegate:problem:invalid-fields",
            Self::NotConfirmed => "urn:chargegate:problem:not-confirmed",
        }
    }

    /// Returns the title of the kind.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::NotJson => "The body is not JSON in UTF-8",
            Self::TooDeep => "The body is nested deeper than 32 levels",
            Self::BadIdempotencyKey => {
                "The Idempotency-Key is not 1 to 255 visible ASCII characters, given once"
            }
            Self::NotFound => "There is no such resource",
            Self::MethodNotAllowed => "The resource does not have this method",
            Self::BodyTooLate => "The body did not arrive in time",
            Self::BodyTooLarge => "The body is longer than 8192 bytes",
            Self::UnsupportedMediaType => "The content type is not application/json",
            Self::InvalidFields => "The body does not fit the contract",
            Self::NotConfirmed => "The request was not confirmed; repeat it with the same Idempotency-Key",
        }
    }
}

impl ProblemDetails {
    /// Creates a problem without details.
    #[must_use]
    pub const fn new(kind: ProblemKind) -> Self {
        Self { kind, detail: None, errors: Vec::new() }
    }

    /// Adds a detail to the problem.
    #[must_use]
    pub fn with_detail(self, detail: &'static str) -> Self {
        Self { detail: Some(detail), ..self }
    }

    /// Returns the JSON document.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(256);
        out.push_str(r#"{"type":""#);
        out.push_str(self.kind.type_uri());
        out.push_str(r#"","title":""#);
        out.push_str(self.kind.title());
        out.push_str(r#"","status":"#);
        out.push_str(&self.kind.status().to_string());
        if let Some(detail) = self.detail {
            out.push_str(r#","detail":"#);
            write_string(&mut out, detail);
        }
        if !self.errors.is_empty() {
            out.push_str(r#","errors":["#);
            for (at, error) in self.errors.iter().enumerate() {
                out.push_str(if at == 0 { r#"{"pointer":""# } else { r#",{"pointer":""# });
                out.push_str(error.pointer);
                out.push_str(r#"","code":""#);
                out.push_str(error.code.as_str());
                out.push_str(r#"","detail":"#);
                write_string(&mut out, &error.code.to_string());
                out.push('}');
            }
            out.push(']');
        }
        out.push('}');
        out
    }
}

impl From<RequestRejection> for ProblemDetails {
    fn from(rejection: RequestRejection) -> Self {
        match rejection {
            RequestRejection::NotJson => Self::new(ProblemKind::NotJson),
            RequestRejection::TooDeep => Self::new(ProblemKind::TooDeep),
            RequestRejection::Invalid(errors) => Self { errors, ..Self::new(ProblemKind::InvalidFields) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DestinationPolicy, SessionRequest};

    #[test]
    fn a_problem_lists_every_invalid_field_and_echoes_none() {
        let body = br#"{"station_id":"secret-value","driver_token":"secret value"}"#;
        let problem =
            ProblemDetails::from(SessionRequest::parse(body, &DestinationPolicy::default()).unwrap_err());
        let json = problem.to_json();
        assert!(!json.contains("secret"));
        let document: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(document["status"], 422);
        assert_eq!(document["errors"][1]["pointer"], "/driver_token");
        assert_eq!(document["errors"][1]["code"], "character");
        assert_eq!(document["errors"][2]["code"], "required");
    }
}
