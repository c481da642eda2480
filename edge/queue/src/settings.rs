//! Settings, read from the variables of the component.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The settings of an engine.
pub trait ComponentSettings: Sized {
    /// The names of the variables that are read.
    const VARIABLES: &'static [&'static str];

    /// Reads the settings; `lookup` returns the value of a variable that is set. An empty value counts as unset.
    ///
    /// # Errors
    /// [`ComponentSettingsError`], naming the first malformed variable.
    fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ComponentSettingsError>;
}

/// A variable with an invalid value. The text names the variable, and does not repeat the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComponentSettingsError(pub &'static str);

impl fmt::Display for ComponentSettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ComponentSettingsError {}

/// Parses a number; without a `text`, returns `default`.
///
/// # Errors
/// `error`: the text is not a number, or the number is not `allowed`.
pub fn parse_number<T: FromStr + PartialOrd>(
    text: Option<String>,
    allowed: RangeInclusive<T>,
    default: T,
    error: ComponentSettingsError,
) -> Result<T, ComponentSettingsError> {
    let Some(text) = text else { return Ok(default) };
    text.parse().ok().filter(|number| allowed.contains(number)).ok_or(error)
}

/// Parses `queue_timeout_ms`, the time limit of one message; 1.5 s without a `text`.
///
/// # Errors
/// The text is not a number from 1 to 60,000.
pub fn parse_timeout(text: Option<String>) -> Result<Duration, ComponentSettingsError> {
    let error = ComponentSettingsError("queue_timeout_ms must be a number from 1 to 60000");
    parse_number(text, 1..=60_000, 1_500, error).map(Duration::from_millis)
}
