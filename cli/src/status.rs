//! The four answers to "may this driver charge here".

use serde::{Deserialize, Serialize};

/// A decision's status, as the authorization service answers it and the callback reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Allowed,
    NotAllowed,
    Unknown,
    Invalid,
}

impl Status {
    /// The status as it travels.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::NotAllowed => "not_allowed",
            Self::Unknown => "unknown",
            Self::Invalid => "invalid",
        }
    }
}
