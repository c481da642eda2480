//! Lease durations: the time for which a message or a callback belongs to one worker.

use core::time::Duration;

/// Time that a lease lasts beyond the work done under it, since a commit may be repeated and the machine may be busy.
const LEASE_MARGIN: Duration = Duration::from_secs(30);
/// Time that a short lease lasts beyond the decision deadline: enough to record a decision when nothing fails.
const SHORT_LEASE_MARGIN: Duration = Duration::from_secs(5);

/// Returns the lease of a message, within which its worker has recorded a decision, however long calls take.
#[must_use]
pub const fn message_lease(decision_deadline: Duration) -> Duration {
    decision_deadline.saturating_add(LEASE_MARGIN)
}

/// Returns the lease of a message on an engine that cannot end a lease early.
///
/// There the messages of a dead worker are delivered again only when their leases expire, so leases are short.
#[must_use]
pub const fn short_message_lease(decision_deadline: Duration) -> Duration {
    decision_deadline.saturating_add(SHORT_LEASE_MARGIN)
}

/// Returns the lease of a callback, which is longer than the longest attempt.
#[must_use]
pub const fn callback_lease(callback_timeout: Duration) -> Duration {
    callback_timeout.saturating_add(LEASE_MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_outlasts_the_work_done_under_it() {
        let limit = Duration::from_secs(10);
        assert_eq!(message_lease(limit), Duration::from_secs(40));
        assert_eq!(short_message_lease(limit), Duration::from_secs(15));
        assert_eq!(callback_lease(limit), Duration::from_secs(40));
        assert_eq!(message_lease(Duration::MAX), Duration::MAX);
    }
}
