//! Output for people and scripts: lines on standard output and standard error, and safe forms of secrets and
//! untrusted text.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

/// Untrusted text is truncated after this number of characters.
const MAX_UNTRUSTED_CHARS: usize = 80;

/// Writes one line to standard output. A closed pipe is not an error.
pub(crate) fn line(text: impl fmt::Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Writes a value as one line of JSON to standard output.
pub(crate) fn json_line(value: &impl serde::Serialize) {
    line(serde_json::to_value(value).unwrap_or_default());
}

/// Writes one line to standard error.
pub(crate) fn error_line(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Displays a driver token masked: only its first four characters.
pub(crate) struct MaskedDriverToken<'a>(pub(crate) &'a str);

impl fmt::Display for MaskedDriverToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Four characters are a large part of a short text. It is not a valid token, but may be a piece of one.
        let shown = if self.0.chars().count() < 20 { 0 } else { 4 };
        for c in self.0.chars().take(shown) {
            f.write_char(if c.is_ascii_graphic() { c } else { '?' })?;
        }
        f.write_str("***")
    }
}

/// Displays text that a peer sent, made safe for a terminal, on one line.
pub(crate) struct UntrustedText<'a>(pub(crate) &'a str);

impl fmt::Display for UntrustedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars().take(MAX_UNTRUSTED_CHARS) {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        if self.0.chars().nth(MAX_UNTRUSTED_CHARS).is_some() { f.write_str("…") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_shows_its_first_four_characters_only() {
        assert_eq!(MaskedDriverToken("driver-allowed-0000000001").to_string(), "driv***");
        assert_eq!(MaskedDriverToken("nineteen-characters").to_string(), "***");
        assert_eq!(MaskedDriverToken("").to_string(), "***");
        assert_eq!(MaskedDriverToken("\u{1b}[2J-driver-allowed-0000").to_string(), "?[2J***");
    }

    #[test]
    fn untrusted_text_stays_on_one_line_and_is_truncated() {
        assert_eq!(UntrustedText("a\nb\u{1b}[0m").to_string(), "a\\nb\\u{1b}[0m");
        assert_eq!(UntrustedText(&"x".repeat(80)).to_string(), "x".repeat(80));
        assert_eq!(UntrustedText(&"x".repeat(81)).to_string(), format!("{}…", "x".repeat(80)));
    }
}
