//! The audit trail: who did what, when, and to how many rows.

use std::fmt;
use std::str::FromStr;

use chargegate_core::UnixMillis;
use serde::{Deserialize, Serialize, Serializer};

use crate::effects::Random;
use crate::inspect::{PageCursor, wire};

/// Name of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorName(Box<str>);

impl OperatorName {
    /// Maximum number of characters.
    pub const MAX_CHARS: usize = 64;

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OperatorName {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let valid = (1..=Self::MAX_CHARS).contains(&text.chars().count()) && !text.contains(char::is_control);
        if valid { Ok(Self(text.into())) } else { Err(AuditError::OperatorName) }
    }
}

/// Identifies an action, whose batches share one record in the audit trail.
#[derive(Clone, PartialEq, Eq)]
pub struct ActionId(Box<str>);

impl ActionId {
    /// Returns a new id.
    #[must_use]
    pub fn random(random: &dyn Random) -> Self {
        Self(format!("{:016x}{:016x}", random.bits(), random.bits()).into())
    }

    /// Returns the id: 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ActionId {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let digits = text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() == 32 && digits { Ok(Self(text.into())) } else { Err(AuditError::ActionId) }
    }
}

impl fmt::Debug for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ActionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ActionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A text that names no operator or no action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The name of an operator is unusable.
    #[error("the name of an operator has 1 to 64 characters, none of them a control character")]
    OperatorName,
    /// The id of an action is malformed.
    #[error("the id of an action has 32 hexadecimal digits in lower case")]
    ActionId,
}

/// An action of an operator, as given to the audit trail. It holds no secret.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// The action; all its batches have the same id, and add to one record.
    pub id: ActionId,
    /// The operator.
    pub operator: OperatorName,
    /// Name of the action, such as `callbacks retry`.
    pub action: &'static str,
    /// The selected rows, as JSON or as text.
    pub selection: String,
}

/// A record of the audit trail.
#[derive(Clone, Debug, Serialize)]
pub struct AuditRecord {
    /// The action.
    pub action_id: String,
    /// Time of the first batch.
    #[serde(serialize_with = "wire::time")]
    pub started_at: UnixMillis,
    /// Time of the last batch.
    #[serde(serialize_with = "wire::time")]
    pub updated_at: UnixMillis,
    /// The operator.
    pub operator: String,
    /// Name of the action.
    pub action: String,
    /// The selected rows.
    pub selection: String,
    /// Number of rows changed by all batches.
    pub changed: u64,
}

/// A page of the audit trail, newest first.
#[derive(Clone, Debug, Serialize)]
pub struct AuditPage {
    /// The records.
    pub actions: Vec<AuditRecord>,
    /// Start of the next page, if there may be one.
    pub next: Option<PageCursor>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::SystemRandom;

    #[test]
    fn a_name_of_an_operator_is_short_and_printable() {
        let check = |text: &str, valid| assert_eq!(text.parse::<OperatorName>().is_ok(), valid, "{text:?}");
        check("", false);
        check("a", true);
        check("Zoë of shift 2", true);
        check(&"x".repeat(64), true);
        check(&"x".repeat(65), false);
        check("a\nb", false);
        check("\u{1b}[2J", false);
    }

    #[test]
    fn an_action_id_survives_as_text() {
        let id = ActionId::random(&SystemRandom);
        assert_eq!(id.as_str().parse::<ActionId>(), Ok(id));
        for text in ["", "0123", "G0000000000000000000000000000000", "0000000000000000000000000000000A"] {
            assert_eq!(text.parse::<ActionId>(), Err(AuditError::ActionId));
        }
    }
}
