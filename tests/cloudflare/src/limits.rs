//! The documented limits of Cloudflare Queues, and the rates among them.

use std::time::Duration;

/// Bytes of one message: 128 KB, and a KB is 1,000 bytes.
pub const MESSAGE_BYTES: usize = 128_000;
/// Messages of one batch that is sent.
pub const BATCH_MESSAGES: usize = 100;
/// Bytes of one batch that is sent.
pub const BATCH_BYTES: usize = 256_000;
/// Messages of one pull.
pub const PULL_MESSAGES: usize = 100;
/// Messages of a pull that does not say how many.
pub const DEFAULT_PULL_MESSAGES: usize = 5;
/// Leases that one call settles. The documentation is silent; clients send as many as one pull brings.
pub const SETTLED: usize = 100;
/// The longest visibility timeout.
pub const VISIBILITY: Duration = Duration::from_hours(12);
/// The visibility timeout where neither pull nor consumer says one.
pub const DEFAULT_VISIBILITY: Duration = Duration::from_secs(30);
/// The longest delay, of a message that is sent and of one that is retried.
pub const DELAY: Duration = Duration::from_hours(24);
/// The shortest retention.
pub const MIN_RETENTION: Duration = Duration::from_mins(1);
/// The longest retention.
pub const RETENTION: Duration = Duration::from_hours(14 * 24);
/// The retention of a queue that says none.
pub const DEFAULT_RETENTION: Duration = Duration::from_hours(4 * 24);
/// The most retries a consumer can ask for.
pub const RETRIES: u32 = 100;
/// The retries of a consumer that says none.
pub const DEFAULT_RETRIES: u32 = 3;
/// Messages a queue takes in a second.
pub const MESSAGES_PER_SECOND: u32 = 5_000;
/// Calls of the API that one token may make in five minutes, pulls and acknowledgements aside.
pub const CALLS_PER_FIVE_MINUTES: u32 = 1_200;
/// Bytes of a queue's backlog.
pub const BACKLOG_BYTES: u64 = 25_000_000_000;

/// So much within each window of time.
#[derive(Debug)]
pub(crate) struct RateWindow {
    most: u32,
    window: Duration,
    opened: Duration,
    used: u32,
}

impl RateWindow {
    pub(crate) fn new(most: u32, window: Duration) -> Self {
        Self { most, window, opened: Duration::ZERO, used: 0 }
    }

    /// Takes `amount`, whole or not at all. Times are since the Unix epoch.
    ///
    /// # Errors
    /// So long until the next window.
    pub(crate) fn take(&mut self, amount: u32, now: Duration) -> Result<(), Duration> {
        let next = self.opened.saturating_add(self.window);
        if now >= next || now < self.opened {
            (self.opened, self.used) = (now, 0);
        }
        let used = self.used.saturating_add(amount);
        if used > self.most {
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
    fn a_rate_is_full_until_its_window_is_over() {
        let at = |millis: u64| Duration::from_millis(1_000_000 + millis);
        let mut rate = RateWindow::new(3, Duration::from_secs(1));
        assert_eq!(rate.take(2, at(0)), Ok(()));
        assert_eq!(rate.take(2, at(400)), Err(Duration::from_millis(600)));
        assert_eq!(rate.take(1, at(999)), Ok(()));
        assert_eq!(rate.take(1, at(999)), Err(Duration::from_millis(1)));
        assert_eq!(rate.take(3, at(1_000)), Ok(()));
    }
}
