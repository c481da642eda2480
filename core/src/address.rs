//! The rule about the IP addresses that callbacks may connect to.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// A block of IP addresses such as `192.0.2.0/24` or `2001:db8::/32`; a single address is a block of one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IpNetwork {
    address: IpAddr,
    prefix: u8,
}

impl IpNetwork {
    const fn v4(octets: [u8; 4], prefix: u8) -> Self {
        let [a, b, c, d] = octets;
        Self { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    const fn v6(first: u16, second: u16, third: u16, prefix: u8) -> Self {
        Self { address: IpAddr::V6(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0)), prefix }
    }

    /// Returns `true` if `address` lies in the block. An IPv4 block contains no IPv6 address, not even a mapped one.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let host_bits = 32_u32.saturating_sub(u32::from(self.prefix));
                (u32::from(network) ^ u32::from(address)).checked_shr(host_bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let host_bits = 128_u32.saturating_sub(u32::from(self.prefix));
                (u128::from(network) ^ u128::from(address)).checked_shr(host_bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for IpNetwork {
    type Err = IpNetworkError;

    fn from_str(text: &str) -> Result<Self, IpNetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| IpNetworkError::Address)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = match prefix {
            None => bits,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| IpNetworkError::Prefix)?
            }
            Some(_) => return Err(IpNetworkError::Prefix),
        };
        if prefix > bits {
            return Err(IpNetworkError::Prefix);
        }
        // An IPv4-mapped address is judged as the IPv4 address, so a block of them becomes an IPv4 block.
        match (address.to_canonical(), prefix.checked_sub(96)) {
            (mapped @ IpAddr::V4(_), Some(prefix)) if address.is_ipv6() => {
                Ok(Self { address: mapped, prefix })
            }
            _ => Ok(Self { address, prefix }),
        }
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The reason why a text does not parse as an [`IpNetwork`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpNetworkError {
    /// The part before the slash is not an IP address.
    Address,
    /// The part after the slash is not a prefix length of that address family.
    Prefix,
}

impl fmt::Display for IpNetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "is not an IP address or a block like 10.1.0.0/16",
            Self::Prefix => "does not have a valid prefix length after the slash",
        })
    }
}

impl core::error::Error for IpNetworkError {}

/// The special-purpose blocks of the IANA registries (RFC 6890 and its updates), multicast, and the transition blocks
/// that embed an IPv4 address. IPv6 addresses outside `2000::/3` are refused as well.
const FORBIDDEN: &[(IpNetwork, &str)] = &[
    (IpNetwork::v4([0, 0, 0, 0], 8), "this network"),
    (IpNetwork::v4([10, 0, 0, 0], 8), "private use"),
    (IpNetwork::v4([100, 64, 0, 0], 10), "shared address space"),
    (IpNetwork::v4([127, 0, 0, 0], 8), "loopback"),
    (IpNetwork::v4([169, 254, 0, 0], 16), "link-local"),
    (IpNetwork::v4([172, 16, 0, 0], 12), "private use"),
    (IpNetwork::v4([192, 0, 0, 0], 24), "protocol assignments"),
    (IpNetwork::v4([192, 0, 2, 0], 24), "documentation"),
    (IpNetwork::v4([192, 88, 99, 0], 24), "6to4 relay"),
    (IpNetwork::v4([192, 168, 0, 0], 16), "private use"),
    (IpNetwork::v4([198, 18, 0, 0], 15), "benchmarking"),
    (IpNetwork::v4([198, 51, 100, 0], 24), "documentation"),
    (IpNetwork::v4([203, 0, 113, 0], 24), "documentation"),
    (IpNetwork::v4([224, 0, 0, 0], 4), "multicast"),
    (IpNetwork::v4([240, 0, 0, 0], 4), "reserved"),
    (IpNetwork { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), prefix: 128 }, "unspecified"),
    (IpNetwork { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 }, "loopback"),
    (IpNetwork::v6(0x64, 0xff9b, 0, 96), "NAT64"),
    (IpNetwork::v6(0x64, 0xff9b, 1, 48), "NAT64"),
    (IpNetwork::v6(0x100, 0, 0, 64), "discard only"),
    (IpNetwork::v6(0x2001, 0, 0, 32), "Teredo"),
    (IpNetwork::v6(0x2001, 0, 0, 23), "protocol assignments"),
    (IpNetwork::v6(0x2001, 0xdb8, 0, 32), "documentation"),
    (IpNetwork::v6(0x2002, 0, 0, 16), "6to4"),
    (IpNetwork::v6(0x3fff, 0, 0, 20), "documentation"),
    (IpNetwork::v6(0xfc00, 0, 0, 7), "unique local"),
    (IpNetwork::v6(0xfe80, 0, 0, 10), "link-local"),
    (IpNetwork::v6(0xfec0, 0, 0, 10), "site-local"),
    (IpNetwork::v6(0xff00, 0, 0, 8), "multicast"),
];

const GLOBAL_UNICAST_V6: IpNetwork = IpNetwork::v6(0x2000, 0, 0, 3);

/// The policy on addresses that callbacks may connect to: public ones, and those that the operator allows.
///
/// ```
/// use std::net::IpAddr;
///
/// use chargegate_core::AddressPolicy;
///
/// let public: IpAddr = "93.184.216.34".parse()?;
/// let private: IpAddr = "10.1.2.3".parse()?;
///
/// let policy = AddressPolicy::default();
/// assert!(policy.judge(public).is_ok());
/// assert_eq!(policy.judge(private).unwrap_err().range, "private use");
///
/// // An operator whose receivers are inside the network allows its blocks.
/// let policy = AddressPolicy::allowing("10.1.0.0/16, fd00::/8")?;
/// assert!(policy.judge(private).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    allowed: Vec<IpNetwork>,
}

impl AddressPolicy {
    /// Creates a policy that also permits the networks of a comma-separated list such as `10.1.0.0/16, fd00::/8`.
    ///
    /// # Errors
    /// [`IpNetworkError`] for an entry that is not a network. An empty list is valid and permits nothing more.
    pub fn allowing(list: &str) -> Result<Self, IpNetworkError> {
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        Ok(Self { allowed: entries.map(str::parse).collect::<Result<_, _>>()? })
    }

    /// Returns the networks that the operator allows.
    #[must_use]
    pub fn allowed(&self) -> &[IpNetwork] {
        &self.allowed
    }

    /// Checks the address of a connection to be made. An IPv4-mapped IPv6 address is judged as the IPv4 address.
    ///
    /// # Errors
    /// [`ForbiddenAddress`] if it lies in a special-purpose block that the operator does not allow.
    pub fn judge(&self, address: IpAddr) -> Result<(), ForbiddenAddress> {
        let address = address.to_canonical();
        if self.allowed.iter().any(|network| network.contains(address)) {
            return Ok(());
        }
        match FORBIDDEN.iter().find(|(network, _)| network.contains(address)) {
            Some((_, range)) => Err(ForbiddenAddress { range }),
            None if address.is_ipv6() && !GLOBAL_UNICAST_V6.contains(address) => {
                Err(ForbiddenAddress { range: "not global unicast" })
            }
            None => Ok(()),
        }
    }
}

/// The error for an address in a block that callbacks never connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForbiddenAddress {
    /// The purpose of the block, in a few words.
    pub range: &'static str,
}

impl fmt::Display for ForbiddenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the address is in a forbidden range ({})", self.range)
    }
}

impl core::error::Error for ForbiddenAddress {}

#[cfg(test)]
mod tests;
