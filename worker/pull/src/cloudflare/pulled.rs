//! Pulled messages, with bodies in any documented or observed form.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chargegate_core::UnixMillis;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::engine::{LeaseReceipt, ReceivedMessage};
use chargegate_storage::queue::MessageKey;

/// Result of a pull. Each message is parsed separately, so that a malformed one does not affect the others.
#[derive(Default, Deserialize)]
pub(super) struct Pulled {
    messages: Option<Vec<Box<RawValue>>>,
}

/// A pulled message. All fields but the two ids may be missing or of another type.
#[derive(Deserialize)]
struct PulledMessage {
    id: String,
    lease_id: String,
    body: Option<Box<RawValue>>,
    #[serde(default)]
    attempts: Value,
    #[serde(default)]
    timestamp_ms: Value,
    #[serde(default)]
    metadata: Value,
}

impl Pulled {
    /// Returns the messages that can be acknowledged, and the number of the others, which are delivered again.
    pub(super) fn into_received(self) -> (Vec<ReceivedMessage>, usize) {
        let pulled = self.messages.unwrap_or_default();
        let messages = pulled.iter().filter_map(|message| serde_json::from_str(message.get()).ok());
        let received: Vec<_> = messages.map(PulledMessage::into_received).collect();
        let unidentified = pulled.len() - received.len();
        (received, unidentified)
    }
}

impl PulledMessage {
    fn into_received(self) -> ReceivedMessage {
        let content_type = self.metadata.get("CF-Content-Type").and_then(Value::as_str);
        let attempts = self.attempts.as_u64().unwrap_or(1);
        ReceivedMessage {
            key: MessageKey::from(self.id),
            receipt: LeaseReceipt::from(self.lease_id),
            body: self.body.as_deref().map(|body| body_bytes(body, content_type)).unwrap_or_default(),
            enqueued_at: self.timestamp_ms.as_u64().map(UnixMillis),
            deliveries: u32::try_from(attempts).unwrap_or(u32::MAX),
        }
    }
}

/// Decodes a body. The documentation specifies `text` as plain text, and `json` and `bytes` in base64; plain JSON was
/// observed too, both as text and as a value. Any other form is passed on unchanged, for the poison table.
fn body_bytes(body: &RawValue, content_type: Option<&str>) -> Vec<u8> {
    let Ok(text) = serde_json::from_str::<String>(body.get()) else { return body.get().into() };
    let decoded = || BASE64_STANDARD.decode(&text).ok();
    let bytes = match content_type {
        Some("text") => None,
        // Base64 can look like plain JSON only where that is a number or a word.
        Some(_) => decoded(),
        // Without a content type, a body counts as base64 only if it decodes to a message of this program.
        None => decoded().filter(|bytes| bytes.starts_with(b"{")),
    };
    bytes.unwrap_or_else(|| text.into_bytes())
}

#[cfg(test)]
mod tests;
