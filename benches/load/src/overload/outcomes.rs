//! The decision of each request.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::latency::{LoadPercentiles, SharedHistogram};
use crate::ledger::{LoadCallback, LoadLedger};

/// The requests of a run with their decisions.
#[derive(Debug)]
pub(crate) struct OutcomeLedger {
    /// The ledger that finds missing and contradictory callbacks.
    pub(crate) requests: LoadLedger,
    /// A decision each: 0 without one, else see [`DecisionRecord::encode`].
    decisions: Box<[AtomicU64]>,
    /// Begin of the load, in milliseconds since 1970.
    begin: OnceLock<u64>,
}

/// The decision of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DecisionRecord {
    /// Time from the begin of the load to the decision, by the worker's wall clock.
    pub(crate) at: Duration,
    /// Set if the authorization service answered.
    pub(crate) answered: bool,
}

/// A request at its planned time, with its decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestOutcome {
    /// Time from the begin of the load.
    pub(crate) planned: Duration,
    pub(crate) decision: Option<DecisionRecord>,
}

/// Figures of the decisions of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DecisionFigures {
    /// Decisions by an answer of the service, in the measured time and before their deadline.
    pub(crate) in_time: u64,
    /// Decisions by an answer of the service.
    pub(crate) answered: u64,
    /// Decisions without one.
    pub(crate) shed: u64,
    /// Decisions after their deadline.
    pub(crate) late: u64,
    /// Latency from the planned time to the decision, of the answers up to the end of the load.
    pub(crate) answered_ms: LoadPercentiles,
    /// The same of the answers after it, when the backlog is answered.
    pub(crate) answered_after_load_ms: LoadPercentiles,
    pub(crate) shed_ms: LoadPercentiles,
}

impl OutcomeLedger {
    /// Creates a ledger of `requests` planned at `interval`.
    pub(crate) fn new(requests: u64, interval: Duration) -> Self {
        Self {
            requests: LoadLedger::new(requests, interval),
            decisions: (0..requests).map(|_| AtomicU64::new(0)).collect(),
            begin: OnceLock::new(),
        }
    }

    /// Sets the planned time of the first request; `wall` is that time in milliseconds since 1970.
    pub(crate) fn begin(&self, instant: Instant, wall: u64) {
        self.requests.begin(instant, wall);
        let _ = self.begin.set(wall);
    }

    /// Records a callback.
    pub(crate) fn called_back(&self, number: u64, callback: LoadCallback<'_>) {
        let slot = usize::try_from(number).ok().and_then(|number| self.decisions.get(number));
        if let (Some(slot), Some(begin), Some(decided_at)) = (slot, self.begin.get(), callback.decided_at) {
            let at = Duration::from_millis(decided_at.saturating_sub(*begin));
            let decision = DecisionRecord { at, answered: callback.reason == b"acl" };
            // A repeated callback reports the same decision.
            let _ = slot.compare_exchange(0, decision.encode(), Ordering::Relaxed, Ordering::Relaxed);
        }
        self.requests.called_back(number, callback);
    }

    /// Returns each request in the planned order.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = RequestOutcome> {
        (0..).zip(&self.decisions).map(|(number, decision)| RequestOutcome {
            planned: self.requests.offset(number),
            decision: DecisionRecord::decode(decision.load(Ordering::Relaxed)),
        })
    }
}

impl DecisionRecord {
    /// Returns the decision as a number other than 0.
    fn encode(self) -> u64 {
        let millis = u64::try_from(self.at.as_millis()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4);
        (millis + 1) * 2 + u64::from(self.answered)
    }

    fn decode(encoded: u64) -> Option<Self> {
        let millis = (encoded / 2).checked_sub(1)?;
        Some(Self { at: Duration::from_millis(millis), answered: encoded % 2 == 1 })
    }
}

impl DecisionFigures {
    /// Summarizes the outcomes of a run. `measured` counts from the begin of the load.
    pub(crate) fn new(
        outcomes: impl Iterator<Item = RequestOutcome>,
        measured: &Range<Duration>,
        deadline: Duration,
    ) -> Self {
        let (answered_ms, answered_after_load_ms, shed_ms) =
            (SharedHistogram::new(), SharedHistogram::new(), SharedHistogram::new());
        let (mut in_time, mut answered, mut shed, mut late) = (0, 0, 0, 0);
        for RequestOutcome { planned, decision } in outcomes {
            let Some(decision) = decision else { continue };
            let latency = decision.at.saturating_sub(planned);
            late += u64::from(latency > deadline);
            if decision.answered {
                answered += 1;
                let during_load = decision.at < measured.end;
                let answered_ms = if during_load { &answered_ms } else { &answered_after_load_ms };
                answered_ms.record(latency);
                in_time += u64::from(measured.contains(&decision.at) && latency <= deadline);
            } else {
                shed += 1;
                shed_ms.record(latency);
            }
        }
        Self {
            in_time,
            answered,
            shed,
            late,
            answered_ms: answered_ms.percentiles(),
            answered_after_load_ms: answered_after_load_ms.percentiles(),
            shed_ms: shed_ms.percentiles(),
        }
    }
}

#[cfg(test)]
mod tests {
    use chargegate_core::{DecisionStatus, callback_body};

    use super::*;
    use crate::ledger::{DRIVER_TOKEN, station};

    fn call_back(ledger: &OutcomeLedger, number: u64, reason: &[u8], decided_at: u64) {
        let body = callback_body(&station(number).parse().unwrap(), DRIVER_TOKEN, DecisionStatus::Unknown);
        let callback = LoadCallback { body: body.as_bytes(), reason, decided_at: Some(decided_at) };
        ledger.called_back(number, callback);
    }

    #[test]
    fn a_decision_is_kept_with_its_time_and_its_kind() {
        let ledger = OutcomeLedger::new(4, Duration::from_millis(10));
        ledger.begin(Instant::now(), 5_000);
        call_back(&ledger, 0, b"acl", 5_000);
        call_back(&ledger, 1, b"expired", 12_500);
        call_back(&ledger, 1, b"expired", 99_000);
        call_back(&ledger, 7, b"acl", 5_000);
        let found: Vec<_> = ledger.outcomes().map(|outcome| outcome.decision).collect();
        let decided = |at, answered| Some(DecisionRecord { at: Duration::from_millis(at), answered });
        assert_eq!(found, [decided(0, true), decided(7_500, false), None, None]);
        let planned: Vec<_> = ledger.outcomes().map(|outcome| outcome.planned.as_millis()).collect();
        assert_eq!(planned, [0, 10, 20, 30]);
        assert_eq!(ledger.requests.totals().repeated, 1);
    }

    #[test]
    fn answers_count_in_the_measured_time_and_before_their_deadline() {
        let secs = Duration::from_secs;
        let outcome = |planned, decision: Option<(u64, bool)>| RequestOutcome {
            planned: secs(planned),
            decision: decision.map(|(at, answered)| DecisionRecord { at: secs(at), answered }),
        };
        let outcomes = [
            outcome(0, Some((4, true))),   // before the measured time
            outcome(4, Some((5, true))),   // in time
            outcome(0, Some((10, true))),  // in time, just before its deadline
            outcome(0, Some((11, true))),  // late
            outcome(10, Some((15, true))), // after the load
            outcome(6, Some((13, false))),
            outcome(7, None),
        ];
        let figures = DecisionFigures::new(outcomes.into_iter(), &(secs(5)..secs(15)), secs(10));
        assert_eq!((figures.in_time, figures.answered, figures.shed, figures.late), (2, 5, 1, 1));
        let near = |found: Option<f64>, expected: f64| (found.unwrap() / expected - 1.0).abs() < 0.002;
        assert!(near(figures.answered_ms.p50, 4_000.0) && near(figures.shed_ms.p50, 7_000.0), "{figures:?}");
        assert!(near(figures.answered_after_load_ms.p50, 5_000.0), "{figures:?}");
    }
}
