//! Networks: blocks of IP addresses.

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
    pub(super) const fn v4(octets: [u8; 4], prefix: u8) -> Self {
        let [a, b, c, d] = octets;
        Self { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    pub(super) const fn v6(first: u16, second: u16, third: u16, prefix: u8) -> Self {
        Self { address: IpAddr::V6(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0)), prefix }
    }

    /// Returns the block of one address.
    pub(super) const fn single(address: IpAddr) -> Self {
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Returns the first address, as given: bits after the prefix are kept.
    pub(super) const fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns the length of the prefix in bits.
    pub(super) const fn prefix(&self) -> u8 {
        self.prefix
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

/// A list of networks, written like `10.1.0.0/16, fd00::/8`; empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpNetworks(Vec<IpNetwork>);

impl IpNetworks {
    /// Returns `true` if `address` lies in one of the networks.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Returns `true` if an entry of the list is exactly `address`, not a network around it.
    #[must_use]
    pub fn lists(&self, address: IpAddr) -> bool {
        self.0.contains(&IpNetwork::single(address))
    }
}

impl FromStr for IpNetworks {
    type Err = IpNetworkError;

    fn from_str(text: &str) -> Result<Self, IpNetworkError> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(str::parse).collect::<Result<_, _>>().map(Self)
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
