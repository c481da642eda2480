//! The settings of the edge, read from the environment.

use std::fmt;
use std::time::Duration;

use chargegate_core::AddressPolicy;

const CALLBACK_ALLOW: &str = "CHARGEGATE_CALLBACK_ALLOW";
const ENQUEUE_TIMEOUT: &str = "CHARGEGATE_ENQUEUE_TIMEOUT_MS";

/// The settings of the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeSettings {
    /// The addresses that callbacks may go to (`CHARGEGATE_CALLBACK_ALLOW`, by default only public ones).
    pub addresses: AddressPolicy,
    /// The time within which the queue must confirm (`CHARGEGATE_ENQUEUE_TIMEOUT_MS`, by default 2 s).
    pub enqueue_timeout: Duration,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self { addresses: AddressPolicy::default(), enqueue_timeout: Duration::from_secs(2) }
    }
}

impl EdgeSettings {
    /// The names of the variables that are read.
    pub const VARIABLES: [&str; 2] = [CALLBACK_ALLOW, ENQUEUE_TIMEOUT];

    /// Bounds the enqueue timeout, in milliseconds.
    const MAX_ENQUEUE_TIMEOUT_MS: u64 = 60_000;

    /// Reads the settings; `lookup` returns the value of a variable that is set. An empty value counts as unset.
    ///
    /// # Errors
    /// [`EdgeSettingsError`], naming the first malformed variable.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, EdgeSettingsError> {
        let set = |name| lookup(name).filter(|value| !value.is_empty());
        let mut settings = Self::default();
        if let Some(list) = set(CALLBACK_ALLOW) {
            settings.addresses =
                AddressPolicy::allowing(&list).map_err(|_| EdgeSettingsError::CallbackAllow)?;
        }
        if let Some(text) = set(ENQUEUE_TIMEOUT) {
            settings.enqueue_timeout = match text.parse() {
                Ok(ms @ 1..=Self::MAX_ENQUEUE_TIMEOUT_MS) => Duration::from_millis(ms),
                _ => return Err(EdgeSettingsError::EnqueueTimeout),
            };
        }
        Ok(settings)
    }
}

/// A variable that is invalid or cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeSettingsError {
    /// `CHARGEGATE_CALLBACK_ALLOW` is not a list of networks.
    CallbackAllow,
    /// `CHARGEGATE_ENQUEUE_TIMEOUT_MS` is not a number from 1 to 60,000.
    EnqueueTimeout,
    /// The binding `JOBS` of a worker is not a queue.
    Queue,
    /// The host cannot provide the variables at the moment.
    Unreadable,
}

impl EdgeSettingsError {
    /// Returns the error text, with the variable's name and without its value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CallbackAllow => {
                "CHARGEGATE_CALLBACK_ALLOW must be a comma-separated list of networks such as 10.1.0.0/16"
            }
            Self::EnqueueTimeout => "CHARGEGATE_ENQUEUE_TIMEOUT_MS must be a number from 1 to 60000",
            Self::Queue => "the binding JOBS must be a queue, by queues.producers in wrangler.toml",
            Self::Unreadable => "the settings cannot be read at the moment",
        }
    }
}

impl fmt::Display for EdgeSettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for EdgeSettingsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(variable: &str, value: &str, expected: &Result<EdgeSettings, EdgeSettingsError>) {
        let settings = EdgeSettings::read(|name| (name == variable).then(|| value.to_owned()));
        assert_eq!(&settings, expected, "{variable}={value}");
    }

    #[test]
    fn a_malformed_variable_is_named() {
        check("CHARGEGATE_CALLBACK_ALLOW", "", &Ok(EdgeSettings::default()));
        check("CHARGEGATE_CALLBACK_ALLOW", "localhost", &Err(EdgeSettingsError::CallbackAllow));
        check("CHARGEGATE_CALLBACK_ALLOW", "127.0.0.0/33", &Err(EdgeSettingsError::CallbackAllow));
        for (ms, fits) in
            [("0", false), ("1", true), ("60000", true), ("60001", false), ("-1", false), ("2s", false)]
        {
            let expected = match ms.parse() {
                Ok(ms) if fits => {
                    Ok(EdgeSettings { enqueue_timeout: Duration::from_millis(ms), ..EdgeSettings::default() })
                }
                _ => Err(EdgeSettingsError::EnqueueTimeout),
            };
            check("CHARGEGATE_ENQUEUE_TIMEOUT_MS", ms, &expected);
        }
        check("UNRELATED", "x", &Ok(EdgeSettings::default()));
    }
}
