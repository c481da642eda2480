//! The body of a request, parsed so that one response reports every invalid field.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use crate::address::ForbiddenAddress;
use crate::callback_url::{CallbackUrl, CallbackUrlError};
use crate::destination::{DestinationPolicy, ForbiddenDestination};
use crate::driver_token::{DriverToken, DriverTokenError};
use crate::json::{self, JsonMember, JsonSyntaxError, JsonValue};
use crate::station_id::StationId;

/// Longest accepted request body, in bytes.
pub const MAX_BODY_BYTES: usize = 8 * 1024;

/// A request to start a charging session.
///
/// ```
/// use chargegate_core::{DestinationPolicy, RequestRejection, SessionRequest};
///
/// let destinations = DestinationPolicy::default();
/// let body = br#"{
///     "station_id": "123e4567-e89b-12d3-a456-426614174000",
///     "driver_token": "driver-allowed-0000000001",
///     "callback_url": "https://client.example/charging/result"
/// }"#;
/// let request = SessionRequest::parse(body, &destinations)?;
/// assert_eq!(request.callback_url.host_str(), "client.example");
///
/// // A rejection lists every invalid field, and never echoes a value.
/// let body = br#"{"station_id": "x", "driver_token": "short", "callback_url": "http://10.0.0.1/"}"#;
/// let Err(RequestRejection::Invalid(errors)) = SessionRequest::parse(body, &destinations) else { panic!() };
/// let errors: Vec<_> = errors.iter().map(|error| (error.pointer, error.code.as_str())).collect();
/// assert_eq!(
///     errors,
///     [("/station_id", "not_a_uuid"), ("/driver_token", "length"), ("/callback_url", "forbidden_address")],
/// );
/// # Ok::<(), RequestRejection>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRequest {
    /// The station at which the driver wants to charge.
    pub station_id: StationId,
    /// The token of the driver.
    pub driver_token: DriverToken,
    /// The URL to which the decision is posted.
    pub callback_url: CallbackUrl,
}

impl SessionRequest {
    /// Parses a JSON body: an object with the strings `station_id`, `driver_token` and `callback_url`, each once;
    /// members with other names are ignored.
    ///
    /// `callback_url` is judged by `destinations`, except for the addresses of a name, which are judged when it is
    /// resolved.
    ///
    /// # Errors
    /// [`RequestRejection`], with every invalid field.
    pub fn parse(body: &[u8], destinations: &DestinationPolicy) -> Result<Self, RequestRejection> {
        let members = match json::read_object(body, ["station_id", "driver_token", "callback_url"]) {
            Ok(Some(members)) => members.named,
            Ok(None) => {
                return Err(RequestRejection::Invalid(
                    [FieldError { pointer: "", code: FieldErrorCode::NotAnObject }].into(),
                ));
            }
            Err(JsonSyntaxError::NotJson) => return Err(RequestRejection::NotJson),
            Err(JsonSyntaxError::TooDeep) => return Err(RequestRejection::TooDeep),
        };
        let [station_id, driver_token, callback_url] = members;
        let station_id =
            string_of(station_id).and_then(|text| text.parse().map_err(|_| FieldErrorCode::Uuid));
        let driver_token =
            string_of(driver_token).and_then(|text| text.parse().map_err(FieldErrorCode::DriverToken));
        let callback_url = string_of(callback_url).and_then(|text| parse_callback_url(&text, destinations));
        match (station_id, driver_token, callback_url) {
            (Ok(station_id), Ok(driver_token), Ok(callback_url)) => {
                Ok(Self { station_id, driver_token, callback_url })
            }
            (station_id, driver_token, callback_url) => Err(RequestRejection::Invalid(
                [
                    ("/station_id", station_id.err()),
                    ("/driver_token", driver_token.err()),
                    ("/callback_url", callback_url.err()),
                ]
                .into_iter()
                .filter_map(|(pointer, code)| code.map(|code| FieldError { pointer, code }))
                .collect(),
            )),
        }
    }
}

fn string_of(member: JsonMember<'_>) -> Result<Cow<'_, str>, FieldErrorCode> {
    match member {
        JsonMember::Once(JsonValue::String(text)) => Ok(text.decode()),
        JsonMember::Once(_) => Err(FieldErrorCode::NotAString),
        JsonMember::Missing => Err(FieldErrorCode::Required),
        JsonMember::Repeated => Err(FieldErrorCode::Repeated),
    }
}

fn parse_callback_url(text: &str, destinations: &DestinationPolicy) -> Result<CallbackUrl, FieldErrorCode> {
    let url = CallbackUrl::from_request(text).map_err(FieldErrorCode::CallbackUrl)?;
    destinations.judge_url(&url).map_err(FieldErrorCode::ForbiddenDestination)?;
    Ok(url)
}

/// The reason why a request is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestRejection {
    /// The body is not exactly one JSON text in UTF-8.
    NotJson,
    /// The body is nested deeper than 32 levels.
    TooDeep,
    /// The body is JSON but breaks the contract: every invalid field, once each, in the order of the contract.
    Invalid(Vec<FieldError>),
}

impl fmt::Display for RequestRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotJson => "the body is not JSON in UTF-8",
            Self::TooDeep => "the body is nested deeper than 32 levels",
            Self::Invalid(_) => "the body does not fit the contract",
        })
    }
}

impl core::error::Error for RequestRejection {}

/// An invalid field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// JSON pointer to the field (RFC 6901); empty for the complete body.
    pub pointer: &'static str,
    /// The reason why it is invalid.
    pub code: FieldErrorCode,
}

/// The reason why a field is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorCode {
    /// The body is not a JSON object.
    NotAnObject,
    /// The field is missing.
    Required,
    /// The field occurs more than once.
    Repeated,
    /// The field is not a string.
    NotAString,
    /// The station id is not a UUID.
    Uuid,
    /// The driver token is malformed.
    DriverToken(DriverTokenError),
    /// The callback URL does not fit the grammar.
    CallbackUrl(CallbackUrlError),
    /// The callback URL is well-formed, and callbacks do not go there.
    ForbiddenDestination(ForbiddenDestination),
}

impl FieldErrorCode {
    /// Returns the machine-readable name, stable across releases.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::Required => "required",
            Self::Repeated => "repeated",
            Self::NotAString => "not_a_string",
            Self::Uuid => "not_a_uuid",
            Self::DriverToken(DriverTokenError::Length) => "length",
            Self::DriverToken(DriverTokenError::Character) => "character",
            Self::CallbackUrl(error) => match error {
                CallbackUrlError::TooLong => "too_long",
                CallbackUrlError::Scheme => "scheme",
                CallbackUrlError::Credentials => "credentials",
                CallbackUrlError::Host => "host",
                CallbackUrlError::Address => "address",
                CallbackUrlError::Port => "port",
                CallbackUrlError::Fragment => "fragment",
                CallbackUrlError::Character => "character",
                CallbackUrlError::DotSegment => "dot_segment",
            },
            Self::ForbiddenDestination(forbidden) => match forbidden {
                ForbiddenDestination::Scheme => "forbidden_scheme",
                ForbiddenDestination::Port => "forbidden_port",
                ForbiddenDestination::Host => "forbidden_host",
                ForbiddenDestination::Address(_) => "forbidden_address",
            },
        }
    }
}

impl fmt::Display for FieldErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnObject => "must be a JSON object",
            Self::Required => "is required",
            Self::Repeated => "must be given once",
            Self::NotAString => "must be a string",
            Self::Uuid => "must be a UUID in the form 8-4-4-4-12",
            Self::DriverToken(error) => return error.fmt(f),
            Self::CallbackUrl(error) => return error.fmt(f),
            Self::ForbiddenDestination(forbidden) => match forbidden {
                ForbiddenDestination::Scheme => "must have the scheme https",
                ForbiddenDestination::Port => "must have a port that the operator allows",
                ForbiddenDestination::Host => "must have a host that the operator allows",
                ForbiddenDestination::Address(ForbiddenAddress::Denied) => {
                    "must not name an address that the operator denies"
                }
                ForbiddenDestination::Address(
                    ForbiddenAddress::Metadata | ForbiddenAddress::SpecialPurpose(_),
                ) => "must not name a private or special-purpose address",
            },
        })
    }
}

#[cfg(test)]
mod tests;
