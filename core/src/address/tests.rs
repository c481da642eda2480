mod nat64;

use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use ForbiddenAddress::{Denied, Metadata, SpecialPurpose};

#[track_caller]
fn check(address: &str, expected: Option<&'static str>) {
    let judged = AddressPolicy::default().judge(address.parse().unwrap());
    assert_eq!(judged.err(), expected.map(SpecialPurpose), "{address}");
}

fn policy(allow: &str, deny: &str, nat64: &str) -> AddressPolicy {
    let nat64 = (!nat64.is_empty()).then(|| nat64.parse().unwrap());
    AddressPolicy { allow: allow.parse().unwrap(), deny: deny.parse().unwrap(), nat64 }
}

#[track_caller]
fn judged(policy: &AddressPolicy, address: &str, expected: Result<(), ForbiddenAddress>) {
    assert_eq!(policy.judge(address.parse().unwrap()), expected, "{address} by {policy:?}");
}

#[test]
fn each_block_is_forbidden_from_its_first_to_its_last_address() {
    for (first, last, range) in [
        ("0.0.0.0", "0.255.255.255", "this network"),
        ("10.0.0.0", "10.255.255.255", "private use"),
        ("100.64.0.0", "100.127.255.255", "shared address space"),
        ("127.0.0.0", "127.255.255.255", "loopback"),
        ("169.254.0.0", "169.254.255.255", "link-local"),
        ("172.16.0.0", "172.31.255.255", "private use"),
        ("192.0.0.0", "192.0.0.255", "protocol assignments"),
        ("192.0.2.0", "192.0.2.255", "documentation"),
        ("192.88.99.0", "192.88.99.255", "6to4 relay"),
        ("192.168.0.0", "192.168.255.255", "private use"),
        ("198.18.0.0", "198.19.255.255", "benchmarking"),
        ("198.51.100.0", "198.51.100.255", "documentation"),
        ("203.0.113.0", "203.0.113.255", "documentation"),
        ("224.0.0.0", "239.255.255.255", "multicast"),
        ("240.0.0.0", "255.255.255.255", "reserved"),
        ("::", "::", "unspecified"),
        ("::1", "::1", "loopback"),
        ("64:ff9b::", "64:ff9b::ffff:ffff", "NAT64"),
        ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "NAT64"),
        ("100::", "100::ffff:ffff:ffff:ffff", "discard only"),
        ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "Teredo"),
        ("2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "protocol assignments"),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "documentation"),
        ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "6to4"),
        ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "documentation"),
        ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "unique local"),
        ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "link-local"),
        ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "site-local"),
        ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"),
        ("::ffff:127.0.0.1", "::ffff:127.255.255.255", "loopback"),
        ("::2", "::fffe:ffff:ffff", "not global unicast"),
        ("5f00::", "5f00:ffff::", "not global unicast"),
    ] {
        check(first, Some(range));
        check(last, Some(range));
    }
}

#[test]
fn the_neighbours_of_the_blocks_are_public() {
    for address in [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2000::",
        "2001:200::",
        "2001:db7::",
        "2001:db9::",
        "2003::",
        "3ffe::",
        "3fff:1000::",
        "::ffff:8.8.8.8",
    ] {
        check(address, None);
    }
}

#[test]
fn an_operator_allows_networks() {
    let policy = AddressPolicy::allowing("127.0.0.0/8, ::1 ,10.1.0.0/16,").unwrap();
    for (address, allowed) in [
        ("127.0.0.1", true),
        ("::ffff:127.0.0.1", true),
        ("::1", true),
        ("::2", false),
        ("10.1.255.255", true),
        ("10.2.0.0", false),
    ] {
        assert_eq!(policy.judge(address.parse().unwrap()).is_ok(), allowed, "{address}");
    }
    let mapped = AddressPolicy::allowing("::ffff:10.1.0.0/112").unwrap();
    assert!(mapped.judge([10, 1, 2, 3].into()).is_ok() && mapped.judge([10, 2, 0, 0].into()).is_err());
    assert!(AddressPolicy::allowing("0.0.0.0/0").unwrap().judge([10, 0, 0, 1].into()).is_ok());
    for (list, error) in [
        ("10.0.0.0/33", IpNetworkError::Prefix),
        ("::/129", IpNetworkError::Prefix),
        ("10.0.0.0/", IpNetworkError::Prefix),
        ("10.0.0.0/+8", IpNetworkError::Prefix),
        ("10.0.0", IpNetworkError::Address),
        ("localhost", IpNetworkError::Address),
    ] {
        assert_eq!(AddressPolicy::allowing(list), Err(error), "{list}");
    }
}

#[test]
fn a_denied_network_wins_over_public_and_allowed_addresses() {
    let policy = policy("10.0.0.0/8, fd00::/8", "10.9.0.0/16, fd00:9::/32, 93.184.216.0/24, 2600::1", "");
    for (address, expected) in [
        ("10.8.255.255", Ok(())),
        ("10.9.0.0", Err(Denied)),
        ("10.9.255.255", Err(Denied)),
        ("10.10.0.0", Ok(())),
        ("::ffff:10.9.0.1", Err(Denied)),
        ("fd00:8:ffff::", Ok(())),
        ("fd00:9::", Err(Denied)),
        ("93.184.215.255", Ok(())),
        ("93.184.216.34", Err(Denied)),
        ("2600::1", Err(Denied)),
        ("2600::2", Ok(())),
        ("192.168.0.1", Err(SpecialPurpose("private use"))),
    ] {
        judged(&policy, address, expected);
    }
    // A denied address stays denied, even if exactly this address is allowed.
    judged(&self::policy("10.1.2.3", "10.1.2.3", ""), "10.1.2.3", Err(Denied));
    judged(&self::policy("", "0.0.0.0/0", ""), "93.184.216.34", Err(Denied));
    // An IPv4-mapped network is an IPv4 network.
    judged(&self::policy("", "::ffff:0:0/96", ""), "93.184.216.34", Err(Denied));
}

#[test]
fn a_metadata_service_is_forbidden_unless_exactly_its_address_is_allowed() {
    for (address, allowed) in [
        ("169.254.169.254", "169.254.0.0/16"),
        ("168.63.129.16", "168.63.129.16/31"),
        ("100.100.100.200", "100.64.0.0/10"),
        ("192.0.0.192", "192.0.0.0/24"),
        ("169.254.170.2", "169.254.0.0/16"),
        ("169.254.170.23", "169.254.0.0/16"),
        ("169.254.42.42", "169.254.0.0/16"),
        ("169.254.0.23", "169.254.0.0/16"),
        ("fd00:ec2::254", "fd00::/8"),
        ("fd00:ec2::23", "fd00:ec2::/32"),
        ("fd20:ce::254", "fd20:ce::254/127"),
        ("fd00:a9fe:a9fe::1", "fd00::/8"),
        ("fd00:c1::a9fe:a9fe", "fd00::/8"),
        ("fd00:100::100:200", "fd00::/8"),
        ("fd00:42::42", "fd00::/8"),
        ("fe80::a9fe:a9fe", "fe80::/10"),
    ] {
        judged(&AddressPolicy::default(), address, Err(Metadata));
        for network in [allowed, "0.0.0.0/0, ::/0"] {
            judged(&policy(network, "", ""), address, Err(Metadata));
        }
        judged(&policy(address, "", ""), address, Ok(()));
        judged(&policy(&alloc::format!("{allowed}, {address}"), "", ""), address, Ok(()));
        judged(&policy(address, allowed, ""), address, Err(Denied));
    }
    judged(&AddressPolicy::default(), "::ffff:168.63.129.16", Err(Metadata));
    judged(&policy("::ffff:168.63.129.16", "", ""), "168.63.129.16", Ok(()));
    // The neighbours are ordinary addresses.
    judged(&AddressPolicy::default(), "168.63.129.17", Ok(()));
    judged(&policy("169.254.0.0/16", "", ""), "169.254.169.253", Ok(()));
}

proptest! {
    #[test]
    fn what_is_denied_is_forbidden_whatever_is_allowed(
        address: u32, length in 0..=32_u8, allow in "(10|172|192|0)\\.0\\.0\\.0/([0-9]|[12][0-9])|::/0",
    ) {
        let address = IpAddr::V4(address.into());
        let policy = policy(&allow, &alloc::format!("{address}/{length}"), "");
        prop_assert_eq!(policy.judge(address), Err(Denied));
    }
}
