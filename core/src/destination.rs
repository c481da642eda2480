//! The rules about the destinations of callbacks: schemes, ports, hosts and addresses.

mod hosts;
mod ports;
mod setting;

use core::fmt;
use core::net::IpAddr;

pub use self::hosts::{HostPatterns, HostPatternsError};
pub use self::ports::{PortRanges, PortRangesError};
pub use self::setting::{DestinationSetting, DestinationSettingError};
use crate::address::{AddressPolicy, ForbiddenAddress};
use crate::callback_url::{CallbackHost, CallbackScheme, CallbackUrl};

/// The policy on destinations of callbacks.
///
/// A URL is judged when a request is accepted, and again before an attempt, since the request may have been accepted
/// under other rules. An address is judged just before a connection to it is made, whether it stands in the URL or is
/// one of the addresses of a name.
///
/// ```
/// use chargegate_core::{
///     AddressPolicy, AllowedSchemes, CallbackUrl, DestinationPolicy, ForbiddenAddress, ForbiddenDestination,
/// };
///
/// let policy = DestinationPolicy {
///     schemes: AllowedSchemes::HttpsOnly,
///     ports: "443, 8000-8999".parse()?,
///     hosts: "*.client.example, 10.1.2.3".parse()?,
///     addresses: AddressPolicy::allowing("10.0.0.0/8")?,
/// };
/// let judge = |text: &str| policy.judge_url(&text.parse::<CallbackUrl>().unwrap());
/// assert_eq!(judge("https://api.client.example/cb"), Ok(()));
/// assert_eq!(judge("https://10.1.2.3:8443/cb"), Ok(()));
/// assert_eq!(judge("http://api.client.example:8080/cb"), Err(ForbiddenDestination::Scheme));
/// assert_eq!(judge("https://api.client.example:22/cb"), Err(ForbiddenDestination::Port));
/// assert_eq!(judge("https://client.example/cb"), Err(ForbiddenDestination::Host));
/// assert_eq!(judge("https://10.1.2.4/cb"), Err(ForbiddenDestination::Host));
///
/// // The address of a name is known only when it is resolved.
/// assert_eq!(policy.judge_address([127, 0, 0, 1].into()), Err(ForbiddenAddress::SpecialPurpose("loopback")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DestinationPolicy {
    /// The schemes of callback URLs.
    pub schemes: AllowedSchemes,
    /// The ports, of which 80 and 443 are the default ports of the schemes.
    pub ports: PortRanges,
    /// The hosts as they stand in URLs.
    pub hosts: HostPatterns,
    /// The addresses that connections are made to.
    pub addresses: AddressPolicy,
}

impl DestinationPolicy {
    /// Checks what a URL alone shows, in this order: scheme, port, host, and the address if the host is a literal one.
    ///
    /// # Errors
    /// [`ForbiddenDestination`]: the first rule that forbids the URL.
    pub fn judge_url(&self, url: &CallbackUrl) -> Result<(), ForbiddenDestination> {
        let host = url.host();
        if !self.schemes.permit(url.scheme()) {
            return Err(ForbiddenDestination::Scheme);
        }
        if !self.ports.contains(url.port()) {
            return Err(ForbiddenDestination::Port);
        }
        if !self.hosts.permit(host) {
            return Err(ForbiddenDestination::Host);
        }
        match host {
            CallbackHost::Name(_) => Ok(()),
            CallbackHost::Address(address) => {
                self.judge_address(address).map_err(ForbiddenDestination::Address)
            }
        }
    }

    /// Checks the address of a connection to be made.
    ///
    /// # Errors
    /// [`ForbiddenAddress`], as [`AddressPolicy::judge`].
    pub fn judge_address(&self, address: IpAddr) -> Result<(), ForbiddenAddress> {
        self.addresses.judge(address)
    }
}

/// Creates a policy with these addresses and the default for the rest.
impl From<AddressPolicy> for DestinationPolicy {
    fn from(addresses: AddressPolicy) -> Self {
        Self { addresses, ..Self::default() }
    }
}

/// The schemes of callback URLs that an operator allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllowedSchemes {
    /// `http` and `https`.
    #[default]
    HttpAndHttps,
    /// `https` alone.
    HttpsOnly,
}

impl AllowedSchemes {
    /// Returns `true` if the scheme is allowed.
    #[must_use]
    pub fn permit(self, scheme: CallbackScheme) -> bool {
        match self {
            Self::HttpAndHttps => true,
            Self::HttpsOnly => matches!(scheme, CallbackScheme::Https),
        }
    }
}

/// The rule that forbids a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForbiddenDestination {
    /// The scheme is `http`, and the operator allows only `https`.
    Scheme,
    /// The operator does not allow the port.
    Port,
    /// The operator does not allow the host.
    Host,
    /// The address is forbidden.
    Address(ForbiddenAddress),
}

impl fmt::Display for ForbiddenDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the scheme is not https",
            Self::Port => "the port is not allowed",
            Self::Host => "the host is not allowed",
            Self::Address(forbidden) => return forbidden.fmt(f),
        })
    }
}

impl core::error::Error for ForbiddenDestination {}

#[cfg(test)]
mod tests;
