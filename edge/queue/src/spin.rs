//! The host on WASI 0.3 and `spin:variables`.

use std::fmt;
use std::time::Duration;

use chargegate_core::UnixMillis;
use spin_sdk::variables;
use spin_sdk::wasip3::clocks::{monotonic_clock, system_clock};

use crate::instance::{ComponentHost, VariableError};

/// The host of a queue component in Spin.
#[derive(Clone, Copy, Debug)]
pub struct SpinComponentHost;

impl SpinComponentHost {
    /// Waits for `duration`.
    pub async fn sleep(&self, duration: Duration) {
        monotonic_clock::wait_for(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)).await;
    }

    /// Returns the time of the system clock.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        let now = system_clock::now();
        let seconds = Duration::from_secs(u64::try_from(now.seconds).unwrap_or(0));
        UnixMillis(0).plus(seconds.saturating_add(Duration::from_nanos(now.nanoseconds.into())))
    }
}

impl ComponentHost for SpinComponentHost {
    async fn variable(&self, name: &'static str) -> Result<Option<String>, VariableError> {
        match variables::get(name).await {
            Ok(value) => Ok(Some(value)),
            Err(variables::Error::Undefined(_)) => Ok(None),
            Err(_) => Err(VariableError),
        }
    }

    fn log(&self, line: fmt::Arguments<'_>) {
        eprintln!("{line}");
    }
}
