//! The command line, and what it plans.

use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use url::Url;

use crate::duration;

/// How long the drain's messages may wait for their decision: they are all accepted before the workers start, and must
/// not be decided without a call because they are old.
const DRAIN_DEADLINE: Duration = Duration::from_hours(1);
const SOAK_RETENTION: Duration = Duration::from_mins(1);
/// The book has a byte for each request.
const MOST_REQUESTS: u64 = 500_000_000;

/// Drive edge and workers on Redis and PostgreSQL, from POST to callback, and measure
///
/// Requests leave at their planned times whatever the answers do, and latency counts from the planned time. The process
/// brings the clients, an authorization service and the receiver of callbacks, and starts `chargegate edge` and
/// `chargegate worker` on a database and on keys of its own. The exit status says whether everything accepted was called
/// back, without contradiction, and whether `chargegate reconcile` balances.
#[derive(Debug, Parser)]
#[command(name = "chargegate-load", bin_name = "cargo xtask bench load")]
pub(crate) struct Args {
    /// Requests a second; with --find-peak those to begin with
    #[arg(long, value_name = "REQUESTS", default_value = "500")]
    rate: NonZeroU32,
    /// How long to send at a rate
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse_positive)]
    duration: Duration,
    /// Find the highest rate that holds: 97 % delivered in time, nothing refused or missing, p99 below --peak-p99
    #[arg(long, conflicts_with_all = ["drain", "soak"])]
    find_peak: bool,
    /// The p99 from POST to callback at which a rate does not hold
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse_positive)]
    peak_p99: Duration,
    /// Fill the queue with so many messages, then start the workers and measure how fast they are delivered
    #[arg(long, value_name = "MESSAGES", conflicts_with_all = ["soak", "duration", "rate"])]
    drain: Option<NonZeroU32>,
    /// Send for so long with retention running, and show each minute how large the tables are
    #[arg(long, value_name = "TIME", conflicts_with = "duration", value_parser = duration::parse_positive)]
    soak: Option<Duration>,
    /// How long to wait for callbacks while none arrives
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration::parse_positive)]
    pub(crate) patience: Duration,
    /// Connections to the edge at most
    #[arg(long, value_name = "COUNT", default_value = "64")]
    pub(crate) connections: NonZeroUsize,
    /// How long the authorization service takes for an answer
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = duration::parse)]
    pub(crate) acl_delay: Duration,
    #[command(flatten)]
    pub(crate) product: Product,
    /// End with one JSON object and nothing else on standard output
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) given: Given,
}

/// How the product is run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Product {
    /// Workers side by side
    #[arg(long, value_name = "COUNT", default_value = "1")]
    pub(crate) workers: NonZeroUsize,
    /// Streams the queue spreads over
    #[arg(long, value_name = "COUNT", default_value = "1")]
    pub(crate) streams: NonZeroU16,
    /// Calls to the authorization service in flight at most, for each worker
    #[arg(long, value_name = "CALLS", default_value = "256")]
    pub(crate) acl_slots: NonZeroUsize,
    /// Messages taken from the queue and not yet decided at most, for each worker
    #[arg(long, value_name = "MESSAGES", default_value = "2048")]
    pub(crate) window: NonZeroUsize,
    /// Callbacks under way at most, for each worker
    #[arg(long, value_name = "CALLBACKS", default_value = "1024")]
    pub(crate) callbacks: NonZeroUsize,
    /// Callbacks under way to one host at most: here there is only one
    #[arg(long, value_name = "CALLBACKS", default_value = "1024")]
    pub(crate) callbacks_per_host: NonZeroUsize,
    /// When a decision is late [default: 10s; 1h with --drain, whose messages are old when the workers start]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_positive)]
    decision_deadline: Option<Duration>,
    /// How long finished requests are kept [default: 72h; 60s with --soak]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_positive)]
    retention: Option<Duration>,
    /// Another flag of `chargegate worker`, like --worker-flag=--database-connections=4
    #[arg(long = "worker-flag", value_name = "FLAG", allow_hyphen_values = true)]
    pub(crate) worker_flags: Vec<String>,
    /// Another flag of `chargegate edge`
    #[arg(long = "edge-flag", value_name = "FLAG", allow_hyphen_values = true)]
    pub(crate) edge_flags: Vec<String>,
}

/// What `cargo xtask bench` builds and starts.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Given {
    /// The program to measure
    #[arg(long, env = "CHARGEGATE_PROGRAM", value_name = "PATH")]
    pub(crate) program: PathBuf,
    /// The edge's WASM component
    #[arg(long, env = "CHARGEGATE_EDGE_COMPONENT", value_name = "PATH")]
    pub(crate) edge_component: PathBuf,
    /// A Redis or Valkey server that nobody else uses
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) redis_url: Url,
    /// A PostgreSQL server that nobody else uses; its user may create databases
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) database_url: Url,
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// One rate.
    Open(Load),
    /// The highest rate that holds.
    Peak {
        /// The first rate.
        from: NonZeroU32,
        /// How long each is tried.
        duration: Duration,
        /// The p99 at which a rate does not hold.
        limit: Duration,
    },
    /// A queue that is full at the start.
    Drain {
        /// How many messages.
        messages: NonZeroU32,
    },
    /// One rate, while retention runs and the tables are watched.
    Soak(Load),
}

/// Requests at a steady rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) rate: NonZeroU32,
    pub(crate) duration: Duration,
}

impl Load {
    /// How many requests that are, at least one.
    pub(crate) fn total(self) -> u64 {
        let total = u128::from(self.rate.get()) * self.duration.as_millis() / 1_000;
        u64::try_from(total).unwrap_or(u64::MAX).max(1)
    }
}

/// Two flags do not fit together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    /// Too many requests.
    #[error("--rate for so long is more than {MOST_REQUESTS} requests")]
    TooMany,
    /// The window is too small.
    #[error("--window must not be smaller than --acl-slots: the slots could not be filled")]
    Window,
}

impl Args {
    /// What is measured.
    ///
    /// # Errors
    /// [`PlanError`].
    pub(crate) fn mode(&self) -> Result<Mode, PlanError> {
        if self.product.window < self.product.acl_slots {
            return Err(PlanError::Window);
        }
        let load = Load { rate: self.rate, duration: self.soak.unwrap_or(self.duration) };
        if load.total() > MOST_REQUESTS {
            return Err(PlanError::TooMany);
        }
        Ok(match (self.drain, self.soak) {
            (Some(messages), _) => Mode::Drain { messages },
            (None, Some(_)) => Mode::Soak(load),
            (None, None) if self.find_peak => {
                Mode::Peak { from: self.rate, duration: self.duration, limit: self.peak_p99 }
            }
            (None, None) => Mode::Open(load),
        })
    }
}

impl Product {
    /// The product's deadline in this mode, where it is not the product's default.
    pub(crate) fn decision_deadline(&self, mode: Mode) -> Option<Duration> {
        self.decision_deadline.or(matches!(mode, Mode::Drain { .. }).then_some(DRAIN_DEADLINE))
    }

    /// The retention in this mode, where it is not the product's default.
    pub(crate) fn retention(&self, mode: Mode) -> Option<Duration> {
        self.retention.or(matches!(mode, Mode::Soak(_)).then_some(SOAK_RETENTION))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &str) -> Result<Args, clap::Error> {
        let given = "load --program p --edge-component e --redis-url redis://r --database-url postgres://d";
        Args::try_parse_from(given.split(' ').chain(flags.split_whitespace()))
    }

    fn mode(flags: &str) -> Result<Mode, PlanError> {
        parse(flags).unwrap().mode()
    }

    #[test]
    fn each_mode_has_its_flags() {
        assert!(matches!(mode("--rate 50 --duration 3s"), Ok(Mode::Open(load)) if load.total() == 150));
        assert!(
            matches!(mode("--drain 1000000"), Ok(Mode::Drain { messages }) if messages.get() == 1_000_000)
        );
        assert!(matches!(mode("--find-peak"), Ok(Mode::Peak { .. })));
        assert!(matches!(mode("--soak 10m --rate 10"), Ok(Mode::Soak(load)) if load.total() == 6_000));
        assert_eq!(
            parse("--drain 1").unwrap().product.decision_deadline(mode("--drain 1").unwrap()),
            Some(DRAIN_DEADLINE)
        );
        assert_eq!(parse("").unwrap().product.retention(mode("").unwrap()), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
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
        assert_eq!(mode("--rate 1000000 --duration 1h").err(), Some(PlanError::TooMany));
        assert_eq!(mode("--window 100 --acl-slots 101").err(), Some(PlanError::Window));
    }
}
