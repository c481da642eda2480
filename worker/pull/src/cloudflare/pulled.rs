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
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, metadata: &str, expected: &[u8]) {
        let message = format!(r#"{{"id":"k","lease_id":"l","body":{body},"metadata":{metadata}}}"#);
        let (received, unidentified) = read(&message);
        assert_eq!((received.len(), unidentified), (1, 0), "{message}");
        assert_eq!(received[0].body, expected, "{message}");
    }

    fn read(messages: &str) -> (Vec<ReceivedMessage>, usize) {
        let pulled: Pulled = serde_json::from_str(&format!(r#"{{"messages":[{messages}]}}"#)).unwrap();
        pulled.into_received()
    }

    #[test]
    fn every_form_of_a_body_gives_what_was_sent() {
        let (text, json, bytes) = (
            r#"{"CF-Content-Type":"text"}"#,
            r#"{"CF-Content-Type":"json"}"#,
            r#"{"CF-Content-Type":"bytes"}"#,
        );
        let ours = br#"{"v":1}"#;
        check(r#""{\"v\":1}""#, text, ours);
        check(r#""eyJ2IjoxfQ==""#, json, ours);
        check(r#""eyJ2IjoxfQ==""#, bytes, ours);
        check(r#""{\"v\":1}""#, json, ours);
        check(r#"{"v":1}"#, json, ours);
        for metadata in ["null", "{}", "7", r#"{"CF-Content-Type":7}"#] {
            check(r#""{\"v\":1}""#, metadata, ours);
            check(r#""eyJ2IjoxfQ==""#, metadata, ours);
            check(r#"{"v":1}"#, metadata, ours);
        }
        check(r#""eyJ2IjoxfQ==""#, text, b"eyJ2IjoxfQ==");
        check(r#""//4=""#, bytes, b"\xff\xfe");
        check(r#""not base64""#, bytes, b"not base64");
        check(r#""abcd""#, "null", b"abcd");
        check("null", "null", b"");
        check("[1,2]", "null", b"[1,2]");
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        check(&deep, json, deep.as_bytes());
    }

    #[test]
    fn an_answer_without_messages_is_an_empty_one() {
        for result in ["null", "{}", r#"{"messages":null}"#, r#"{"messages":[]}"#] {
            let pulled: Option<Pulled> = serde_json::from_str(result).unwrap();
            let (received, unidentified) = pulled.unwrap_or_default().into_received();
            assert_eq!((received.len(), unidentified), (0, 0), "{result}");
        }
    }

    #[test]
    fn what_one_message_has_wrong_harms_no_other() {
        let good = r#"{"id":"k","lease_id":"l","body":"b","attempts":3,"timestamp_ms":1710950954154}"#;
        let bad = [r#"{"id":"k"}"#, r#"{"lease_id":"l"}"#, "7", "null", r#"{"id":7,"lease_id":"l"}"#];
        let (received, unidentified) = read(&format!("{},{good}", bad.join(",")));
        assert_eq!((received.len(), unidentified), (1, bad.len()));
        assert_eq!(received[0].deliveries, 3);
        assert_eq!(received[0].enqueued_at, Some(UnixMillis(1_710_950_954_154)));
        for odd in ["-1", "1e99", r#""x""#, "{}"] {
            let message = format!(r#"{{"id":"k","lease_id":"l","attempts":{odd},"timestamp_ms":{odd}}}"#);
            let (received, _) = read(&message);
            assert_eq!((received[0].deliveries, received[0].enqueued_at), (1, None), "{odd}");
        }
        let (received, _) = read(r#"{"id":"k","lease_id":"l","attempts":99999999999}"#);
        assert_eq!(received[0].deliveries, u32::MAX);
    }
}
