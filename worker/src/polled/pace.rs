//! When to ask for messages, and how many calls may do so at once.

use std::time::Duration;

use tokio::time::Instant;

use super::service::{Idle, Terms};

/// The pause after the first call that brought nothing; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Asks more where there is more: calls that come back full allow for another one beside them, calls that come back
/// with less are let fill up, and while there is nothing there are pauses.
#[derive(Debug)]
pub(super) struct Pace {
    terms: Terms,
    /// Calls at the same time.
    allowed: usize,
    /// The last pause between calls that brought nothing.
    pause: Duration,
    not_before: Instant,
}

impl Pace {
    pub(super) fn new(terms: Terms) -> Self {
        Self { terms, allowed: 1, pause: Duration::ZERO, not_before: Instant::now() }
    }

    /// How many calls there may be at the same time.
    pub(super) fn allowed(&self) -> usize {
        self.allowed
    }

    /// When the next call may begin.
    pub(super) fn not_before(&self) -> Instant {
        self.not_before
    }

    /// A call begun at `begun` that asked for so many messages brought so many.
    pub(super) fn came(&mut self, asked: usize, got: usize, begun: Instant) {
        let now = Instant::now();
        if got == 0 {
            self.allowed = 1;
            let next = match self.terms.idle {
                Idle::Pause(longest) => {
                    self.pause = self.pause.saturating_mul(2).clamp(FIRST_PAUSE.min(longest), longest);
                    now + self.pause
                }
                // Where the service waits, its call was the pause; one that does not wait is not asked all the time.
                Idle::LongPoll(_) => begun + FIRST_PAUSE,
            };
            self.not_before = self.not_before.max(next);
            return;
        }
        self.pause = Duration::ZERO;
        if got >= asked {
            self.allowed = self.allowed.saturating_mul(2).min(self.terms.pullers.max(1));
        } else if got < asked / 2 {
            self.allowed = (self.allowed / 2).max(1);
            if matches!(self.terms.idle, Idle::Pause(_)) {
                self.not_before = self.not_before.max(now + self.terms.linger);
            }
        }
    }

    /// A call failed; none is to begin before `until`.
    pub(super) fn hold_off(&mut self, until: Instant) {
        self.allowed = 1;
        self.not_before = self.not_before.max(until);
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
