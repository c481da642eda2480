use alloc::format;
use alloc::string::{String, ToString};

use proptest::prelude::*;

use super::*;
use ForbiddenDestination::{Address, Host, Port, Scheme};

/// Returns the policy of these texts: schemes, ports and hosts by their settings.
fn policy(setting: DestinationSetting, text: &str) -> DestinationPolicy {
    DestinationPolicy::from_settings(|wanted| (wanted == setting).then_some(text)).unwrap()
}

#[track_caller]
fn judged(policy: &DestinationPolicy, url: &str, expected: Result<(), ForbiddenDestination>) {
    assert_eq!(policy.judge_url(&url.parse().unwrap()), expected, "{url} by {policy:?}");
}

#[test]
fn the_ports_of_system_services_are_forbidden_by_default() {
    let policy = DestinationPolicy::default();
    for (port, expected) in [
        (1, Err(Port)),
        (22, Err(Port)),
        (25, Err(Port)),
        (79, Err(Port)),
        (80, Ok(())),
        (81, Err(Port)),
        (442, Err(Port)),
        (443, Ok(())),
        (444, Err(Port)),
        (1023, Err(Port)),
        (1024, Ok(())),
        (65535, Ok(())),
    ] {
        judged(&policy, &format!("https://client.example:{port}/"), expected);
    }
}

#[test]
fn only_the_listed_ports_are_allowed() {
    let policy = policy(DestinationSetting::Ports, "443, 8000 - 8002 ,25,");
    for (url, expected) in [
        ("https://client.example/", Ok(())),
        ("http://client.example/", Err(Port)),
        ("http://client.example:443/", Ok(())),
        ("http://client.example:7999/", Err(Port)),
        ("http://client.example:8000/", Ok(())),
        ("http://client.example:8002/", Ok(())),
        ("http://client.example:8003/", Err(Port)),
        ("http://client.example:25/", Ok(())),
        ("http://93.184.216.34/", Err(Port)),
    ] {
        judged(&policy, url, expected);
    }
    for (text, expected) in [
        ("", PortRangesError::Empty),
        (" , ", PortRangesError::Empty),
        ("0", PortRangesError::Entry),
        ("0-80", PortRangesError::Entry),
        ("65536", PortRangesError::Entry),
        ("90-80", PortRangesError::Entry),
        ("80-", PortRangesError::Entry),
        ("-80", PortRangesError::Entry),
        ("+80", PortRangesError::Entry),
        ("80-90-100", PortRangesError::Entry),
        ("https", PortRangesError::Entry),
        ("80 443", PortRangesError::Entry),
    ] {
        assert_eq!(text.parse::<PortRanges>(), Err(expected), "{text}");
    }
}

#[test]
fn http_is_forbidden_where_only_https_is_allowed() {
    let policy = policy(DestinationSetting::HttpsOnly, "true");
    judged(&policy, "https://client.example:8080/", Ok(()));
    judged(&policy, "http://client.example/", Err(Scheme));
    judged(&policy, "http://client.example:443/", Err(Scheme));
    for text in ["", "false"] {
        let policy = self::policy(DestinationSetting::HttpsOnly, text);
        judged(&policy, "http://client.example/", Ok(()));
    }
}

#[test]
fn only_the_listed_hosts_are_allowed() {
    let policy = policy(
        DestinationSetting::Hosts,
        "API.one.example, *.Two.example ,93.184.216.34, [2600::1],2600:0::2, ::ffff:93.184.216.35",
    );
    for (url, expected) in [
        ("http://api.one.example/", Ok(())),
        ("http://API.One.Example/", Ok(())),
        ("http://x.api.one.example/", Err(Host)),
        ("http://one.example/", Err(Host)),
        ("http://xapi.one.example/", Err(Host)),
        ("http://a.two.example/", Ok(())),
        ("http://c.b.a.two.example/", Ok(())),
        ("http://two.example/", Err(Host)),
        ("http://a-two.example/", Err(Host)),
        ("http://atwo.example/", Err(Host)),
        ("http://a.two.example.evil.example/", Err(Host)),
        ("http://two.example.evil.example/", Err(Host)),
        ("http://93.184.216.34/", Ok(())),
        ("http://93.184.216.35/", Ok(())),
        ("http://93.184.216.36/", Err(Host)),
        ("http://[2600::1]/", Ok(())),
        ("http://[2600::2]/", Ok(())),
        ("http://[2600::3]/", Err(Host)),
    ] {
        judged(&policy, url, expected);
    }
    // No pattern of names permits a literal address, and a listed address must be public or allowed as well.
    judged(&self::policy(DestinationSetting::Hosts, "*.example"), "http://93.184.216.34/", Err(Host));
    let private = Err(Address(ForbiddenAddress::SpecialPurpose("private use")));
    judged(&self::policy(DestinationSetting::Hosts, "10.0.0.1"), "http://10.0.0.1/", private);
    for (text, expected) in [
        ("", HostPatternsError::Empty),
        (",", HostPatternsError::Empty),
        ("*", HostPatternsError::Entry),
        ("*.", HostPatternsError::Entry),
        ("*.*.example", HostPatternsError::Entry),
        ("a.*.example", HostPatternsError::Entry),
        ("*example", HostPatternsError::Entry),
        ("*.0.0.1", HostPatternsError::Entry),
        ("client.example.", HostPatternsError::Entry),
        ("client.example:443", HostPatternsError::Entry),
        ("https://client.example", HostPatternsError::Entry),
        ("b\u{fc}cher.example", HostPatternsError::Entry),
        ("127.1", HostPatternsError::Entry),
        ("10.0.0.0/8", HostPatternsError::Entry),
        ("[a.example]", HostPatternsError::Entry),
        ("a b", HostPatternsError::Entry),
    ] {
        assert_eq!(text.parse::<HostPatterns>(), Err(expected), "{text}");
    }
}

#[test]
fn a_literal_address_is_judged_with_the_url() {
    let policy = DestinationPolicy::default();
    judged(&policy, "http://[fd00:ec2::254]/", Err(Address(ForbiddenAddress::Metadata)));
    judged(&policy, "http://127.0.0.1:8080/", Err(Address(ForbiddenAddress::SpecialPurpose("loopback"))));
    judged(
        &DestinationPolicy::from(AddressPolicy::allowing("127.0.0.0/8").unwrap()),
        "http://127.0.0.1/",
        Ok(()),
    );
    judged(
        &self::policy(DestinationSetting::Deny, "93.184.216.34"),
        "http://93.184.216.34/",
        Err(Address(ForbiddenAddress::Denied)),
    );
    let translated = self::policy(DestinationSetting::Nat64Prefix, "64:ff9b::/96");
    judged(&translated, "http://[64:ff9b::5db8:d822]/", Ok(()));
    judged(
        &translated,
        "http://[64:ff9b::a00:1]/",
        Err(Address(ForbiddenAddress::SpecialPurpose("private use"))),
    );
}

#[test]
fn every_setting_is_read_from_its_own_text_and_named_when_malformed() {
    for (setting, good, bad) in [
        (DestinationSetting::Allow, "10.0.0.0/8", "10.0.0.0/33"),
        (DestinationSetting::Deny, "10.0.0.0/8", "all"),
        (DestinationSetting::Hosts, "a.example", ","),
        (DestinationSetting::HttpsOnly, "true", "TRUE"),
        (DestinationSetting::Ports, "443", " "),
        (DestinationSetting::Nat64Prefix, "64:ff9b::/96", "64:ff9b::"),
    ] {
        let read = |text: &'static str| {
            DestinationPolicy::from_settings(|wanted| (wanted == setting).then_some(text))
        };
        assert_eq!(read(""), Ok(DestinationPolicy::default()), "{setting:?}");
        assert_ne!(read(good), Ok(DestinationPolicy::default()), "{setting:?}");
        let error = read(bad).unwrap_err();
        assert_eq!(error.setting(), setting);
        assert!(!error.to_string().is_empty() && !error.to_string().ends_with('.'), "{error}");
    }
}

proptest! {
    #[test]
    fn lists_are_parsed_as_they_are_displayed(
        ports in prop::collection::vec((1..=u16::MAX, 1..=u16::MAX), 1..4),
        hosts in prop::collection::vec("(\\*\\.)?[a-z]{1,5}\\.[a-z]{1,5}|10\\.0\\.0\\.[1-9]|2600::[1-9]", 1..4),
    ) {
        let ports = ports.into_iter().map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))).collect::<alloc::vec::Vec<_>>();
        let ports: PortRanges = ports.join(",").parse().unwrap();
        prop_assert_eq!(ports.to_string().parse(), Ok(ports));
        let hosts: HostPatterns = hosts.join(", ").parse().unwrap();
        prop_assert_eq!(hosts.to_string().parse(), Ok(hosts));
    }

    #[test]
    fn no_list_panics(text: String) {
        let _ = text.parse::<PortRanges>();
        let _ = text.parse::<HostPatterns>();
    }

    #[test]
    fn a_pattern_permits_exactly_the_names_below_it(labels in "([a-z0-9]{1,3}\\.){0,3}", other in "[a-z]{1,3}") {
        let patterns: HostPatterns = "*.client.example".parse().unwrap();
        let permits = |name: &str| {
            let url: CallbackUrl = format!("http://{name}/").parse().unwrap();
            patterns.permit(url.host())
        };
        prop_assert_eq!(permits(&format!("{labels}client.example")), !labels.is_empty());
        prop_assert!(!permits(&format!("{labels}{other}client.example")), "{labels}{other}");
        let after = format!("{labels}client.example.{other}");
        prop_assert!(!permits(&after), "{after}");
    }
}
