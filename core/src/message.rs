//! The queue message: one versioned JSON text.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use crate::callback_url::CallbackUrl;
use crate::driver_token::DriverToken;
use crate::json::{self, JsonMember, JsonValue};
use crate::request::SessionRequest;
use crate::request_id::RequestId;
use crate::station_id::StationId;
use crate::time::UnixMillis;
use crate::traceparent::Traceparent;

/// Longest message that is decoded, in bytes. Messages of the edge are shorter than 3 KiB.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024;

const FIELD_NAMES: [&str; 7] =
    ["v", "id", "station_id", "driver_token", "callback_url", "accepted_at", "traceparent"];

/// An accepted request on its way through the queue.
///
/// ```
/// use chargegate_core::{DestinationPolicy, RequestId, SessionMessage, SessionRequest, UnixMillis};
///
/// let body = br#"{
///     "station_id": "123e4567-e89b-12d3-a456-426614174000",
///     "driver_token": "driver-allowed-0000000001",
///     "callback_url": "https://client.example/charging/result"
/// }"#;
/// let request = SessionRequest::parse(body, &DestinationPolicy::default())?;
///
/// // The edge encodes the request for the queue; id and time come from its host.
/// let now = UnixMillis(1_763_800_000_000);
/// let message = SessionMessage::new(request, RequestId::v7(now, [7; 10]), now, None);
/// let text = message.encode();
/// assert!(text.starts_with(r#"{"v":1,"id":""#));
///
/// // The worker decodes it, and validates every field again: other producers may feed the queue.
/// assert_eq!(SessionMessage::decode(text.as_bytes())?, message);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionMessage {
    /// The id of the request.
    pub id: RequestId,
    /// The station at which the driver wants to charge.
    pub station_id: StationId,
    /// The token of the driver.
    pub driver_token: MessageToken,
    /// The URL to which the decision is posted.
    pub callback_url: CallbackUrl,
    /// The time of acceptance, by the clock of the edge.
    pub accepted_at: UnixMillis,
    /// The trace to which the request belongs.
    pub traceparent: Option<Traceparent>,
}

/// The driver token of a message. Other producers may feed the queue, so it may be malformed.
#[derive(Clone, PartialEq, Eq)]
pub enum MessageToken {
    /// A well-formed token.
    Valid(DriverToken),
    /// Any other text; the request is decided `invalid` without a call, and the callback echoes the text.
    Malformed(Box<str>),
}

impl MessageToken {
    /// Returns the token as received.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Valid(token) => token.as_str(),
            Self::Malformed(text) => text,
        }
    }
}

impl From<&str> for MessageToken {
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Malformed(text.into()), Self::Valid)
    }
}

impl fmt::Debug for MessageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Valid(_) => "Valid(..)",
            Self::Malformed(_) => "Malformed(..)",
        })
    }
}

impl SessionMessage {
    /// Creates the message of a request that the edge accepts at `accepted_at`.
    #[must_use]
    pub fn new(
        request: SessionRequest,
        id: RequestId,
        accepted_at: UnixMillis,
        traceparent: Option<Traceparent>,
    ) -> Self {
        Self {
            id,
            station_id: request.station_id,
            driver_token: MessageToken::Valid(request.driver_token),
            callback_url: request.callback_url,
            accepted_at,
            traceparent,
        }
    }

    /// Encodes the message as the text that travels through the queue.
    #[must_use]
    pub fn encode(&self) -> String {
        let token = self.driver_token.as_str();
        let url = self.callback_url.as_str();
        let mut out = String::with_capacity(256 + token.len() + url.len());
        out.push_str(r#"{"v":1,"id":""#);
        out.push_str(self.id.encode(&mut [0; 36]));
        out.push_str(r#"","station_id":""#);
        out.push_str(self.station_id.as_str());
        out.push_str(r#"","driver_token":"#);
        json::write_string(&mut out, token);
        // A callback URL contains no character that JSON escapes.
        out.push_str(r#","callback_url":""#);
        out.push_str(url);
        out.push_str(r#"","accepted_at":"#);
        write_number(&mut out, self.accepted_at.0);
        if let Some(traceparent) = &self.traceparent {
            out.push_str(r#","traceparent":""#);
            out.push_str(traceparent.as_str());
            out.push('"');
        }
        out.push('}');
        out
    }

    /// Decodes a text of the queue.
    ///
    /// It must have version 1 and every field except `traceparent`, each once and of the right type, and no other field.
    /// A malformed `traceparent` is dropped, as its specification requires; a malformed token is kept as such.
    ///
    /// # Errors
    /// [`MessageDecodeError`] if the message is poison.
    pub fn decode(text: &[u8]) -> Result<Self, MessageDecodeError> {
        if text.len() > MAX_MESSAGE_BYTES {
            return Err(MessageDecodeError::TooLarge);
        }
        let members = json::read_object(text, FIELD_NAMES).map_err(|_| MessageDecodeError::NotAnObject)?;
        let members = members.ok_or(MessageDecodeError::NotAnObject)?;
        let [version, id, station_id, driver_token, callback_url, accepted_at, traceparent] = members.named;
        if version != JsonMember::Once(JsonValue::Number("1")) {
            return Err(MessageDecodeError::Version);
        }
        if members.others {
            return Err(MessageDecodeError::UnknownField);
        }
        Ok(Self {
            id: string_of(id).and_then(|text| text.parse().ok()).ok_or(MessageDecodeError::Id)?,
            station_id: string_of(station_id)
                .and_then(|text| text.parse().ok())
                .ok_or(MessageDecodeError::StationId)?,
            driver_token: string_of(driver_token)
                .map(|text| (&*text).into())
                .ok_or(MessageDecodeError::DriverToken)?,
            callback_url: string_of(callback_url)
                .and_then(|text| text.parse().ok())
                .ok_or(MessageDecodeError::CallbackUrl)?,
            accepted_at: timestamp_of(accepted_at).ok_or(MessageDecodeError::AcceptedAt)?,
            traceparent: match traceparent {
                JsonMember::Missing => None,
                present => {
                    let text = string_of(present).ok_or(MessageDecodeError::Traceparent)?;
                    Traceparent::from_header(text.as_bytes())
                }
            },
        })
    }
}

fn string_of(member: JsonMember<'_>) -> Option<alloc::borrow::Cow<'_, str>> {
    match member {
        JsonMember::Once(JsonValue::String(text)) => Some(text.decode()),
        _ => None,
    }
}

fn timestamp_of(member: JsonMember<'_>) -> Option<UnixMillis> {
    let JsonMember::Once(JsonValue::Number(digits)) = member else { return None };
    digits.parse().ok().map(UnixMillis).filter(|at| *at <= UnixMillis::MAX)
}

fn write_number(out: &mut String, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut length = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        length += 1;
        if number == 0 {
            break;
        }
    }
    out.push_str(core::str::from_utf8(digits.get(20 - length..).unwrap_or_default()).unwrap_or_default());
}

/// The reason why a message is poison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageDecodeError {
    /// It is longer than [`MAX_MESSAGE_BYTES`].
    TooLarge,
    /// It is not a JSON object.
    NotAnObject,
    /// Its version is not 1.
    Version,
    /// It has a field that version 1 does not know.
    UnknownField,
    /// `id` is missing, repeated or not a UUID.
    Id,
    /// `station_id` is missing, repeated or not a UUID.
    StationId,
    /// `driver_token` is missing, repeated or not a string.
    DriverToken,
    /// `callback_url` is missing, repeated or not a callback URL.
    CallbackUrl,
    /// `accepted_at` is missing, repeated or not a time in milliseconds below 2^53.
    AcceptedAt,
    /// `traceparent` is repeated or not a string.
    Traceparent,
}

impl MessageDecodeError {
    /// Returns the name of the reason, which is stored with a poison message.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NotAnObject => "not_an_object",
            Self::Version => "version",
            Self::UnknownField => "unknown_field",
            Self::Id => "id",
            Self::StationId => "station_id",
            Self::DriverToken => "driver_token",
            Self::CallbackUrl => "callback_url",
            Self::AcceptedAt => "accepted_at",
            Self::Traceparent => "traceparent",
        }
    }
}

impl fmt::Display for MessageDecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the message cannot be decoded ({})", self.as_str())
    }
}

impl core::error::Error for MessageDecodeError {}

#[cfg(test)]
mod tests;
