//! Durations in flags, in the form of the product's flags: `200ms`, `30s`, `5m`, `2h`.

use std::time::Duration;

/// Maximum of a duration in a flag; a longer one is a typing error.
const MAX_DURATION: Duration = Duration::from_hours(7 * 24);

/// Parses a duration with its unit.
///
/// # Errors
/// Returns an error if the text is not a duration, or the duration is too long.
pub(crate) fn parse(text: &str) -> Result<Duration, LoadDurationError> {
    let duration = humantime::parse_duration(text).map_err(|_| LoadDurationError)?;
    if duration > MAX_DURATION { Err(LoadDurationError) } else { Ok(duration) }
}

/// Parses a duration that must not be zero.
///
/// # Errors
/// Returns an error as [`parse`], and for zero.
pub(crate) fn parse_positive(text: &str) -> Result<Duration, LoadDurationError> {
    parse(text).and_then(|duration| if duration.is_zero() { Err(LoadDurationError) } else { Ok(duration) })
}

/// Formats a duration for a flag of `chargegate`.
pub(crate) fn text(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// Error of [`parse`] and [`parse_positive`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a number and its unit, such as 200ms, 30s, 5m or 2h, up to 168h")]
pub(crate) struct LoadDurationError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_number_and_a_unit() {
        for (given, millis) in
            [("0ms", 0), ("200ms", 200), ("60s", 60_000), ("2m", 120_000), ("2h", 7_200_000)]
        {
            assert_eq!(parse(given), Ok(Duration::from_millis(millis)), "{given}");
        }
        for given in ["", "5", "s", "-1s", "1x", "18446744073709551615h", "169h"] {
            assert_eq!(parse(given), Err(LoadDurationError), "{given}");
        }
        assert_eq!(parse_positive("0s"), Err(LoadDurationError));
        assert_eq!(parse(&text(Duration::from_mins(2))), Ok(Duration::from_mins(2)));
    }
}
