//! Parses the body of a callback: exactly the contract's three fields, in order.

use std::fmt;

use chargegate_core::DecisionStatus;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A contradiction between a callback and its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CallbackContradiction {
    /// The body is not exactly the three fields, in order.
    Shape,
    /// The station or the token differs from the request.
    Echo,
    /// The status is not one of the four.
    Status,
    /// `webhook-id` differs from the response's `x-request-id`.
    RequestId,
    /// A repeated callback differs from the first.
    Changed,
    /// The request was refused as bad.
    Refused,
}

impl CallbackContradiction {
    /// Returns a short description.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Shape => "body is not the three fields",
            Self::Echo => "station or token differs from the request",
            Self::Status => "unknown status",
            Self::RequestId => "webhook-id differs from x-request-id",
            Self::Changed => "callbacks differ",
            Self::Refused => "refused and called back",
        }
    }
}

/// Parses the body of a callback and compares it with its request.
///
/// # Errors
/// The body is not exactly `station_id`, `driver_token` and `status`, in that order, with the values of the request
/// and one of the four statuses.
pub(super) fn parse_status(
    body: &[u8],
    station_id: &str,
    driver_token: &str,
) -> Result<DecisionStatus, CallbackContradiction> {
    let Ok(OrderedFields(fields)) = serde_json::from_slice(body) else {
        return Err(CallbackContradiction::Shape);
    };
    let [(a, station), (b, token), (c, status)] = fields.as_slice() else {
        return Err(CallbackContradiction::Shape);
    };
    if [a, b, c] != ["station_id", "driver_token", "status"] {
        return Err(CallbackContradiction::Shape);
    }
    if station.as_str() != Some(station_id) || token.as_str() != Some(driver_token) {
        return Err(CallbackContradiction::Echo);
    }
    status.as_str().and_then(|status| status.parse().ok()).ok_or(CallbackContradiction::Status)
}

/// The members of an object in their order, including repeated ones.
struct OrderedFields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for OrderedFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OrderedFieldsVisitor;

        impl<'de> Visitor<'de> for OrderedFieldsVisitor {
            type Value = OrderedFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OrderedFields, A::Error> {
                let mut fields = Vec::with_capacity(3);
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(OrderedFields(fields))
            }
        }

        deserializer.deserialize_map(OrderedFieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_three_fields_in_order_are_accepted() {
        let check =
            |body: &str, expected| assert_eq!(parse_status(body.as_bytes(), "S", "T"), expected, "{body}");
        check(r#"{"station_id":"S","driver_token":"T","status":"allowed"}"#, Ok(DecisionStatus::Allowed));
        check(
            r#"{"station_id":"S","driver_token":"T","status":"not_allowed"}"#,
            Ok(DecisionStatus::NotAllowed),
        );
        check(r#"{"station_id":"S","driver_token":"T","status":"unknown"}"#, Ok(DecisionStatus::Unknown));
        check(r#"{"station_id":"S","driver_token":"T","status":"invalid"}"#, Ok(DecisionStatus::Invalid));
        for body in [
            "",
            "[]",
            "{}",
            r#"{"station_id":"S","driver_token":"T"}"#,
            r#"{"driver_token":"T","station_id":"S","status":"allowed"}"#,
            r#"{"station_id":"S","driver_token":"T","status":"allowed","more":1}"#,
            r#"{"station_id":"S","station_id":"S","driver_token":"T","status":"allowed"}"#,
            r#"{"station_id":"S","driver_token":"T","status":"allowed"} x"#,
        ] {
            check(body, Err(CallbackContradiction::Shape));
        }
        check(
            r#"{"station_id":"s","driver_token":"T","status":"allowed"}"#,
            Err(CallbackContradiction::Echo),
        );
        check(
            r#"{"station_id":"S","driver_token":null,"status":"allowed"}"#,
            Err(CallbackContradiction::Echo),
        );
        check(
            r#"{"station_id":"S","driver_token":"T","status":"Allowed"}"#,
            Err(CallbackContradiction::Status),
        );
    }
}
