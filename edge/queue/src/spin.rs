//! WASI 0.3 and `spin:variables`.

use std::fmt;
use std::time::Duration;

use chargegate_core::UnixMillis;
use spin_sdk::variables;
use spin_sdk::wasip3::clocks::{monotonic_clock, system_clock};

use crate::instance::{Host, Unreadable};

/// What Spin is to every queue.
#[derive(Clone, Copy, Debug)]
pub struct Spin;

impl Spin {
    /// Ready after `duration`.
    pub async fn sleep(&self, duration: Duration) {
        monotonic_clock::wait_for(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)).await;
    }

    /// The time by the clock of the machine.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        let now = system_clock::now();
        let seconds = Duration::from_secs(u64::try_from(now.seconds).unwrap_or(0));
        UnixMillis(0).plus(seconds.saturating_add(Duration::from_nanos(now.nanoseconds.into())))
    }
}

impl Host for Spin {
    async fn variable(&self, name: &'static str) -> Result<Option<String>, Unreadable> {
        match variables::get(name).await {
            Ok(value) => Ok(Some(value)),
            Err(variables::Error::Undefined(_)) => Ok(None),
            Err(_) => Err(Unreadable),
        }
    }

    fn tell(&self, line: fmt::Arguments<'_>) {
        eprintln!("{line}");
    }
}
