//! Driver tokens as people may see them.

use std::fmt::{self, Write as _};

use serde::Serialize;

/// Shorter texts would be shown in too large a part.
const SHOWN_FROM: usize = 20;

/// A driver token of which the ends and the length are left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MaskedToken(Box<str>);

impl MaskedToken {
    /// Masks `token`.
    #[must_use]
    pub fn new(token: &str) -> Self {
        let length = token.chars().count();
        let mut shown = String::new();
        if length >= SHOWN_FROM {
            shown.extend(token.chars().take(3).map(plain));
            shown.push('…');
            shown.extend(token.chars().skip(length - 2).map(plain));
        } else {
            shown.push('…');
        }
        let _ = write!(shown, " ({length} characters)");
        Self(shown.into())
    }

    /// The text to show.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A malformed token may hold what a terminal obeys.
fn plain(character: char) -> char {
    if character.is_ascii_graphic() { character } else { '?' }
}

impl fmt::Display for MaskedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(token: &str, expected: &str) {
        assert_eq!(MaskedToken::new(token).as_str(), expected);
    }

    #[test]
    fn the_ends_and_the_length_are_shown() {
        check("driver-allowed-0000000001", "dri…01 (25 characters)");
        check("abcdefghijklmnopqrst", "abc…st (20 characters)");
    }

    #[test]
    fn a_short_token_shows_only_its_length() {
        check("abcdefghijklmnopqrs", "… (19 characters)");
        check("", "… (0 characters)");
    }

    #[test]
    fn a_malformed_token_cannot_control_a_terminal() {
        check("\u{1b}[2Jxxxxxxxxxxxxxxxxxxx\u{7}", "?[2…x? (24 characters)");
    }
}
