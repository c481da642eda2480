//! When to ask for messages, and how many calls may do so at once.

use std::time::Duration;

use tokio::time::Instant;

use super::service::{Idle, Terms};

/// The pause after the first call that brought nothing; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest that a call waits for messages when no lease waits as long.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Asks more where there is more: calls that come back full allow for another one beside them, calls that come back
/// with less are let fill up, and while there is nothing there are pauses.
#[derive(Debug)]
pub(super) struct Pace {
    terms: Terms,
    /// Calls at the same time.
    allowed: usize,
    /// The last pause between calls that brought nothing, or how long the next call is to wait.
    pause: Duration,
    /// When it was found. What calls brought that were under way then is no news.
    paused_at: Option<Instant>,
    /// Until when there is thought to be too little to ask for.
    paused_until: Instant,
    /// Until when calls would fail; messages that come do not end this.
    held_off_until: Instant,
}

impl Pace {
    pub(super) fn new(terms: Terms) -> Self {
        let now = Instant::now();
        Self {
            terms,
            allowed: 1,
            pause: Duration::ZERO,
            paused_at: None,
            paused_until: now,
            held_off_until: now,
        }
    }

    /// How many calls there may be at the same time.
    pub(super) fn allowed(&self) -> usize {
        self.allowed
    }

    /// When the next call may begin.
    pub(super) fn not_before(&self) -> Instant {
        self.paused_until.max(self.held_off_until)
    }

    /// How long a call waits for messages where the service can, though a lease waits less: ever longer while there are
    /// none, since calls are paid for. What comes when nobody leases is offered to the next lease.
    pub(super) fn wait(&self) -> Duration {
        self.pause
    }

    /// A call begun at `begun` that asked for so many messages brought so many.
    pub(super) fn came(&mut self, asked: usize, got: usize, begun: Instant) {
        let now = Instant::now();
        if got == 0 {
            self.allowed = 1;
            self.pause_after(begun, now);
            return;
        }
        (self.pause, self.paused_until) = (Duration::ZERO, now);
        if got >= asked {
            self.allowed = self.allowed.saturating_mul(2).min(self.terms.pullers.max(1));
        } else if got < asked / 2 {
            self.allowed = (self.allowed / 2).max(1);
            if matches!(self.terms.idle, Idle::Pause(_)) {
                self.paused_until = now + self.terms.linger;
            }
        }
    }

    /// A call begun at `begun` brought nothing.
    fn pause_after(&mut self, begun: Instant, now: Instant) {
        match self.terms.idle {
            Idle::Pause(longest) => {
                // Calls at the same time find the same queue empty: that is one reason for a pause.
                if self.paused_at.is_none_or(|at| begun >= at) {
                    self.pause = self.pause.saturating_mul(2).clamp(FIRST_PAUSE.min(longest), longest);
                    self.paused_at = Some(now);
                    self.paused_until = now + self.pause;
                }
            }
            // Where the service waits, its call was the pause; one that does not wait is not asked all the time.
            Idle::LongPoll(_) => {
                self.pause = self.pause.saturating_mul(2).clamp(FIRST_PAUSE, LONGEST_WAIT);
                self.paused_until = self.paused_until.max(begun + FIRST_PAUSE);
            }
        }
    }

    /// A call failed; none is to begin before `until`.
    pub(super) fn hold_off(&mut self, until: Instant) {
        self.allowed = 1;
        self.held_off_until = self.held_off_until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::TERMS;
    use super::*;

    fn pace(idle: Idle) -> Pace {
        Pace::new(Terms { idle, pullers: 8, ..TERMS })
    }

    fn wait(pace: &Pace) -> Duration {
        pace.not_before().saturating_duration_since(Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_while_there_is_nothing_and_end_with_the_first_message() {
        let mut pace = pace(Idle::Pause(Duration::from_secs(5)));
        for pause in [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000] {
            pace.came(100, 0, Instant::now());
            assert_eq!(wait(&pace).as_millis(), pause);
            tokio::time::advance(wait(&pace)).await;
        }
        pace.came(100, 100, Instant::now());
        assert_eq!(wait(&pace), Duration::ZERO);
        pace.came(100, 0, Instant::now());
        assert_eq!(wait(&pace), FIRST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_at_the_same_time_that_bring_nothing_are_one_reason_for_a_pause() {
        let mut pace = pace(Idle::Pause(Duration::from_secs(5)));
        for pause in [FIRST_PAUSE, FIRST_PAUSE * 2] {
            let begun = Instant::now();
            for _ in 0..6 {
                tokio::time::advance(Duration::from_millis(1)).await;
                pace.came(100, 0, begun);
            }
            assert_eq!(wait(&pace), pause.saturating_sub(Duration::from_millis(5)));
            tokio::time::advance(wait(&pace)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn messages_end_a_pause_but_not_what_is_held_off() {
        let mut pace = pace(Idle::Pause(Duration::from_secs(5)));
        let begun = Instant::now();
        tokio::time::advance(Duration::from_millis(1)).await;
        pace.came(100, 0, begun);
        pace.came(100, 100, begun);
        assert_eq!(wait(&pace), Duration::ZERO);
        pace.came(100, 0, begun);
        assert_eq!(wait(&pace), Duration::ZERO, "another did not find it empty");
        let until = Instant::now() + Duration::from_secs(1);
        pace.hold_off(until);
        pace.came(100, 100, begun);
        assert_eq!(pace.not_before(), until);
    }

    #[tokio::test(start_paused = true)]
    async fn full_calls_allow_for_more_and_emptier_ones_for_fewer() {
        let mut pace = pace(Idle::Pause(Duration::from_secs(5)));
        let mut allowed = Vec::new();
        for got in [100, 100, 100, 100, 50, 49, 1, 100, 0, 100] {
            pace.came(100, got, Instant::now());
            allowed.push(pace.allowed());
        }
        assert_eq!(allowed, [2, 4, 8, 8, 8, 4, 2, 4, 1, 2]);
        pace.hold_off(Instant::now());
        assert_eq!(pace.allowed(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_bring_little_are_let_fill_up() {
        let mut pace = pace(Idle::Pause(Duration::from_secs(5)));
        pace.came(100, 49, Instant::now());
        assert_eq!(wait(&pace), TERMS.linger);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_does_not_wait_as_it_says_is_not_asked_all_the_time() {
        let mut pace = pace(Idle::LongPoll(Duration::from_secs(20)));
        pace.came(10, 0, Instant::now());
        assert_eq!(wait(&pace), FIRST_PAUSE);
        let begun = Instant::now();
        tokio::time::advance(Duration::from_secs(20)).await;
        pace.came(10, 0, begun);
        assert_eq!(wait(&pace), Duration::ZERO);
    }
}
