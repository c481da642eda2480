//! Driver tokens.

use alloc::boxed::Box;
use core::fmt;
use core::str::FromStr;

use crate::charset::UNRESERVED;

const MIN_LENGTH: usize = 20;
const MAX_LENGTH: usize = 80;

/// The secret that identifies a driver: 20 to 80 characters of `A-Z a-z 0-9 - . _ ~`. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DriverToken(Box<str>);

impl DriverToken {
    /// Returns the token itself, for the authorization service and the callback only.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DriverToken {
    type Err = DriverTokenError;

    fn from_str(text: &str) -> Result<Self, DriverTokenError> {
        // Characters are checked before the length, which counts bytes: the error for a token that has the right
        // length in characters but contains a letter outside ASCII names the character.
        if !UNRESERVED.contains_all(text.as_bytes()) {
            return Err(DriverTokenError::Character);
        }
        if !(MIN_LENGTH..=MAX_LENGTH).contains(&text.len()) {
            return Err(DriverTokenError::Length);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<&str> for DriverToken {
    type Error = DriverTokenError;

    fn try_from(text: &str) -> Result<Self, DriverTokenError> {
        text.parse()
    }
}

impl fmt::Debug for DriverToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DriverToken(..)")
    }
}

/// The reason why a text does not parse as a [`DriverToken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverTokenError {
    /// It is shorter than 20 or longer than 80 characters.
    Length,
    /// It has a character outside `A-Z a-z 0-9 - . _ ~`.
    Character,
}

impl fmt::Display for DriverTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "must have 20 to 80 characters",
            Self::Character => "may only have the characters A-Z a-z 0-9 - . _ ~",
        })
    }
}

impl core::error::Error for DriverTokenError {}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(), DriverTokenError>) {
        assert_eq!(
            text.parse::<DriverToken>().map(|token| assert_eq!(token.as_str(), text)),
            expected,
            "{text:?}"
        );
    }

    #[test]
    fn the_length_is_20_to_80() {
        for (length, accepted) in
            [(0, false), (19, false), (20, true), (80, true), (81, false), (8000, false)]
        {
            let expected = if accepted { Ok(()) } else { Err(DriverTokenError::Length) };
            check(&"a".repeat(length), expected);
        }
    }

    #[test]
    fn only_the_unreserved_characters_are_allowed() {
        for code in 0..=0x17f_u32 {
            let Some(character) = char::from_u32(code) else { continue };
            let accepted = character.is_ascii_alphanumeric() || "-._~".contains(character);
            let text = format!("{}{character}", "a".repeat(19));
            check(&text, if accepted { Ok(()) } else { Err(DriverTokenError::Character) });
        }
    }

    #[test]
    fn debug_hides_the_token() {
        let token: DriverToken = "driver-allowed-0000000001".parse().unwrap();
        let shown: String = format!("{token:?}");
        assert!(!shown.contains("allowed"));
    }
}
