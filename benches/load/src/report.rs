//! The report of a run, as a JSON object or as text.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::latency::LoadPercentiles;
use crate::servers::ServerDescription;
use crate::sizes::TableSizes;

/// The report of a run. `accepted = called back + missing` if no response was uncertain.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LoadReport {
    pub(crate) mode: &'static str,
    /// The planned rate; `None` for a drain.
    pub(crate) rate_per_s: Option<u32>,
    pub(crate) planned: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) uncertain: u64,
    pub(crate) called_back: u64,
    pub(crate) missing: u64,
    pub(crate) contradictory: u64,
    pub(crate) repeated: u64,
    pub(crate) without_call: u64,
    pub(crate) accepted_per_s: f64,
    pub(crate) decided_per_s: f64,
    pub(crate) delivered_per_s: f64,
    pub(crate) ack_ms: LoadPercentiles,
    pub(crate) decision_ms: LoadPercentiles,
    pub(crate) callback_ms: LoadPercentiles,
    pub(crate) cpu_s: UsagePerProcess<f64>,
    pub(crate) rss_mb: UsagePerProcess<f64>,
    /// Memory of the largest worker.
    pub(crate) worker_rss_mb: f64,
    pub(crate) worker_cpu_us_per_decision: f64,
    pub(crate) postgres_cpu_us_per_decision: Option<f64>,
    pub(crate) tx_per_decision: f64,
    pub(crate) fsyncs_per_decision: f64,
    pub(crate) wal_bytes_per_decision: f64,
    pub(crate) redis_commands_per_decision: f64,
    pub(crate) acl_calls: usize,
    pub(crate) acl_calls_in_flight_max: usize,
    pub(crate) balanced: bool,
    pub(crate) workers: usize,
    /// The load average at the end of the run.
    pub(crate) load_average: Option<f64>,
    pub(crate) servers: ServerDescription,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) sizes: Vec<TableSizes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) steps: Vec<PeakStep>,
}

/// A figure per process; `None` for a process that does not exist or is not on this machine.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct UsagePerProcess<T> {
    pub(crate) edge: Option<T>,
    pub(crate) workers: Option<T>,
    pub(crate) redis: Option<T>,
    pub(crate) postgres: Option<T>,
    pub(crate) load: Option<T>,
}

/// One tried rate of a search for the peak.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct PeakStep {
    pub(crate) rate_per_s: u32,
    pub(crate) held: bool,
    pub(crate) delivered_per_s: f64,
    pub(crate) refused: u64,
    pub(crate) callback_p99_ms: Option<f64>,
}

impl LoadReport {
    /// Returns whether an accepted request has no callback, callbacks contradict each other, or `reconcile` does not
    /// balance.
    pub(crate) fn is_failure(&self) -> bool {
        self.missing > 0 || self.contradictory > 0 || !self.balanced
    }

    /// Returns the report as one line of JSON.
    #[expect(clippy::expect_used, reason = "numbers under text keys are always JSON")]
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("a report is JSON")
    }
}

impl fmt::Display for PeakStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p99 = self.callback_p99_ms.map_or_else(|| "-".to_owned(), |p99| format!("{p99:.1}"));
        write!(
            f,
            "{:>7}/s {:<5} delivered {:.0}/s, refused {}, callback p99 {p99} ms",
            self.rate_per_s,
            if self.held { "holds" } else { "fails" },
            self.delivered_per_s,
            self.refused
        )
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { servers: ServerDescription { redis, postgres }, .. } = self;
        let rate = self.rate_per_s.map(|rate| format!(" at {rate}/s")).unwrap_or_default();
        let busy = self.load_average.map_or_else(|| "unknown".to_owned(), |load| format!("{load:.2}"));
        writeln!(
            f,
            "{}{rate}, {} worker(s), load average {busy}\n{redis}; {postgres}",
            self.mode, self.workers
        )?;
        if self.mode == "drain" {
            writeln!(
                f,
                "times count from the start of the workers; a longer --decision-deadline allows for the age of the messages"
            )?;
        }
        let mut count = |name: &str, n: u64, note: String| {
            writeln!(f, "{}", format!("{name:<14}{n:>10}   {note}").trim_end())
        };
        count("planned", self.planned, String::new())?;
        count("accepted", self.accepted, format!("{:.0}/s", self.accepted_per_s))?;
        count("refused", self.refused, String::new())?;
        count("uncertain", self.uncertain, String::new())?;
        count(
            "called back",
            self.called_back,
            format!("{:.0}/s, decided {:.0}/s", self.delivered_per_s, self.decided_per_s),
        )?;
        count("missing", self.missing, String::new())?;
        count("contradictory", self.contradictory, String::new())?;
        count("repeated", self.repeated, "callbacks after the first".to_owned())?;
        count(
            "without call",
            self.without_call,
            "decided without an answer of the authorization service".to_owned(),
        )?;
        writeln!(f, "\n{:<14}{:>10}{:>10}{:>10}{:>10}{:>10}", "ms", "p50", "p90", "p99", "p99.9", "max")?;
        for (name, percentiles) in
            [("ack", self.ack_ms), ("decision", self.decision_ms), ("callback", self.callback_ms)]
        {
            writeln!(f, "{name:<14}{percentiles}")?;
        }
        writeln!(
            f,
            "\n{:<14}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "", "edge", "workers", "redis", "postgres", "load"
        )?;
        writeln!(f, "{:<14}{}", "CPU s", self.cpu_s)?;
        writeln!(f, "{:<14}{}   largest worker {:.1}", "memory MB", self.rss_mb, self.worker_rss_mb)?;
        writeln!(
            f,
            "\nper decision  {:.4} transactions, {:.4} fsyncs and {:.0} bytes of WAL, {:.2} Redis commands",
            self.tx_per_decision,
            self.fsyncs_per_decision,
            self.wal_bytes_per_decision,
            self.redis_commands_per_decision
        )?;
        let postgres =
            self.postgres_cpu_us_per_decision.map_or_else(|| "-".to_owned(), |cost| format!("{cost:.0}"));
        writeln!(
            f,
            "              {:.0} µs of CPU in the workers, {postgres} µs in PostgreSQL",
            self.worker_cpu_us_per_decision
        )?;
        writeln!(f, "calls         {}, at most {} in flight", self.acl_calls, self.acl_calls_in_flight_max)?;
        write!(f, "reconcile     {}", if self.balanced { "balanced" } else { "NOT BALANCED" })
    }
}

impl fmt::Display for UsagePerProcess<f64> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { edge, workers, redis, postgres, load } = self;
        [edge, workers, redis, postgres, load].into_iter().try_for_each(|figure| match figure {
            Some(figure) => write!(f, "{figure:>10.1}"),
            None => write!(f, "{:>10}", "-"),
        })
    }
}

/// Returns a count per second.
pub(crate) fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { float(count) / time.as_secs_f64() }
}

/// Returns an amount divided by a count.
pub(crate) fn per(amount: f64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { amount / float(count) }
}

/// Converts a count into a floating-point number.
pub(crate) fn float(count: u64) -> f64 {
    const LOW: u64 = 1 << 32;
    let part = |part: u64| f64::from(u32::try_from(part).unwrap_or(u32::MAX));
    part(count / LOW) * 4_294_967_296.0 + part(count % LOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_become_rates() {
        assert!((float(5_000_000_000) - 5e9).abs() < 1.0);
        assert!((per_second(10, Duration::from_millis(500)) - 20.0).abs() < 1e-9);
        assert!(per_second(10, Duration::ZERO) == 0.0 && per(1.0, 0) == 0.0);
    }
}
