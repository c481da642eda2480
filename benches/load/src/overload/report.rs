//! The report of an overload test, as a JSON object or as a table.

use std::fmt;

use serde::Serialize;

use super::args::OverloadPlan;
use crate::latency::LoadPercentiles;

/// Part of the possible answers to aim at, in percent, with `--acl-slots` up to the capacity.
const RIGHT_GOODPUT: f64 = 95.0;
/// The same with more slots than the capacity.
const WRONG_GOODPUT: f64 = 90.0;
/// Average number of waiting calls in the service to aim at with more slots than the capacity.
const WRONG_QUEUE: f64 = 8.0;

/// The report of an overload test.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OverloadReport {
    pub(crate) rate_per_s: u32,
    /// Number of calls that the service works on at once.
    pub(crate) capacity: u32,
    /// Number of calls that the service can process in a second.
    pub(crate) service_per_s: f64,
    pub(crate) warm_up_s: f64,
    pub(crate) measured_s: f64,
    pub(crate) disturbed: bool,
    pub(crate) runs: Vec<OverloadRun>,
}

/// The report of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OverloadRun {
    pub(crate) workers: usize,
    pub(crate) acl_slots: usize,
    /// Decisions by an answer of the service, in the measured time and before their deadline, as a percentage of the calls
    /// that the service could process in that time.
    pub(crate) goodput_percent: f64,
    pub(crate) calls: u64,
    /// Calls whose worker hung up before the answer.
    pub(crate) calls_unanswered: u64,
    /// Highest number of calls in the service, including those whose worker had hung up.
    pub(crate) calls_in_service_max: u64,
    /// Average number of calls that waited in the service in the measured time.
    pub(crate) queue_in_service_mean: Option<f64>,
    pub(crate) requests: u64,
    pub(crate) answered: u64,
    /// Requests decided without an answer.
    pub(crate) shed: u64,
    /// Requests decided after their deadline.
    pub(crate) late: u64,
    pub(crate) missing: u64,
    pub(crate) contradictory: u64,
    /// Latency from request to decision, of the answers up to the end of the load.
    pub(crate) answered_ms: LoadPercentiles,
    /// The same of the answers after it, when the backlog is answered.
    pub(crate) answered_after_load_ms: LoadPercentiles,
    pub(crate) shed_ms: LoadPercentiles,
    /// Calls during the load.
    pub(crate) calls_per_worker: Vec<u64>,
    /// Index of Jain over the calls of the workers that were not disturbed; 1 is equal.
    pub(crate) fairness: Option<f64>,
    pub(crate) balanced: bool,
    /// The load average at the end of the load.
    pub(crate) load_average: Option<f64>,
    /// The aims that the run missed.
    pub(crate) misses: Vec<String>,
}

impl OverloadReport {
    /// Creates the report of a plan without runs.
    pub(crate) fn new(plan: &OverloadPlan<'_>) -> Self {
        Self {
            rate_per_s: plan.rate.get(),
            capacity: plan.capacity.get(),
            service_per_s: plan.service_rate(),
            warm_up_s: plan.warm_up.as_secs_f64(),
            measured_s: plan.measured.as_secs_f64(),
            disturbed: plan.disturb,
            runs: Vec::new(),
        }
    }

    /// Returns the head of the table whose rows are the runs.
    pub(crate) fn header(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| {
            writeln!(
                f,
                "overload at {}/s for {} s{}, the service gives {:.0}/s and works on {} calls at once",
                self.rate_per_s,
                self.warm_up_s + self.measured_s,
                if self.disturbed { " with disturbances" } else { "" },
                self.service_per_s,
                self.capacity
            )?;
            writeln!(
                f,
                "{:>7}{:>7}{:>9}{:>11}{:>9}{:>9}{:>20}{:>20}{:>10}{:>7}",
                "", "", "", "in service", "queue", "calls", "answered ms", "shed ms", "", "load"
            )?;
            write!(
                f,
                "{:>7}{:>7}{:>9}{:>11}{:>9}{:>9}{:>10}{:>10}{:>10}{:>10}{:>10}{:>7}",
                "workers",
                "slots",
                "goodput",
                "at most",
                "mean",
                "wasted",
                "p50",
                "p99",
                "p50",
                "p99",
                "fairness",
                "avg"
            )
        })
    }

    /// Returns the report as one line of JSON.
    #[expect(clippy::expect_used, reason = "numbers under text keys are always JSON")]
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("a report is JSON")
    }
}

impl OverloadRun {
    /// Returns whether a request has no callback, callbacks contradict each other, or `reconcile` does not balance.
    pub(crate) fn is_failure(&self) -> bool {
        self.missing > 0 || self.contradictory > 0 || !self.balanced
    }

    /// Returns the aims that the run missed; `min_goodput` replaces the aim for the answers.
    pub(crate) fn find_misses(&self, capacity: u64, min_goodput: Option<f64>) -> Vec<String> {
        let mut misses = Vec::new();
        let slots = u64::try_from(self.acl_slots).unwrap_or(u64::MAX);
        let right = slots <= capacity;
        let goodput = min_goodput.unwrap_or(if right { RIGHT_GOODPUT } else { WRONG_GOODPUT });
        if self.goodput_percent < goodput {
            misses.push(format!("goodput below {goodput} %"));
        }
        if right && self.calls_in_service_max > slots {
            misses.push(format!("more than {slots} calls in the service"));
        }
        // Without a whole second in the measured time there is nothing to compare.
        if !right && self.queue_in_service_mean.is_some_and(|queue| queue > WRONG_QUEUE) {
            misses.push(format!("more than {WRONG_QUEUE} calls waiting in the service"));
        }
        misses
    }
}

impl fmt::Display for OverloadRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cell = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        write!(
            f,
            "{:>7}{:>7}{:>9}{:>11}{:>9}{:>9}{:>10}{:>10}{:>10}{:>10}{:>10}{:>7}",
            self.workers,
            self.acl_slots,
            format!("{:.1} %", self.goodput_percent),
            self.calls_in_service_max,
            cell(self.queue_in_service_mean, 1),
            self.calls_unanswered,
            cell(self.answered_ms.p50, 0),
            cell(self.answered_ms.p99, 0),
            cell(self.shed_ms.p50, 0),
            cell(self.shed_ms.p99, 0),
            cell(self.fairness, 3),
            cell(self.load_average, 1)
        )?;
        for miss in &self.misses {
            write!(f, "\n        missed: {miss}")?;
        }
        if self.is_failure() {
            let reconcile = if self.balanced { "balanced" } else { "NOT BALANCED" };
            let Self { missing, contradictory, .. } = self;
            write!(
                f,
                "\n        FAILED: missing {missing}, contradictory {contradictory}, reconcile {reconcile}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(acl_slots: usize, goodput_percent: f64, calls_in_service_max: u64, queue: f64) -> OverloadRun {
        OverloadRun {
            workers: 4,
            acl_slots,
            goodput_percent,
            calls: 9_600,
            calls_unanswered: 3,
            calls_in_service_max,
            queue_in_service_mean: Some(queue),
            requests: 19_200,
            answered: 9_600,
            shed: 9_600,
            late: 0,
            missing: 0,
            contradictory: 0,
            answered_ms: LoadPercentiles {
                p50: Some(7_400.2),
                p99: Some(7_600.0),
                ..LoadPercentiles::default()
            },
            answered_after_load_ms: LoadPercentiles::default(),
            shed_ms: LoadPercentiles::default(),
            calls_per_worker: vec![2_400; 4],
            fairness: Some(1.0),
            balanced: true,
            load_average: None,
            misses: Vec::new(),
        }
    }

    #[test]
    fn the_right_number_aims_at_the_answers_and_at_the_limit() {
        let misses = |run: OverloadRun| run.find_misses(32, None);
        assert_eq!(misses(run(32, 95.0, 32, 99.0)), [""; 0]);
        assert_eq!(misses(run(32, 94.9, 32, 0.0)), ["goodput below 95 %"]);
        assert_eq!(misses(run(32, 99.0, 33, 0.0)), ["more than 32 calls in the service"]);
        assert_eq!(misses(run(16, 99.0, 17, 0.0)), ["more than 16 calls in the service"]);
    }

    #[test]
    fn a_wrong_number_aims_at_the_answers_and_at_a_short_queue() {
        let misses = |run: OverloadRun| run.find_misses(32, None);
        assert_eq!(misses(run(256, 90.0, 256, 8.0)), [""; 0]);
        assert_eq!(
            misses(run(256, 89.9, 256, 8.1)),
            ["goodput below 90 %", "more than 8 calls waiting in the service"]
        );
    }

    #[test]
    fn the_aim_for_the_answers_may_be_given() {
        assert_eq!(run(32, 80.0, 32, 0.0).find_misses(32, Some(80.0)), [""; 0]);
        assert_eq!(run(256, 79.9, 32, 0.0).find_misses(32, Some(80.0)), ["goodput below 80 %"]);
    }

    #[test]
    fn a_row_has_the_columns_of_the_header_and_names_what_is_wrong() {
        let row = run(32, 99.12, 32, 0.04).to_string();
        let cells: Vec<_> = row.split_whitespace().collect();
        assert_eq!(cells, ["4", "32", "99.1", "%", "32", "0.0", "3", "7400", "7600", "-", "-", "1.000", "-"]);
        let failed =
            OverloadRun { missing: 2, balanced: false, misses: vec!["a".to_owned()], ..run(32, 1.0, 1, 0.0) };
        let text = failed.to_string();
        assert!(text.contains("missed: a\n") && text.contains("missing 2") && text.ends_with("NOT BALANCED"));
        assert!(failed.is_failure());
    }
}
