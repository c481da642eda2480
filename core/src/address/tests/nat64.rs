//! Addresses of a NAT64 translator.

use alloc::format;
use alloc::string::{String, ToString};

use super::*;

/// The network-specific prefixes of RFC 6052 section 2.4.
const PREFIXES: [&str; 6] = [
    "2001:db8::/32",
    "2001:db8:100::/40",
    "2001:db8:122::/48",
    "2001:db8:122:300::/56",
    "2001:db8:122:344::/64",
    "2001:db8:122:344::/96",
];

/// Embeds an address, octet by octet as in the table of RFC 6052 section 2.2.
fn embed(prefix: &str, address: Ipv4Addr) -> Ipv6Addr {
    let (start, length) = prefix.split_once('/').unwrap();
    let mut octets = start.parse::<Ipv6Addr>().unwrap().octets();
    let mut place = length.parse::<usize>().unwrap() / 8;
    for octet in address.octets() {
        if place == 8 {
            place += 1;
        }
        octets[place] = octet;
        place += 1;
    }
    octets.into()
}

#[test]
fn the_examples_of_rfc_6052_are_read() {
    for (prefix, address) in PREFIXES.into_iter().zip([
        "2001:db8:c000:221::",
        "2001:db8:1c0:2:21::",
        "2001:db8:122:c000:2:2100::",
        "2001:db8:122:3c0:0:221::",
        "2001:db8:122:344:c0:2:2100::",
        "2001:db8:122:344::192.0.2.33",
    ]) {
        let address: Ipv6Addr = address.parse().unwrap();
        let parsed: Nat64Prefix = prefix.parse().unwrap();
        assert_eq!(parsed.embedded(address), Some([192, 0, 2, 33].into()), "{prefix}");
        assert_eq!(embed(prefix, [192, 0, 2, 33].into()), address, "{prefix}");
        assert_eq!(parsed.to_string(), prefix);
    }
    let well_known: Nat64Prefix = "64:ff9b::/96".parse().unwrap();
    assert_eq!(well_known, Nat64Prefix::WELL_KNOWN);
    assert_eq!(well_known.embedded("64:ff9b::192.0.2.33".parse().unwrap()), Some([192, 0, 2, 33].into()));
    assert_eq!(well_known.embedded("64:ff9b::1:0:0".parse().unwrap()), None);
}

#[test]
fn a_prefix_that_rfc_6052_does_not_permit_is_refused() {
    use Nat64PrefixError::{Address, Bits, Length};
    for (text, expected) in [
        ("", Address),
        ("64:ff9b", Address),
        ("10.0.0.0/32", Address),
        ("::ffff:0:0/96", Address),
        ("64:ff9b::", Length),
        ("64:ff9b::/0", Length),
        ("64:ff9b::/95", Length),
        ("64:ff9b::/97", Length),
        ("64:ff9b::/128", Length),
        ("64:ff9b::/129", Length),
        ("64:ff9b::/", Length),
        ("64:ff9b::1/96", Bits),
        ("2001:db8:1::/32", Bits),
        ("2001:db8:122:344:ff00::/96", Bits),
    ] {
        assert_eq!(text.parse::<Nat64Prefix>(), Err(expected), "{text}");
    }
}

#[test]
fn a_translated_address_is_judged_as_the_embedded_one() {
    for prefix in PREFIXES.into_iter().chain(["64:ff9b::/96", "64:ff9b:1::/48"]) {
        let check = |allow: &str, deny: &str, embedded: &str, expected: Result<(), ForbiddenAddress>| {
            let address = embed(prefix, embedded.parse().unwrap()).to_string();
            judged(&policy(allow, deny, prefix), &address, expected);
        };
        check("", "", "93.184.216.34", Ok(()));
        check("", "", "10.1.2.3", Err(SpecialPurpose("private use")));
        check("", "", "127.0.0.1", Err(SpecialPurpose("loopback")));
        check("", "", "169.254.169.254", Err(Metadata));
        check("", "", "168.63.129.16", Err(Metadata));
        // Only a network of IPv4 opens the network behind the translator.
        for allow in [prefix, "::/0"] {
            check(allow, "", "93.184.216.34", Ok(()));
            check(allow, "", "10.1.2.3", Err(SpecialPurpose("private use")));
            check(allow, "", "169.254.169.254", Err(Metadata));
        }
        check("10.1.0.0/16", "", "10.1.2.3", Ok(()));
        check("10.1.0.0/16", "", "10.2.2.3", Err(SpecialPurpose("private use")));
        check("169.254.169.254", "", "169.254.169.254", Ok(()));
        // Both addresses can be denied.
        check("", "93.184.216.0/24", "93.184.216.34", Err(Denied));
        check("", prefix, "93.184.216.34", Err(Denied));
        check("10.0.0.0/8", prefix, "10.1.2.3", Err(Denied));
    }
}

#[test]
fn without_the_setting_translated_addresses_are_forbidden() {
    for (allow, address, expected) in [
        ("", "64:ff9b::5db8:d822", Err(SpecialPurpose("NAT64"))),
        ("", "64:ff9b:1::1", Err(SpecialPurpose("NAT64"))),
        // An allowed network does not open what the well-known prefix leads to.
        ("64:ff9b::/96", "64:ff9b::5db8:d822", Ok(())),
        ("64:ff9b::/96", "64:ff9b::a01:203", Err(SpecialPurpose("private use"))),
        ("::/0, 0.0.0.0/0", "64:ff9b::a9fe:a9fe", Err(Metadata)),
        ("::/0, 10.0.0.0/8", "64:ff9b::a01:203", Ok(())),
    ] {
        judged(&policy(allow, "", ""), address, expected);
    }
    // Another prefix changes nothing for the well-known one.
    judged(&policy("", "", "2001:db8:122::/48"), "64:ff9b::5db8:d822", Err(SpecialPurpose("NAT64")));
}

proptest! {
    #[test]
    fn an_address_is_judged_alike_with_and_without_translation(
        address: u32, n in 0..PREFIXES.len(), allow in prop::sample::select(&["10.0.0.0/8", "100.64.0.0/10", "::/0", ""][..]), octet: u8,
    ) {
        let (address, prefix) = (Ipv4Addr::from(address), PREFIXES[n]);
        let policy = policy(allow, "", prefix);
        let mut translated = embed(prefix, address);
        prop_assert_eq!(policy.judge(translated.into()), policy.judge(address.into()));
        // The reserved octet carries nothing.
        if n < 5 {
            let mut octets = translated.octets();
            octets[8] = octet;
            translated = octets.into();
            prop_assert_eq!(policy.judge(translated.into()), policy.judge(address.into()));
        }
        let parsed: Nat64Prefix = prefix.parse().unwrap();
        prop_assert_eq!(format!("{parsed}").parse(), Ok(parsed));
    }

    #[test]
    fn no_prefix_panics(text: String, length: u8, address: u128) {
        let _ = text.parse::<Nat64Prefix>();
        let address = Ipv6Addr::from(address);
        if let Ok(prefix) = format!("{address}/{length}").parse::<Nat64Prefix>() {
            prop_assert!(prefix.embedded(address).is_some());
        }
    }
}
