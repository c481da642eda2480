//! Messages: bytes with a content type.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::Value;

/// Content type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageContentType {
    /// UTF-8 text, returned unchanged by a pull.
    Text,
    /// JSON text, returned in base64 by a pull (see [`JsonBodyForm`]).
    Json,
    /// Arbitrary bytes, returned in base64 by a pull.
    Bytes,
    /// A value in the serialization of the Workers runtime, which only that runtime can read.
    V8,
}

impl MessageContentType {
    /// Returns the name in both protocols.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Bytes => "bytes",
            Self::V8 => "v8",
        }
    }
}

/// The text is not the name of a content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be text, json, bytes or v8")]
pub struct MessageContentTypeError;

impl FromStr for MessageContentType {
    type Err = MessageContentTypeError;

    fn from_str(text: &str) -> Result<Self, MessageContentTypeError> {
        [Self::Text, Self::Json, Self::Bytes, Self::V8]
            .into_iter()
            .find(|content_type| content_type.as_str() == text)
            .ok_or(MessageContentTypeError)
    }
}

/// Form of a `json` body in a pull; documentation and users' reports differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JsonBodyForm {
    /// A string that holds the JSON text in base64, as documented.
    #[default]
    Base64,
    /// A string that holds the JSON text.
    Text,
    /// The JSON value itself.
    Value,
}

/// A message whose bytes are valid for their content type.
#[derive(Clone, PartialEq, Eq)]
pub struct EmulatorMessage {
    content_type: MessageContentType,
    body: Bytes,
}

/// The bytes are not valid for the content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not valid for its content type")]
pub struct EmulatorMessageError;

impl EmulatorMessage {
    /// Creates a message of `content_type`.
    ///
    /// # Errors
    /// A `text` is not UTF-8, or a `json` is not JSON.
    pub fn new(
        content_type: MessageContentType,
        body: impl Into<Bytes>,
    ) -> Result<Self, EmulatorMessageError> {
        let body = body.into();
        let holds = match content_type {
            MessageContentType::Text => std::str::from_utf8(&body).is_ok(),
            MessageContentType::Json => serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok(),
            MessageContentType::Bytes | MessageContentType::V8 => true,
        };
        if holds { Ok(Self { content_type, body }) } else { Err(EmulatorMessageError) }
    }

    /// Creates a message of content type `text`.
    #[must_use]
    pub fn text(body: impl Into<String>) -> Self {
        Self { content_type: MessageContentType::Text, body: body.into().into() }
    }

    /// Returns the content type.
    #[must_use]
    pub fn content_type(&self) -> MessageContentType {
        self.content_type
    }

    /// Returns the bytes as they were sent.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Returns the body in the form of a pull response.
    pub(crate) fn pulled(&self, json: JsonBodyForm) -> Value {
        let text = || Value::String(String::from_utf8_lossy(&self.body).into_owned());
        let base64 = || Value::String(BASE64_STANDARD.encode(&self.body));
        match (self.content_type, json) {
            (MessageContentType::Text, _) | (MessageContentType::Json, JsonBodyForm::Text) => text(),
            (MessageContentType::Json, JsonBodyForm::Value) => {
                serde_json::from_slice(&self.body).unwrap_or(Value::Null)
            }
            (MessageContentType::Json, JsonBodyForm::Base64)
            | (MessageContentType::Bytes | MessageContentType::V8, _) => base64(),
        }
    }
}

/// Omits the body, which may contain secrets.
impl fmt::Debug for EmulatorMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("content_type", &self.content_type)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(content_type: MessageContentType, body: &'static [u8], form: JsonBodyForm, expected: &Value) {
        let message = EmulatorMessage::new(content_type, body).unwrap();
        assert_eq!(message.pulled(form), *expected);
    }

    #[test]
    fn a_pull_returns_each_content_type_in_its_form() {
        use MessageContentType::{Bytes, Json, Text, V8};
        check(Text, "{\"ä\":1}".as_bytes(), JsonBodyForm::Base64, &json!("{\"ä\":1}"));
        check(Bytes, b"\xff\x0f", JsonBodyForm::Value, &json!("/w8="));
        check(V8, b"\xff\x0f", JsonBodyForm::Text, &json!("/w8="));
        check(Json, br#"{"a":1}"#, JsonBodyForm::Base64, &json!("eyJhIjoxfQ=="));
        check(Json, br#"{"a":1}"#, JsonBodyForm::Text, &json!(r#"{"a":1}"#));
        check(Json, br#"{"a":1}"#, JsonBodyForm::Value, &json!({"a": 1}));
    }

    #[test]
    fn bytes_that_are_invalid_for_their_content_type_are_refused() {
        assert_eq!(EmulatorMessage::new(MessageContentType::Text, &b"\xff"[..]), Err(EmulatorMessageError));
        assert_eq!(EmulatorMessage::new(MessageContentType::Json, &b"{"[..]), Err(EmulatorMessageError));
        assert_eq!("xml".parse::<MessageContentType>(), Err(MessageContentTypeError));
    }

    #[test]
    fn debug_output_omits_the_body() {
        assert!(!format!("{:?}", EmulatorMessage::text("secret")).contains("secret"));
    }
}
