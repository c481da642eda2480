//! Leaving a service alone when it asks for that.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::service::ServiceError;

/// How long a service is left alone that does not say how long.
const USUAL: Duration = Duration::from_secs(1);

/// Closed while the service wants no calls.
#[derive(Debug)]
pub(super) struct Gate(Mutex<Instant>);

impl Gate {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Closes it if a call came back with that request.
    pub(super) fn note(&self, error: &ServiceError) {
        if let ServiceError::Throttled { retry_after } = error {
            let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *until = (*until).max(Instant::now() + retry_after.unwrap_or(USUAL));
        }
    }

    /// When it opens; some time ago if it is open.
    pub(super) fn until(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails while it is closed.
    pub(super) fn check(&self) -> Result<(), ServiceError> {
        match self.until().saturating_duration_since(Instant::now()) {
            Duration::ZERO => Ok(()),
            left => Err(ServiceError::Throttled { retry_after: Some(left) }),
        }
    }
}
