//! Durations as people write them: `200ms`, `30s`, `5m`, `2h`.

use std::time::Duration;

/// Longer is a slip, and could overflow when added to a time.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// Reads a whole number with a unit: `ms`, `s`, `m` or `h`.
///
/// # Errors
/// The number or its unit is missing, or it does not fit.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationArgError> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| DurationArgError)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
    .filter(|duration| *duration <= LONGEST)
    .ok_or(DurationArgError)
}

/// Like [`parse`], for durations that may not be zero.
pub(crate) fn parse_positive(text: &str) -> Result<Duration, DurationArgError> {
    parse(text).and_then(|duration| if duration.is_zero() { Err(DurationArgError) } else { Ok(duration) })
}

/// A text is no duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a whole number and its unit, like 200ms, 30s, 5m or 2h")]
pub(crate) struct DurationArgError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_read() {
        let check = |text, millis| assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        check("0ms", 0);
        check("200ms", 200);
        check("30s", 30_000);
        check("5m", 300_000);
        check("2h", 7_200_000);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "1d",
            "18446744073709551616s",
            "18446744073709551615h",
            "9000h",
        ] {
            assert_eq!(parse(text), Err(DurationArgError), "{text}");
        }
        assert_eq!(parse_positive("0s"), Err(DurationArgError));
    }
}
