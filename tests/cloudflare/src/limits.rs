//! Documented limits of Cloudflare Queues, and rate limiting.

use std::time::Duration;

/// Maximum size of a message: 128 KB of 1,000 bytes each.
pub const MESSAGE_BYTES: usize = 128_000;
/// Maximum number of messages in a sent batch.
pub const BATCH_MESSAGES: usize = 100;
/// Maximum size of a sent batch.
pub const BATCH_BYTES: usize = 256_000;
/// Maximum number of messages per pull.
pub const PULL_MESSAGES: usize = 100;
/// Batch size of a pull that sets none.
pub const DEFAULT_PULL_MESSAGES: usize = 5;
/// Maximum number of leases per acknowledging call. Undocumented; clients send as many as one pull returns.
pub const SETTLED: usize = 100;
/// Maximum visibility timeout.
pub const VISIBILITY: Duration = Duration::from_hours(12);
/// Visibility timeout if neither the pull nor the consumer sets one.
pub const DEFAULT_VISIBILITY: Duration = Duration::from_secs(30);
/// Maximum delay of sent and of retried messages.
pub const DELAY: Duration = Duration::from_hours(24);
/// Minimum retention.
pub const MIN_RETENTION: Duration = Duration::from_mins(1);
/// Maximum retention.
pub const RETENTION: Duration = Duration::from_hours(14 * 24);
/// Default retention.
pub const DEFAULT_RETENTION: Duration = Duration::from_hours(4 * 24);
/// Maximum of `max_retries`.
pub const RETRIES: u32 = 100;
/// Default of `max_retries`.
pub const DEFAULT_RETRIES: u32 = 3;
/// Messages that a queue accepts per second.
pub const MESSAGES_PER_SECOND: u32 = 5_000;
/// API calls of one token in five minutes, excluding pulls and acknowledgements.
pub const CALLS_PER_FIVE_MINUTES: u32 = 1_200;
/// Maximum size of a queue's backlog in bytes.
pub const BACKLOG_BYTES: u64 = 25_000_000_000;

/// Fixed-window rate limit.
#[derive(Debug)]
pub(crate) struct RateWindow {
    limit: u32,
    window: Duration,
    opened: Duration,
    used: u32,
}

impl RateWindow {
    pub(crate) fn new(limit: u32, window: Duration) -> Self {
        Self { limit, window, opened: Duration::ZERO, used: 0 }
    }

    /// Consumes `amount` entirely or not at all. Times are since the Unix epoch.
    ///
    /// # Errors
    /// The rate is exhausted for the returned time.
    pub(crate) fn take(&mut self, amount: u32, now: Duration) -> Result<(), Duration> {
        let next = self.opened.saturating_add(self.window);
        if now >= next || now < self.opened {
            (self.opened, self.used) = (now, 0);
        }
        let used = self.used.saturating_add(amount);
        if used > self.limit {
            return Err(next.saturating_sub(now));
        }
        self.used = used;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_limit_resets_when_its_window_ends() {
        let at = |millis: u64| Duration::from_millis(1_000_000 + millis);
        let mut rate = RateWindow::new(3, Duration::from_secs(1));
        assert_eq!(rate.take(2, at(0)), Ok(()));
        assert_eq!(rate.take(2, at(400)), Err(Duration::from_millis(600)));
        assert_eq!(rate.take(1, at(999)), Ok(()));
        assert_eq!(rate.take(1, at(999)), Err(Duration::from_millis(1)));
        assert_eq!(rate.take(3, at(1_000)), Ok(()));
    }
}
