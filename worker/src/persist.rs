//! Writing what must be written: again and again, until the engine takes it or the process stops.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use chargegate_storage::Effects;
use chargegate_storage::Outage;
use chargegate_storage::{EngineError, Fate};

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
        let mut outage = Outage::default();
        loop {
            let error = match write().await {
                Ok(done) => return Some(done),
                Err(error) => error,
            };
            let wait = outage.next_wait(BASE, CAP, &self.effects);
            let (cause, retry_ms) = (chargegate_storage::metric::cause(&error), wait.as_millis());
            let stop = error.fate() == Fate::Stop;
            // An engine tells of an outage as well; it is the same at each attempt.
            if outage.take_warning() || stop {
                warn!(error = %error, cause, retry_ms, "could not {what}");
            } else {
                debug!(error = %error, cause, retry_ms, "still could not {what}");
            }
            chargegate_storage::metric::engine_failure();
            if stop {
                return None;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.abandon.cancelled() => return None,
            }
        }
    }
}
