//! Settings, from the environment of the component.

use std::fmt;
use std::time::Duration;

use chargegate_core::AddressPolicy;

const CALLBACK_ALLOW: &str = "CHARGEGATE_CALLBACK_ALLOW";
const ENQUEUE_TIMEOUT: &str = "CHARGEGATE_ENQUEUE_TIMEOUT_MS";

/// What an operator may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which addresses callbacks may go to (`CHARGEGATE_CALLBACK_ALLOW`, none but public ones).
    pub addresses: AddressPolicy,
    /// How long the queue may take to confirm (`CHARGEGATE_ENQUEUE_TIMEOUT_MS`, 2 s).
    pub enqueue_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { addresses: AddressPolicy::default(), enqueue_timeout: Duration::from_secs(2) }
    }
}

impl Settings {
    /// The variables that are read.
    pub const VARIABLES: [&str; 2] = [CALLBACK_ALLOW, ENQUEUE_TIMEOUT];

    /// The longest time the queue may be given, in milliseconds.
    const MAX_ENQUEUE_TIMEOUT_MS: u64 = 60_000;

    /// Reads the settings; `lookup` gives the value of a variable, if it is set. An empty value is as good as none.
    ///
    /// # Errors
    /// [`SettingError`], naming the first malformed variable.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let set = |name| lookup(name).filter(|value| !value.is_empty());
        let mut settings = Self::default();
        if let Some(list) = set(CALLBACK_ALLOW) {
            settings.addresses = AddressPolicy::allowing(&list).map_err(|_| SettingError::CallbackAllow)?;
        }
        if let Some(text) = set(ENQUEUE_TIMEOUT) {
            settings.enqueue_timeout = match text.parse() {
                Ok(ms @ 1..=Self::MAX_ENQUEUE_TIMEOUT_MS) => Duration::from_millis(ms),
                _ => return Err(SettingError::EnqueueTimeout),
            };
        }
        Ok(settings)
    }
}

/// A variable has a value it cannot have, or cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingError {
    /// `CHARGEGATE_CALLBACK_ALLOW` is no list of networks.
    CallbackAllow,
    /// `CHARGEGATE_ENQUEUE_TIMEOUT_MS` is no number from 1 to 60,000.
    EnqueueTimeout,
    /// The binding `JOBS` of a worker is no queue.
    Queue,
    /// The host does not say at the moment what is set.
    Unreadable,
}

impl SettingError {
    /// What is wrong, with the variable's name and without its value.
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

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for SettingError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(variable: &str, value: &str, expected: &Result<Settings, SettingError>) {
        let settings = Settings::read(|name| (name == variable).then(|| value.to_owned()));
        assert_eq!(&settings, expected, "{variable}={value}");
    }

    #[test]
    fn a_malformed_variable_is_named() {
        check("CHARGEGATE_CALLBACK_ALLOW", "", &Ok(Settings::default()));
        check("CHARGEGATE_CALLBACK_ALLOW", "localhost", &Err(SettingError::CallbackAllow));
        check("CHARGEGATE_CALLBACK_ALLOW", "127.0.0.0/33", &Err(SettingError::CallbackAllow));
        for (ms, fits) in
            [("0", false), ("1", true), ("60000", true), ("60001", false), ("-1", false), ("2s", false)]
        {
            let expected = match ms.parse() {
                Ok(ms) if fits => {
                    Ok(Settings { enqueue_timeout: Duration::from_millis(ms), ..Settings::default() })
                }
                _ => Err(SettingError::EnqueueTimeout),
            };
            check("CHARGEGATE_ENQUEUE_TIMEOUT_MS", ms, &expected);
        }
        check("UNRELATED", "x", &Ok(Settings::default()));
    }
}
