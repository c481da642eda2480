//! What travels through a queue: bytes and how they were meant.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::Value;

/// How the sender meant the bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// UTF-8, which a pull gives as it is.
    Text,
    /// A JSON text, which a pull gives in base64 (see [`JsonBodies`]).
    Json,
    /// Anything, which a pull gives in base64.
    Bytes,
    /// A value serialized by the Workers runtime, which only the Workers runtime can read.
    V8,
}

impl ContentType {
    /// Its name in both protocols.
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

/// The text names no content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be text, json, bytes or v8")]
pub struct ContentTypeError;

impl FromStr for ContentType {
    type Err = ContentTypeError;

    fn from_str(text: &str) -> Result<Self, ContentTypeError> {
        [Self::Text, Self::Json, Self::Bytes, Self::V8]
            .into_iter()
            .find(|content_type| content_type.as_str() == text)
            .ok_or(ContentTypeError)
    }
}

/// How a pull gives the body of a `json` message: documentation and reports from the field differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JsonBodies {
    /// A string that holds the JSON text in base64, as documented.
    #[default]
    Base64,
    /// A string that holds the JSON text.
    Text,
    /// The JSON value itself.
    Value,
}

/// One message: bytes whose content type holds for them.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    content_type: ContentType,
    body: Bytes,
}

/// The bytes are not of the content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not of its content type")]
pub struct MessageError;

impl Message {
    /// A message of `content_type`.
    ///
    /// # Errors
    /// A `text` is not UTF-8, or a `json` is not JSON.
    pub fn new(content_type: ContentType, body: impl Into<Bytes>) -> Result<Self, MessageError> {
        let body = body.into();
        let holds = match content_type {
            ContentType::Text => std::str::from_utf8(&body).is_ok(),
            ContentType::Json => serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok(),
            ContentType::Bytes | ContentType::V8 => true,
        };
        if holds { Ok(Self { content_type, body }) } else { Err(MessageError) }
    }

    /// A message of content type `text`.
    #[must_use]
    pub fn text(body: impl Into<String>) -> Self {
        Self { content_type: ContentType::Text, body: body.into().into() }
    }

    /// How the bytes are meant.
    #[must_use]
    pub fn content_type(&self) -> ContentType {
        self.content_type
    }

    /// The bytes as they were sent.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as a pull gives it.
    pub(crate) fn pulled(&self, json: JsonBodies) -> Value {
        let text = || Value::String(String::from_utf8_lossy(&self.body).into_owned());
        let base64 = || Value::String(BASE64_STANDARD.encode(&self.body));
        match (self.content_type, json) {
            (ContentType::Text, _) | (ContentType::Json, JsonBodies::Text) => text(),
            (ContentType::Json, JsonBodies::Value) => {
                serde_json::from_slice(&self.body).unwrap_or(Value::Null)
            }
            (ContentType::Json, JsonBodies::Base64) | (ContentType::Bytes | ContentType::V8, _) => base64(),
        }
    }
}

/// Bodies hold secrets of whoever tests with them.
impl fmt::Debug for Message {
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
    fn check(content_type: ContentType, body: &'static [u8], form: JsonBodies, expected: &Value) {
        let message = Message::new(content_type, body).unwrap();
        assert_eq!(message.pulled(form), *expected);
    }

    #[test]
    fn each_content_type_comes_out_of_a_pull_in_its_form() {
        use ContentType::{Bytes, Json, Text, V8};
        check(Text, "{\"ä\":1}".as_bytes(), JsonBodies::Base64, &json!("{\"ä\":1}"));
        check(Bytes, b"\xff\x0f", JsonBodies::Value, &json!("/w8="));
        check(V8, b"\xff\x0f", JsonBodies::Text, &json!("/w8="));
        check(Json, br#"{"a":1}"#, JsonBodies::Base64, &json!("eyJhIjoxfQ=="));
        check(Json, br#"{"a":1}"#, JsonBodies::Text, &json!(r#"{"a":1}"#));
        check(Json, br#"{"a":1}"#, JsonBodies::Value, &json!({"a": 1}));
    }

    #[test]
    fn bytes_that_are_not_of_their_content_type_are_refused() {
        assert_eq!(Message::new(ContentType::Text, &b"\xff"[..]), Err(MessageError));
        assert_eq!(Message::new(ContentType::Json, &b"{"[..]), Err(MessageError));
        assert_eq!("xml".parse::<ContentType>(), Err(ContentTypeError));
    }

    #[test]
    fn a_body_is_not_shown() {
        assert!(!format!("{:?}", Message::text("secret")).contains("secret"));
    }
}
