//! The emulator's clock: real time plus an offset that tests set.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Real time plus an offset that only grows.
#[derive(Debug, Default)]
pub(crate) struct EmulatorClock {
    ahead_ms: AtomicU64,
}

impl EmulatorClock {
    /// Returns the time since the Unix epoch.
    #[expect(clippy::disallowed_methods, reason = "the one place where the emulator reads the real clock")]
    pub(crate) fn now(&self) -> Duration {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        real.saturating_add(Duration::from_millis(self.ahead_ms.load(Ordering::SeqCst)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.ahead_ms.fetch_add(millis(by), Ordering::SeqCst);
    }
}

/// Converts a time to whole milliseconds, the unit of the API.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
