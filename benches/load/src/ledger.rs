//! The outcome of each request, in one byte, so that a run of millions fits into memory.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use chargegate_core::DecisionStatus;
use tokio::time::Instant;

use crate::latency::SharedHistogram;

/// The driver token of every request.
pub(crate) const DRIVER_TOKEN: &str = "driver-of-the-load-000001";

/// Bits of the status in the first callback, counted from one.
const STATUS: u8 = 0b0000_0111;
const ACCEPTED: u8 = 0b0000_1000;
const CONTRADICTED: u8 = 0b0001_0000;

/// The requests of a run, numbered in the planned order, with their outcomes.
#[derive(Debug)]
pub(crate) struct LoadLedger {
    slots: Box<[AtomicU8]>,
    /// Nanoseconds between planned requests.
    interval: u64,
    start: OnceLock<LedgerStart>,
    counts: LedgerCounters,
    /// Latency from the planned time to the 202.
    pub(crate) acks: SharedHistogram,
    /// Latency from the planned time to the decision, by the worker's wall clock.
    pub(crate) decisions: SharedHistogram,
    /// Latency from the planned time to the callback.
    pub(crate) callbacks: SharedHistogram,
}

#[derive(Clone, Copy, Debug)]
struct LedgerStart {
    instant: Instant,
    /// Milliseconds since 1970.
    wall: u64,
}

#[derive(Debug, Default)]
struct LedgerCounters {
    accepted: AtomicU64,
    refused: AtomicU64,
    uncertain: AtomicU64,
    called_back: AtomicU64,
    /// Accepted and called back.
    settled: AtomicU64,
    repeated: AtomicU64,
    wrong: AtomicU64,
    without_call: AtomicU64,
    /// Microseconds from the start to the newest 202 and the newest first callback.
    last_ack: AtomicU64,
    last_callback: AtomicU64,
    /// Time of the newest decision, in milliseconds since 1970.
    last_decision: AtomicU64,
}

/// The edge's response to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubmitOutcome {
    /// 202.
    Accepted,
    /// Another status.
    Refused,
    /// No response in time: the request may have been accepted.
    Uncertain,
}

/// A received callback.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadCallback<'a> {
    pub(crate) body: &'a [u8],
    /// The decision reason that the worker reports.
    pub(crate) reason: &'a [u8],
    /// Time of the decision, in milliseconds since 1970.
    pub(crate) decided_at: Option<u64>,
}

/// A snapshot of the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LedgerTotals {
    pub(crate) planned: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) uncertain: u64,
    pub(crate) called_back: u64,
    /// Accepted requests without a callback.
    pub(crate) missing: u64,
    /// Requests with callbacks of different statuses, and callbacks that belong to no request.
    pub(crate) contradictory: u64,
    /// Callbacks after a request's first.
    pub(crate) repeated: u64,
    /// Decisions without an answer of the authorization service.
    pub(crate) without_call: u64,
}

/// Durations from the start of a run to the end of each phase.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PhaseDurations {
    pub(crate) accepting: Duration,
    pub(crate) deciding: Duration,
    pub(crate) delivering: Duration,
}

impl LoadLedger {
    /// Creates a ledger of `requests` planned at `interval`; a zero interval plans all at the start.
    pub(crate) fn new(requests: u64, interval: Duration) -> Self {
        Self {
            slots: (0..requests).map(|_| AtomicU8::new(0)).collect(),
            interval: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX),
            start: OnceLock::new(),
            counts: LedgerCounters::default(),
            acks: SharedHistogram::new(),
            decisions: SharedHistogram::new(),
            callbacks: SharedHistogram::new(),
        }
    }

    /// Sets the planned time of the first request.
    pub(crate) fn begin(&self, instant: Instant, wall: u64) {
        let _ = self.start.set(LedgerStart { instant, wall });
    }

    /// Returns the number of requests.
    pub(crate) fn requests(&self) -> u64 {
        u64::try_from(self.slots.len()).unwrap_or(u64::MAX)
    }

    /// Returns the planned time of a request.
    pub(crate) fn planned(&self, number: u64) -> Instant {
        self.start().instant + self.offset(number)
    }

    /// Returns the body of a request.
    pub(crate) fn body(number: u64, callback_url: &str) -> String {
        let station = station(number);
        format!(
            r#"{{"station_id":"{station}","driver_token":"{DRIVER_TOKEN}","callback_url":"{callback_url}/{number}"}}"#
        )
    }

    /// Records a response. The callback may have arrived before it.
    pub(crate) fn answered(&self, number: u64, answer: SubmitOutcome) {
        match answer {
            SubmitOutcome::Refused => add(&self.counts.refused),
            SubmitOutcome::Uncertain => add(&self.counts.uncertain),
            SubmitOutcome::Accepted => {
                let Some(slot) = self.slot(number) else { return };
                add(&self.counts.accepted);
                if slot.fetch_or(ACCEPTED, Ordering::Relaxed) & STATUS != 0 {
                    add(&self.counts.settled);
                }
                if let Some(start) = self.start.get() {
                    let now = start.instant.elapsed();
                    self.acks.record(now.saturating_sub(self.offset(number)));
                    self.counts.last_ack.fetch_max(micros(now), Ordering::Relaxed);
                }
            }
        }
    }

    /// Records a callback.
    pub(crate) fn called_back(&self, number: u64, callback: LoadCallback<'_>) {
        let code = read_status(number, callback.body);
        let (Some(slot), Some(code)) = (self.slot(number), code) else {
            add(&self.counts.wrong);
            return;
        };
        let before = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |slot| match slot & STATUS {
            0 => Some(slot | code),
            first if first == code => Some(slot),
            _ => Some(slot | CONTRADICTED),
        });
        let before = before.unwrap_or_else(|slot| slot);
        if before & STATUS != 0 {
            add(&self.counts.repeated);
            return;
        }
        add(&self.counts.called_back);
        if before & ACCEPTED != 0 {
            add(&self.counts.settled);
        }
        if callback.reason != b"acl" {
            add(&self.counts.without_call);
        }
        let LedgerStart { instant, wall } = self.start();
        let (now, planned) = (instant.elapsed(), self.offset(number));
        self.callbacks.record(now.saturating_sub(planned));
        self.counts.last_callback.fetch_max(micros(now), Ordering::Relaxed);
        if let Some(decided_at) = callback.decided_at {
            self.counts.last_decision.fetch_max(decided_at, Ordering::Relaxed);
            self.decisions
                .record(Duration::from_millis(decided_at.saturating_sub(wall)).saturating_sub(planned));
        }
    }

    /// Returns whether every accepted request was called back.
    pub(crate) fn is_settled(&self) -> bool {
        load(&self.counts.settled) >= load(&self.counts.accepted)
    }

    /// Returns the number of callbacks so far, including repeated ones.
    pub(crate) fn arrivals(&self) -> u64 {
        load(&self.counts.called_back) + load(&self.counts.repeated)
    }

    /// Returns the current counts.
    pub(crate) fn totals(&self) -> LedgerTotals {
        let (mut missing, mut contradicted) = (0, 0);
        for slot in &self.slots {
            let slot = slot.load(Ordering::Relaxed);
            missing += u64::from(slot & ACCEPTED != 0 && slot & STATUS == 0);
            contradicted += u64::from(slot & CONTRADICTED != 0);
        }
        let LedgerCounters {
            accepted, refused, uncertain, called_back, repeated, wrong, without_call, ..
        } = &self.counts;
        LedgerTotals {
            planned: self.requests(),
            accepted: load(accepted),
            refused: load(refused),
            uncertain: load(uncertain),
            called_back: load(called_back),
            missing,
            contradictory: contradicted + load(wrong),
            repeated: load(repeated),
            without_call: load(without_call),
        }
    }

    /// Returns the duration of each phase.
    pub(crate) fn spans(&self) -> PhaseDurations {
        let decided = load(&self.counts.last_decision).saturating_sub(self.start().wall);
        PhaseDurations {
            accepting: Duration::from_micros(load(&self.counts.last_ack)),
            deciding: Duration::from_millis(decided),
            delivering: Duration::from_micros(load(&self.counts.last_callback)),
        }
    }

    fn slot(&self, number: u64) -> Option<&AtomicU8> {
        usize::try_from(number).ok().and_then(|number| self.slots.get(number))
    }

    /// Returns the time from the begin to the planned time of a request.
    pub(crate) fn offset(&self, number: u64) -> Duration {
        Duration::from_nanos(number.saturating_mul(self.interval))
    }

    /// Returns the start; a ledger is not used before [`Self::begin`].
    fn start(&self) -> LedgerStart {
        *self.start.get_or_init(|| LedgerStart { instant: Instant::now(), wall: 0 })
    }
}

/// Returns the station id of a request.
pub(crate) fn station(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// Returns the status in a callback's body, counted from one, if the body belongs to this request and has exactly the
/// fields of the contract.
fn read_status(number: u64, body: &[u8]) -> Option<u8> {
    let own = format!(r#"{{"station_id":"{}","driver_token":"{DRIVER_TOKEN}","status":""#, station(number));
    let status = body.strip_prefix(own.as_bytes())?.strip_suffix(b"\"}")?;
    let at = DecisionStatus::ALL.iter().position(|known| known.as_str().as_bytes() == status)?;
    u8::try_from(at + 1).ok()
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
