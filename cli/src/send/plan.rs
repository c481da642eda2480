//! What is to be sent, checked before the first request leaves.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::args::SendArgs;
use super::target::{EdgeTarget, EdgeTargetError};

/// What is to be sent.
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

/// How many requests are sent, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendLoad {
    /// One request, now.
    One,
    /// A steady rate, whatever the answers do.
    Open { rate: NonZeroU32, duration: Duration },
}

impl SendLoad {
    /// How many requests there are.
    pub(super) fn total(self) -> u64 {
        match self {
            Self::One => 1,
            Self::Open { rate, duration } => {
                let requests = duration.as_nanos().saturating_mul(u128::from(rate.get())).div_ceil(NANOS);
                u64::try_from(requests).unwrap_or(u64::MAX)
            }
        }
    }

    /// When request `n` is due, from the start. It is exact: no error adds up over a long run.
    pub(super) fn due(self, n: u64) -> Duration {
        match self {
            Self::One => Duration::ZERO,
            Self::Open { rate, .. } => {
                let nanos = u128::from(n).saturating_mul(NANOS) / u128::from(rate.get());
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
        }
    }
}

const NANOS: u128 = 1_000_000_000;

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
            load: args.rate.map_or(SendLoad::One, |rate| SendLoad::Open { rate, duration: args.duration }),
            timeout: args.timeout,
            wait: args.wait,
            connections: args.connections,
            callback_listen: args.callback_listen,
            callback_url: args.callback_url,
        })
    }
}

/// Why there is nothing to send.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendPlanError {
    /// The base URL cannot be used.
    #[error("--url or CHARGEGATE_SEND_URL cannot be used")]
    Url(#[source] EdgeTargetError),
    /// The receiver listens on every address, which is no address to call back.
    #[error(
        "with that --callback-listen nobody knows where to call back: \
         set --callback-url or CHARGEGATE_SEND_CALLBACK_URL"
    )]
    CallbackUrlMissing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_exact_times() {
        let open = |rate, duration| SendLoad::Open { rate: NonZeroU32::new(rate).unwrap(), duration };
        let minute = open(3, Duration::from_mins(1));
        assert_eq!(minute.total(), 180);
        assert_eq!(minute.due(0), Duration::ZERO);
        assert_eq!(minute.due(1), Duration::from_nanos(333_333_333));
        assert_eq!(minute.due(179), Duration::from_nanos(59_666_666_666));
        assert_eq!(open(500, Duration::from_secs(30)).total(), 15_000);
        assert_eq!(open(1, Duration::from_millis(1)).total(), 1);
        assert_eq!((SendLoad::One.total(), SendLoad::One.due(0)), (1, Duration::ZERO));
    }
}
