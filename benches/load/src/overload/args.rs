//! The command line of the overload test and the plan that it describes.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use clap::Parser;

use crate::args::TargetArgs;
use crate::duration;
use crate::report::float;

/// Requests are sent at this multiple of the rate that the service can process.
const OVERLOAD_FACTOR: u128 = 2;
/// Limit on the rate of requests.
const MAX_RATE: u32 = 100_000;
/// Limit on the time of a load: the service keeps figures of 300 s.
const MAX_LOAD_TIME: Duration = Duration::from_mins(4);
/// Workers and seconds of a short test.
const SHORT_WORKERS: NonZeroUsize = NonZeroUsize::new(3).unwrap();
const SHORT_SECONDS: u32 = 6;

/// Load-test workers at twice the capacity of the authorization service, on Redis and PostgreSQL
///
/// Messages are put into the queue at their planned times, independently of the workers. The authorization service is
/// `chargegate acl --contention`, which slows down as its queue grows. For each number of workers and each --acl-slots
/// there is one run with a new database and a new key prefix. It exits with success if every request was called back,
/// without contradictory statuses, and `chargegate reconcile` balances.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(name = "chargegate-load overload", bin_name = "cargo xtask bench overload")]
pub(crate) struct OverloadArgs {
    /// Numbers of workers, separated by commas
    #[arg(long, value_name = "COUNTS", default_value = "1,4,12", value_delimiter = ',')]
    workers: Vec<NonZeroUsize>,
    /// Values of the workers' --acl-slots, separated by commas: the capacity, and a wrong one
    #[arg(long, value_name = "CALLS", default_value = "32,256", value_delimiter = ',')]
    slots: Vec<NonZeroUsize>,
    /// Measured time of each run
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    seconds: NonZeroU32,
    /// Time of the same load before the measured time
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration::parse)]
    warm_up: Duration,
    /// Time between the start of the workers and the load
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration::parse)]
    settle: Duration,
    /// Number of calls that the authorization service works on at once
    #[arg(long, value_name = "CALLS", default_value = "32")]
    capacity: NonZeroU32,
    /// Time that a call takes without contention
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = duration::parse_positive)]
    delay: Duration,
    /// During the load add a worker, pause one and resume it, and kill one
    #[arg(long)]
    disturb: bool,
    /// One run of a few seconds with 3 workers and the right --acl-slots
    #[arg(long, conflicts_with_all = ["workers", "slots", "seconds"])]
    short: bool,
    /// Fail if a run misses its aims: with --acl-slots up to the capacity at least 95 % of the possible answers and
    /// never more calls in the service than --acl-slots; above it 90 %, and on average at most 8 calls waiting there
    #[arg(long)]
    pub(crate) assert: bool,
    /// Percentage of the possible answers to aim at, instead of 95 and 90
    #[arg(long, value_name = "PERCENT", requires = "assert")]
    min_goodput: Option<f64>,
    /// Longest wait for the next callback before a run ends; a killed worker's are attempted again after 40 s
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration::parse_positive)]
    patience: Duration,
    /// Additional flag of `chargegate worker`, such as --worker-flag=--log=info
    #[arg(long = "worker-flag", value_name = "FLAG", allow_hyphen_values = true)]
    worker_flags: Vec<String>,
    /// Print one JSON object instead of the report
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    given: TargetArgs,
}

/// The runs of an overload test.
#[derive(Debug)]
pub(crate) struct OverloadPlan<'a> {
    pub(crate) given: &'a TargetArgs,
    pub(crate) runs: Vec<OverloadSetting>,
    pub(crate) capacity: NonZeroU32,
    pub(crate) delay: Duration,
    /// Requests per second.
    pub(crate) rate: NonZeroU32,
    pub(crate) settle: Duration,
    pub(crate) warm_up: Duration,
    /// Measured part of the load, after the warm-up.
    pub(crate) measured: Duration,
    pub(crate) disturb: bool,
    pub(crate) min_goodput: Option<f64>,
    pub(crate) patience: Duration,
    pub(crate) worker_flags: &'a [String],
}

/// The setting of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverloadSetting {
    pub(crate) workers: NonZeroUsize,
    /// `--acl-slots` of each worker.
    pub(crate) slots: NonZeroUsize,
}

/// Error of a combination of flags.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OverloadPlanError {
    /// The load lasts too long.
    #[error("--seconds and --warm-up together must not exceed 240 s")]
    TooLong,
    /// The rate is zero or too high.
    #[error("--capacity and --delay must make the service process 1 to 50000 calls a second")]
    Rate,
}

impl OverloadArgs {
    /// Returns the runs.
    ///
    /// # Errors
    /// Returns an [`OverloadPlanError`] if the load lasts too long, or its rate is impossible.
    pub(crate) fn plan(&self) -> Result<OverloadPlan<'_>, OverloadPlanError> {
        let (workers, slots, seconds) = if self.short {
            let slots = usize::try_from(self.capacity.get()).ok().and_then(NonZeroUsize::new);
            (vec![SHORT_WORKERS], slots.into_iter().collect(), SHORT_SECONDS)
        } else {
            (self.workers.clone(), self.slots.clone(), self.seconds.get())
        };
        let measured = Duration::from_secs(seconds.into());
        if measured.saturating_add(self.warm_up) > MAX_LOAD_TIME {
            return Err(OverloadPlanError::TooLong);
        }
        let calls_of_a_second = u128::from(self.capacity.get()) * Duration::from_secs(1).as_nanos();
        let rate = OVERLOAD_FACTOR * calls_of_a_second / self.delay.as_nanos().max(1);
        let rate = u32::try_from(rate).ok().filter(|rate| *rate <= MAX_RATE).and_then(NonZeroU32::new);
        let runs = workers.iter().flat_map(|workers| {
            slots.iter().map(move |slots| OverloadSetting { workers: *workers, slots: *slots })
        });
        Ok(OverloadPlan {
            given: &self.given,
            runs: runs.collect(),
            capacity: self.capacity,
            delay: self.delay,
            rate: rate.ok_or(OverloadPlanError::Rate)?,
            settle: self.settle,
            warm_up: self.warm_up,
            measured,
            disturb: self.disturb,
            min_goodput: self.min_goodput,
            patience: self.patience,
            worker_flags: &self.worker_flags,
        })
    }
}

impl OverloadPlan<'_> {
    /// Returns the duration of the load.
    pub(crate) fn load_time(&self) -> Duration {
        self.warm_up + self.measured
    }

    /// Returns the number of requests of a run.
    pub(crate) fn requests(&self) -> u64 {
        let total = u128::from(self.rate.get()) * self.load_time().as_millis() / 1_000;
        u64::try_from(total).unwrap_or(u64::MAX)
    }

    /// Returns the number of calls that the service can process in a second.
    pub(crate) fn service_rate(&self) -> f64 {
        f64::from(self.capacity.get()) / self.delay.as_secs_f64()
    }

    /// Returns the number of calls that the service can process in the measured time.
    pub(crate) fn possible_answers(&self) -> f64 {
        self.service_rate() * float(self.measured.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &str) -> Result<OverloadArgs, clap::Error> {
        let given = "overload --program p --redis-url redis://r --database-url postgres://d";
        OverloadArgs::try_parse_from(given.split(' ').chain(flags.split_whitespace()))
    }

    fn runs(flags: &str) -> Vec<(usize, usize)> {
        let args = parse(flags).unwrap();
        let runs = args.plan().unwrap().runs;
        runs.iter().map(|run| (run.workers.get(), run.slots.get())).collect()
    }

    #[test]
    fn there_is_a_run_for_each_number_of_workers_and_of_slots() {
        assert_eq!(runs(""), [(1, 32), (1, 256), (4, 32), (4, 256), (12, 32), (12, 256)]);
        assert_eq!(runs("--workers 4"), [(4, 32), (4, 256)]);
        assert_eq!(runs("--workers 2,3 --slots 16"), [(2, 16), (3, 16)]);
        assert_eq!(runs("--short"), [(3, 32)]);
        assert_eq!(runs("--short --capacity 8"), [(3, 8)]);
    }

    #[test]
    fn the_load_is_twice_the_capacity() {
        let args = parse("--seconds 10 --warm-up 5s").unwrap();
        let plan = args.plan().unwrap();
        assert_eq!((plan.rate.get(), plan.requests()), (640, 9_600));
        assert!((plan.possible_answers() - 3_200.0).abs() < 1e-6);
    }

    #[test]
    fn impossible_plans_are_refused() {
        let error = |flags| parse(flags).unwrap().plan().err();
        assert_eq!(error("--seconds 240"), None);
        assert_eq!(error("--seconds 241"), Some(OverloadPlanError::TooLong));
        assert_eq!(error("--seconds 230 --warm-up 11s"), Some(OverloadPlanError::TooLong));
        assert_eq!(error("--capacity 1 --delay 1h"), Some(OverloadPlanError::Rate));
        assert_eq!(error("--capacity 1000000 --delay 1ms"), Some(OverloadPlanError::Rate));
        for flags in ["--workers 0", "--workers 1,x", "--seconds 0", "--delay 0ms", "--short --seconds 5"] {
            assert!(parse(flags).is_err(), "{flags}");
        }
        assert!(parse("--min-goodput 80").is_err(), "it changes nothing without --assert");
    }
}
