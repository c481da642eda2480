//! The progress line of a load, on a terminal.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::task::AbortOnDropHandle;

use super::ledger::RequestLedger;
use crate::output;

/// Interval of the progress line.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(3);

/// Prints a line every few seconds until the handle is dropped, if standard error is a terminal.
pub(super) fn start(ledger: Arc<RequestLedger>) -> Option<AbortOnDropHandle<()>> {
    if !io::stderr().is_terminal() {
        return None;
    }
    let start = Instant::now();
    let task = tokio::spawn(async move {
        let mut ticks = interval_at(start + PROGRESS_INTERVAL, PROGRESS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let now = ticks.tick().await;
            let counts = ledger.counts();
            output::error_line(format_args!(
                "{:>4} s  sent {}, answered {}, accepted {}, called back {}",
                now.duration_since(start).as_secs(),
                counts.sent,
                counts.answered,
                counts.accepted,
                counts.called_back
            ));
        }
    });
    Some(AbortOnDropHandle::new(task))
}
