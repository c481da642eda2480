use super::*;

#[track_caller]
fn check(address: &str, expected: Option<&str>) {
    let judged = AddressPolicy::default().judge(address.parse().unwrap());
    assert_eq!(judged.err().map(|forbidden| forbidden.range), expected, "{address}");
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
