use alloc::format;
use alloc::string::String;

use proptest::prelude::*;

use super::*;

const STATION: &str = "123e4567-e89b-12d3-a456-426614174000";
const TOKEN: &str = "driver-allowed-0000000001";

fn parse(body: &str) -> Result<SessionRequest, RequestRejection> {
    SessionRequest::parse(body.as_bytes(), &DestinationPolicy::default())
}

#[track_caller]
fn check(body: &str, expected: &[(&str, &str)]) {
    let Err(RequestRejection::Invalid(errors)) = parse(body) else {
        panic!("{body} was not rejected for its fields")
    };
    let found: Vec<_> = errors.iter().map(|error| (error.pointer, error.code.as_str())).collect();
    assert_eq!(found, expected, "{body}");
}

#[test]
fn a_valid_body_is_parsed_and_members_with_other_names_are_ignored() {
    let body = format!(
        r#" {{"x":[{{}}],"driver_token":"{TOKEN}","station_id":"{STATION}","callback_url":"https://a.example\/cb"}} "#
    );
    let request = parse(&body).unwrap();
    assert_eq!(request.station_id.as_str(), STATION);
    assert_eq!(request.driver_token.as_str(), TOKEN);
    assert_eq!(request.callback_url.as_str(), "https://a.example/cb");
}

#[test]
fn every_invalid_field_is_reported_at_once() {
    check("{}", &[("/station_id", "required"), ("/driver_token", "required"), ("/callback_url", "required")]);
    check(
        r#"{"station_id":1,"driver_token":null,"callback_url":["x"]}"#,
        &[
            ("/station_id", "not_a_string"),
            ("/driver_token", "not_a_string"),
            ("/callback_url", "not_a_string"),
        ],
    );
    check(
        r#"{"station_id":"x","driver_token":"validDriverToken123","callback_url":"http://10.0.0.1/"}"#,
        &[("/station_id", "not_a_uuid"), ("/driver_token", "length"), ("/callback_url", "forbidden_address")],
    );
    check(
        &format!(
            r#"{{"station_id":"{STATION}","station_id":"{STATION}","driver_token":"{TOKEN}","callback_url":"ftp://x"}}"#
        ),
        &[("/station_id", "repeated"), ("/callback_url", "scheme")],
    );
    check("[]", &[("", "not_an_object")]);
    check("null", &[("", "not_an_object")]);
}

#[test]
fn a_body_that_is_not_json_is_rejected_as_such() {
    for body in ["", " ", "{", "{}x", "nul", "{'a':1}", "{\"a\":\"\u{0}\"}", "{\"a\":1,}"] {
        assert_eq!(parse(body), Err(RequestRejection::NotJson), "{body:?}");
    }
    assert_eq!(
        SessionRequest::parse(b"{\"a\":\"\xff\"}", &DestinationPolicy::default()),
        Err(RequestRejection::NotJson)
    );
    assert_eq!(parse(&"[".repeat(100)), Err(RequestRejection::TooDeep));
}

#[test]
fn a_literal_address_has_one_form_and_is_public() {
    for (host, code) in [
        ("[::ffff:127.0.0.1]", "address"),
        ("[::ffff:7f00:1]", "address"),
        ("[0:0:0:0:0:0:0:1]", "address"),
        ("[::1]", "forbidden_address"),
        ("127.0.0.1", "forbidden_address"),
    ] {
        let body = format!(
            r#"{{"station_id":"{STATION}","driver_token":"{TOKEN}","callback_url":"http://{host}/"}}"#
        );
        check(&body, &[("/callback_url", code)]);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(body: Vec<u8>, text: String) {
        let _ = SessionRequest::parse(&body, &DestinationPolicy::default());
        let _ = parse(&format!(r#"{{"station_id":"{text}","driver_token":"{text}","callback_url":"http://{text}"}}"#));
    }
}
