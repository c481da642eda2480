//! The health of a receiver of callbacks: a circuit breaker with a backoff that all callbacks to the receiver share.

use core::time::Duration;

/// Consecutive failures after which a receiver is unavailable.
const MAX_FAILURES: u32 = 5;
/// Time after a success for which failures do not make a receiver unavailable: it answers some of its callbacks.
const SUCCESS_MEMORY: Duration = Duration::from_mins(1);
/// Upper bound of the first backoff; it doubles with each failed probe.
const MIN_BACKOFF: Duration = Duration::from_secs(2);
/// Time after which a probe without a result is followed by another: longer than any attempt.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
/// Upper bound of all backoffs.
const MAX_BACKOFF: Duration = Duration::from_mins(1);
/// Time without an attempt after which nothing is known of a receiver any more.
const RETENTION: Duration = Duration::from_hours(1);

/// The response of a receiver to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverResponse {
    /// It accepted the callback.
    Accepted,
    /// It answered, but refused the callback.
    Refused,
    /// It did not answer.
    Missing,
}

/// The health of one receiver. Times are durations since any fixed instant of a monotonic clock.
///
/// After five failures in a row without a success for a minute the receiver is unavailable: then one attempt at a time, a
/// probe, is made, with growing intervals of up to a minute. A success makes it available again.
///
/// ```
/// use std::time::Duration;
///
/// use chargegate_core::{ReceiverAdmission, ReceiverHealth, ReceiverResponse};
///
/// let at = Duration::from_secs;
/// let mut health = ReceiverHealth::default();
/// for _ in 0..5 {
///     assert_eq!(health.admit(at(60), u32::MAX), ReceiverAdmission::Attempt);
///     health.record(ReceiverResponse::Refused, at(60), u32::MAX);
/// }
/// // No attempt is made until the backoff ends; then one is.
/// assert_eq!(health.admit(at(61), u32::MAX), ReceiverAdmission::Wait(at(1)));
/// assert_eq!(health.admit(at(62), u32::MAX), ReceiverAdmission::Probe);
/// assert!(matches!(health.admit(at(62), u32::MAX), ReceiverAdmission::Wait(_)));
/// health.record(ReceiverResponse::Accepted, at(63), u32::MAX);
/// assert_eq!(health.admit(at(63), u32::MAX), ReceiverAdmission::Attempt);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiverHealth {
    state: HealthState,
    last_success: Option<Duration>,
    /// Whether the receiver did not answer the last attempt.
    is_silent: bool,
    /// Time of the last change.
    changed_at: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HealthState {
    Available {
        /// Consecutive failures.
        failures: u32,
    },
    Unavailable {
        /// Failed probes.
        probes: u32,
        /// Time of the next probe.
        probe_at: Duration,
        is_probing: bool,
    },
}

impl Default for HealthState {
    fn default() -> Self {
        Self::Available { failures: 0 }
    }
}

/// The answer to a request for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverAdmission {
    /// The attempt may begin, and its result is recorded.
    Attempt,
    /// The attempt may begin as a probe. Its result is recorded, or the probe cancelled.
    Probe,
    /// The receiver is unavailable, and the next probe is due after this time.
    Wait(Duration),
}

impl ReceiverHealth {
    /// Returns whether the last attempt failed.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        !matches!(self.state, HealthState::Available { failures: 0 })
    }

    /// Returns whether the receiver did not answer the last attempt.
    #[must_use]
    pub const fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// Returns the number of failed probes and the time of the next one, if the receiver is unavailable.
    #[must_use]
    pub const fn backoff(&self) -> Option<(u32, Duration)> {
        match self.state {
            HealthState::Available { .. } => None,
            HealthState::Unavailable { probes, probe_at, .. } => Some((probes, probe_at)),
        }
    }

    /// Returns the time of the last success.
    #[must_use]
    pub const fn last_success(&self) -> Option<Duration> {
        self.last_success
    }

    /// Returns whether no attempt was recorded for so long, an hour, that the health need not be kept.
    #[must_use]
    pub fn is_expired(&self, now: Duration) -> bool {
        now >= self.changed_at.saturating_add(RETENTION)
    }

    /// Asks for an attempt at the time `now`; `jitter` must be uniformly distributed over `u32`.
    pub fn admit(&mut self, now: Duration, jitter: u32) -> ReceiverAdmission {
        let HealthState::Unavailable { probes, probe_at, is_probing } = &mut self.state else {
            return ReceiverAdmission::Attempt;
        };
        if now < *probe_at {
            return ReceiverAdmission::Wait(probe_at.saturating_sub(now));
        }
        *is_probing = true;
        *probe_at = now.saturating_add(backoff(*probes, jitter).max(PROBE_TIMEOUT));
        ReceiverAdmission::Probe
    }

    /// Ends a probe that shows nothing about the receiver. The next attempt is one.
    pub fn cancel_probe(&mut self, now: Duration) {
        if let HealthState::Unavailable { probe_at, is_probing: is_probing @ true, .. } = &mut self.state {
            *is_probing = false;
            *probe_at = now;
        }
    }

    /// Records the result of an attempt; `jitter` must be uniformly distributed over `u32`.
    pub fn record(&mut self, response: ReceiverResponse, now: Duration, jitter: u32) {
        self.changed_at = now;
        self.is_silent = response == ReceiverResponse::Missing;
        if response == ReceiverResponse::Accepted {
            self.state = HealthState::default();
            self.last_success = Some(now);
        } else {
            self.count_failure(now, jitter);
        }
    }

    fn count_failure(&mut self, now: Duration, jitter: u32) {
        let works = self.succeeded_recently(now);
        match &mut self.state {
            HealthState::Available { failures } => {
                *failures = failures.saturating_add(1);
                if *failures >= MAX_FAILURES && !works {
                    let probe_at = now.saturating_add(backoff(0, jitter));
                    self.state = HealthState::Unavailable { probes: 0, probe_at, is_probing: false };
                }
            }
            // Attempts that began before the receiver became unavailable say nothing new.
            HealthState::Unavailable { is_probing: false, .. } => {}
            HealthState::Unavailable { probes, probe_at, is_probing } => {
                *probes = probes.saturating_add(1);
                *probe_at = now.saturating_add(backoff(*probes, jitter));
                *is_probing = false;
            }
        }
    }

    /// Joins the knowledge of another worker at the time `now`: the longer backoff applies. Returns `false`, and changes
    /// nothing, if a recent success of this worker contradicts it: the other one may have no way to the receiver.
    pub fn join(&mut self, now: Duration, probes: u32, probe_at: Duration) -> bool {
        if self.succeeded_recently(now) {
            return false;
        }
        self.changed_at = now;
        match &mut self.state {
            HealthState::Available { .. } => {
                self.state = HealthState::Unavailable { probes, probe_at, is_probing: false };
            }
            HealthState::Unavailable { probes: own, probe_at: own_at, .. } => {
                *own = probes.max(*own);
                *own_at = probe_at.max(*own_at);
            }
        }
        true
    }

    /// Makes the receiver available again, because another worker found it so.
    pub fn recover(&mut self) {
        self.state = HealthState::default();
    }

    fn succeeded_recently(&self, now: Duration) -> bool {
        self.last_success.is_some_and(|success| now < success.saturating_add(SUCCESS_MEMORY))
    }
}

/// Returns a wait from half of the doubled backoff to all of it.
fn backoff(probes: u32, jitter: u32) -> Duration {
    let factor = 1_u32.checked_shl(probes).unwrap_or(u32::MAX);
    let bound = MIN_BACKOFF.saturating_mul(factor).min(MAX_BACKOFF);
    let half = bound / 2;
    let nanos = half.as_nanos().saturating_mul(u128::from(jitter)) / u128::from(u32::MAX);
    half.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::ReceiverResponse::{Accepted, Missing, Refused};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failing(now: Duration) -> ReceiverHealth {
        let mut health = ReceiverHealth::default();
        for _ in 0..MAX_FAILURES {
            health.record(Refused, now, u32::MAX);
        }
        health
    }

    #[test]
    fn a_receiver_is_unavailable_after_five_failures_in_a_row() {
        let mut health = ReceiverHealth::default();
        for _ in 0..3 {
            for _ in 1..MAX_FAILURES {
                health.record(Refused, SECOND, 0);
                assert_eq!(health.admit(SECOND, 0), ReceiverAdmission::Attempt);
                assert!(health.is_failing());
            }
            health.record(Accepted, SECOND, 0);
            assert!(!health.is_failing());
        }
        assert!(failing(SECOND).backoff().is_some());
    }

    #[test]
    fn failures_soon_after_a_success_do_not_make_it_unavailable() {
        let mut health = ReceiverHealth::default();
        health.record(Accepted, SECOND, 0);
        for _ in 0..100 {
            health.record(Refused, SECOND * 60, 0);
        }
        assert_eq!(health.backoff(), None);
        health.record(Refused, SECOND * 61, 0);
        assert_eq!(health.backoff(), Some((0, SECOND * 62)));
    }

    #[test]
    fn an_unavailable_receiver_gets_a_few_probes_a_minute() {
        let (mut health, mut probes) = (failing(Duration::ZERO), 0);
        let step = Duration::from_millis(100);
        for number in 0..36_000 {
            let now = step * number;
            // Each probe fails after three seconds, and all callbacks ask all the time.
            if !matches!(health.admit(now, 0), ReceiverAdmission::Wait(_)) {
                probes += 1;
                health.record(Missing, now + 3 * SECOND, 0);
            }
        }
        assert!((100..=120).contains(&probes), "{probes} in an hour");
    }

    #[test]
    fn late_failures_of_earlier_attempts_do_not_extend_the_backoff() {
        let mut health = failing(SECOND);
        let before = health.backoff();
        for _ in 0..64 {
            health.record(Refused, SECOND * 2, u32::MAX);
        }
        assert_eq!(health.backoff(), before);
    }

    #[test]
    fn a_probe_whose_result_is_lost_is_followed_by_another() {
        let mut health = failing(Duration::ZERO);
        assert_eq!(health.admit(SECOND * 2, u32::MAX), ReceiverAdmission::Probe);
        assert_eq!(health.admit(SECOND * 2, u32::MAX), ReceiverAdmission::Wait(PROBE_TIMEOUT));
        assert_eq!(health.admit(SECOND * 2 + PROBE_TIMEOUT, u32::MAX), ReceiverAdmission::Probe);
    }

    #[test]
    fn a_cancelled_probe_is_followed_by_another_at_once() {
        let mut health = failing(Duration::ZERO);
        let before = health;
        health.cancel_probe(SECOND);
        assert_eq!(health, before, "no probe was under way");
        assert_eq!(health.admit(SECOND * 2, u32::MAX), ReceiverAdmission::Probe);
        health.cancel_probe(SECOND * 3);
        assert_eq!(health.admit(SECOND * 3, u32::MAX), ReceiverAdmission::Probe);
    }

    #[test]
    fn a_receiver_is_silent_until_it_answers() {
        let mut health = ReceiverHealth::default();
        for (response, expected) in [(Refused, false), (Missing, true), (Refused, false), (Accepted, false)] {
            health.record(response, SECOND, 0);
            assert_eq!(health.is_silent(), expected);
        }
    }

    #[test]
    fn health_expires_after_an_hour_without_an_attempt() {
        let mut health = failing(SECOND);
        assert!(!health.is_expired(SECOND * 3600));
        assert!(health.is_expired(SECOND * 3601));
        health.record(Refused, SECOND * 3600, 0);
        assert!(!health.is_expired(SECOND * 7199));
        assert!(health.join(SECOND * 7200, 1, SECOND * 7201));
        assert!(!health.is_expired(SECOND * 10_799));
        health.record(Accepted, SECOND * 10_799, 0);
        assert!(!health.is_expired(SECOND * 14_398));
    }

    #[test]
    fn the_longer_backoff_of_two_workers_applies() {
        let mut health = ReceiverHealth::default();
        assert!(health.join(SECOND, 3, SECOND * 9));
        assert_eq!(health.backoff(), Some((3, SECOND * 9)));
        assert!(health.join(SECOND, 2, SECOND * 10));
        assert_eq!(health.backoff(), Some((3, SECOND * 10)));
        assert!(health.join(SECOND, 4, SECOND * 5));
        assert_eq!(health.backoff(), Some((4, SECOND * 10)));
        health.record(Accepted, SECOND * 11, 0);
        assert_eq!(health.backoff(), None);
        assert!(!health.join(SECOND * 70, 4, SECOND * 90), "this worker has reached it within a minute");
        assert_eq!(health.backoff(), None);
        assert!(health.join(SECOND * 71, 4, SECOND * 90));
        health.recover();
        assert_eq!(health.backoff(), None);
    }
}
