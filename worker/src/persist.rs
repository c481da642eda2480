//! Writing what must be written: again and again, until the engine takes it or the process stops.

use std::time::Duration;

use chargegate_core::full_jitter;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::effects::Effects;
use crate::error::{EngineError, Fate};
use crate::metric;

const BASE: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_secs(5);

/// Repeats a write with jittered waits.
#[derive(Clone, Debug)]
pub(crate) struct Persist {
    effects: Effects,
    abandon: CancellationToken,
}

impl Persist {
    /// Gives up only when `abandon` is cancelled.
    pub(crate) fn new(effects: Effects, abandon: CancellationToken) -> Self {
        Self { effects, abandon }
    }

    /// Repeats `write` until it succeeds; `None` when that has become pointless.
    pub(crate) async fn until_done<T, F>(&self, what: &'static str, mut write: impl FnMut() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let mut failures = 0_u32;
        loop {
            let error = match write().await {
                Ok(done) => return Some(done),
                Err(error) => error,
            };
            let wait = full_jitter(BASE, failures, CAP, self.effects.random.jitter());
            warn!(error = %error, cause = metric::cause(&error), retry_ms = wait.as_millis(), "could not {what}");
            metric::engine_failure();
            if error.fate() == Fate::Stop {
                return None;
            }
            failures = failures.saturating_add(1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.abandon.cancelled() => return None,
            }
        }
    }
}
