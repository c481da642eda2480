//! The rule about the IP addresses that callbacks may connect to.

mod blocks;
mod network;

use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use self::blocks::{FORBIDDEN, GLOBAL_UNICAST_V6};
pub use self::network::{IpNetwork, IpNetworkError};

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
