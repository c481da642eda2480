//! Throttling by the service.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::service::PullServiceError;

/// Wait after a throttled call whose answer names no wait.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Rejects calls while the service throttles.
#[derive(Debug)]
pub(super) struct ThrottleGate(Mutex<Instant>);

impl ThrottleGate {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Closes the gate if the error of a call asks for it.
    pub(super) fn note(&self, error: &PullServiceError) {
        if let PullServiceError::Throttled { retry_after } = error {
            let mut until = self.0.lock();
            *until = (*until).max(Instant::now() + retry_after.unwrap_or(DEFAULT_RETRY_AFTER));
        }
    }

    /// Returns the time at which the gate opens; in the past if it is open.
    pub(super) fn until(&self) -> Instant {
        *self.0.lock()
    }

    /// Fails while the gate is closed.
    pub(super) fn check(&self) -> Result<(), PullServiceError> {
        match self.until().saturating_duration_since(Instant::now()) {
            Duration::ZERO => Ok(()),
            left => Err(PullServiceError::Throttled { retry_after: Some(left) }),
        }
    }
}
