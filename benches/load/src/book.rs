//! What became of each request: one byte each, so that a million of them weigh nothing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use chargegate_core::DecisionStatus;
use tokio::time::Instant;

use crate::latency::Latencies;

/// Who wants to charge, in every request.
pub(crate) const DRIVER_TOKEN: &str = "driver-of-the-load-000001";

/// Which status was called back first, counted from one.
const STATUS: u8 = 0b0000_0111;
const ACCEPTED: u8 = 0b0000_1000;
const CONTRADICTED: u8 = 0b0001_0000;

/// The requests of a run, numbered in the order they are planned.
#[derive(Debug)]
pub(crate) struct Book {
    slots: Box<[AtomicU8]>,
    /// Nanoseconds from one planned request to the next.
    interval: u64,
    start: OnceLock<Start>,
    counts: Counts,
    /// From the planned moment to the answer 202.
    pub(crate) acks: Latencies,
    /// From the planned moment to the decision, by the worker's wall clock.
    pub(crate) decisions: Latencies,
    /// From the planned moment to the callback.
    pub(crate) callbacks: Latencies,
}

#[derive(Clone, Copy, Debug)]
struct Start {
    instant: Instant,
    /// Milliseconds since 1970.
    wall: u64,
}

#[derive(Debug, Default)]
struct Counts {
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
    /// When the newest decision was made, in milliseconds since 1970.
    last_decision: AtomicU64,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// 202.
    Accepted,
    /// Another status.
    Refused,
    /// None, or not in time: the request may have been accepted.
    Uncertain,
}

/// A callback as it arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callback<'a> {
    pub(crate) body: &'a [u8],
    /// The worker's reason.
    pub(crate) reason: &'a [u8],
    /// When it was decided, in milliseconds since 1970.
    pub(crate) decided_at: Option<u64>,
}

/// Counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) planned: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) uncertain: u64,
    pub(crate) called_back: u64,
    /// Accepted, and never called back.
    pub(crate) missing: u64,
    /// Requests that were called back with two statuses, and callbacks that are nobody's.
    pub(crate) contradictory: u64,
    /// Callbacks after a request's first.
    pub(crate) repeated: u64,
    /// Decisions for which the authorization service gave no answer.
    pub(crate) without_call: u64,
}

/// How long each part of a run took, from its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spans {
    pub(crate) accepting: Duration,
    pub(crate) deciding: Duration,
    pub(crate) delivering: Duration,
}

impl Book {
    /// For requests at a rate, or all planned at the start.
    pub(crate) fn new(requests: u64, interval: Duration) -> Self {
        Self {
            slots: (0..requests).map(|_| AtomicU8::new(0)).collect(),
            interval: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX),
            start: OnceLock::new(),
            counts: Counts::default(),
            acks: Latencies::new(),
            decisions: Latencies::new(),
            callbacks: Latencies::new(),
        }
    }

    /// Says when the first request is planned.
    pub(crate) fn begin(&self, instant: Instant, wall: u64) {
        let _ = self.start.set(Start { instant, wall });
    }

    /// How many requests there are.
    pub(crate) fn requests(&self) -> u64 {
        u64::try_from(self.slots.len()).unwrap_or(u64::MAX)
    }

    /// When a request is planned.
    pub(crate) fn planned(&self, number: u64) -> Instant {
        self.start().instant + self.offset(number)
    }

    /// The body of a request.
    pub(crate) fn body(number: u64, callback_url: &str) -> String {
        let station = station(number);
        format!(
            r#"{{"station_id":"{station}","driver_token":"{DRIVER_TOKEN}","callback_url":"{callback_url}/{number}"}}"#
        )
    }

    /// Records an answer. The callback may have come before.
    pub(crate) fn answered(&self, number: u64, answer: Answer) {
        match answer {
            Answer::Refused => add(&self.counts.refused),
            Answer::Uncertain => add(&self.counts.uncertain),
            Answer::Accepted => {
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
    pub(crate) fn called_back(&self, number: u64, callback: Callback<'_>) {
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
        let Start { instant, wall } = self.start();
        let (now, planned) = (instant.elapsed(), self.offset(number));
        self.callbacks.record(now.saturating_sub(planned));
        self.counts.last_callback.fetch_max(micros(now), Ordering::Relaxed);
        if let Some(decided_at) = callback.decided_at {
            self.counts.last_decision.fetch_max(decided_at, Ordering::Relaxed);
            self.decisions
                .record(Duration::from_millis(decided_at.saturating_sub(wall)).saturating_sub(planned));
        }
    }

    /// Whether everything accepted was called back.
    pub(crate) fn is_settled(&self) -> bool {
        load(&self.counts.settled) >= load(&self.counts.accepted)
    }

    /// Callbacks so far, repeated ones included.
    pub(crate) fn arrivals(&self) -> u64 {
        load(&self.counts.called_back) + load(&self.counts.repeated)
    }

    /// The counts of now.
    pub(crate) fn totals(&self) -> Totals {
        let (mut missing, mut contradicted) = (0, 0);
        for slot in &self.slots {
            let slot = slot.load(Ordering::Relaxed);
            missing += u64::from(slot & ACCEPTED != 0 && slot & STATUS == 0);
            contradicted += u64::from(slot & CONTRADICTED != 0);
        }
        let Counts { accepted, refused, uncertain, called_back, repeated, wrong, without_call, .. } =
            &self.counts;
        Totals {
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

    /// How long each part took.
    pub(crate) fn spans(&self) -> Spans {
        let decided = load(&self.counts.last_decision).saturating_sub(self.start().wall);
        Spans {
            accepting: Duration::from_micros(load(&self.counts.last_ack)),
            deciding: Duration::from_millis(decided),
            delivering: Duration::from_micros(load(&self.counts.last_callback)),
        }
    }

    fn slot(&self, number: u64) -> Option<&AtomicU8> {
        usize::try_from(number).ok().and_then(|number| self.slots.get(number))
    }

    fn offset(&self, number: u64) -> Duration {
        Duration::from_nanos(number.saturating_mul(self.interval))
    }

    /// Nothing is asked of a book before it begins.
    fn start(&self) -> Start {
        *self.start.get_or_init(|| Start { instant: Instant::now(), wall: 0 })
    }
}

/// Where a request wants to charge.
pub(crate) fn station(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// The status in a callback's body, counted from one, if the body is this request's and exactly the contract's.
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
