//! The plan of a run, checked before the first request is sent.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::args::SendArgs;
use super::target::{EdgeTarget, EdgeTargetError};

/// The checked plan of a run.
pub(super) struct SendPlan {
    pub(super) target: EdgeTarget,
    pub(super) driver_token: String,
    pub(super) station_id: Option<String>,
    pub(super) load: SendLoad,
    pub(super) timeout: Duration,
    pub(super) wait: Duration,
    pub(super) connections: NonZeroUsize,
    pub(super) callback_listen: SocketAddr,
    pub(super) callback_url: Option<String>,
}

/// The number of requests and their times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendLoad {
    /// One request, at once.
    Single,
    /// A steady rate, independent of the responses.
    Steady { rate: NonZeroU32, duration: Duration },
}

impl SendLoad {
    /// Returns the number of requests.
    pub(super) fn total(self) -> u64 {
        match self {
            Self::Single => 1,
            Self::Steady { rate, duration } => {
                let requests =
                    duration.as_nanos().saturating_mul(u128::from(rate.get())).div_ceil(NANOS_PER_SECOND);
                u64::try_from(requests).unwrap_or(u64::MAX)
            }
        }
    }

    /// Returns the offset of request `n` from the start. It is exact: no error accumulates over a long run.
    pub(super) fn due(self, n: u64) -> Duration {
        match self {
            Self::Single => Duration::ZERO,
            Self::Steady { rate, .. } => {
                let nanos = u128::from(n).saturating_mul(NANOS_PER_SECOND) / u128::from(rate.get());
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
        }
    }
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

impl TryFrom<SendArgs> for SendPlan {
    type Error = SendPlanError;

    fn try_from(args: SendArgs) -> Result<Self, SendPlanError> {
        if args.callback_url.is_none() && args.callback_listen.ip().is_unspecified() {
            return Err(SendPlanError::CallbackUrlMissing);
        }
        Ok(Self {
            target: args.url.parse().map_err(SendPlanError::Url)?,
            driver_token: args.driver_token,
            station_id: args.station_id,
            load: args
                .rate
                .map_or(SendLoad::Single, |rate| SendLoad::Steady { rate, duration: args.duration }),
            timeout: args.timeout,
            wait: args.wait,
            connections: args.connections,
            callback_listen: args.callback_listen,
            callback_url: args.callback_url,
        })
    }
}

/// Error of the conversion to a [`SendPlan`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendPlanError {
    /// The base URL is unusable.
    #[error("--url or CHARGEGATE_SEND_URL cannot be used")]
    Url(#[source] EdgeTargetError),
    /// The receiver listens on all addresses, and none of them is known as its URL.
    #[error(
        "with this --callback-listen the URL of the receiver is unknown: \
         set --callback-url or CHARGEGATE_SEND_CALLBACK_URL"
    )]
    CallbackUrlMissing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_exact_times() {
        let open = |rate, duration| SendLoad::Steady { rate: NonZeroU32::new(rate).unwrap(), duration };
        let minute = open(3, Duration::from_mins(1));
        assert_eq!(minute.total(), 180);
        assert_eq!(minute.due(0), Duration::ZERO);
        assert_eq!(minute.due(1), Duration::from_nanos(333_333_333));
        assert_eq!(minute.due(179), Duration::from_nanos(59_666_666_666));
        assert_eq!(open(500, Duration::from_secs(30)).total(), 15_000);
        assert_eq!(open(1, Duration::from_millis(1)).total(), 1);
        assert_eq!((SendLoad::Single.total(), SendLoad::Single.due(0)), (1, Duration::ZERO));
    }
}
