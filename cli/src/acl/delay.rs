//! The duration of a call: fixed, or drawn from a distribution.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::Rng;

use crate::duration::{self, DurationArgError};

/// The 99th percentile of the standard normal distribution.
const NORMAL_P99: f64 = 2.326_347_874_040_841;
/// A drawn delay is at most this multiple of the 99th percentile: the logarithmic normal distribution has no upper end.
const MAX_P99_MULTIPLE: u32 = 10;

/// Duration of a call, without the effect of contention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum AclDelay {
    /// The same for every call.
    Fixed(Duration),
    /// A logarithmic normal distribution.
    LogNormal {
        /// Half of the calls take less.
        p50: Duration,
        /// 99 of 100 calls take less.
        p99: Duration,
    },
}

impl AclDelay {
    /// Draws the duration of one call.
    pub(super) fn draw(&self, random: &mut impl Rng) -> Duration {
        match *self {
            Self::Fixed(delay) => delay,
            Self::LogNormal { p50, p99 } => {
                let sigma = (p99.as_secs_f64() / p50.as_secs_f64()).ln() / NORMAL_P99;
                let factor = (sigma * standard_normal(random)).exp();
                let longest = p99.saturating_mul(MAX_P99_MULTIPLE);
                let drawn = Duration::try_from_secs_f64(p50.as_secs_f64() * factor);
                drawn.map_or(longest, |drawn| drawn.min(longest))
            }
        }
    }
}

impl Default for AclDelay {
    fn default() -> Self {
        Self::Fixed(Duration::ZERO)
    }
}

impl FromStr for AclDelay {
    type Err = AclDelayError;

    fn from_str(text: &str) -> Result<Self, AclDelayError> {
        let Some((p50, p99)) = text.split_once(',') else {
            return duration::parse(text).map(Self::Fixed).map_err(AclDelayError::Duration);
        };
        let [p50, p99] = [p50, p99].map(|part| duration::parse_positive(part.trim()));
        let (p50, p99) = (p50.map_err(AclDelayError::Duration)?, p99.map_err(AclDelayError::Duration)?);
        if p99 < p50 { Err(AclDelayError::Order) } else { Ok(Self::LogNormal { p50, p99 }) }
    }
}

impl fmt::Display for AclDelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(delay) => write!(f, "{delay:?}"),
            Self::LogNormal { p50, p99 } => write!(f, "{p50:?},{p99:?}"),
        }
    }
}

/// Error of a text that is not an [`AclDelay`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AclDelayError {
    /// A duration is unusable.
    #[error("{0}; two durations separated by a comma are the median and the 99th percentile")]
    Duration(DurationArgError),
    /// The 99th percentile is shorter than the median.
    #[error("the second duration is the 99th percentile and must not be shorter than the first, the median")]
    Order,
}

/// Draws from the standard normal distribution by the Box-Muller transform.
fn standard_normal(random: &mut impl Rng) -> f64 {
    let radius = (-2.0 * unit(random).ln()).sqrt();
    radius * (std::f64::consts::TAU * unit(random)).cos()
}

/// Draws a number between 0 and 1, both excluded.
pub(super) fn unit(random: &mut impl Rng) -> f64 {
    (f64::from(random.next_u32()) + 0.5) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    const P50: Duration = Duration::from_millis(80);
    const P99: Duration = Duration::from_millis(400);

    #[test]
    fn one_duration_is_fixed_and_two_are_quantiles() {
        assert_eq!("100ms".parse::<AclDelay>(), Ok(AclDelay::Fixed(Duration::from_millis(100))));
        assert_eq!("0ms".parse::<AclDelay>(), Ok(AclDelay::default()));
        assert_eq!("80ms, 400ms".parse::<AclDelay>(), Ok(AclDelay::LogNormal { p50: P50, p99: P99 }));
        for (text, expected) in [
            ("400ms,80ms", AclDelayError::Order),
            ("0ms,80ms", AclDelayError::Duration(DurationArgError::Zero)),
            ("80ms,", AclDelayError::Duration(DurationArgError::Malformed)),
            ("80ms,90ms,99ms", AclDelayError::Duration(DurationArgError::Malformed)),
            ("soon", AclDelayError::Duration(DurationArgError::Malformed)),
        ] {
            assert_eq!(text.parse::<AclDelay>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn drawn_delays_have_the_given_quantiles() {
        let mut random = StdRng::seed_from_u64(7);
        let delay = AclDelay::LogNormal { p50: P50, p99: P99 };
        let mut drawn: Vec<_> = (0..100_000).map(|_| delay.draw(&mut random)).collect();
        drawn.sort_unstable();
        let near = |found: Duration, expected: Duration| {
            (found.as_secs_f64() / expected.as_secs_f64() - 1.0).abs() < 0.05
        };
        assert!(
            near(drawn[50_000], P50) && near(drawn[99_000], P99),
            "{:?} {:?}",
            drawn[50_000],
            drawn[99_000]
        );
    }

    #[test]
    fn a_drawn_delay_is_bounded() {
        let mut random = StdRng::seed_from_u64(7);
        let p99 = Duration::from_hours(1);
        let delay = AclDelay::LogNormal { p50: Duration::from_millis(1), p99 };
        let longest = (0..100_000).map(|_| delay.draw(&mut random)).max();
        assert_eq!(longest, Some(p99 * MAX_P99_MULTIPLE), "reached, and not exceeded");
        let fixed = AclDelay::LogNormal { p50: P50, p99: P50 };
        assert_eq!(fixed.draw(&mut random), P50);
    }
}
