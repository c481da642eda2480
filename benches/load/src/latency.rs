//! Latency histograms that several threads record into.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;

/// Highest recorded latency in microseconds: an hour.
const MAX_MICROS: u64 = 3_600_000_000;

/// A histogram of latencies in microseconds, with three significant digits.
#[derive(Debug)]
pub(crate) struct SharedHistogram(Mutex<Option<Histogram<u64>>>);

impl SharedHistogram {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Histogram::new_with_bounds(1, MAX_MICROS, 3).ok()))
    }

    pub(crate) fn record(&self, latency: Duration) {
        if let Some(histogram) = &mut *self.0.lock() {
            histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(MAX_MICROS));
        }
    }

    pub(crate) fn percentiles(&self) -> LoadPercentiles {
        let histogram = self.0.lock();
        let Some(histogram) = histogram.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return LoadPercentiles::default();
        };
        // A quantile is the upper bound of its bucket, which may exceed the largest value.
        let at = |quantile| Some(millis(histogram.value_at_quantile(quantile).min(histogram.max())));
        LoadPercentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: Some(millis(histogram.max())),
        }
    }
}

/// Percentiles in milliseconds; `None` without measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct LoadPercentiles {
    pub(crate) p50: Option<f64>,
    pub(crate) p90: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) p999: Option<f64>,
    pub(crate) max: Option<f64>,
}

impl fmt::Display for LoadPercentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
        let Self { p50, p90, p99, p999, max } = *self;
        write!(f, "{:>10}{:>10}{:>10}{:>10}{:>10}", cell(p50), cell(p90), cell(p99), cell(p999), cell(max))
    }
}

fn millis(micros: u64) -> f64 {
    f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_milliseconds() {
        let latencies = SharedHistogram::new();
        assert_eq!(latencies.percentiles(), LoadPercentiles::default());
        for n in 1..=1_000 {
            latencies.record(Duration::from_millis(n));
        }
        latencies.record(Duration::from_hours(2));
        let LoadPercentiles { p50, p99, max, .. } = latencies.percentiles();
        let near = |found: Option<f64>, expected: f64| (found.unwrap() / expected - 1.0).abs() < 0.002;
        assert!(near(p50, 501.0) && near(p99, 991.0) && near(max, 3_600_000.0), "{p50:?} {p99:?} {max:?}");
    }
}
