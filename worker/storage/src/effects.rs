//! The clock and the random source, passed in from the composition root so that tests can control them.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chargegate_core::UnixMillis;

/// A wall clock. Durations inside a process are measured by tokio's monotonic clock instead.
pub trait Clock: Send + Sync + Debug {
    /// Returns the current time of this machine; it may jump.
    fn now(&self) -> UnixMillis;
}

/// A source of random numbers.
pub trait Random: Send + Sync + Debug {
    /// Returns 64 random bits.
    fn bits(&self) -> u64;

    /// Returns 32 random bits, for jitter.
    fn jitter(&self) -> u32 {
        u32::try_from(self.bits() >> 32).unwrap_or(u32::MAX)
    }
}

/// The clock and the random source of a component.
#[derive(Clone, Debug)]
pub struct Effects {
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

impl Effects {
    /// Returns the machine's clock and the operating system's random numbers.
    #[must_use]
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) }
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        #[expect(clippy::disallowed_methods, reason = "the one place where the machine's clock is read")]
        let now = SystemTime::now();
        UnixMillis::default().plus(now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
    }
}

/// The operating system's random numbers.
#[derive(Clone, Copy, Debug)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn bits(&self) -> u64 {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where the system's random source is read"
        )]
        let bits = getrandom::u64();
        // Without the system's source only the jitter of delays suffers: no secret depends on these bits.
        bits.unwrap_or(0x9e37_79b9_7f4a_7c15)
    }
}
