//! NAT64: IPv6 addresses that a translator in the network maps to IPv4 addresses.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use super::{IpNetwork, IpNetworkError};

/// The prefix of a NAT64 translator, such as `64:ff9b::/96` (RFC 6052).
///
/// ```
/// use chargegate_core::Nat64Prefix;
///
/// let prefix: Nat64Prefix = "64:ff9b::/96".parse()?;
/// assert_eq!(prefix.embedded("64:ff9b::a01:203".parse()?), Some([10, 1, 2, 3].into()));
/// assert_eq!(prefix.embedded("2001:db8::1".parse()?), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat64Prefix(IpNetwork);

impl Nat64Prefix {
    /// The well-known prefix (RFC 6052 section 2.1).
    pub(super) const WELL_KNOWN: Self = Self(IpNetwork::v6(0x64, 0xff9b, 0, 96));

    /// Returns the IPv4 address embedded in an address with this prefix (RFC 6052 section 2.2), or `None` for an address
    /// with another prefix. The reserved octet 8 and the suffix are ignored, as translators ignore them.
    #[must_use]
    pub fn embedded(&self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        if !self.0.contains(address.into()) {
            return None;
        }
        let [_, _, _, _, o4, o5, o6, o7, _, o9, o10, o11, o12, o13, o14, o15] = address.octets();
        let embedded = match self.0.prefix() {
            32 => [o4, o5, o6, o7],
            40 => [o5, o6, o7, o9],
            48 => [o6, o7, o9, o10],
            56 => [o7, o9, o10, o11],
            64 => [o9, o10, o11, o12],
            _ => [o12, o13, o14, o15],
        };
        Some(embedded.into())
    }
}

impl FromStr for Nat64Prefix {
    type Err = Nat64PrefixError;

    fn from_str(text: &str) -> Result<Self, Nat64PrefixError> {
        let network: IpNetwork = text.parse().map_err(|error| match error {
            IpNetworkError::Address => Nat64PrefixError::Address,
            IpNetworkError::Prefix => Nat64PrefixError::Length,
        })?;
        let IpAddr::V6(address) = network.address() else { return Err(Nat64PrefixError::Address) };
        if !matches!(network.prefix(), 32 | 40 | 48 | 56 | 64 | 96) {
            return Err(Nat64PrefixError::Length);
        }
        let after_prefix = u128::MAX.checked_shr(network.prefix().into()).unwrap_or(0);
        let reserved_octet = 0xff << 56;
        if u128::from(address) & (after_prefix | reserved_octet) != 0 {
            return Err(Nat64PrefixError::Bits);
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Nat64Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The reason why a text does not parse as a [`Nat64Prefix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat64PrefixError {
    /// The part before the slash is not an IPv6 address.
    Address,
    /// The part after the slash is not one of the lengths of RFC 6052 section 2.2.
    Length,
    /// Bits after the prefix, or the reserved bits 64 to 71, are not zero.
    Bits,
}

impl fmt::Display for Nat64PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "is not an IPv6 prefix like 64:ff9b::/96",
            Self::Length => "does not have a length of 32, 40, 48, 56, 64 or 96 bits after the slash",
            Self::Bits => "has bits set after the prefix, or among the reserved bits 64 to 71",
        })
    }
}

impl core::error::Error for Nat64PrefixError {}
