//! Number and timing of receive calls.

use std::time::Duration;

use tokio::time::Instant;

use super::service::{IdlePolicy, PullSettings};

/// Pause after the first empty call; it doubles with each further one.
const PAUSE_BASE: Duration = Duration::from_millis(250);
/// Upper bound of the time that a call waits for messages longer than any lease does.
const MAX_IDLE_WAIT: Duration = Duration::from_secs(10);

/// Adapts the calls to the load: a call that returns a full batch allows for another concurrent one, calls that return
/// less are delayed so that batches fill up, and empty calls are followed by pauses.
#[derive(Debug)]
pub(super) struct ReceivePacing {
    settings: PullSettings,
    /// Maximum number of concurrent calls at present.
    max_calls: usize,
    /// Last pause between empty calls, or the minimum wait of the next call.
    pause: Duration,
    /// Time of the call that caused the pause. Calls begun before it that return empty do not prolong it.
    paused_at: Option<Instant>,
    /// End of the pause.
    paused_until: Instant,
    /// Time before which calls would fail; messages that arrive do not shorten this.
    held_off_until: Instant,
}

impl ReceivePacing {
    pub(super) fn new(settings: PullSettings) -> Self {
        let now = Instant::now();
        Self {
            settings,
            max_calls: 1,
            pause: Duration::ZERO,
            paused_at: None,
            paused_until: now,
            held_off_until: now,
        }
    }

    /// Returns the maximum number of concurrent calls.
    pub(super) fn max_calls(&self) -> usize {
        self.max_calls
    }

    /// Returns the earliest time of the next call.
    pub(super) fn not_before(&self) -> Instant {
        self.paused_until.max(self.held_off_until)
    }

    /// Returns the minimum time that a long poll waits although leases wait less. It grows while the queue is empty,
    /// since calls are paid for. Messages that arrive between leases are offered to the next one.
    pub(super) fn min_wait(&self) -> Duration {
        self.pause
    }

    /// Notes that a call begun at `begun` asked for `asked` messages and received `got`.
    pub(super) fn note_received(&mut self, asked: usize, got: usize, begun: Instant) {
        let now = Instant::now();
        if got == 0 {
            self.max_calls = 1;
            self.note_empty(begun, now);
            return;
        }
        (self.pause, self.paused_until) = (Duration::ZERO, now);
        if got >= asked {
            self.max_calls = self.max_calls.saturating_mul(2).min(self.settings.pullers.max(1));
        } else if got < asked / 2 {
            self.max_calls = (self.max_calls / 2).max(1);
            if matches!(self.settings.idle, IdlePolicy::Pause(_)) {
                self.paused_until = now + self.settings.linger;
            }
        }
    }

    /// Notes that a call begun at `begun` returned empty.
    fn note_empty(&mut self, begun: Instant, now: Instant) {
        match self.settings.idle {
            IdlePolicy::Pause(longest) => {
                // Concurrent calls find the same queue empty: together they cause one pause.
                if self.paused_at.is_none_or(|at| begun >= at) {
                    self.pause = self.pause.saturating_mul(2).clamp(PAUSE_BASE.min(longest), longest);
                    self.paused_at = Some(now);
                    self.paused_until = now + self.pause;
                }
            }
            // The long poll itself was the pause; a service that returns early is not called in a tight loop.
            IdlePolicy::LongPoll(_) => {
                self.pause = self.pause.saturating_mul(2).clamp(PAUSE_BASE, MAX_IDLE_WAIT);
                self.paused_until = self.paused_until.max(begun + PAUSE_BASE);
            }
            IdlePolicy::Block(_) => {}
        }
    }

    /// Notes a failed call; none is to begin before `until`.
    pub(super) fn hold_off(&mut self, until: Instant) {
        self.max_calls = 1;
        self.held_off_until = self.held_off_until.max(until);
    }
}

#[cfg(test)]
mod tests;
