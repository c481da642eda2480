//! What people and scripts read: lines on standard output and standard error, and how secrets and foreign
//! text are shown there.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

/// UntrustedText text is cut after this many characters.
const SHOWN: usize = 80;

/// Writes one line to standard output. A reader that went away is no reason to fail.
pub(crate) fn line(text: impl fmt::Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Writes one line to standard error.
pub(crate) fn error_line(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A driver token as people may see it: the first four characters.
pub(crate) struct MaskedToken<'a>(pub(crate) &'a str);

impl fmt::Display for MaskedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A short text would be shown in large part: it is no valid token, but it may be half of one.
        let shown = if self.0.chars().count() < 20 { 0 } else { 4 };
        for c in self.0.chars().take(shown) {
            f.write_char(if c.is_ascii_graphic() { c } else { '?' })?;
        }
        f.write_str("***")
    }
}

/// Text that a peer sent, safe for a terminal and for one line.
pub(crate) struct UntrustedText<'a>(pub(crate) &'a str);

impl fmt::Display for UntrustedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars().take(SHOWN) {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        if self.0.chars().nth(SHOWN).is_some() { f.write_str("…") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_shows_its_first_four_characters_only() {
        assert_eq!(MaskedToken("driver-allowed-0000000001").to_string(), "driv***");
        assert_eq!(MaskedToken("nineteen-characters").to_string(), "***");
        assert_eq!(MaskedToken("").to_string(), "***");
        assert_eq!(MaskedToken("\u{1b}[2J-driver-allowed-0000").to_string(), "?[2J***");
    }

    #[test]
    fn foreign_text_stays_on_one_line_and_has_an_end() {
        assert_eq!(UntrustedText("a\nb\u{1b}[0m").to_string(), "a\\nb\\u{1b}[0m");
        assert_eq!(UntrustedText(&"x".repeat(80)).to_string(), "x".repeat(80));
        assert_eq!(UntrustedText(&"x".repeat(81)).to_string(), format!("{}…", "x".repeat(80)));
    }
}
