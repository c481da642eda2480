//! Decisions, the request and answer of the authorization service, and the body of a callback.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use crate::driver_token::DriverToken;
use crate::json::{self, JsonMember, JsonValue};
use crate::station_id::StationId;

/// Largest number of deliveries of a message after which the authorization service is still called.
///
/// A message that was delivered more often may be the reason why its workers die. It is decided without a call.
pub const MAX_DELIVERIES: u32 = 10;

/// The status of a decision, as reported to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecisionStatus {
    /// The driver may charge.
    Allowed,
    /// The driver is known but may not charge here.
    NotAllowed,
    /// The authorization service did not answer in time, or does not know the driver.
    Unknown,
    /// The token is not valid, or no longer valid.
    Invalid,
}

impl DecisionStatus {
    /// All statuses.
    pub const ALL: [Self; 4] = [Self::Allowed, Self::NotAllowed, Self::Unknown, Self::Invalid];

    /// Returns the name on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::NotAllowed => "not_allowed",
            Self::Unknown => "unknown",
            Self::Invalid => "invalid",
        }
    }
}

impl FromStr for DecisionStatus {
    type Err = UnknownDecisionName;

    fn from_str(text: &str) -> Result<Self, UnknownDecisionName> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownDecisionName)
    }
}

impl fmt::Display for DecisionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The reason for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecisionReason {
    /// The authorization service answered in time.
    Acl,
    /// The token of the message was malformed; the authorization service was not called.
    MalformedToken,
    /// The last call timed out.
    AclTimeout,
    /// The last call was refused, cut off, or its answer was not understood.
    AclError,
    /// Too little time was left to start a call.
    Expired,
    /// The breaker was open until too little time was left to start a call: the authorization service did not respond to
    /// any call.
    AclUnavailable,
    /// The message was delivered more than [`MAX_DELIVERIES`] times without a decision; no further call was made.
    Redelivered,
}

impl DecisionReason {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::Acl,
        Self::MalformedToken,
        Self::AclTimeout,
        Self::AclError,
        Self::Expired,
        Self::AclUnavailable,
        Self::Redelivered,
    ];

    /// Returns the name in the `chargegate-decision-reason` header and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acl => "acl",
            Self::MalformedToken => "malformed_token",
            Self::AclTimeout => "acl_timeout",
            Self::AclError => "acl_error",
            Self::Expired => "expired",
            Self::AclUnavailable => "acl_unavailable",
            Self::Redelivered => "redelivered",
        }
    }
}

impl FromStr for DecisionReason {
    type Err = UnknownDecisionName;

    fn from_str(text: &str) -> Result<Self, UnknownDecisionName> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(UnknownDecisionName)
    }
}

impl fmt::Display for DecisionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error for a text that does not name a status or a reason of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownDecisionName;

impl fmt::Display for UnknownDecisionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not a name that this version knows")
    }
}

impl core::error::Error for UnknownDecisionName {}

/// The one decision of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The status reported to the client.
    pub status: DecisionStatus,
    /// The reason for the status.
    pub reason: DecisionReason,
}

impl Decision {
    /// Returns the decision that the authorization service made.
    #[must_use]
    pub const fn answered(status: DecisionStatus) -> Self {
        Self { status, reason: DecisionReason::Acl }
    }

    /// Decision on a message whose token is malformed.
    pub const MALFORMED_TOKEN: Self =
        Self { status: DecisionStatus::Invalid, reason: DecisionReason::MalformedToken };

    /// Returns the decision without an answer of the authorization service.
    #[must_use]
    pub const fn unknown(reason: DecisionReason) -> Self {
        Self { status: DecisionStatus::Unknown, reason }
    }
}

/// Returns the request body of a call to the authorization service.
#[must_use]
pub fn authorization_body(station_id: &StationId, driver_token: &DriverToken) -> String {
    let token = driver_token.as_str();
    let mut out = String::with_capacity(80 + token.len());
    out.push_str(r#"{"station_id":""#);
    out.push_str(station_id.as_str());
    // A token contains no character that JSON escapes.
    out.push_str(r#"","driver_token":""#);
    out.push_str(token);
    out.push_str("\"}");
    out
}

/// Parses the body of a 200 of the authorization service: an object with one `status`; other members are ignored.
///
/// # Errors
/// [`AuthorizationAnswerError`] for any other body, which does not count as an answer.
pub fn parse_authorization_answer(body: &[u8]) -> Result<DecisionStatus, AuthorizationAnswerError> {
    let members = json::read_object(body, ["status"]).ok().flatten().ok_or(AuthorizationAnswerError)?;
    match members.named {
        [JsonMember::Once(JsonValue::String(name))] => {
            name.decode().parse().map_err(|_| AuthorizationAnswerError)
        }
        _ => Err(AuthorizationAnswerError),
    }
}

/// The error for a body of the authorization service that is not an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorizationAnswerError;

impl fmt::Display for AuthorizationAnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body is not an object with a known status")
    }
}

impl core::error::Error for AuthorizationAnswerError {}

/// Returns the body of a callback: the three fields of the contract in their order. The token may be malformed.
#[must_use]
pub fn callback_body(station_id: &StationId, driver_token: &str, status: DecisionStatus) -> String {
    let mut out = String::with_capacity(110 + driver_token.len());
    out.push_str(r#"{"station_id":""#);
    out.push_str(station_id.as_str());
    out.push_str(r#"","driver_token":"#);
    json::write_string(&mut out, driver_token);
    out.push_str(r#","status":""#);
    out.push_str(status.as_str());
    out.push_str("\"}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATION: &str = "123e4567-e89b-12d3-a456-426614174000";

    #[test]
    fn the_callback_body_has_the_three_fields_in_order() {
        let body = callback_body(&STATION.parse().unwrap(), "tok\"en", DecisionStatus::NotAllowed);
        assert_eq!(
            body,
            r#"{"station_id":"123e4567-e89b-12d3-a456-426614174000","driver_token":"tok\"en","status":"not_allowed"}"#
        );
    }

    #[track_caller]
    fn check(body: &str, expected: Option<DecisionStatus>) {
        assert_eq!(parse_authorization_answer(body.as_bytes()).ok(), expected, "{body}");
    }

    #[test]
    fn only_an_object_with_a_known_status_is_an_answer() {
        for status in DecisionStatus::ALL {
            check(&alloc::format!(r#"{{"status":"{status}","note":[1]}}"#), Some(status));
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        for body in [
            "",
            "allowed",
            "\"allowed\"",
            "{}",
            r#"{"status":1}"#,
            r#"{"status":"ALLOWED"}"#,
            r#"{"status":"allowed","status":"allowed"}"#,
            "<html>",
        ] {
            check(body, None);
        }
    }

    #[test]
    fn every_reason_parses_from_its_name() {
        for reason in DecisionReason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
        }
    }
}
