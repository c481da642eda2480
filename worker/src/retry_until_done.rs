//! Retries of operations that must not be given up while the process runs.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use chargegate_storage::Effects;
use chargegate_storage::FailureBackoff;
use chargegate_storage::{EngineError, ErrorFate};

const RETRY_BASE: Duration = Duration::from_millis(100);
const RETRY_CAP: Duration = Duration::from_secs(5);

/// Repeats an engine operation with jittered waits until it succeeds.
#[derive(Clone, Debug)]
pub(crate) struct RetryUntilDone {
    effects: Effects,
    abandon: CancellationToken,
}

impl RetryUntilDone {
    /// Creates a retry loop that ends early only when `abandon` is cancelled.
    pub(crate) fn new(effects: Effects, abandon: CancellationToken) -> Self {
        Self { effects, abandon }
    }

    /// Repeats `operation` until it succeeds. Returns `None` after a permanent failure, or when abandoned.
    pub(crate) async fn run<T, E, F>(&self, what: &'static str, operation: impl Fn() -> F) -> Option<T>
    where
        E: Into<EngineError>,
        F: Future<Output = Result<T, E>>,
    {
        let mut failures = self.failures(what);
        loop {
            match operation().await {
                Ok(done) => return Some(done),
                Err(error) => failures.wait_after(error).await?,
            }
        }
    }

    /// Begins a series of failures of the operation `what`, for a loop that changes its operation between attempts.
    pub(crate) fn failures(&self, what: &'static str) -> FailureSeries<'_> {
        FailureSeries { what, retry: self, backoff: FailureBackoff::default() }
    }
}

/// Consecutive failures of one operation.
pub(crate) struct FailureSeries<'a> {
    what: &'static str,
    retry: &'a RetryUntilDone,
    backoff: FailureBackoff,
}

impl FailureSeries<'_> {
    /// Logs a failure and waits until the next attempt. Returns `None` if there must be none: after a permanent failure, or
    /// when abandoned.
    pub(crate) async fn wait_after(&mut self, error: impl Into<EngineError>) -> Option<()> {
        let (error, what) = (error.into(), self.what);
        let wait = self.backoff.next_delay(RETRY_BASE, RETRY_CAP, &self.retry.effects);
        let (cause, retry_ms) = (chargegate_storage::metric::cause(&error), wait.as_millis());
        let stop = error.fate() == ErrorFate::Stop;
        // The failure is the same at each attempt, and the engine logs its outage too.
        if self.backoff.should_warn() || stop {
            warn!(error = %error, cause, retry_ms, "could not {what}");
        } else {
            debug!(error = %error, cause, retry_ms, "still could not {what}");
        }
        chargegate_storage::metric::engine_failure();
        if stop {
            return None;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => Some(()),
            () = self.retry.abandon.cancelled() => None,
        }
    }
}
