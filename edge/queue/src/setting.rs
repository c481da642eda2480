//! Settings, from the variables of the component.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A variable has a value it cannot have; says which, without the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingError(pub &'static str);

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for SettingError {}

/// Reads a number; without a `text`, it is `default`.
///
/// # Errors
/// `error`: it is no number, or not one that is `allowed`.
pub fn number<T: FromStr + PartialOrd>(
    text: Option<String>,
    allowed: RangeInclusive<T>,
    default: T,
    error: SettingError,
) -> Result<T, SettingError> {
    let Some(text) = text else { return Ok(default) };
    text.parse().ok().filter(|number| allowed.contains(number)).ok_or(error)
}
