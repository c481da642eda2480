//! The behaviour that the reference service simulates.

use std::num::NonZeroUsize;
use std::str::FromStr;

use super::delay::AclDelay;
use crate::settings::count;

/// Longest `Retry-After`, in seconds: a day.
const MAX_RETRY_AFTER: i64 = 24 * 60 * 60;

/// Flags of the simulated behaviour.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub(crate) struct AclSimulation {
    /// Duration of each call: one for all, or the median and the 99th percentile of a distribution, such as 80ms,400ms
    #[arg(long, env = "CHARGEGATE_ACL_DELAY", value_name = "TIME", default_value = "0ms")]
    pub(super) delay: AclDelay,
    /// Maximum number of concurrent calls; further ones wait [default: no limit]
    #[arg(long, env = "CHARGEGATE_ACL_CAPACITY", value_name = "CALLS", value_parser = count::<NonZeroUsize>)]
    pub(super) capacity: Option<NonZeroUsize>,
    /// Slow down as the queue grows: a call takes --delay x (1 + waiting calls / --capacity)
    #[arg(long, env = "CHARGEGATE_ACL_CONTENTION", requires = "capacity", value_parser = clap::builder::BoolishValueParser::new())]
    pub(super) contention: bool,
    /// Share of the calls that fail at once with 500, from 0 to 1
    #[arg(long, env = "CHARGEGATE_ACL_FAIL_RATE", value_name = "SHARE", default_value = "0")]
    pub(super) fail_rate: CallShare,
    /// Share of the calls that keep their slot for 30 s and get no answer, from 0 to 1
    #[arg(long, env = "CHARGEGATE_ACL_HANG_RATE", value_name = "SHARE", default_value = "0")]
    pub(super) hang_rate: CallShare,
    /// Refuse a call with 503 and this Retry-After when --capacity calls already wait, and let --fail-rate fail with
    /// 429 and the same header instead of 500
    #[arg(
        long,
        env = "CHARGEGATE_ACL_RETRY_AFTER",
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(0..=MAX_RETRY_AFTER)
    )]
    pub(super) retry_after: Option<u32>,
}

impl AclSimulation {
    /// Returns the behaviour of a service that takes `delay` for each call and works on `capacity` calls at once.
    pub(crate) fn new(delay: AclDelay, capacity: Option<NonZeroUsize>) -> Self {
        Self { delay, capacity, ..Self::default() }
    }

    /// Checks that the flags fit together.
    ///
    /// # Errors
    /// [`AclSimulationError`]: two flags contradict each other, or one has no effect.
    pub(super) fn validate(&self) -> Result<(), AclSimulationError> {
        if self.fail_rate.0 + self.hang_rate.0 > 1.0 {
            return Err(AclSimulationError::Shares);
        }
        if self.retry_after.is_some() && self.capacity.is_none() && self.fail_rate.0 == 0.0 {
            return Err(AclSimulationError::RetryAfter);
        }
        Ok(())
    }
}

/// Share of all calls, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct CallShare(pub(super) f64);

impl FromStr for CallShare {
    type Err = CallShareError;

    fn from_str(text: &str) -> Result<Self, CallShareError> {
        let share: f64 = text.parse().map_err(|_| CallShareError)?;
        if (0.0..=1.0).contains(&share) { Ok(Self(share)) } else { Err(CallShareError) }
    }
}

/// Error of a text that is not a [`CallShare`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a number from 0 to 1, such as 0.05 for one call in twenty")]
pub(super) struct CallShareError;

/// Error of [`AclSimulation::validate`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AclSimulationError {
    /// More calls fail and hang than there are.
    #[error(
        "--fail-rate and --hang-rate (CHARGEGATE_ACL_FAIL_RATE, CHARGEGATE_ACL_HANG_RATE) together exceed 1"
    )]
    Shares,
    /// No call would be refused.
    #[error(
        "--retry-after or CHARGEGATE_ACL_RETRY_AFTER has no effect: add --capacity, so that calls can be refused, or --fail-rate"
    )]
    RetryAfter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        for (text, share) in [("0", 0.0), ("0.05", 0.05), ("1", 1.0)] {
            assert_eq!(text.parse::<CallShare>(), Ok(CallShare(share)), "{text}");
        }
        for text in ["", "-0.1", "1.1", "NaN", "inf", "5%"] {
            assert_eq!(text.parse::<CallShare>(), Err(CallShareError), "{text}");
        }
    }

    #[test]
    fn flags_that_contradict_each_other_or_have_no_effect_are_refused() {
        let shares = |fail, hang| AclSimulation {
            fail_rate: CallShare(fail),
            hang_rate: CallShare(hang),
            ..AclSimulation::default()
        };
        assert_eq!(shares(0.5, 0.5).validate(), Ok(()));
        assert_eq!(shares(0.6, 0.5).validate(), Err(AclSimulationError::Shares));
        let retry_after = AclSimulation { retry_after: Some(1), ..AclSimulation::default() };
        assert_eq!(retry_after.validate(), Err(AclSimulationError::RetryAfter));
        for useful in [
            AclSimulation { capacity: Some(NonZeroUsize::MIN), ..retry_after.clone() },
            AclSimulation { fail_rate: CallShare(0.1), ..retry_after },
        ] {
            assert_eq!(useful.validate(), Ok(()));
        }
    }
}
