//! The settings of the edge, read from the environment.

use std::fmt;
use std::time::Duration;

use chargegate_core::{DestinationPolicy, DestinationSetting};

const ENQUEUE_TIMEOUT: &str = "CHARGEGATE_ENQUEUE_TIMEOUT_MS";
const JWKS: &str = "CHARGEGATE_JWKS";

/// The settings of the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeSettings {
    /// The destinations that callbacks may go to (the variables of [`DestinationSetting`]).
    pub destinations: DestinationPolicy,
    /// The time within which the queue must confirm (`CHARGEGATE_ENQUEUE_TIMEOUT_MS`, by default 2 s).
    pub enqueue_timeout: Duration,
    /// The public keys of callbacks as a JSON Web Key Set (`CHARGEGATE_JWKS`, by default none).
    pub public_keys: Option<String>,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            destinations: DestinationPolicy::default(),
            enqueue_timeout: Duration::from_secs(2),
            public_keys: None,
        }
    }
}

impl EdgeSettings {
    /// The names of the variables that are read.
    pub const VARIABLES: [&str; 8] = [
        DestinationSetting::Allow.variable(),
        DestinationSetting::Deny.variable(),
        DestinationSetting::Hosts.variable(),
        DestinationSetting::HttpsOnly.variable(),
        DestinationSetting::Ports.variable(),
        ENQUEUE_TIMEOUT,
        JWKS,
        DestinationSetting::Nat64Prefix.variable(),
    ];

    /// Bounds the enqueue timeout, in milliseconds.
    const MAX_ENQUEUE_TIMEOUT_MS: u64 = 60_000;

    /// Reads the settings; `lookup` returns the value of a variable that is set. An empty value counts as unset.
    ///
    /// # Errors
    /// [`EdgeSettingsError`], naming the first malformed variable.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, EdgeSettingsError> {
        let destinations = DestinationPolicy::from_settings(|setting| lookup(setting.variable()))
            .map_err(|error| EdgeSettingsError::Destination(error.setting()))?;
        let mut settings = Self { destinations, ..Self::default() };
        if let Some(text) = lookup(ENQUEUE_TIMEOUT).filter(|text| !text.is_empty()) {
            settings.enqueue_timeout = match text.parse() {
                Ok(ms @ 1..=Self::MAX_ENQUEUE_TIMEOUT_MS) => Duration::from_millis(ms),
                _ => return Err(EdgeSettingsError::EnqueueTimeout),
            };
        }
        if let Some(text) = lookup(JWKS).filter(|text| !text.is_empty()) {
            if !is_public_key_set(&text) {
                return Err(EdgeSettingsError::PublicKeys);
            }
            settings.public_keys = Some(text);
        }
        Ok(settings)
    }
}

/// Returns whether a text may be a key set for everybody: a private key has the member `d` (RFC 8037 section 2).
fn is_public_key_set(text: &str) -> bool {
    text.trim_start().starts_with('{') && !text.contains("\"d\"")
}

/// A variable that is invalid or cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeSettingsError {
    /// The variable of a setting for the destinations of callbacks is malformed.
    Destination(DestinationSetting),
    /// `CHARGEGATE_ENQUEUE_TIMEOUT_MS` is not a number from 1 to 60,000.
    EnqueueTimeout,
    /// `CHARGEGATE_JWKS` is not a key set, or contains a private key.
    PublicKeys,
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
            Self::Destination(setting) => match setting {
                DestinationSetting::Allow => {
                    "CHARGEGATE_CALLBACK_ALLOW must be a comma-separated list of networks such as 10.1.0.0/16"
                }
                DestinationSetting::Deny => {
                    "CHARGEGATE_CALLBACK_DENY must be a comma-separated list of networks such as 10.1.0.0/16"
                }
                DestinationSetting::Hosts => {
                    "CHARGEGATE_CALLBACK_HOSTS must be a comma-separated list of hosts such as *.example.com"
                }
                DestinationSetting::HttpsOnly => "CHARGEGATE_CALLBACK_HTTPS_ONLY must be true or false",
                DestinationSetting::Ports => {
                    "CHARGEGATE_CALLBACK_PORTS must be a comma-separated list of ports such as 443, 8000-8999"
                }
                DestinationSetting::Nat64Prefix => {
                    "CHARGEGATE_NAT64_PREFIX must be a prefix for NAT64 such as 64:ff9b::/96"
                }
            },
            Self::EnqueueTimeout => "CHARGEGATE_ENQUEUE_TIMEOUT_MS must be a number from 1 to 60000",
            Self::PublicKeys => {
                "CHARGEGATE_JWKS must be the output of `chargegate keys show`, without private keys"
            }
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
    use std::cell::RefCell;

    use super::*;

    #[track_caller]
    fn check(variable: &str, value: &str, expected: &Result<EdgeSettings, EdgeSettingsError>) {
        let settings = EdgeSettings::read(|name| (name == variable).then(|| value.to_owned()));
        assert_eq!(&settings, expected, "{variable}={value}");
    }

    #[test]
    fn a_malformed_variable_is_named() {
        for (setting, malformed) in [
            (DestinationSetting::Allow, "127.0.0.0/33"),
            (DestinationSetting::Deny, "localhost"),
            (DestinationSetting::Hosts, "*"),
            (DestinationSetting::HttpsOnly, "yes"),
            (DestinationSetting::Ports, "0"),
            (DestinationSetting::Nat64Prefix, "64:ff9b::/95"),
        ] {
            let error = EdgeSettingsError::Destination(setting);
            assert!(error.as_str().starts_with(setting.variable()), "{error}");
            check(setting.variable(), malformed, &Err(error));
            check(setting.variable(), "", &Ok(EdgeSettings::default()));
        }
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
        for (text, fits) in [
            (r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qY"}]}"#, true),
            (r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qY","d":"nWGx"}]}"#, false),
            ("11qY", false),
        ] {
            let expected = if fits {
                Ok(EdgeSettings { public_keys: Some(text.to_owned()), ..EdgeSettings::default() })
            } else {
                Err(EdgeSettingsError::PublicKeys)
            };
            check("CHARGEGATE_JWKS", text, &expected);
        }
        check("UNRELATED", "x", &Ok(EdgeSettings::default()));
    }

    #[test]
    fn every_variable_is_listed() {
        let read = RefCell::new(Vec::new());
        let settings = EdgeSettings::read(|name| {
            read.borrow_mut().push(name.to_owned());
            None
        });
        assert_eq!(settings, Ok(EdgeSettings::default()));
        let mut read = read.into_inner();
        read.sort_unstable();
        assert_eq!(read, EdgeSettings::VARIABLES);
    }
}
