//! Profiles: their format, their requests and their readings.

use chargegate_core::{DecisionStatus, DriverToken, StationId, Traceparent};
use proptest::prelude::*;

use super::json::{JsonPointer, JsonTree};
use super::{AclProfile, AnswerMeaning, CredentialTemplate, RequestValues, ResponseView};

const REQUEST: &str = "[request]\nmethod = \"GET\"\npath = \"/\"\n";
const ANSWER: &str = "[[answer]]\nstatus = 200\nresult = \"allowed\"\n";

fn trace() -> Traceparent {
    Traceparent::new([7; 16], [9; 8])
}

fn values<'a>(driver_token: &'a str, traceparent: &'a Traceparent) -> RequestValues<'a> {
    RequestValues { driver_token, station_id: "station-1", traceparent }
}

/// Reads a response with a JSON body.
fn read(profile: &AclProfile, status: u16, body: &str) -> Option<AnswerMeaning> {
    let response = ResponseView { status, media_type: "application/json", body: Some(body.as_bytes()) };
    profile.read(response, &mut |_| ())
}

#[test]
fn every_built_in_profile_is_valid() {
    for name in AclProfile::BUILT_IN {
        assert!(AclProfile::built_in(name).is_some(), "{name}");
    }
    assert!(AclProfile::built_in("else").is_none());
    assert_eq!(CredentialTemplate::bearer().value("x").unwrap(), "Bearer x");
    let key = CredentialTemplate::api_key(http::HeaderName::from_static("x-key"));
    assert_eq!(key.value("x").unwrap(), "x");
    assert_eq!(key.value("a\nb"), None);
}

#[test]
fn the_profile_of_the_documentation_is_valid() {
    let page = include_str!("../../../../docs/authorization-service.md");
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let profile = AclProfile::parse(example).unwrap();
    let meaning = read(&profile, 200, r#"{"version":2,"result":{"code":"GONE"}}"#);
    assert_eq!(meaning, Some(AnswerMeaning::Decided(DecisionStatus::Invalid)));
}

#[test]
fn the_default_profile_sends_the_same_body_as_the_core() {
    let token: DriverToken = "driver-token-0000000001".parse().unwrap();
    let station: StationId = "123e4567-e89b-12d3-a456-426614174000".parse().unwrap();
    let (driver_token, station_id) = (token.as_str(), station.as_str());
    let values = RequestValues { driver_token, station_id, traceparent: &trace() };
    let request = AclProfile::built_in("chargegate").unwrap().request(&values);
    assert_eq!(request.body.unwrap(), chargegate_core::authorization_body(&station, &token));
}

#[test]
fn values_are_placed_in_path_headers_and_body() {
    let profile = AclProfile::parse(&format!(
        "[request]\nmethod = \"PUT\"\npath = \"/t/{{driver_token}}?s={{station_id}}&b=1\"\n\
         body = '[1, -2.5, null, true, {{\"{{literal}}\": \"{{driver_token}} {{{{x}}}}\"}}]'\n\
         [request.headers]\nX-Token = \"t={{driver_token}}\"\nuser-agent = \"me\"\n{ANSWER}"
    ))
    .unwrap();
    let trace = trace();
    let request = profile.request(&values("a/b \"c\\", &trace));
    assert_eq!(request.method, "PUT");
    assert_eq!(request.path, "/t/a%2Fb%20%22c%5C?s=station-1&b=1");
    assert_eq!(request.body.unwrap(), r#"[1,-2.5,null,true,{"{literal}":"a/b \"c\\ {x}"}]"#);
    let header = |name: &str| {
        let mut found = request.headers.iter().filter(|(header, _)| header == name);
        let value = found.next().map(|(_, value)| (value.to_str().unwrap().to_owned(), value.is_sensitive()));
        assert!(found.next().is_none(), "{name} is sent twice");
        value
    };
    assert_eq!(header("x-token"), Some(("t=a/b \"c\\".to_owned(), true)));
    assert_eq!(header("user-agent"), Some(("me".to_owned(), false)));
    assert_eq!(header("content-type"), Some(("application/json".to_owned(), false)));
    assert_eq!(header("accept"), Some(("application/json".to_owned(), false)));
}

proptest! {
    #[test]
    fn a_body_is_json_whatever_the_token(token in ".*") {
        let trace = trace();
        let request = AclProfile::built_in("chargegate").unwrap().request(&values(&token, &trace));
        let body: serde_json::Value = serde_json::from_str(&request.body.unwrap()).unwrap();
        prop_assert_eq!(&body["driver_token"], token.as_str());
    }

    #[test]
    fn a_token_stays_one_segment_of_the_path(token in ".*") {
        let trace = trace();
        let path = AclProfile::built_in("ocpi-2.2.1").unwrap().request(&values(&token, &trace)).path;
        let inner = path.strip_prefix('/').unwrap().strip_suffix("/authorize?type=RFID").unwrap();
        prop_assert!(!inner.contains(['/', '?', '#', ' ']), "{}", path);
        let decoded = percent_encoding::percent_decode_str(inner).decode_utf8().unwrap();
        prop_assert_eq!(&*decoded, token.as_str());
    }

    #[test]
    fn no_text_breaks_the_parser(text in ".*") {
        let _ = AclProfile::parse(&text);
        let _ = read(&AclProfile::built_in("chargegate").unwrap(), 200, &text);
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let profile = AclProfile::parse(&format!(
        "{REQUEST}[[answer]]\nstatus = [200, \"4xx\"]\nwhere = {{ \"/a\" = [1, \"x\", true] }}\npointer = \"/r/0\"\n\
         values = {{ yes = \"allowed\", \"7\" = \"not_allowed\", null = \"unknown\", busy = \"retry\" }}\n\
         [[answer]]\nstatus = 404\nresult = \"invalid\"\n"
    ))
    .unwrap();
    let check =
        |status, body, expected| assert_eq!(read(&profile, status, body), expected, "{status} {body}");
    let decided = |status| Some(AnswerMeaning::Decided(status));
    check(200, r#"{"a":1,"r":["yes"]}"#, decided(DecisionStatus::Allowed));
    check(200, r#"{"a":"x","r":[7]}"#, decided(DecisionStatus::NotAllowed));
    check(403, r#"{"a":true,"r":[null]}"#, decided(DecisionStatus::Unknown));
    check(200, r#"{"a":1,"r":["busy"]}"#, Some(AnswerMeaning::Retry));
    check(404, r#"{"a":2,"r":["yes"]}"#, decided(DecisionStatus::Invalid));
    check(404, "nothing", decided(DecisionStatus::Invalid));
    for body in [
        r#"{"a":2,"r":["yes"]}"#,
        r#"{"r":["yes"]}"#,
        r#"{"a":[1],"r":["yes"]}"#,
        r#"{"a":1,"r":["no"]}"#,
        r#"{"a":1,"r":[]}"#,
        r#"{"a":1,"r":[["yes"]]}"#,
        r#"{"a":1,"a":1,"r":["yes"]}"#,
        "",
        "[",
    ] {
        check(200, body, None);
    }
    check(500, r#"{"a":1,"r":["yes"]}"#, None);
}

#[test]
fn only_bodies_of_the_listed_media_types_are_read() {
    let with = |types: &str| {
        let text = format!(
            "{REQUEST}[response]\nmedia_types = [{types}]\n[[answer]]\nstatus = 200\npointer = \"/s\"\nvalues = {{ a = \"allowed\" }}"
        );
        AclProfile::parse(&text).unwrap()
    };
    let check = |types, media_type, expected| {
        let response = ResponseView { status: 200, media_type, body: Some(br#"{"s":"a"}"#) };
        assert_eq!(with(types).read(response, &mut |_| ()).is_some(), expected, "{types} {media_type}");
    };
    check(r#""application/json""#, "Application/JSON ; charset=utf-8", true);
    check(r#""application/json""#, "application/jsonp", false);
    check(r#""application/json""#, "", false);
    check(r#""application/json", "application/vnd.api+json""#, "application/vnd.api+json", true);
    check(r#""*/*""#, "", true);
    let response = ResponseView { status: 200, media_type: "application/json", body: None };
    assert_eq!(with(r#""*/*""#).read(response, &mut |_| ()), None);
}

#[test]
fn each_step_of_a_reading_is_explained() {
    let explain = |status, body: &str| {
        let response = ResponseView { status, media_type: "application/json", body: Some(body.as_bytes()) };
        let mut steps = Vec::new();
        AclProfile::built_in("ocpi-2.2.1").unwrap().read(response, &mut |step| steps.push(step.to_string()));
        steps
    };
    assert_eq!(
        explain(200, r#"{"status_code":1000,"data":{"allowed":"BLOCKED"}}"#),
        [
            "status 200 is one of the rule of line 21",
            "/status_code is 1000, as required (1000)",
            "/data/allowed is \"BLOCKED\", which means: not_allowed",
        ]
    );
    assert_eq!(
        explain(404, "{}"),
        [
            "status 404 is one of the rule of line 34",
            "/status_code is missing, so the rule does not match: it requires (2004)",
            "no rule matches a response with status 404",
        ]
    );
    assert_eq!(explain(418, ""), ["no rule matches a response with status 418"]);
}

#[test]
fn pointers_follow_rfc_6901() {
    let text = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"m~n":8," ":7,"~1":9}"#;
    let document: JsonTree<String> = serde_json::from_str(text).unwrap();
    let check = |pointer: &str, expected: Option<&str>| {
        let parsed = JsonPointer::parse(pointer).unwrap();
        assert_eq!(document.lookup(&parsed).and_then(JsonTree::scalar).as_deref(), expected, "{pointer}");
        assert_eq!(parsed.to_string(), pointer);
    };
    check("/foo/0", Some("bar"));
    check("/foo/01", None);
    check("/foo/-", None);
    check("/foo/2", None);
    check("/", Some("0"));
    check("/a~1b", Some("1"));
    check("/c%d", Some("2"));
    check("/m~0n", Some("8"));
    check("/ ", Some("7"));
    check("/~01", Some("9"));
    check("/foo", None);
    check("", None);
    for malformed in ["foo", "/~", "/~2", "/a~"] {
        assert_eq!(JsonPointer::parse(malformed), None, "{malformed}");
    }
}

/// Fails unless `text` is refused at `line` with a message that begins with `message`.
#[track_caller]
fn refuse(text: &str, line: usize, message: &str) {
    let error = AclProfile::parse(text).unwrap_err();
    assert_eq!(error.line, line, "{error} of {text}");
    assert!(error.message.starts_with(message), "{} is not {message}", error.message);
}

#[test]
fn errors_name_line_and_key() {
    refuse("", 1, "missing field `request`");
    refuse(REQUEST, 1, "missing field `answer`");
    refuse(&format!("answer = []\n{REQUEST}"), 1, "answer: write at least one");
    refuse(&format!("{REQUEST}colour = 1\n{ANSWER}"), 4, "unknown field `colour`");
    refuse(&format!("{REQUEST}{ANSWER}colour = 1\n"), 7, "unknown field `colour`");
    refuse(&format!("[request]\nmethod = 5\npath = \"/\"\n{ANSWER}"), 2, "method: invalid type");
    refuse("[request\n", 1, "");
    let request = |method: &str, path: &str, more: &str| {
        format!("[request]\nmethod = {method:?}\npath = {path:?}\n{more}\n{ANSWER}")
    };
    refuse(&request("post", "/", ""), 2, "method: not a method");
    refuse(&request("CONNECT", "/", ""), 2, "method: not a method");
    for path in ["", "x", "/a b", "/#x", "/é", "/../x", "/a/./b", "/\"", "http://host/"] {
        refuse(&request("GET", path, ""), 3, "path: not a path");
    }
    refuse(
        &request("GET", "/{token}", ""),
        3,
        "path: unknown placeholder; the placeholders are {driver_token}",
    );
    refuse(&request("GET", "/{driver_token", ""), 3, "path: a single brace");
    refuse(&request("GET", "/}", ""), 3, "path: a single brace");
    refuse(&request("GET", "/", "body = '{\"a\": }'"), 4, "body: not JSON");
    refuse(&request("GET", "/", "body = '{\"a\":1,\"a\":2}'"), 4, "body: not JSON: a member is given twice");
    refuse(&request("GET", "/", "body = '[\"{x}\"]'"), 4, "body: unknown placeholder");
    refuse(&request("GET", "/", "headers = { \"a b\" = \"x\" }"), 4, "a b: not the name of a header");
    refuse(&request("GET", "/", "headers = { te = \"x\" }"), 4, "te: a header that the client sets itself");
    refuse(&request("GET", "/", "headers = { a = \"x\\ny\" }"), 4, "a: not a header value");
    refuse(&request("GET", "/", "headers = { a = \"x\", A = \"y\" }"), 4, "a: given twice");
}

#[test]
fn errors_in_rules_and_credentials_name_line_and_key() {
    let rule = |lines: &str| format!("{REQUEST}[[answer]]\n{lines}\n");
    for status in ["199", "600", "\"1xx\"", "\"6xx\"", "\"x\"", "[]", "[200, 0]", "2.5"] {
        refuse(&rule(&format!("status = {status}\nresult = \"allowed\"")), 5, "status: write a status");
    }
    refuse(
        &rule("status = 200\nresult = \"yes\""),
        6,
        "result: write allowed, not_allowed, unknown, invalid or retry",
    );
    refuse(&rule("status = 200\npointer = \"/a\"\nvalues = { x = \"no\" }"), 7, "x: write allowed");
    refuse(
        &rule("status = 200\npointer = \"a\"\nvalues = { x = \"retry\" }"),
        6,
        "pointer: not a JSON pointer",
    );
    refuse(&rule("status = 200\nresult = \"retry\"\nwhere = { a = 1 }"), 7, "where: not a JSON pointer");
    refuse(&rule("status = 200\nresult = \"retry\"\nwhere = { \"/a\" = [] }"), 7, "/a: write a string");
    refuse(&rule("status = 200\nresult = \"retry\"\nwhere = { \"/a\" = 1.5 }"), 7, "/a: write a string");
    for lines in [
        "",
        "pointer = \"/a\"",
        "values = {}",
        "pointer = \"/a\"\nvalues = {}",
        "result = \"retry\"\npointer = \"/a\"",
    ] {
        refuse(
            &rule(&format!("status = 200\n{lines}")),
            5,
            "answer: write either result, or pointer and values",
        );
    }
    let credential = |header: &str, value: &str| {
        format!("{REQUEST}[credential]\nheader = {header:?}\nvalue = {value:?}\n{ANSWER}")
    };
    refuse(&credential("a b", "{credential}"), 5, "header: not the name of a header");
    refuse(&credential("x", "static"), 6, "value: not a header value with {credential}");
    refuse(&credential("x", "{driver_token}"), 6, "value: unknown placeholder");
}
