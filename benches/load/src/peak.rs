//! The highest rate that holds: up by half until one does not, then between the two.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::args::{Load, Mode};
use crate::bench::Bench;
use crate::failure::Failure;
use crate::report::{Report, Step};

/// What must be delivered in time of what is sent.
const DELIVERED: f64 = 0.97;
/// The search ends when the rates differ by less than this part.
const NEAR: u32 = 12;

/// Finds the highest rate that holds, and gives its report; where none holds, that of the first.
///
/// # Errors
/// A run cannot be made.
pub(crate) async fn find(
    bench: &mut Bench,
    from: NonZeroU32,
    duration: Duration,
    limit: Duration,
    show: impl Fn(&Step),
) -> Result<Report, Failure> {
    let mode = Mode::Peak { from, duration, limit };
    let mut search = Search { held: 0, failed: None };
    let mut steps = Vec::new();
    let mut best: Option<Report> = None;
    let mut rate = Some(from);
    while let Some(trying) = rate {
        let report = bench.open_loop(mode, Load { rate: trying, duration }).await?;
        let step = judge(trying, &report, limit);
        show(&step);
        steps.push(step);
        let broken = report.is_failure();
        if step.held || best.is_none() {
            best = Some(report.clone());
        }
        if broken {
            // No rate makes up for it: it is what the run reports.
            best = Some(report);
            break;
        }
        rate = search.next(trying, step.held);
    }
    best.map(|report| Report { steps, ..report }).ok_or(Failure::Message)
}

fn judge(rate: NonZeroU32, report: &Report, limit: Duration) -> Step {
    let p99 = report.callback_ms.p99;
    let in_time = p99.is_some_and(|p99| p99 < limit.as_secs_f64() * 1_000.0);
    let all =
        report.refused == 0 && report.uncertain == 0 && report.without_call == 0 && !report.is_failure();
    Step {
        rate_per_s: rate.get(),
        held: all && in_time && report.delivered_per_s >= DELIVERED * f64::from(rate.get()),
        delivered_per_s: report.delivered_per_s,
        refused: report.refused,
        callback_p99_ms: p99,
    }
}

#[derive(Clone, Copy, Debug)]
struct Search {
    held: u32,
    failed: Option<u32>,
}

impl Search {
    /// The rate to try after `rate`; `None` when near enough.
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
                if gap <= failed.div_ceil(NEAR) {
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
        let mut search = Search { held: 0, failed: None };
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
    fn the_search_comes_near_the_capacity() {
        for from in [1, 100, 500, 5_000] {
            for capacity in [150, 1_000, 3_333] {
                check(from, capacity);
            }
        }
    }
}
