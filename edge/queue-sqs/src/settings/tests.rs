use super::*;

const VALID: [(&str, &str); 4] = [
    ("queue_url", "https://sqs.eu-central-1.amazonaws.com"),
    ("queue_path", "/123456789012/chargegate"),
    ("aws_access_key_id", "AKIDEXAMPLE"),
    ("aws_secret_access_key", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
];

fn read(variables: &[(&str, &str)]) -> Result<SqsQueueSettings, ComponentSettingsError> {
    assert!(variables.iter().all(|(name, _)| SqsQueueSettings::VARIABLES.contains(name)), "{variables:?}");
    let found = |name: &str| variables.iter().chain(&VALID).find(|(known, _)| *known == name);
    SqsQueueSettings::read(|name| found(name).map(|(_, value)| (*value).to_owned()))
}

#[track_caller]
fn check(variables: &[(&str, &str)], host: &str, queue_url: &str, region: &str) {
    let settings = read(variables).unwrap();
    assert_eq!((&*settings.host, &*settings.queue_url, &*settings.region), (host, queue_url, region));
}

#[track_caller]
fn check_refused(variable: (&str, &str), names: &str) {
    let error = read(&[variable]).unwrap_err().to_string();
    assert!(error.starts_with(names), "{variable:?}: {error}");
}

#[test]
fn the_host_names_the_region_if_it_is_amazons() {
    let host = "sqs.eu-central-1.amazonaws.com";
    let queue = format!("https://{host}/123456789012/chargegate");
    check(&[], host, &queue, "eu-central-1");
    check(&[("aws_region", "us-east-1")], host, &queue, "us-east-1");
    let compatible = [("queue_url", "http://127.0.0.1:9324/"), ("aws_region", "r-1")];
    check(&compatible, "127.0.0.1:9324", "http://127.0.0.1:9324/123456789012/chargegate", "r-1");
    check_refused(("queue_url", "http://127.0.0.1:9324"), "aws_region is not set");
}

#[test]
fn the_host_omits_the_default_port() {
    for (url, host) in [
        ("https://H.example:443", "h.example"),
        ("https://h:8443/", "h:8443"),
        ("http://h:80", "h"),
        ("http://h:443", "h:443"),
        ("http://[::1]:7", "[::1]:7"),
    ] {
        let settings = read(&[("queue_url", url), ("aws_region", "r")]).unwrap();
        assert_eq!(settings.host, host, "{url}");
    }
}

#[test]
fn a_url_with_more_than_a_server_is_refused() {
    for url in [
        "sqs.eu-central-1.amazonaws.com",
        "redis://127.0.0.1:6379",
        "https://",
        "https://:443",
        "https://user:secret@h",
        "https://h/123456789012/chargegate",
        "https://h?a",
        "https://h#a",
        "https://h h",
    ] {
        check_refused(("queue_url", url), "queue_url must be");
    }
    check_refused(("queue_url", ""), "queue_url is not set");
}

#[test]
fn only_a_standard_queue_is_accepted() {
    for path in ["chargegate", "/chargegate", "/1/", "//q", "/1/q/", "/1/q.x", "/1/q?", "/1/q q"] {
        check_refused(("queue_path", path), "queue_path must be");
    }
    check_refused(("queue_path", "/123456789012/q.fifo"), "queue_path names a FIFO queue");
    check_refused(("queue_path", ""), "queue_path is not set");
    let longest = format!("/1/{}", "q".repeat(80));
    assert!(read(&[("queue_path", &longest)]).is_ok());
    check_refused(("queue_path", &format!("{longest}q")), "queue_path must be");
}

#[test]
fn missing_and_malformed_credentials_are_refused() {
    for name in ["aws_access_key_id", "aws_secret_access_key"] {
        check_refused((name, ""), &format!("{name} is not set"));
        check_refused((name, "key\n"), &format!("{name} contains an invalid character"));
    }
    check_refused(("aws_session_token", "token\n"), "aws_session_token contains an invalid character");
    check_refused(("aws_region", "eu central"), "aws_region must be");
}

#[test]
fn a_time_limit_outside_its_range_is_refused() {
    for (value, fits) in [("0", false), ("1", true), ("60000", true), ("60001", false), ("1s", false)] {
        assert_eq!(read(&[("queue_timeout_ms", value)]).is_ok(), fits, "{value}");
    }
    assert_eq!(read(&[("queue_timeout_ms", "")]).unwrap().timeout, Duration::from_millis(1_500));
}

#[test]
fn debug_output_contains_no_key() {
    let settings = read(&[("aws_session_token", "token")]).unwrap();
    let printed = format!("{settings:?}");
    assert!(printed.contains("chargegate"), "{printed}");
    for secret in ["AKID", "wJalr", "token"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
