//! Figures that the measured processes report.

use std::ops::Range;

use serde::Deserialize;

use crate::report::float;

/// Name of the counter of calls in a worker's metrics.
const CALLS_METRIC: &str = "chargegate_acl_calls_total";

/// The figures of `GET /stats` of the reference service.
#[derive(Debug, Deserialize)]
pub(crate) struct ServiceFigures {
    pub(crate) calls: u64,
    pub(crate) max_in_flight: u64,
    answered: u64,
    seconds: Vec<ServiceSecond>,
}

#[derive(Debug, Deserialize)]
struct ServiceSecond {
    time: u64,
    mean_queue: f64,
}

impl ServiceFigures {
    /// Returns the number of calls whose caller did not get an answer. Once all requests are decided, this includes the
    /// calls that the service still works on.
    pub(crate) fn unanswered(&self) -> u64 {
        self.calls.saturating_sub(self.answered)
    }

    /// Returns the average number of calls beyond the capacity in a time, given in milliseconds since 1970, or `None` if
    /// it includes no whole second. Seconds in part outside of the time are left out.
    pub(crate) fn mean_queue(&self, measured: &Range<u64>) -> Option<f64> {
        let whole = measured.start.div_ceil(1_000)..measured.end / 1_000;
        let queues = self.seconds.iter().filter(|second| whole.contains(&second.time));
        mean(queues.map(|second| second.mean_queue))
    }
}

/// Returns the number of calls to the authorization service in the text of a worker's metrics.
pub(crate) fn calls_in_metrics(metrics: &str) -> u64 {
    let of_outcome = |line: &str| {
        let labels = line.strip_prefix(CALLS_METRIC)?;
        if !labels.starts_with(['{', ' ']) {
            return None;
        }
        labels.rsplit(' ').next()?.parse::<u64>().ok()
    };
    metrics.lines().filter_map(of_outcome).sum()
}

/// Returns the fairness index of Jain, from 1 for equal shares to 1/n if one of n has everything; `None` without shares.
pub(crate) fn fairness(shares: &[u64]) -> Option<f64> {
    let shares = || shares.iter().map(|share| float(*share));
    let (sum, squares): (f64, f64) = (shares().sum(), shares().map(|share| share * share).sum());
    (squares > 0.0)
        .then(|| sum * sum / (float(u64::try_from(shares().count()).unwrap_or(u64::MAX)) * squares))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / float(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(found: Option<f64>, expected: f64) {
        assert!(found.is_some_and(|found| (found - expected).abs() < 1e-9), "{found:?}");
    }

    #[test]
    fn the_queue_is_averaged_over_whole_seconds() {
        let text = r#"{"calls":9,"in_flight":2,"max_in_flight":40,"answered":6,"failed":0,"unanswered":1,
            "capacity":32,"seconds":[{"time":9,"mean_queue":100.0},{"time":10,"mean_queue":1.0},
            {"time":11,"mean_queue":4.0},{"time":12,"mean_queue":50.0}]}"#;
        let figures: ServiceFigures = serde_json::from_str(text).unwrap();
        assert_eq!((figures.calls, figures.max_in_flight, figures.unanswered()), (9, 40, 3));
        near(figures.mean_queue(&(10_000..12_000)), 2.5);
        near(figures.mean_queue(&(9_001..12_999)), 2.5);
        assert_eq!(figures.mean_queue(&(10_001..10_999)), None);
    }

    #[test]
    fn calls_of_all_outcomes_are_counted() {
        let text = "# HELP chargegate_acl_calls_total Calls\n# TYPE chargegate_acl_calls_total counter\n\
            chargegate_acl_calls_total{outcome=\"answered\"} 40\n\
            chargegate_acl_calls_total{outcome=\"timeout\"} 2\n\
            chargegate_acl_calls_total_seconds{outcome=\"timeout\"} 9\n\
            chargegate_acl_retries_total 7\n";
        assert_eq!(calls_in_metrics(text), 42);
        assert_eq!(calls_in_metrics(""), 0);
    }

    #[test]
    fn fairness_is_the_index_of_jain() {
        near(fairness(&[5, 5, 5, 5]), 1.0);
        near(fairness(&[10, 0]), 0.5);
        near(fairness(&[3, 1]), 0.8);
        assert_eq!((fairness(&[]), fairness(&[0, 0])), (None, None));
    }
}
