use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use CallbackUrlError::{
    Address, Character, Credentials, DotSegment, Fragment, Host as BadHost, Port, Scheme as BadScheme,
    TooLong,
};

#[track_caller]
fn refused(text: &str, expected: CallbackUrlError) {
    assert_eq!(text.parse::<CallbackUrl>(), Err(expected), "{text}");
}

#[track_caller]
fn check(text: &str, host: CallbackHost<'_>, port: u16, target: &str) {
    let url: CallbackUrl = text.parse().unwrap();
    assert_eq!((url.host(), url.port(), url.target().to_string().as_str()), (host, port, target), "{text}");
}

#[test]
fn a_url_is_split_into_host_port_and_target() {
    check("https://example.com/cb", CallbackHost::Name("example.com"), 443, "/cb");
    check("http://example.com", CallbackHost::Name("example.com"), 80, "/");
    check("http://example.com?a=b", CallbackHost::Name("example.com"), 80, "/?a=b");
    check(
        "HTTPS://Example.COM:8443/Path?Query=%7E",
        CallbackHost::Name("example.com"),
        8443,
        "/Path?Query=%7E",
    );
    check("http://127.0.0.1:3003/", CallbackHost::Address(Ipv4Addr::LOCALHOST.into()), 3003, "/");
    check("http://[::1]:1/x", CallbackHost::Address(Ipv6Addr::LOCALHOST.into()), 1, "/x");
    check("http://[2600::ABcd]/", CallbackHost::Address("2600::abcd".parse().unwrap()), 80, "/");
    check("http://[2600:0:0:1::1]/", CallbackHost::Address("2600:0:0:1::1".parse().unwrap()), 80, "/");
    check("http://my_host/", CallbackHost::Name("my_host"), 80, "/");
    check("http://xn--bcher-kva.example/", CallbackHost::Name("xn--bcher-kva.example"), 80, "/");
    let url: CallbackUrl = "http://[::1]:8080/x".parse().unwrap();
    assert_eq!((url.host_str(), url.authority()), ("[::1]", "[::1]:8080"));
}

#[test]
fn an_invalid_url_is_refused_with_the_reason() {
    for text in [
        "",
        "example.com/cb",
        "//example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "javascript:1",
        "http:/example.com",
        " http://example.com",
        "http:\\\\example.com",
    ] {
        refused(text, BadScheme);
    }
    refused("http://user@example.com/", Credentials);
    refused("http://user:pass@example.com/", Credentials);
    refused("http://example.com:80@127.0.0.1/", Credentials);
    refused("http://example.com/#part", Fragment);
    refused("http://example.com#", Fragment);
    for host in [
        "",
        "-a.example",
        "a-.example",
        "a..b",
        ".a",
        "example.com.",
        "ex ample.com",
        "b\u{fc}cher.example",
        "a%41.example",
        "[::1]x",
        "a\tb",
        "a,b",
        "a*b",
    ] {
        refused(&format!("http://{host}/"), BadHost);
    }
    for host in [
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "127.1",
        "127.0.0.01",
        "256.0.0.1",
        "1.2.3.4.5",
        "0x7f000001",
        "a.0x",
        "a.1",
        "[::1",
        "[1.2.3.4]",
        "[fe80::1%25eth0]",
        "[v1.a]",
        "[2600::1 ]",
    ] {
        refused(&format!("http://{host}/"), Address);
    }
    for port in ["", "0", "080", "65536", "+80", "8o", "-1", "99999999999"] {
        refused(&format!("http://example.com:{port}/"), Port);
    }
    for path in [
        "/\u{e9}",
        "/a b",
        "/%",
        "/%4",
        "/%zz",
        "/a\"b",
        "/<",
        "/^",
        "/`",
        "/{}",
        "/|",
        "\\",
        "/a\\b",
        "/\n",
        "/?'",
        "/?%f",
        "/?\"",
        "/[",
        "/%\u{e9}a",
    ] {
        refused(&format!("http://example.com{path}"), Character);
    }
    for path in ["/.", "/..", "/a/../b", "/a/./", "/%2e", "/%2E%2e/x", "/.%2e"] {
        refused(&format!("http://example.com{path}"), DotSegment);
    }
}

/// Returns the code spans of a table cell.
fn code_spans(cell: &str) -> Vec<String> {
    let mut spans = Vec::new();
    let mut rest = cell;
    while let Some(start) = rest.find('`') {
        let opened = &rest[start..];
        let fence: String = opened.chars().take_while(|character| *character == '`').collect();
        let (span, tail) = opened[fence.len()..].split_once(fence.as_str()).unwrap();
        // A span that contains a backtick is padded with spaces; a pipe is escaped in a table.
        spans.push(if fence.len() > 1 { span.trim() } else { span }.replace('\u{1}', "|"));
        rest = tail;
    }
    spans
}

#[test]
fn a_literal_in_another_form_is_read_but_refused_in_a_request() {
    for (literal, address) in [
        ("2600:0:0:0:0:0:0:1", "2600::1"),
        ("2600::0:1", "2600::1"),
        ("2600:0000::0001", "2600::1"),
        ("2600::0001", "2600::1"),
        ("2600:0:0:1:0:0:0:1", "2600:0:0:1::1"),
        ("2600::1:2:3:4:5:6", "2600:0:1:2:3:4:5:6"),
        ("::1.2.3.4", "::1.2.3.4"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("::ffff:808:808", "8.8.8.8"),
        ("::FFFF:8.8.8.8", "8.8.8.8"),
        ("64:ff9b::8.8.8.8", "64:ff9b::808:808"),
    ] {
        let text = format!("http://[{literal}]/");
        let url: CallbackUrl = text.parse().unwrap();
        assert_eq!(url.host(), CallbackHost::Address(address.parse().unwrap()), "{literal}");
        assert_eq!(CallbackUrl::from_request(&text), Err(Address), "{literal}");
    }
}

#[test]
fn every_refused_form_of_the_documentation_has_an_accepted_alternative() {
    let page = include_str!("../../../docs/api.md");
    let (_, table) = page.split_once("| part | instead of | write | code of the 422 |").unwrap();
    let mut forms = 0;
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let row = row.replace("\\|", "\u{1}");
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let ["", part, refused_forms, alternatives, code, ""] = cells[..] else { panic!("{row}") };
        let (refused_forms, alternatives) = (code_spans(refused_forms), code_spans(alternatives));
        let expected = match code {
            "`character`" => Character,
            "`host`" => BadHost,
            "`address`" => Address,
            "`port`" => Port,
            _ => panic!("{code}"),
        };
        let places: &[fn(&str) -> String] = match part {
            "path or query" => &[
                |text| format!("https://client.example/a{text}b"),
                |text| format!("https://client.example/?a={text}b"),
            ],
            "query" => &[|text| format!("https://client.example/?a={text}b")],
            "host" | "port" => &[|text| format!("https://{text}/")],
            _ => panic!("{part}"),
        };
        assert_eq!(refused_forms.len(), alternatives.len(), "{row}");
        for (form, alternative) in refused_forms.iter().zip(&alternatives) {
            for place in places {
                assert_eq!(CallbackUrl::from_request(&place(form)), Err(expected), "{form}");
                assert!(CallbackUrl::from_request(&place(alternative)).is_ok(), "{alternative}");
            }
            // A percent-encoded form is that of the same text.
            if let Some(first) = alternative.strip_prefix('%') {
                let octets = first.split('%').map(|hex| u8::from_str_radix(hex, 16).unwrap());
                assert_eq!(octets.collect::<Vec<_>>(), form.as_bytes(), "{form}");
            }
            forms += 1;
        }
    }
    assert_eq!(forms, 20);
}

#[test]
fn the_longest_url_has_2048_bytes() {
    let fill = |length: usize| format!("http://example.com/{}", "a".repeat(length - 19));
    assert!(fill(2048).parse::<CallbackUrl>().is_ok());
    refused(&fill(2049), TooLong);
    let label = "a".repeat(63);
    assert!(format!("http://{label}/").parse::<CallbackUrl>().is_ok());
    refused(&format!("http://{label}a/"), BadHost);
    let long = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert!(format!("http://{long}/").parse::<CallbackUrl>().is_ok());
    refused(&format!("http://{long}a/"), BadHost);
}

#[test]
fn debug_shows_only_the_host() {
    let url: CallbackUrl = "https://example.com/secret?key=hidden".parse().unwrap();
    assert_eq!(format!("{url:?}"), "CallbackUrl(example.com, ..)");
}

/// URLs close to the limits of the grammar: mostly valid, with pieces on which URL parsers disagree.
fn near_urls() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z0-9-_.~%]{0,6}",
        1 => Just("xn--bcher-kva".into()),
        1 => Just("127.0.0.1".into()), 1 => Just("0x7f".into()), 1 => Just("[::ffff:1.2.3.4]".into()),
        1 => Just("..".into()), 1 => Just("%2e".into()), 1 => Just("%41".into()),
        2 => "[:/?#@\\[\\]'!$&()*+,;=|^\\\\ A-Z\u{e9}]{1,2}",
    ];
    let host = prop_oneof![
        6 => "[a-zA-Z0-9]([a-z0-9_-]{0,4}[a-z0-9])?(\\.[a-z0-9]{1,3}){0,3}",
        2 => any::<Ipv4Addr>().prop_map(|ip| ip.to_string()),
        2 => any::<Ipv6Addr>().prop_map(|ip| format!("[{ip}]")),
        2 => proptest::collection::vec("0{0,4}|[1-9A-F]0?", 8).prop_map(|groups| format!("[{}]", groups.join(":"))),
        2 => "[1-9a-f:0]{2,12}".prop_map(|text| format!("[{text}]")),
        2 => piece.clone(),
    ];
    let port =
        prop_oneof![4 => Just(String::new()), 2 => (0..70_000_u32).prop_map(|port| format!(":{port}"))];
    let scheme =
        prop_oneof![8 => Just("http://"), 8 => Just("HTTPS://"), 1 => Just("http:"), 1 => Just("ftp://")];
    (scheme, host, port, proptest::collection::vec(piece, 0..6)).prop_map(|(scheme, host, port, rest)| {
        let slash = if rest.is_empty() { "" } else { "/" };
        format!("{scheme}{host}{port}{slash}{}", rest.concat())
    })
}

/// A URL that core accepts has the same host, port, path and query for the `url` crate. The only URL that `url` may
/// refuse has an A-label that does not decode to a valid name: such a host is passed to a resolver unchanged.
fn agrees_with_the_url_crate(text: &str) -> Result<(), TestCaseError> {
    let Ok(ours) = text.parse::<CallbackUrl>() else { return Ok(()) };
    let theirs = match url::Url::parse(text) {
        Ok(theirs) => theirs,
        Err(_) if ours.host_str().contains("xn--") => return Ok(()),
        Err(error) => return Err(TestCaseError::fail(format!("{text}: {error}"))),
    };
    prop_assert_eq!(theirs.scheme() == "https", ours.scheme() == CallbackScheme::Https);
    let same_host = match (ours.host(), theirs.host()) {
        (CallbackHost::Name(ours), Some(url::Host::Domain(theirs))) => ours == theirs,
        (CallbackHost::Address(ours), Some(url::Host::Ipv4(theirs))) => ours == theirs,
        (CallbackHost::Address(ours), Some(url::Host::Ipv6(theirs))) => ours == theirs.to_canonical(),
        _ => false,
    };
    prop_assert!(same_host, "{text}");
    // A request has the one form of a literal address, so that a text comparison of hosts is one of addresses.
    if CallbackUrl::from_request(text).is_ok() {
        prop_assert_eq!(Some(ours.host_str()), theirs.host_str());
    }
    prop_assert_eq!(Some(ours.port()), theirs.port_or_known_default());
    let target = theirs.query().map_or(theirs.path().into(), |query| format!("{}?{query}", theirs.path()));
    prop_assert_eq!(ours.target().to_string(), target);
    prop_assert!(theirs.username().is_empty() && theirs.password().is_none() && theirs.fragment().is_none());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn near_urls_are_parsed_like_the_url_crate_parses_them(text in near_urls()) {
        agrees_with_the_url_crate(&text)?;
    }

    #[test]
    fn any_text_is_parsed_like_the_url_crate_parses_it(rest in "\\PC{0,40}") {
        agrees_with_the_url_crate(&rest)?;
        agrees_with_the_url_crate(&format!("http://{rest}"))?;
    }

    #[test]
    fn an_ipv6_literal_of_a_request_is_accepted_as_the_standard_library_writes_it(
        segments in prop::array::uniform8(prop_oneof![Just(0_u16), Just(0_u16), Just(1), Just(0xffff), any::<u16>()]),
        groups in prop::collection::vec("0{0,2}|[1-9A-F]0?", 2..8),
    ) {
        let address = Ipv6Addr::from(segments);
        let written = format!("http://[{address}]/");
        prop_assert!(written.parse::<CallbackUrl>().is_ok());
        prop_assert_eq!(CallbackUrl::from_request(&written).is_ok(), address.to_ipv4_mapped().is_none());
        let literal = groups.join(":");
        let standard = literal.parse::<Ipv6Addr>().is_ok_and(|address| {
            address.to_ipv4_mapped().is_none() && address.to_string().eq_ignore_ascii_case(&literal)
        });
        let written = format!("http://[{literal}]/");
        prop_assert_eq!(written.parse::<CallbackUrl>().is_ok(), literal.parse::<Ipv6Addr>().is_ok(), "{}", literal);
        prop_assert_eq!(CallbackUrl::from_request(&written).is_ok(), standard, "{}", literal);
    }

    #[test]
    fn an_accepted_url_parses_again_to_itself(text in near_urls()) {
        if let Ok(url) = text.parse::<CallbackUrl>() {
            prop_assert_eq!(url.as_str().parse::<CallbackUrl>(), Ok(url.clone()));
        }
    }
}
