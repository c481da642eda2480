//! Messages that could not be decoded, with their bodies masked.

use std::fmt;

use chargegate_core::UnixMillis;
use serde::Serialize;

use crate::inspect::{PageCursor, wire};

/// Maximum number of characters of a masked body.
const MAX_CHARS: usize = 2000;
/// Names of fields, which are shown.
const FIELDS: [&str; 10] = [
    "v",
    "id",
    "station_id",
    "driver_token",
    "callback_url",
    "accepted_at",
    "traceparent",
    "null",
    "true",
    "false",
];

/// A poison message.
#[derive(Clone, Debug, Serialize)]
pub struct PoisonEntry {
    /// The id, by which it is shown and discarded.
    pub id: String,
    /// Key of the message in the queue.
    pub message_key: String,
    /// Time at which it was found.
    #[serde(serialize_with = "wire::time")]
    pub found_at: UnixMillis,
    /// Reason why it cannot be decoded.
    pub reason: String,
    /// Number of bytes of the body; zero if it was erased.
    pub bytes: u64,
    /// The masked body.
    pub body: MaskedBody,
}

/// A page of poison messages, newest first.
#[derive(Clone, Debug, Serialize)]
pub struct PoisonPage {
    /// The messages.
    pub messages: Vec<PoisonEntry>,
    /// Start of the next page, if there may be one.
    pub next: Option<PageCursor>,
}

/// The body of a message with every letter and digit replaced, so that its form is visible and its content is not. The
/// names of the fields of a message are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MaskedBody(Box<str>);

impl MaskedBody {
    /// Masks a body.
    #[must_use]
    pub fn new(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let mut masked = String::new();
        let mut rest: &str = &text;
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
            let (piece, after) = rest.split_at(length);
            if FIELDS.contains(&piece) {
                masked.push_str(piece);
            } else {
                masked.extend(piece.chars().map(mask));
            }
            rest = after;
        }
        if let Some((end, _)) = masked.char_indices().nth(MAX_CHARS) {
            masked.truncate(end);
            masked.push('…');
        }
        Self(masked.into())
    }

    /// Returns the masked text, on one line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MaskedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn mask(character: char) -> char {
    match character {
        '0'..='9' => '0',
        ' ' => ' ',
        '_' => 'x',
        character if character.is_ascii_punctuation() => character,
        character if character.is_alphanumeric() => 'x',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &[u8], expected: &str) {
        assert_eq!(MaskedBody::new(body).as_str(), expected);
    }

    #[test]
    fn the_form_of_a_body_is_shown_and_its_content_is_not() {
        check(
            br#"{"v":9,"driver_token":"driver-allowed_0001","x":null}"#,
            r#"{"v":0,"driver_token":"xxxxxx-xxxxxxxx0000","x":null}"#,
        );
        check(b"https://a.example/cb?key=s3cret", "xxxxx://x.xxxxxxx/xx?xxx=x0xxxx");
        check(b"", "");
    }

    #[test]
    fn a_body_cannot_control_a_terminal() {
        check(b"\xff not \0 \x1b[2J\n", "? xxx ? ?[0x?");
        check("grüße".as_bytes(), "xxxxx");
    }

    #[test]
    fn a_long_body_is_truncated() {
        let masked = MaskedBody::new(&vec![b'a'; 16_000]);
        assert_eq!(masked.as_str().chars().count(), MAX_CHARS + 1);
    }
}
