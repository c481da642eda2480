//! The lowest mean latency of the last minutes: the latency of a service without a queue.

use core::time::Duration;

use crate::time::UnixMillis;

/// Number of periods that are kept.
const PERIODS: usize = 10;
/// Length of a period; all together are five minutes.
const PERIOD: Duration = Duration::from_secs(30);

/// Minima of the latency, by period.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct LatencyFloor {
    /// The newest period first; `u64::MAX` for a period without a window.
    minima: [u64; PERIODS],
    period_start: UnixMillis,
}

impl LatencyFloor {
    pub(super) const fn new(now: UnixMillis) -> Self {
        Self { minima: [u64::MAX; PERIODS], period_start: now }
    }

    /// Adds the mean of a window in microseconds and returns the floor.
    pub(super) fn update(&mut self, now: UnixMillis, mean: u64) -> u64 {
        let mut ended = 0;
        while now.since(self.period_start) >= PERIOD && ended < PERIODS {
            self.minima.rotate_right(1);
            if let Some(newest) = self.minima.first_mut() {
                *newest = u64::MAX;
            }
            self.period_start = self.period_start.plus(PERIOD);
            ended += 1;
        }
        if ended == PERIODS {
            self.period_start = now;
        }
        if let Some(newest) = self.minima.first_mut() {
            *newest = mean.min(*newest);
        }
        self.minima.iter().copied().min().unwrap_or(mean)
    }

    /// Begins the current period again, because the clock stepped back.
    pub(super) const fn restart_period(&mut self, now: UnixMillis) {
        self.period_start = now;
    }

    /// Forgets lower latencies than `mean`.
    pub(super) fn reset(&mut self, now: UnixMillis, mean: u64) {
        *self = Self::new(now);
        self.update(now, mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_the_minimum_of_five_minutes() {
        let at = |seconds: u64| UnixMillis(seconds * 1000);
        let mut floor = LatencyFloor::new(at(0));
        assert_eq!(floor.update(at(1), 100), 100);
        assert_eq!(floor.update(at(2), 300), 100);
        assert_eq!(floor.update(at(299), 300), 100);
        assert_eq!(floor.update(at(300), 300), 300);
        assert_eq!(floor.update(at(100_000), 700), 700);
        floor.reset(at(100_001), 900);
        assert_eq!(floor.update(at(100_002), 1000), 900);
    }
}
