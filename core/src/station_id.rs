//! Ids of charging stations.

use core::fmt;
use core::str::FromStr;

use crate::request_id::is_hyphenated_uuid;

/// The id of a charging station: a UUID in the form 8-4-4-4-12, of any version, echoed as received.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StationId([u8; 36]);

impl StationId {
    /// Returns the id as received, with upper and lower case preserved.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // `from_str` accepts only ASCII, so the fallback is never used.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for StationId {
    type Err = StationIdError;

    fn from_str(text: &str) -> Result<Self, StationIdError> {
        let bytes: [u8; 36] = text.as_bytes().try_into().map_err(|_| StationIdError)?;
        if is_hyphenated_uuid(&bytes) { Ok(Self(bytes)) } else { Err(StationIdError) }
    }
}

impl TryFrom<&str> for StationId {
    type Error = StationIdError;

    fn try_from(text: &str) -> Result<Self, StationIdError> {
        text.parse()
    }
}

impl fmt::Display for StationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for StationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error for a text that is not a UUID in the form 8-4-4-4-12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StationIdError;

impl fmt::Display for StationIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a UUID in the form 8-4-4-4-12")
    }
}

impl core::error::Error for StationIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, accepted: bool) {
        let parsed = text.parse::<StationId>();
        assert_eq!(parsed.is_ok(), accepted, "{text:?}");
        if let Ok(id) = parsed {
            assert_eq!(id.as_str(), text);
        }
    }

    #[test]
    fn any_version_and_case_is_preserved() {
        check("123e4567-e89b-12d3-a456-426614174000", true);
        check("123E4567-e89B-12d3-A456-426614174000", true);
        check("00000000-0000-0000-0000-000000000000", true);
        check("ffffffff-ffff-ffff-ffff-ffffffffffff", true);
    }

    #[test]
    fn other_forms_of_a_uuid_are_refused() {
        check("", false);
        check("123e4567e89b12d3a456426614174000", false);
        check("{123e4567-e89b-12d3-a456-426614174000}", false);
        check("urn:uuid:123e4567-e89b-12d3-a456-426614174000", false);
        check("123e4567-e89b-12d3-a456-42661417400", false);
        check("123e4567-e89b-12d3-a456-4266141740000", false);
        check("123e4567-e89b-12d3-a456-42661417400g", false);
        check("123e4567-e89b-12d3-a4564-26614174000", false);
        check("123e4567-e89b-12d3-a456-4266141740\u{660}", false);
        check(" 23e4567-e89b-12d3-a456-426614174000", false);
    }
}
