//! Durations as the product's commands take them: `200ms`, `30s`, `5m`, `2h`.

use std::time::Duration;

/// Longer is a slip.
const LONGEST: Duration = Duration::from_hours(7 * 24);

/// Reads a whole number with a unit.
///
/// # Errors
/// The number or its unit is missing, or it is too long.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| DurationError)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(DurationError),
    };
    let duration = number.checked_mul(millis).map(Duration::from_millis);
    duration.filter(|duration| *duration <= LONGEST).ok_or(DurationError)
}

/// Like [`parse`], for durations that may not be zero.
pub(crate) fn parse_positive(text: &str) -> Result<Duration, DurationError> {
    parse(text).and_then(|duration| if duration.is_zero() { Err(DurationError) } else { Ok(duration) })
}

/// A duration as `chargegate` reads it.
pub(crate) fn text(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// A text is no duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a whole number and its unit, like 200ms, 30s, 5m or 2h")]
pub(crate) struct DurationError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_number_and_a_unit() {
        for (given, millis) in
            [("0ms", 0), ("200ms", 200), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000)]
        {
            assert_eq!(parse(given), Ok(Duration::from_millis(millis)), "{given}");
        }
        for given in ["", "5", "s", "-1s", "1.5s", "1d", "18446744073709551615h", "169h"] {
            assert_eq!(parse(given), Err(DurationError), "{given}");
        }
        assert_eq!(parse_positive("0s"), Err(DurationError));
        assert_eq!(parse(&text(Duration::from_mins(2))), Ok(Duration::from_mins(2)));
    }
}
