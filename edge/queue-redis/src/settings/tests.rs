use super::*;

fn read(variables: &[(&str, &str)]) -> Result<RedisQueueSettings, ComponentSettingsError> {
    assert!(variables.iter().all(|(name, _)| RedisQueueSettings::VARIABLES.contains(name)), "{variables:?}");
    let server = ("queue_url", "redis://127.0.0.1:6379");
    let found = |name: &str| variables.iter().chain([&server]).find(|(known, _)| *known == name);
    RedisQueueSettings::read(|name| found(name).map(|(_, value)| (*value).to_owned()))
}

#[track_caller]
fn check_url(variables: &[(&str, &str)], expected: &str) {
    assert_eq!(read(variables).unwrap().url, expected);
}

#[test]
fn the_url_is_built_from_its_variables() {
    check_url(&[], "redis://127.0.0.1:6379/0");
    check_url(&[("queue_url", "rediss://r.example:1/"), ("queue_database", "3")], "rediss://r.example:1/3");
    check_url(&[("queue_url", "redis://[::1]:6379")], "redis://[::1]:6379/0");
    check_url(&[("queue_password", "p@/:ü")], "redis://:p%40%2F%3A%C3%BC@127.0.0.1:6379/0");
    check_url(&[("queue_username", "u%"), ("queue_password", "p")], "redis://u%25:p@127.0.0.1:6379/0");
}

#[test]
fn a_url_with_more_than_a_server_is_refused() {
    for url in [
        "127.0.0.1:6379",
        "http://h:1",
        "redis://",
        "redis://u:p@h:1",
        "redis://h:1/2",
        "redis://h:1?a",
        "redis://h :1",
    ] {
        let error = read(&[("queue_url", url)]).unwrap_err();
        assert!(error.to_string().starts_with("queue_url must be"), "{url}: {error}");
    }
    assert_eq!(RedisQueueSettings::read(|_| None), Err(ComponentSettingsError("queue_url is not set")));
}

#[test]
fn numbers_outside_their_range_are_refused() {
    for (name, least, most) in [
        ("queue_database", 0_u64, 65_535),
        ("queue_limit", 1, u64::from(u32::MAX)),
        ("queue_timeout_ms", 1, 60_000),
        ("queue_waitaof_ms", 0, 1_499),
    ] {
        for (value, fits) in [
            (least.to_string(), true),
            (most.to_string(), true),
            (least.wrapping_sub(1).to_string(), false),
            ((most + 1).to_string(), false),
            ("-1".into(), false),
            ("1s".into(), false),
        ] {
            match read(&[(name, &value)]) {
                Ok(_) => assert!(fits, "{name}={value}"),
                Err(error) => {
                    assert!(!fits && error.to_string().starts_with(name), "{name}={value}: {error}");
                }
            }
        }
    }
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let empty = RedisQueueSettings::VARIABLES
        .iter()
        .map(|name| (*name, if *name == "queue_url" { "redis://127.0.0.1:6379" } else { "" }));
    assert_eq!(read(&empty.collect::<Vec<_>>()), read(&[]));
}

#[test]
fn debug_output_contains_no_password() {
    let settings = read(&[("queue_password", "secret")]).unwrap();
    assert!(!format!("{settings:?}").contains("secret"));
}

#[test]
fn conflicting_and_malformed_settings_are_named() {
    for (variables, error) in [
        ([("queue_prefix", "a{b")].as_slice(), "queue_prefix must not contain braces"),
        (&[("queue_username", "u")], "queue_username needs queue_password"),
        (
            &[("queue_timeout_ms", "500"), ("queue_waitaof_ms", "500")],
            "queue_waitaof_ms must be less than queue_timeout_ms",
        ),
    ] {
        assert_eq!(read(variables), Err(ComponentSettingsError(error)));
    }
}
