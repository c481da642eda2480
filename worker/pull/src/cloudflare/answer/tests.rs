use http::HeaderMap;
use http::header::RETRY_AFTER;
use serde_json::Value;

use super::*;

fn answer(status: u16, body: &str) -> ServiceResponse {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, "7".parse().unwrap());
    let status = StatusCode::from_u16(status).unwrap();
    ServiceResponse { status, headers, body: Bytes::from(body.to_owned()) }
}

#[track_caller]
fn check(status: u16, body: &str, fate: &str, text: &str) {
    let failure = read::<Value>(&answer(status, body)).unwrap_err();
    let message = failure.to_string();
    assert!(message.contains(text), "{status} {body}: {message}");
    assert_eq!(PullServiceError::from(failure).as_str(), fate, "{status} {body}");
}

fn refused(code: u64) -> String {
    format!(r#"{{"success":false,"errors":[{{"code":{code},"message":"m"}}],"result":null}}"#)
}

#[test]
fn each_refusal_names_its_remedy() {
    check(401, "", "refused", "Queues Edit");
    check(403, &refused(10_000), "refused", "Queues Edit");
    for code in TOKEN_CODES {
        check(400, &refused(code), "refused", "Queues Edit");
    }
    check(404, &refused(11_000), "refused", "wrangler queues list");
    check(400, &refused(0), "refused", "consumer http add");
    check(200, &refused(4_711), "unavailable", "4711");
    check(429, "no json", "throttled", "fewer calls");
    check(500, &refused(15_000), "unavailable", "15000");
    check(503, "<html>", "unavailable", "503");
    check(408, "", "unavailable", "408");
    check(301, "", "unavailable", "301");
}

#[test]
fn an_unreadable_answer_is_an_outage() {
    for body in ["", "<html>", "[]", "{}", r#"{"success":true,"res"#, r#"{"success":"yes"}"#] {
        check(200, body, "unavailable", "none of Cloudflare's API");
    }
    let result: Result<u8, _> = read(&answer(200, r#"{"success":true,"result":{}}"#));
    assert!(matches!(result, Err(CloudflareFailure::Unreadable { status: 200 })));
}

#[test]
fn a_requested_wait_is_returned() {
    let failure = read::<Value>(&answer(429, "")).unwrap_err();
    let expected = Some(Duration::from_secs(7));
    assert!(matches!(failure, CloudflareFailure::Throttled { retry_after } if retry_after == expected));
}

#[test]
fn a_result_is_read() {
    let result: Vec<u8> = read(&answer(200, r#"{"success":true,"errors":[],"result":[1]}"#)).unwrap();
    assert_eq!(result, [1]);
}

#[test]
fn a_null_member_counts_as_absent() {
    for rest in ["", r#","errors":null"#, r#","result":null"#, r#","errors":null,"result":null"#] {
        let body = format!(r#"{{"success":true{rest}}}"#);
        let result: Option<u8> = read(&answer(200, &body)).unwrap();
        assert_eq!(result, None, "{body}");
    }
    check(200, r#"{"success":false,"errors":null}"#, "unavailable", "code 0");
    check(400, r#"{"success":false,"errors":[]}"#, "refused", "code 0");
}
