//! Pauses of receiver hosts, and the time that they take from the delivery of a callback.

use std::time::Duration;

use crate::store::{CallbackJob, ClaimLimits};

/// Shortest time for which an ended pause is kept. It is kept for longer while a callback of its host is pending.
pub const PAUSE_RETENTION: Duration = Duration::from_hours(31 * 24);

/// A pause of a host, by the clock of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPause {
    /// The host.
    pub host: String,
    /// Time since the start of the pause.
    pub began_ago: Duration,
    /// Time since the end of the pause; `None` while the host is paused.
    pub ended_ago: Option<Duration>,
}

/// The pauses that a claim respects.
#[derive(Clone, Debug, Default)]
pub struct HostPauses(pub Vec<HostPause>);

impl HostPauses {
    /// Returns limits under which no callback of a paused host is claimed.
    #[must_use]
    pub fn restrict(&self, mut limits: ClaimLimits) -> ClaimLimits {
        for pause in self.0.iter().filter(|pause| pause.ended_ago.is_none()) {
            limits.under_way.insert(pause.host.as_str().into(), ClaimLimits::PAUSED);
        }
        limits
    }

    /// Takes the pauses out of the ages of claimed callbacks.
    pub fn adjust_ages(&self, jobs: &mut [CallbackJob]) {
        if self.0.is_empty() {
            return;
        }
        for job in jobs {
            let host = job.callback_url.host_str();
            let age = job.round_age;
            let of_host = self.0.iter().filter(|pause| pause.host == host);
            let paused: Duration = of_host
                .map(|pause| pause.began_ago.min(age).saturating_sub(pause.ended_ago.unwrap_or_default()))
                .sum();
            job.round_age = age.saturating_sub(paused);
        }
    }
}
