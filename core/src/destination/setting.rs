//! The settings of a [`DestinationPolicy`], which edge and worker read from the same texts.

use core::fmt;

use super::{
    AllowedSchemes, DestinationPolicy, HostPatterns, HostPatternsError, PortRanges, PortRangesError,
};
use crate::address::{AddressPolicy, IpNetworkError, IpNetworks, Nat64PrefixError};

/// A setting of a [`DestinationPolicy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationSetting {
    /// Networks that are permitted besides public addresses.
    Allow,
    /// Networks that are never connected to.
    Deny,
    /// Hosts as they stand in URLs.
    Hosts,
    /// `true` if only `https` is permitted.
    HttpsOnly,
    /// Ports.
    Ports,
    /// The prefix of the NAT64 translator.
    Nat64Prefix,
}

impl DestinationSetting {
    /// All settings.
    pub const ALL: [Self; 6] =
        [Self::Allow, Self::Deny, Self::Hosts, Self::HttpsOnly, Self::Ports, Self::Nat64Prefix];

    /// Returns the name of the variable, the same for edges and workers.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Allow => "CHARGEGATE_CALLBACK_ALLOW",
            Self::Deny => "CHARGEGATE_CALLBACK_DENY",
            Self::Hosts => "CHARGEGATE_CALLBACK_HOSTS",
            Self::HttpsOnly => "CHARGEGATE_CALLBACK_HTTPS_ONLY",
            Self::Ports => "CHARGEGATE_CALLBACK_PORTS",
            Self::Nat64Prefix => "CHARGEGATE_NAT64_PREFIX",
        }
    }
}

impl DestinationPolicy {
    /// Creates the policy from the texts of its settings. A setting without a text, or with an empty one, has its default.
    ///
    /// ```
    /// use chargegate_core::{DestinationPolicy, DestinationSetting};
    ///
    /// let read = |ports: &'static str| {
    ///     DestinationPolicy::from_settings(|setting| (setting == DestinationSetting::Ports).then_some(ports))
    /// };
    /// assert_eq!(read("")?, DestinationPolicy::default());
    /// assert!(!read("443")?.ports.contains(80));
    /// assert_eq!(read("https").unwrap_err().setting(), DestinationSetting::Ports);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`DestinationSettingError`] for the first malformed setting, in the order of [`DestinationSetting::ALL`].
    pub fn from_settings<T: AsRef<str>>(
        text: impl Fn(DestinationSetting) -> Option<T>,
    ) -> Result<Self, DestinationSettingError> {
        let set = |setting| text(setting).filter(|text| !text.as_ref().is_empty());
        let networks = |setting| match set(setting) {
            Some(text) => text.as_ref().parse(),
            None => Ok(IpNetworks::default()),
        };
        Ok(Self {
            addresses: AddressPolicy {
                allow: networks(DestinationSetting::Allow).map_err(DestinationSettingError::Allow)?,
                deny: networks(DestinationSetting::Deny).map_err(DestinationSettingError::Deny)?,
                nat64: set(DestinationSetting::Nat64Prefix)
                    .map(|text| text.as_ref().trim().parse())
                    .transpose()
                    .map_err(DestinationSettingError::Nat64Prefix)?,
            },
            hosts: match set(DestinationSetting::Hosts) {
                Some(text) => text.as_ref().parse().map_err(DestinationSettingError::Hosts)?,
                None => HostPatterns::default(),
            },
            schemes: match set(DestinationSetting::HttpsOnly).as_ref().map(AsRef::as_ref) {
                Some("true") => AllowedSchemes::HttpsOnly,
                Some("false") | None => AllowedSchemes::HttpAndHttps,
                Some(_) => return Err(DestinationSettingError::HttpsOnly),
            },
            ports: match set(DestinationSetting::Ports) {
                Some(text) => text.as_ref().parse().map_err(DestinationSettingError::Ports)?,
                None => PortRanges::default(),
            },
        })
    }
}

/// A malformed setting of a [`DestinationPolicy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationSettingError {
    /// An entry of [`DestinationSetting::Allow`] is not a network.
    Allow(IpNetworkError),
    /// An entry of [`DestinationSetting::Deny`] is not a network.
    Deny(IpNetworkError),
    /// [`DestinationSetting::Hosts`] is not a list of hosts.
    Hosts(HostPatternsError),
    /// [`DestinationSetting::HttpsOnly`] is neither `true` nor `false`.
    HttpsOnly,
    /// [`DestinationSetting::Ports`] is not a list of ports.
    Ports(PortRangesError),
    /// [`DestinationSetting::Nat64Prefix`] is not a prefix for NAT64.
    Nat64Prefix(Nat64PrefixError),
}

impl DestinationSettingError {
    /// Returns the malformed setting.
    #[must_use]
    pub const fn setting(self) -> DestinationSetting {
        match self {
            Self::Allow(_) => DestinationSetting::Allow,
            Self::Deny(_) => DestinationSetting::Deny,
            Self::Hosts(_) => DestinationSetting::Hosts,
            Self::HttpsOnly => DestinationSetting::HttpsOnly,
            Self::Ports(_) => DestinationSetting::Ports,
            Self::Nat64Prefix(_) => DestinationSetting::Nat64Prefix,
        }
    }
}

impl fmt::Display for DestinationSettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow(error) | Self::Deny(error) => write!(f, "an entry {error}"),
            Self::Hosts(error) => error.fmt(f),
            Self::HttpsOnly => f.write_str("the value is neither true nor false"),
            Self::Ports(error) => error.fmt(f),
            Self::Nat64Prefix(error) => write!(f, "the prefix {error}"),
        }
    }
}

impl core::error::Error for DestinationSettingError {}
