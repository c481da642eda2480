//! The controller of the calls to the authorization service: a limit that follows what the service can bear, and a
//! breaker for a service that does not answer.
//!
//! The limit follows TCP Vegas (Brakmo and Peterson, 1995): the excess of the mean latency over the lowest recent one
//! shows how many calls wait inside the service. Time-outs alone would show an overload far too late.

mod breaker;
mod latency_floor;

use core::time::Duration;

use self::breaker::AclBreaker;
pub use self::breaker::BreakerState;
use self::latency_floor::LatencyFloor;
use crate::time::UnixMillis;

/// Shortest window over which calls are judged. Shorter ones bias the lowest latency and never let the limit recover.
const WINDOW: Duration = Duration::from_secs(1);
/// Longest window: it ends even with few samples.
const MAX_WINDOW: Duration = Duration::from_secs(5);
/// Calls by which a window is judged. A limit below 15 is judged by twice as many calls as it permits at once: slow calls
/// yield no more in [`MAX_WINDOW`].
const MIN_SAMPLES: u32 = 30;
/// Longest pause that a service can ask for: as long as a decision takes at most by default.
pub const MAX_ACL_PAUSE: Duration = Duration::from_secs(10);
/// Largest limit at the start, before anything is known about the service.
const INITIAL_LIMIT: u32 = 32;
/// Decreases in a row without a shorter latency after which the service counts as slower, not as overloaded.
const FUTILE_DECREASES: u8 = 4;

/// Sums over calls that ended, of one worker since its last report or of the fleet in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CallSums {
    /// Calls with a usable answer.
    pub answered: u32,
    /// Sum of their durations in microseconds.
    pub answered_micros: u64,
    /// Calls without a response in time.
    pub timed_out: u32,
    /// Calls that were refused because of overload (429 and 503).
    pub overloaded: u32,
    /// Calls without a connection, or whose connection was cut.
    pub unreachable: u32,
    /// Calls with another response that is not an answer. They show nothing about the load.
    pub errors: u32,
    /// Calls that had to wait for a slot.
    pub waited: u32,
    /// Calls without any response since the last response.
    pub silent_run: u32,
}

/// The end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// A usable answer.
    Answered,
    /// No response in time.
    TimedOut,
    /// A refusal because of overload (429 or 503).
    Overloaded,
    /// No connection, or a connection that was cut.
    Unreachable,
    /// Another response that is not an answer.
    Error,
}

impl CallSums {
    /// Adds a call that took `took`.
    pub fn add_call(&mut self, end: CallEnd, took: Duration) {
        let count = match end {
            CallEnd::Answered => &mut self.answered,
            CallEnd::TimedOut => &mut self.timed_out,
            CallEnd::Overloaded => &mut self.overloaded,
            CallEnd::Unreachable => &mut self.unreachable,
            CallEnd::Error => &mut self.errors,
        };
        *count = count.saturating_add(1);
        match end {
            CallEnd::TimedOut | CallEnd::Unreachable => self.silent_run = self.silent_run.saturating_add(1),
            CallEnd::Answered | CallEnd::Overloaded | CallEnd::Error => self.silent_run = 0,
        }
        if end == CallEnd::Answered {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.answered_micros = self.answered_micros.saturating_add(micros);
        }
    }

    /// Removes sums that were reported before.
    pub fn subtract(&mut self, reported: Self) {
        let mut rest = Self {
            answered: self.answered.saturating_sub(reported.answered),
            answered_micros: self.answered_micros.saturating_sub(reported.answered_micros),
            timed_out: self.timed_out.saturating_sub(reported.timed_out),
            overloaded: self.overloaded.saturating_sub(reported.overloaded),
            unreachable: self.unreachable.saturating_sub(reported.unreachable),
            errors: self.errors.saturating_sub(reported.errors),
            waited: self.waited.saturating_sub(reported.waited),
            silent_run: self.silent_run,
        };
        if !rest.has_response() {
            rest.silent_run = self.silent_run.saturating_sub(reported.silent_run);
        }
        *self = rest;
    }

    /// Returns whether enough calls in a row had no response to open the breaker.
    #[must_use]
    pub const fn is_silent(&self) -> bool {
        self.silent_run >= breaker::OPEN_AFTER_CALLS
    }

    /// Adds the sums of a later report.
    pub fn add(&mut self, later: Self) {
        let silent_run = if later.has_response() {
            later.silent_run
        } else {
            self.silent_run.saturating_add(later.silent_run)
        };
        *self = Self {
            answered: self.answered.saturating_add(later.answered),
            answered_micros: self.answered_micros.saturating_add(later.answered_micros),
            timed_out: self.timed_out.saturating_add(later.timed_out),
            overloaded: self.overloaded.saturating_add(later.overloaded),
            unreachable: self.unreachable.saturating_add(later.unreachable),
            errors: self.errors.saturating_add(later.errors),
            waited: self.waited.saturating_add(later.waited),
            silent_run,
        };
    }

    /// Returns whether the service responded to a call.
    #[must_use]
    pub const fn has_response(&self) -> bool {
        self.answered > 0 || self.overloaded > 0 || self.errors > 0
    }

    /// Returns the number of calls that say something about the load.
    const fn samples(&self) -> u32 {
        self.answered.saturating_add(self.timed_out).saturating_add(self.overloaded)
    }

    fn mean_micros(&self) -> Option<u64> {
        self.answered_micros.checked_div(self.answered.into())
    }

    /// Returns whether more slots would have been used: most calls waited for one.
    fn slots_in_use(&self) -> bool {
        let calls = self.samples().saturating_add(self.errors).saturating_add(self.unreachable);
        self.waited.saturating_mul(2) >= calls
    }
}

/// The controller of all calls of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AclController {
    limit: u32,
    /// The limit doubles up to this value, and grows by one beyond it; zero once the slow start has found the limit.
    slow_start_until: u32,
    floor: LatencyFloor,
    decreases: FutileDecreases,
    breaker: AclBreaker,
    paused_until: UnixMillis,
    /// Until then time-outs are the consequence of calls that were judged before.
    settling_until: UnixMillis,
    window: CallSums,
    window_start: UnixMillis,
}

/// The terms under which a report is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ControlTerms {
    /// Most calls in flight.
    pub(crate) total: u32,
    /// Time after which the effect of a decrease can be seen.
    pub(crate) call_timeout: Duration,
    /// Time in which all workers report.
    pub(crate) settling: Duration,
}

/// Decreases in a row, the limit before the first, and the longest mean latency since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct FutileDecreases {
    count: u8,
    limit_before: u32,
    longest_mean: u64,
}

impl AclController {
    /// Creates the controller of a service about which nothing is known.
    #[must_use]
    pub fn new(now: UnixMillis) -> Self {
        Self {
            limit: INITIAL_LIMIT,
            slow_start_until: u32::MAX,
            floor: LatencyFloor::new(now),
            decreases: FutileDecreases::default(),
            breaker: AclBreaker::default(),
            paused_until: UnixMillis::default(),
            settling_until: UnixMillis::default(),
            window: CallSums::default(),
            window_start: now,
        }
    }

    /// Returns the most calls that may be in flight, at most `total`; zero while the breaker is open.
    #[must_use]
    pub fn limit(&self, total: u32) -> u32 {
        if self.breaker.is_open() { 0 } else { self.limit.min(total) }
    }

    /// Returns the state of the breaker.
    #[must_use]
    pub fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Returns the time until calls may begin again after a `Retry-After`.
    #[must_use]
    pub fn pause(&self, now: UnixMillis) -> Duration {
        self.paused_until.since(now)
    }

    /// Starts a pause that the service asked for.
    pub(crate) fn pause_for(&mut self, now: UnixMillis, pause: Duration) {
        if !pause.is_zero() {
            self.paused_until = self.paused_until.max(now.plus(pause.min(MAX_ACL_PAUSE)));
        }
    }

    /// Limits times that lie further ahead than they can, because the clock of the store stepped back.
    pub(crate) fn limit_future(&mut self, now: UnixMillis) {
        self.paused_until = self.paused_until.min(now.plus(MAX_ACL_PAUSE));
        if self.window_start > now {
            self.settling_until = now;
            self.floor.restart_period(now);
            self.restart_window(now);
        }
        self.breaker.limit_future(now);
    }

    /// Takes the probe that is due, if any: one call that may begin although the breaker is open.
    pub(crate) fn take_probe(&mut self, now: UnixMillis, jitter: u32) -> bool {
        self.breaker.take_probe(now, jitter)
    }

    /// Adds the calls of one report and, at the end of a window, adapts the limit.
    pub(crate) fn update(&mut self, now: UnixMillis, sums: CallSums, terms: ControlTerms) {
        let ControlTerms { total, call_timeout, settling } = terms;
        match self.breaker.update(now, &sums, settling) {
            BreakerChange::None => {}
            BreakerChange::Opened => {
                // The calls of a hang may have halved the limit just before.
                if now >= self.settling_until {
                    self.remember_overload(total);
                }
                self.restart_window(now);
                return;
            }
            BreakerChange::Closed => {
                self.limit = (self.slow_start_until / 4).max(1);
                // Time-outs of probes that began before.
                self.settling_until = now.plus(call_timeout);
                self.restart_window(now);
                return;
            }
        }
        self.window.add(sums);
        let elapsed = now.since(self.window_start);
        let complete = elapsed >= WINDOW && self.has_enough_samples() || elapsed >= MAX_WINDOW;
        if complete && !self.breaker.is_open() {
            self.adapt(now, total, call_timeout);
            self.restart_window(now);
        }
    }

    fn has_enough_samples(&self) -> bool {
        self.window.samples() >= MIN_SAMPLES.min(self.limit.saturating_mul(2))
    }

    fn restart_window(&mut self, now: UnixMillis) {
        self.window = CallSums::default();
        self.window_start = now;
    }

    /// Adapts the limit to a complete window.
    fn adapt(&mut self, now: UnixMillis, total: u32, call_timeout: Duration) {
        // A limit above the total was never in use; a total that shrank applies at once.
        self.limit = self.limit.clamp(1, total.max(1));
        let window = self.window;
        // A few calls do not overload a service, and a limit that is not in use would only recover late.
        if !self.has_enough_samples() {
            return;
        }
        let overloaded = window.overloaded > 0 || window.timed_out.saturating_mul(10) > window.samples();
        if overloaded {
            if now >= self.settling_until {
                self.remember_overload(total);
                self.limit = (self.limit / 2).max(1);
                self.settling_until = now.plus(call_timeout);
            }
            return;
        }
        let Some(mean) = window.mean_micros() else { return };
        let floor = self.floor.update(now, mean);
        let limit = u64::from(self.limit);
        // Calls that wait inside the service, by Little's law: the slots less the ones that work needs.
        let waiting = u32::try_from(limit.saturating_sub(limit.saturating_mul(floor) / mean.max(1)))
            .unwrap_or(u32::MAX);
        let few = (self.limit.saturating_mul(10) / 100).max(2);
        let many = (self.limit.saturating_mul(25) / 100).max(5);
        if waiting >= few && self.is_slow_start() {
            // The slow start has found the limit, and overshot it by up to twice.
            self.limit = self.limit.saturating_sub(waiting).saturating_add(few).max(self.limit / 2);
            self.slow_start_until = 0;
        } else if waiting > many {
            self.decrease(now, mean);
        } else {
            self.decreases.count = 0;
            if waiting < few && window.slots_in_use() {
                self.increase();
            }
        }
        self.limit = self.limit.clamp(1, total.max(1));
    }

    const fn is_slow_start(&self) -> bool {
        self.limit < self.slow_start_until
    }

    fn increase(&mut self) {
        self.limit = if self.is_slow_start() {
            self.limit.saturating_mul(2).min(self.slow_start_until)
        } else {
            self.limit.saturating_add(1)
        };
    }

    fn decrease(&mut self, now: UnixMillis, mean: u64) {
        if self.decreases.count == 0 {
            self.decreases = FutileDecreases { count: 0, limit_before: self.limit, longest_mean: mean };
        }
        self.decreases.count = self.decreases.count.saturating_add(1);
        // The first window may lie half before the change.
        self.decreases.longest_mean = self.decreases.longest_mean.max(mean);
        let shortened = mean.saturating_mul(10) < self.decreases.longest_mean.saturating_mul(9);
        if self.decreases.count > FUTILE_DECREASES && !shortened {
            // The service became slower; fewer calls do not make it faster.
            self.floor.reset(now, mean);
            self.slow_start_until = self.decreases.limit_before;
            self.decreases.count = 0;
            return;
        }
        if self.decreases.count > FUTILE_DECREASES {
            self.decreases = FutileDecreases { count: 1, limit_before: self.limit, longest_mean: mean };
        }
        self.limit = self.limit.saturating_sub((self.limit / 10).max(1)).max(1);
        self.slow_start_until = 0;
    }

    /// Ends the next slow start at 0.7 of the limit that was too much.
    fn remember_overload(&mut self, total: u32) {
        let limit = self.limit.min(total);
        self.slow_start_until = (limit.saturating_mul(7) / 10).max(1);
    }
}

/// The consequence of a report for the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BreakerChange {
    None,
    Opened,
    Closed,
}

#[cfg(test)]
mod tests;
