//! The report of a run, as one JSON object or as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::callback::CallbackContradiction;
use super::client::ResponseLoss;
use super::ledger::{LedgerEntry, RequestAck, RequestLedger};

/// The report of a run. `sent = accepted + refused + uncertain` and `accepted = called_back + missing`.
#[derive(Debug, Default, Serialize)]
pub(super) struct SendReport {
    pub(super) sent: u64,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) uncertain: u64,
    pub(super) called_back: u64,
    pub(super) missing: u64,
    pub(super) duplicated: u64,
    pub(super) contradictory: u64,
    pub(super) ack_ms: LatencyPercentiles,
    pub(super) callback_ms: LatencyPercentiles,
    /// First callbacks by status, including those of requests that are not known to be accepted.
    pub(super) statuses: BTreeMap<&'static str, u64>,
    #[serde(skip)]
    notes: ReportNotes,
}

/// Details that only the table shows.
#[derive(Debug, Default)]
struct ReportNotes {
    refusals: BTreeMap<u16, u64>,
    losses: BTreeMap<ResponseLoss, u64>,
    contradictions: BTreeMap<CallbackContradiction, u64>,
    /// Callbacks of requests that are not known to be accepted.
    unexpected: u64,
    strays: u64,
}

/// Latencies in milliseconds; `None` without measurements.
#[derive(Debug, Default, Serialize)]
pub(super) struct LatencyPercentiles {
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    pub(super) max: Option<f64>,
}

impl SendReport {
    /// Summarizes the ledger. A request without a response counts as uncertain.
    pub(super) fn new(ledger: &RequestLedger) -> Self {
        let mut report = Self::default();
        let (mut acks, mut callbacks) = (LatencyHistogram::new(), LatencyHistogram::new());
        ledger.for_each(|entry| report.add(entry, &mut acks, &mut callbacks));
        report.ack_ms = acks.percentiles();
        report.callback_ms = callbacks.percentiles();
        report.notes.strays = ledger.counts().strays;
        report
    }

    /// Returns whether an accepted request lacks its callback, or a callback contradicts its request.
    pub(super) fn is_failure(&self) -> bool {
        self.missing > 0 || self.contradictory > 0
    }

    /// Returns the report as one line of JSON.
    #[expect(clippy::expect_used, reason = "numbers under text keys are always JSON")]
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("a report is JSON")
    }

    /// Returns the report as a table for people.
    pub(super) fn table(&self) -> impl fmt::Display + '_ {
        ReportTable(self)
    }

    fn add(&mut self, entry: &LedgerEntry, acks: &mut LatencyHistogram, callbacks: &mut LatencyHistogram) {
        self.sent += 1;
        match (entry.ack(), entry.first_callback()) {
            (RequestAck::Accepted { after, .. }, received) => {
                self.accepted += 1;
                acks.record(*after);
                match received {
                    Some(received) => {
                        self.called_back += 1;
                        callbacks.record(received.after);
                    }
                    None => self.missing += 1,
                }
            }
            (RequestAck::Refused { status }, _) => {
                self.refused += 1;
                increment(&mut self.notes.refusals, *status);
            }
            (RequestAck::Uncertain(loss), _) => {
                self.uncertain += 1;
                increment(&mut self.notes.losses, *loss);
            }
            (RequestAck::Pending, _) => {
                self.uncertain += 1;
                increment(&mut self.notes.losses, ResponseLoss::Interrupted);
            }
        }
        if let Some(received) = entry.first_callback() {
            if let Ok(status) = received.status {
                increment(&mut self.statuses, status.as_str());
            }
            if !matches!(entry.ack(), RequestAck::Accepted { .. }) {
                self.notes.unexpected += 1;
            }
        }
        self.duplicated += u64::from(entry.is_repeated());
        if let Some(contradiction) = entry.contradiction() {
            self.contradictory += 1;
            increment(&mut self.notes.contradictions, contradiction);
        }
    }
}

struct ReportTable<'a>(&'a SendReport);

impl fmt::Display for ReportTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SendReport { notes, statuses, .. } = self.0;
        let statuses: Vec<_> = statuses.iter().map(|(status, n)| format!("{status}: {n}")).collect();
        let refusals: Vec<_> = notes.refusals.iter().map(|(status, n)| format!("{status}: {n}")).collect();
        let mut losses: Vec<_> =
            notes.losses.iter().map(|(loss, n)| format!("{}: {n}", loss.as_str())).collect();
        if notes.unexpected > 0 {
            losses.push(format!("called back without a 202: {}", notes.unexpected));
        }
        let contradictions: Vec<_> =
            notes.contradictions.iter().map(|(found, n)| format!("{}: {n}", found.as_str())).collect();
        let mut row = |name: &str, n: u64, notes: &[String]| {
            writeln!(f, "{}", format!("{name:<14}{n:>9}   {}", notes.join(", ")).trim_end())
        };
        row("sent", self.0.sent, &[])?;
        row("accepted", self.0.accepted, &[])?;
        row("refused", self.0.refused, &refusals)?;
        row("uncertain", self.0.uncertain, &losses)?;
        row("called back", self.0.called_back, &statuses)?;
        row("missing", self.0.missing, &[])?;
        row("duplicated", self.0.duplicated, &[])?;
        row("contradictory", self.0.contradictory, &contradictions)?;
        if notes.strays > 0 {
            row("strays", notes.strays, &["callbacks that belong to no request of this run".to_owned()])?;
        }
        writeln!(f, "\n{:<14}{:>9}{:>10}{:>10}{:>10}", "ms", "p50", "p90", "p99", "max")?;
        writeln!(f, "{:<14}{}", "ack", self.0.ack_ms)?;
        write!(f, "{:<14}{}", "callback", self.0.callback_ms)
    }
}

impl fmt::Display for LatencyPercentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        let Self { p50, p90, p99, max } = *self;
        write!(f, "{:>9}{:>10}{:>10}{:>10}", cell(p50), cell(p90), cell(p99), cell(max))
    }
}

/// Latencies in microseconds, to three significant digits.
struct LatencyHistogram(Option<Histogram<u64>>);

impl LatencyHistogram {
    /// One hour, longer than any wait.
    const MAX_MICROS: u32 = 3_600_000_000;

    fn new() -> Self {
        Self(Histogram::new_with_bounds(1, u64::from(Self::MAX_MICROS), 3).ok())
    }

    fn record(&mut self, latency: Duration) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
    }

    fn percentiles(&self) -> LatencyPercentiles {
        let Some(histogram) = self.0.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return LatencyPercentiles::default();
        };
        // A quantile is the upper bound of its bucket, which may exceed the largest value.
        let millis = |micros: u64| {
            let micros = u32::try_from(micros.min(histogram.max())).unwrap_or(Self::MAX_MICROS);
            Some(f64::from(micros) / 1000.0)
        };
        LatencyPercentiles {
            p50: millis(histogram.value_at_quantile(0.5)),
            p90: millis(histogram.value_at_quantile(0.9)),
            p99: millis(histogram.value_at_quantile(0.99)),
            max: millis(histogram.max()),
        }
    }
}

fn increment<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) {
    *counts.entry(key).or_default() += 1;
}
