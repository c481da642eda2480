//! The addresses that callbacks do not connect to by default.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::IpNetwork;

/// The special-purpose blocks of the IANA registries (RFC 6890 and its updates), multicast, and the transition blocks
/// that embed an IPv4 address. IPv6 addresses outside `2000::/3` are refused as well.
pub(super) const FORBIDDEN: &[(IpNetwork, &str)] = &[
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
    (IpNetwork::single(IpAddr::V6(Ipv6Addr::UNSPECIFIED)), "unspecified"),
    (IpNetwork::single(IpAddr::V6(Ipv6Addr::LOCALHOST)), "loopback"),
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

/// The block of all public IPv6 addresses.
pub(super) const GLOBAL_UNICAST_V6: IpNetwork = IpNetwork::v6(0x2000, 0, 0, 3);

/// The metadata services of clouds, which give credentials to every process that can reach them. One is at a public
/// address, and an operator may allow the networks around the others.
pub(super) const METADATA: &[IpAddr] = &[
    // AWS, Azure, Google, Oracle, OpenStack and most others; Akamai and OpenStack over IPv6.
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1)),
    // AWS: EC2 over IPv6, tasks of ECS, pods of EKS.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    // Azure's host agent, at a public address.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Google over IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    // Alibaba.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200)),
    // Oracle: Cloud Classic, and over IPv6.
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    // Scaleway.
    IpAddr::V4(Ipv4Addr::new(169, 254, 42, 42)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
    // Tencent.
    IpAddr::V4(Ipv4Addr::new(169, 254, 0, 23)),
];
