//! Figures of the service's load, in total and by second.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

/// Number of seconds that are kept, the current one included.
pub(super) const MAX_SECONDS: usize = 300;
const SECOND: Duration = Duration::from_secs(1);

/// Counters of calls. A call is in flight from the end of its request until the work on it ends, also if its caller
/// has hung up.
pub(super) struct AclCallStats(Mutex<CallLedger>);

/// The totals, and the seconds from the oldest to the current one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct AclCallFigures {
    #[serde(flatten)]
    pub(super) totals: AclCallCounts,
    /// Maximum number of concurrent calls; further ones wait.
    pub(super) capacity: Option<NonZeroUsize>,
    pub(super) seconds: Vec<AclSecond>,
}

/// Counts since the service started: `calls = answered + failed + unanswered + in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct AclCallCounts {
    /// All calls.
    pub(super) calls: u64,
    /// Calls in flight now.
    pub(super) in_flight: usize,
    /// Highest number of concurrent calls so far.
    pub(super) max_in_flight: usize,
    /// Calls answered with a status of authorization.
    pub(super) answered: u64,
    /// Calls answered with an error.
    pub(super) failed: u64,
    /// Calls whose caller had hung up before the work ended, and calls that hung.
    pub(super) unanswered: u64,
}

/// Figures of one second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct AclSecond {
    /// Seconds from 1970 to the begin of the second.
    pub(super) time: u64,
    pub(super) calls: u64,
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) unanswered: u64,
    pub(super) max_in_flight: usize,
    /// Average of the calls in flight over the second, or over its past part.
    pub(super) mean_in_flight: f64,
    /// Average of the calls in flight beyond the capacity.
    pub(super) mean_queue: f64,
}

/// The end of the work on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AclCallEnd {
    /// It was answered with a status of authorization.
    Answered,
    /// It was answered with an error.
    Failed,
    /// It got no answer, or its caller had hung up.
    Unanswered,
}

struct CallLedger {
    capacity: Option<NonZeroUsize>,
    begun: Instant,
    /// Time from 1970 to `begun`. Later times follow the monotonic clock.
    begun_at: Duration,
    totals: AclCallCounts,
    /// Past seconds, oldest first.
    past: VecDeque<SecondCounts>,
    current: SecondCounts,
    /// Time from 1970 up to which `current` integrates the calls in flight.
    integrated: Duration,
}

#[derive(Clone, Copy, Default)]
struct SecondCounts {
    time: u64,
    calls: u64,
    answered: u64,
    failed: u64,
    unanswered: u64,
    max_in_flight: usize,
    /// Products of calls and microseconds.
    in_flight_time: u128,
    queue_time: u128,
}

impl AclCallStats {
    /// Creates the counters of a service that starts at the wall-clock time `now`.
    pub(super) fn new(capacity: Option<NonZeroUsize>, now: SystemTime) -> Self {
        let begun_at = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Mutex::new(CallLedger {
            capacity,
            begun: Instant::now(),
            begun_at,
            totals: AclCallCounts::default(),
            past: VecDeque::with_capacity(MAX_SECONDS),
            current: SecondCounts { time: begun_at.as_secs(), ..SecondCounts::default() },
            integrated: begun_at,
        }))
    }

    /// Counts a call as in flight until the guard ends it.
    pub(super) fn start_call(self: &Arc<Self>) -> AclCallGuard {
        let mut ledger = self.0.lock();
        ledger.advance();
        let earlier = ledger.totals.in_flight;
        let in_flight = earlier + 1;
        ledger.totals.calls += 1;
        ledger.current.calls += 1;
        ledger.totals.in_flight = in_flight;
        ledger.totals.max_in_flight = ledger.totals.max_in_flight.max(in_flight);
        ledger.current.max_in_flight = ledger.current.max_in_flight.max(in_flight);
        AclCallGuard { stats: Arc::clone(self), earlier, end: AclCallEnd::Unanswered }
    }

    /// Returns the number of calls beyond the capacity now.
    pub(super) fn queue(&self) -> usize {
        self.0.lock().queue()
    }

    /// Returns the totals.
    #[cfg(test)]
    pub(super) fn totals(&self) -> AclCallCounts {
        self.0.lock().totals
    }

    /// Returns the totals and the last `seconds`.
    pub(super) fn figures(&self, seconds: usize) -> AclCallFigures {
        let mut ledger = self.0.lock();
        ledger.advance();
        let integrated = ledger.integrated;
        let all = ledger.past.iter().chain([&ledger.current]);
        let skipped = (ledger.past.len() + 1).saturating_sub(seconds);
        AclCallFigures {
            totals: ledger.totals,
            capacity: ledger.capacity,
            seconds: all.skip(skipped).map(|second| second.figures(integrated)).collect(),
        }
    }
}

impl CallLedger {
    fn queue(&self) -> usize {
        self.capacity.map_or(0, |capacity| self.totals.in_flight.saturating_sub(capacity.get()))
    }

    /// Moves on to the current second, and integrates the calls in flight up to now.
    fn advance(&mut self) {
        let now = self.begun_at + self.begun.elapsed();
        let oldest = now.as_secs().saturating_sub(u64::try_from(MAX_SECONDS).unwrap_or(u64::MAX));
        if self.current.time < oldest {
            // No call began or ended recently: no second with figures of its own remains.
            self.past.clear();
            self.integrated = Duration::from_secs(oldest);
            self.current = self.second_from(oldest);
        }
        loop {
            let end = Duration::from_secs(self.current.time) + SECOND;
            self.integrate(now.min(end));
            if now < end {
                return;
            }
            if self.past.len() + 1 == MAX_SECONDS {
                self.past.pop_front();
            }
            self.past.push_back(self.current);
            self.current = self.second_from(self.current.time + 1);
        }
    }

    fn second_from(&self, time: u64) -> SecondCounts {
        SecondCounts { time, max_in_flight: self.totals.in_flight, ..SecondCounts::default() }
    }

    fn integrate(&mut self, until: Duration) {
        let micros = until.saturating_sub(self.integrated).as_micros();
        let product = |calls: usize| micros * u128::try_from(calls).unwrap_or(u128::MAX);
        self.current.in_flight_time += product(self.totals.in_flight);
        self.current.queue_time += product(self.queue());
        self.integrated = self.integrated.max(until);
    }
}

impl SecondCounts {
    fn figures(&self, integrated: Duration) -> AclSecond {
        let past = integrated.saturating_sub(Duration::from_secs(self.time)).min(SECOND).as_micros();
        let mean = |product: u128| {
            let thousandths = (product * 1_000).checked_div(past).unwrap_or(0);
            f64::from(u32::try_from(thousandths).unwrap_or(u32::MAX)) / 1_000.0
        };
        let Self { time, calls, answered, failed, unanswered, max_in_flight, in_flight_time, queue_time } =
            *self;
        AclSecond {
            time,
            calls,
            answered,
            failed,
            unanswered,
            max_in_flight,
            mean_in_flight: mean(in_flight_time),
            mean_queue: mean(queue_time),
        }
    }
}

/// Guard that counts a call as in flight. Dropping it ends the call without an answer.
pub(super) struct AclCallGuard {
    stats: Arc<AclCallStats>,
    earlier: usize,
    end: AclCallEnd,
}

impl AclCallGuard {
    /// Returns the number of calls that were in flight when this one arrived.
    pub(super) fn earlier_calls(&self) -> usize {
        self.earlier
    }

    /// Ends the call.
    pub(super) fn finish(mut self, end: AclCallEnd) {
        self.end = end;
    }
}

impl Drop for AclCallGuard {
    fn drop(&mut self) {
        let mut ledger = self.stats.0.lock();
        ledger.advance();
        let CallLedger { totals, current, .. } = &mut *ledger;
        totals.in_flight = totals.in_flight.saturating_sub(1);
        let (total, of_second) = match self.end {
            AclCallEnd::Answered => (&mut totals.answered, &mut current.answered),
            AclCallEnd::Failed => (&mut totals.failed, &mut current.failed),
            AclCallEnd::Unanswered => (&mut totals.unanswered, &mut current.unanswered),
        };
        *total += 1;
        *of_second += 1;
    }
}

#[cfg(test)]
mod tests;
