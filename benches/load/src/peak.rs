//! The search for the highest sustained rate: increases by half until a rate fails, then a bisection.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::args::{LoadMode, RequestRate};
use crate::error::LoadError;
use crate::report::{LoadReport, PeakStep};
use crate::run::LoadRun;

/// Part of the sent requests that must be delivered in time.
const MIN_DELIVERED: f64 = 0.97;
/// The search ends when the rates differ by less than one part in this number.
const RESOLUTION: u32 = 12;

/// Finds the highest sustained rate and returns its report, or the report of the first rate if none is sustained.
///
/// # Errors
/// Returns an error if a run fails.
pub(crate) async fn find(
    bench: &mut LoadRun,
    from: NonZeroU32,
    duration: Duration,
    limit: Duration,
    show: impl Fn(&PeakStep),
) -> Result<LoadReport, LoadError> {
    let mode = LoadMode::Peak { from, duration, limit };
    let mut search = PeakSearch { held: 0, failed: None };
    let mut steps = Vec::new();
    let mut best: Option<LoadReport> = None;
    let mut rate = Some(from);
    while let Some(trying) = rate {
        let report = bench.open_loop(mode, RequestRate { rate: trying, duration }).await?;
        let step = judge(trying, &report, limit);
        show(&step);
        steps.push(step);
        let broken = report.is_failure();
        if step.held || best.is_none() {
            best = Some(report.clone());
        }
        if broken {
            // A lost or contradictory callback fails the search, independently of the other rates.
            best = Some(report);
            break;
        }
        rate = search.next(trying, step.held);
    }
    best.map(|report| LoadReport { steps, ..report }).ok_or(LoadError::Message)
}

fn judge(rate: NonZeroU32, report: &LoadReport, limit: Duration) -> PeakStep {
    let p99 = report.callback_ms.p99;
    let in_time = p99.is_some_and(|p99| p99 < limit.as_secs_f64() * 1_000.0);
    let all =
        report.refused == 0 && report.uncertain == 0 && report.without_call == 0 && !report.is_failure();
    PeakStep {
        rate_per_s: rate.get(),
        held: all && in_time && report.delivered_per_s >= MIN_DELIVERED * f64::from(rate.get()),
        delivered_per_s: report.delivered_per_s,
        refused: report.refused,
        callback_p99_ms: p99,
    }
}

#[derive(Clone, Copy, Debug)]
struct PeakSearch {
    held: u32,
    failed: Option<u32>,
}

impl PeakSearch {
    /// Returns the rate to try after `rate`, or `None` at the end of the search.
    fn next(&mut self, rate: NonZeroU32, held: bool) -> Option<NonZeroU32> {
        if held {
            self.held = self.held.max(rate.get());
        } else {
            self.failed = Some(self.failed.map_or(rate.get(), |failed| failed.min(rate.get())));
        }
        let next = match self.failed {
            None => rate.get().saturating_add(rate.get().div_ceil(2)),
            Some(failed) => {
                let gap = failed.saturating_sub(self.held);
                if gap <= failed.div_ceil(RESOLUTION) {
                    return None;
                }
                self.held + gap / 2
            }
        };
        NonZeroU32::new(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: u32, capacity: u32) {
        let mut search = PeakSearch { held: 0, failed: None };
        let (mut rate, mut tries) = (NonZeroU32::new(from), 0);
        while let Some(trying) = rate {
            tries += 1;
            rate = search.next(trying, trying.get() <= capacity);
        }
        assert!(
            search.held <= capacity && search.held + capacity.div_ceil(10) >= capacity,
            "{from}: {search:?}"
        );
        assert!(tries < 25, "{from}: {tries}");
    }

    #[test]
    fn the_search_finds_the_capacity() {
        for from in [1, 100, 500, 5_000] {
            for capacity in [150, 1_000, 3_333] {
                check(from, capacity);
            }
        }
    }
}
