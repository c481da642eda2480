//! The command line of the load test and the plan that it describes.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use url::Url;

use crate::duration;

/// Default decision deadline of a drain. All its messages are accepted before the workers start, and must not be decided
/// without a call because of their age.
const DRAIN_DEADLINE: Duration = Duration::from_hours(1);
/// Default retention of a soak test.
const SOAK_RETENTION: Duration = Duration::from_mins(1);
/// Limit on the requests of a run: the ledger has a byte for each.
const MAX_REQUESTS: u64 = 500_000_000;

/// Load-test edge and workers on Redis and PostgreSQL, from POST to callback
///
/// Requests are sent at their planned times, independently of the responses, and latency counts from the planned time.
/// The process provides the clients, an authorization service and the receiver of callbacks, and starts `chargegate edge`
/// and `chargegate worker` with a new database and a new key prefix. It exits with success if every accepted request was
/// called back, without contradictory statuses, and `chargegate reconcile` balances.
#[derive(Debug, Parser)]
#[command(name = "chargegate-load", bin_name = "cargo xtask bench load")]
pub(crate) struct LoadArgs {
    /// Requests per second; with --find-peak the rate to start with
    #[arg(long, value_name = "REQUESTS", default_value = "500")]
    rate: NonZeroU32,
    /// Duration of sending at a rate
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse_positive)]
    duration: Duration,
    /// Find the highest sustained rate: 97 % delivered in time, nothing refused or missing, p99 below --peak-p99
    #[arg(long, conflicts_with_all = ["drain", "soak"])]
    find_peak: bool,
    /// p99 from POST to callback above which a rate is not sustained
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse_positive)]
    peak_p99: Duration,
    /// Fill the queue with this number of messages, then start the workers and measure the delivery rate
    #[arg(long, value_name = "MESSAGES", conflicts_with_all = ["soak", "duration", "rate"])]
    drain: Option<NonZeroU32>,
    /// Send for this time with retention enabled, and report the table sizes every minute
    #[arg(long, value_name = "TIME", conflicts_with = "duration", value_parser = duration::parse_positive)]
    soak: Option<Duration>,
    /// Longest wait for the next callback before the run ends
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration::parse_positive)]
    pub(crate) patience: Duration,
    /// Maximum number of connections to the edge
    #[arg(long, value_name = "COUNT", default_value = "64")]
    pub(crate) connections: NonZeroUsize,
    /// Response time of the authorization service
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = duration::parse)]
    pub(crate) acl_delay: Duration,
    #[command(flatten)]
    pub(crate) product: ProductArgs,
    /// Print one JSON object instead of the report
    #[arg(long)]
    pub(crate) json: bool,
    /// Path of the edge's WASM component
    #[arg(long, env = "CHARGEGATE_EDGE_COMPONENT", value_name = "PATH")]
    pub(crate) edge_component: PathBuf,
    #[command(flatten)]
    pub(crate) given: TargetArgs,
}

/// The options of the product's processes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ProductArgs {
    /// Number of workers
    #[arg(long, value_name = "COUNT", default_value = "1")]
    pub(crate) workers: NonZeroUsize,
    /// Maximum number of concurrent calls to the authorization service, per worker
    #[arg(long, value_name = "CALLS", default_value = "256")]
    pub(crate) acl_slots: NonZeroUsize,
    /// Maximum number of undecided messages in flight, per worker
    #[arg(long, value_name = "MESSAGES", default_value = "2048")]
    pub(crate) window: NonZeroUsize,
    /// Maximum number of concurrent callbacks, per worker
    #[arg(long, value_name = "CALLBACKS", default_value = "1024")]
    pub(crate) callbacks: NonZeroUsize,
    /// Maximum number of concurrent callbacks per host, of which there is only one here
    #[arg(long, value_name = "CALLBACKS", default_value = "1024")]
    pub(crate) callbacks_per_host: NonZeroUsize,
    /// Decision deadline [default: 10s; 1h with --drain, whose messages are old when the workers start]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_positive)]
    decision_deadline: Option<Duration>,
    /// Retention of finished requests [default: 72h; 60s with --soak]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_positive)]
    retention: Option<Duration>,
    /// Additional flag of `chargegate worker`, such as --worker-flag=--database-connections=4
    #[arg(long = "worker-flag", value_name = "FLAG", allow_hyphen_values = true)]
    pub(crate) worker_flags: Vec<String>,
    /// Additional flag of `chargegate edge`
    #[arg(long = "edge-flag", value_name = "FLAG", allow_hyphen_values = true)]
    pub(crate) edge_flags: Vec<String>,
}

/// The programs and servers to test; `cargo xtask bench` builds and starts them.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TargetArgs {
    /// Path of the program `chargegate`
    #[arg(long, env = "CHARGEGATE_PROGRAM", value_name = "PATH")]
    pub(crate) program: PathBuf,
    /// URL of a Redis or Valkey server without other users
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) redis_url: Url,
    /// URL of a PostgreSQL server without other users; the role must be allowed to create databases
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) database_url: Url,
}

/// The kind of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LoadMode {
    /// A steady rate.
    Open(RequestRate),
    /// Search for the highest sustained rate.
    Peak {
        /// The first rate.
        from: NonZeroU32,
        /// Duration at each rate.
        duration: Duration,
        /// The p99 above which a rate is not sustained.
        limit: Duration,
    },
    /// A queue that is filled before the workers start.
    Drain {
        /// Number of messages.
        messages: NonZeroU32,
    },
    /// A steady rate with retention and reports of the table sizes.
    Soak(RequestRate),
}

/// Requests at a steady rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestRate {
    pub(crate) rate: NonZeroU32,
    pub(crate) duration: Duration,
}

impl RequestRate {
    /// Returns the number of requests, at least one.
    pub(crate) fn total(self) -> u64 {
        let total = u128::from(self.rate.get()) * self.duration.as_millis() / 1_000;
        u64::try_from(total).unwrap_or(u64::MAX).max(1)
    }
}

/// Error of a combination of flags.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoadPlanError {
    /// Too many requests.
    #[error("--rate times the duration exceeds {MAX_REQUESTS} requests")]
    TooMany,
    /// The window is too small.
    #[error("--window must not be smaller than --acl-slots, or the slots could not all be used")]
    Window,
}

impl LoadArgs {
    /// Returns the kind of the run.
    ///
    /// # Errors
    /// Returns a [`LoadPlanError`] if flags contradict each other.
    pub(crate) fn mode(&self) -> Result<LoadMode, LoadPlanError> {
        if self.product.window < self.product.acl_slots {
            return Err(LoadPlanError::Window);
        }
        let load = RequestRate { rate: self.rate, duration: self.soak.unwrap_or(self.duration) };
        if load.total() > MAX_REQUESTS {
            return Err(LoadPlanError::TooMany);
        }
        Ok(match (self.drain, self.soak) {
            (Some(messages), _) => LoadMode::Drain { messages },
            (None, Some(_)) => LoadMode::Soak(load),
            (None, None) if self.find_peak => {
                LoadMode::Peak { from: self.rate, duration: self.duration, limit: self.peak_p99 }
            }
            (None, None) => LoadMode::Open(load),
        })
    }
}

impl ProductArgs {
    /// Returns the decision deadline in this mode, or `None` for the product's default.
    pub(crate) fn decision_deadline(&self, mode: LoadMode) -> Option<Duration> {
        self.decision_deadline.or(matches!(mode, LoadMode::Drain { .. }).then_some(DRAIN_DEADLINE))
    }

    /// Returns the retention in this mode, or `None` for the product's default.
    pub(crate) fn retention(&self, mode: LoadMode) -> Option<Duration> {
        self.retention.or(matches!(mode, LoadMode::Soak(_)).then_some(SOAK_RETENTION))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &str) -> Result<LoadArgs, clap::Error> {
        let given = "load --program p --edge-component e --redis-url redis://r --database-url postgres://d";
        LoadArgs::try_parse_from(given.split(' ').chain(flags.split_whitespace()))
    }

    fn mode(flags: &str) -> Result<LoadMode, LoadPlanError> {
        parse(flags).unwrap().mode()
    }

    #[test]
    fn flags_select_the_mode() {
        assert!(matches!(mode("--rate 50 --duration 3s"), Ok(LoadMode::Open(load)) if load.total() == 150));
        assert!(
            matches!(mode("--drain 1000000"), Ok(LoadMode::Drain { messages }) if messages.get() == 1_000_000)
        );
        assert!(matches!(mode("--find-peak"), Ok(LoadMode::Peak { .. })));
        assert!(matches!(mode("--soak 10m --rate 10"), Ok(LoadMode::Soak(load)) if load.total() == 6_000));
        assert_eq!(
            parse("--drain 1").unwrap().product.decision_deadline(mode("--drain 1").unwrap()),
            Some(DRAIN_DEADLINE)
        );
        assert_eq!(parse("").unwrap().product.retention(mode("").unwrap()), None);
    }

    #[test]
    fn invalid_flags_are_refused() {
        for flags in [
            "--rate 0",
            "--rate x",
            "--duration 5",
            "--drain 0",
            "--drain 1 --soak 1m",
            "--drain 1 --rate 5",
            "x",
        ] {
            assert!(parse(flags).is_err(), "{flags}");
        }
        assert_eq!(mode("--rate 1000000 --duration 1h").err(), Some(LoadPlanError::TooMany));
        assert_eq!(mode("--window 100 --acl-slots 101").err(), Some(LoadPlanError::Window));
    }
}
