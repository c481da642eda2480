//! Durations in flags: `200ms`, `30s`, `5m`, `2h`.

use std::time::Duration;

/// Maximum of a duration in a flag. A longer one is a typing error, and could overflow when added to a time.
const MAX_DURATION: Duration = Duration::from_hours(366 * 24);

/// Parses a duration with its unit.
///
/// # Errors
/// [`DurationArgError`]: the text is not a duration, or the duration is too long.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationArgError> {
    let duration = humantime::parse_duration(text).map_err(|_| DurationArgError::Malformed)?;
    if duration > MAX_DURATION { Err(DurationArgError::TooLong) } else { Ok(duration) }
}

/// Parses a duration that must not be zero.
///
/// # Errors
/// [`DurationArgError`], as [`parse`].
pub(crate) fn parse_positive(text: &str) -> Result<Duration, DurationArgError> {
    let duration = parse(text)?;
    if duration.is_zero() { Err(DurationArgError::Zero) } else { Ok(duration) }
}

/// Error of [`parse`] and [`parse_positive`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DurationArgError {
    /// The text is not a duration.
    #[error("write a number and its unit, such as 200ms, 30s, 5m or 2h")]
    Malformed,
    /// The duration is longer than a year.
    #[error("write at most 8784h, which is a year")]
    TooLong,
    /// The duration is zero.
    #[error("write a duration longer than zero, such as 200ms, 30s, 5m or 2h")]
    Zero,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_parsed() {
        let check = |text, millis| assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        check("0ms", 0);
        check("200ms", 200);
        check("30s", 30_000);
        check("5m", 300_000);
        check("2h", 7_200_000);
        check("1m 30s", 90_000);
        check("1.5s", 1_500);
        check("8784h", 31_622_400_000);
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        for text in ["", "5", "s", "-1s", "1x", "18446744073709551616s", "18446744073709551615h"] {
            assert_eq!(parse(text), Err(DurationArgError::Malformed), "{text}");
        }
        assert_eq!(parse("8785h"), Err(DurationArgError::TooLong));
        assert_eq!(parse_positive("0s"), Err(DurationArgError::Zero));
        assert_eq!(parse_positive("1ms"), Ok(Duration::from_millis(1)));
    }
}
