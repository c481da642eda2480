//! The rule about the IP addresses that callbacks may connect to.

mod blocks;
mod nat64;
mod network;

use core::fmt;
use core::net::IpAddr;

use self::blocks::{FORBIDDEN, GLOBAL_UNICAST_V6, METADATA};
pub use self::nat64::{Nat64Prefix, Nat64PrefixError};
pub use self::network::{IpNetwork, IpNetworkError, IpNetworks};

/// The policy on addresses that callbacks may connect to: public ones, and those that the operator allows.
///
/// ```
/// use std::net::IpAddr;
///
/// use chargegate_core::{AddressPolicy, ForbiddenAddress};
///
/// let public: IpAddr = "93.184.216.34".parse()?;
/// let private: IpAddr = "10.1.2.3".parse()?;
///
/// let policy = AddressPolicy::default();
/// assert!(policy.judge(public).is_ok());
/// assert_eq!(policy.judge(private), Err(ForbiddenAddress::SpecialPurpose("private use")));
///
/// // An operator whose receivers are inside the network allows its blocks, except a part.
/// let policy = AddressPolicy { deny: "10.1.9.0/24".parse()?, ..AddressPolicy::allowing("10.1.0.0/16, fd00::/8")? };
/// assert!(policy.judge(private).is_ok());
/// assert_eq!(policy.judge("10.1.9.1".parse()?), Err(ForbiddenAddress::Denied));
///
/// // A metadata service inside an allowed network stays forbidden, unless it is allowed by its own address.
/// assert_eq!(policy.judge("fd00:ec2::254".parse()?), Err(ForbiddenAddress::Metadata));
/// assert!(AddressPolicy::allowing("fd00:ec2::254")?.judge("fd00:ec2::254".parse()?).is_ok());
///
/// // Behind a translator, the IPv4 address counts.
/// let policy = AddressPolicy { nat64: Some("64:ff9b::/96".parse()?), ..AddressPolicy::default() };
/// assert!(policy.judge("64:ff9b::5db8:d822".parse()?).is_ok());
/// assert_eq!(policy.judge("64:ff9b::a01:203".parse()?), Err(ForbiddenAddress::SpecialPurpose("private use")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Networks that are permitted besides public addresses.
    pub allow: IpNetworks,
    /// Networks that are never connected to; they win over `allow`.
    pub deny: IpNetworks,
    /// The prefix of the NAT64 translator in the network of the workers.
    pub nat64: Option<Nat64Prefix>,
}

impl AddressPolicy {
    /// Creates a policy that also permits the networks of a comma-separated list such as `10.1.0.0/16, fd00::/8`.
    ///
    /// # Errors
    /// [`IpNetworkError`] for an entry that is not a network. An empty list is valid and permits nothing more.
    pub fn allowing(list: &str) -> Result<Self, IpNetworkError> {
        Ok(Self { allow: list.parse()?, ..Self::default() })
    }

    /// Checks the address of a connection to be made.
    ///
    /// An IPv4-mapped IPv6 address is judged as the IPv4 address. So is an address with the NAT64 prefix, as the IPv4
    /// address embedded in it: allowing networks of IPv6 does not open the IPv4 network behind the translator.
    ///
    /// # Errors
    /// [`ForbiddenAddress`], which names the rule.
    pub fn judge(&self, address: IpAddr) -> Result<(), ForbiddenAddress> {
        let address = address.to_canonical();
        let embedded = |prefix: Nat64Prefix| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => prefix.embedded(address).map(IpAddr::V4),
        };
        if let Some(translated) = self.nat64.and_then(embedded) {
            return if self.deny.contains(address) {
                Err(ForbiddenAddress::Denied)
            } else {
                self.judge_untranslated(translated)
            };
        }
        self.judge_untranslated(address)?;
        // Only an allowed network around the well-known prefix leads here. A translator may exist without the setting.
        embedded(Nat64Prefix::WELL_KNOWN).map_or(Ok(()), |translated| self.judge_untranslated(translated))
    }

    fn judge_untranslated(&self, address: IpAddr) -> Result<(), ForbiddenAddress> {
        if self.deny.contains(address) {
            return Err(ForbiddenAddress::Denied);
        }
        if METADATA.contains(&address) && !self.allow.lists(address) {
            return Err(ForbiddenAddress::Metadata);
        }
        if self.allow.contains(address) {
            return Ok(());
        }
        match FORBIDDEN.iter().find(|(network, _)| network.contains(address)) {
            Some((_, purpose)) => Err(ForbiddenAddress::SpecialPurpose(purpose)),
            None if address.is_ipv6() && !GLOBAL_UNICAST_V6.contains(address) => {
                Err(ForbiddenAddress::SpecialPurpose("not global unicast"))
            }
            None => Ok(()),
        }
    }
}

/// The rule that forbids an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForbiddenAddress {
    /// The operator denies a network that contains it.
    Denied,
    /// It is the metadata service of a cloud.
    Metadata,
    /// It is not public: it lies in a block with this special purpose, and the operator does not allow it.
    SpecialPurpose(&'static str),
}

impl fmt::Display for ForbiddenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("the address is in a denied network"),
            Self::Metadata => f.write_str("the address is the metadata service of a cloud"),
            Self::SpecialPurpose(purpose) => write!(f, "the address is in a forbidden range ({purpose})"),
        }
    }
}

impl core::error::Error for ForbiddenAddress {}

#[cfg(test)]
mod tests;
