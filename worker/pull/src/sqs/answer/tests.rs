use aws_smithy_types::body::SdkBody;

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_382_658_000);
/// A second after that.
const DATE_NOW: &str = "Sun, 22 Nov 2026 21:24:19 GMT";

fn answer(status: u16, body: &str) -> HttpResponse {
    let mut answer = HttpResponse::new(StatusCode::from_u16(status).unwrap().into(), SdkBody::from(body));
    answer.headers_mut().insert(DATE, DATE_NOW);
    answer
}

fn said(answer: &HttpResponse) -> SqsCallError {
    let queue = "sqs+http://h:1/1/q?region=eu-west-1".parse().unwrap();
    failure(answer, &RequestContext { operation: "ReceiveMessage", queue: &queue, now: NOW })
}

/// The name of the failure's variant.
fn name(failure: &SqsCallError) -> String {
    match failure {
        SqsCallError::Throttled(_) => "Throttled".to_owned(),
        SqsCallError::Unavailable(_) => "Unavailable".to_owned(),
        SqsCallError::Refused(refusal) => {
            format!("{refusal:?}").split([' ', '(', '{']).next().unwrap_or_default().to_owned()
        }
    }
}

#[track_caller]
fn check(status: u16, code: &str, expected: &str) {
    for body in [
        format!(r#"{{"__type":"{code}","message":"m"}}"#),
        format!(r#"{{"__type":"com.amazonaws.sqs#{code}","Message":"m"}}"#),
        format!(r#"{{"__type":"{code}:http://internal/coral","message":null}}"#),
        format!(
            "<?xml version=\"1.0\"?>\n<ErrorResponse><Error><Code> {code} </Code><Message>m</Message></Error>"
        ),
        format!("<Response><Errors><Error><Code>{code}</Code>"),
    ] {
        assert_eq!(name(&said(&answer(status, &body))), expected, "{body}");
    }
    let mut only_in_a_header = answer(status, "");
    let header = format!("com.amazonaws.sqs#{code}:http://x/");
    only_in_a_header.headers_mut().insert("x-amzn-errortype", header);
    assert_eq!(name(&said(&only_in_a_header)), expected, "{code}");
}

#[test]
fn every_form_of_an_error_is_recognized() {
    for (status, code, expected) in [
        (400, "ThrottlingException", "Throttled"),
        (403, "RequestThrottled", "Throttled"),
        (503, "SlowDown", "Throttled"),
        (403, "OverLimit", "Unavailable"),
        (429, "Whatever", "Throttled"),
        (403, "InvalidClientTokenId", "UnknownKey"),
        (400, "UnrecognizedClientException", "UnknownKey"),
        (403, "ExpiredToken", "Expired"),
        (403, "RequestExpired", "Clock"),
        (403, "SignatureDoesNotMatch", "Signature"),
        (400, "InvalidSignatureException", "Signature"),
        (403, "AccessDenied", "NotPermitted"),
        (400, "KmsAccessDenied", "NotPermitted"),
        (403, "Whatever", "NotPermitted"),
        (400, "QueueDoesNotExist", "NoQueue"),
        (400, "AWS.SimpleQueueService.NonExistentQueue", "NoQueue"),
        (404, "InvalidAddress", "NoQueue"),
        (400, "InvalidParameterValue", "Other"),
        (404, "Whatever", "Other"),
        (408, "Whatever", "Unavailable"),
        (500, "InternalFailure", "Unavailable"),
        (503, "ServiceUnavailable", "Unavailable"),
        (301, "Whatever", "Unavailable"),
    ] {
        check(status, code, expected);
    }
}

#[test]
fn an_error_of_an_intermediary_is_classified_by_its_status() {
    for body in ["", "{", "[]", "null", "\"x\"", "<html>", "<Code>", "\u{0}\u{fffd}", r#"{"__type":5}"#] {
        for (status, expected) in [
            (400, "Other"),
            (403, "NotPermitted"),
            (429, "Throttled"),
            (500, "Unavailable"),
            (302, "Unavailable"),
        ] {
            assert_eq!(name(&said(&answer(status, body))), expected, "{status} {body}");
        }
    }
}

#[test]
fn a_wrong_clock_is_reported_as_the_cause_of_a_refused_signature() {
    for code in ["SignatureDoesNotMatch", "InvalidSignatureException", "RequestExpired"] {
        for (date, expected) in [
            ("Sun, 22 Nov 2026 21:17:10 GMT", "is 7 minutes ahead of"),
            ("Sun, 22 Nov 2026 22:24:18 GMT", "is 60 minutes behind"),
        ] {
            let mut off = answer(403, &format!("<Code>{code}</Code>"));
            off.headers_mut().insert(DATE, date);
            let SqsCallError::Refused(refusal) = said(&off) else { panic!("{code}") };
            assert!(refusal.to_string().contains(expected), "{refusal}");
        }
    }
    for date in ["", "yesterday", "Sun, 22 Nov 2026 21:28:17 GMT"] {
        let mut odd = answer(403, "<Code>RequestExpired</Code>");
        odd.headers_mut().insert(DATE, date);
        let SqsCallError::Refused(refusal) = said(&odd) else { panic!("{date}") };
        assert!(refusal.to_string().contains("are minutes apart"), "{refusal}");
    }
}

#[test]
fn an_error_for_operators_is_one_line_with_a_remedy() {
    let long = "x\n".repeat(1_000);
    let body = serde_json::json!({ "__type": "AccessDenied", "message": long }).to_string();
    let bodies = [body, r#"{"__type":"a\nb\u0000"}"#.to_owned()];
    let codes = [
        "InvalidClientTokenId",
        "ExpiredToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "QueueDoesNotExist",
    ];
    let codes = codes.map(|code| format!(r#"{{"__type":"{code}"}}"#));
    for body in bodies.into_iter().chain(codes) {
        let SqsCallError::Refused(refusal) = said(&answer(400, &body)) else { panic!("{body}") };
        let line = refusal.to_string();
        assert!(!line.contains(char::is_control) && line.len() < 800, "{line}");
    }
}

#[test]
fn a_code_of_any_length_is_cut_to_a_part_of_one_line() {
    let long = "x\n".repeat(1_000);
    for status in [400, 403, 500] {
        for body in [
            serde_json::json!({ "__type": long }).to_string(),
            format!("<ErrorResponse><Error><Code>{long}</Code></Error></ErrorResponse>"),
        ] {
            let line = match said(&answer(status, &body)) {
                SqsCallError::Refused(refusal) => refusal.to_string(),
                SqsCallError::Unavailable(cause) => cause.to_string(),
                failure @ SqsCallError::Throttled(_) => panic!("{failure:?}"),
            };
            assert!(line.contains("x x"), "{line}");
            assert!(!line.contains(char::is_control) && line.len() < 800, "{status}: {line}");
        }
    }
}

#[test]
fn a_signature_repeated_by_the_service_is_not_shown() {
    let body = r#"{"__type":"SignatureDoesNotMatch","message":"x-amz-security-token:s3cret"}"#;
    let SqsCallError::Refused(refusal) = said(&answer(403, body)) else { panic!() };
    assert!(!format!("{refusal} {refusal:?}").contains("s3cret"));
}

#[test]
fn a_requested_wait_is_passed_on() {
    let mut throttled = answer(400, r#"{"__type":"RequestThrottled"}"#);
    throttled.headers_mut().insert("retry-after", "7");
    assert!(
        matches!(said(&throttled), SqsCallError::Throttled(Some(wait)) if wait == Duration::from_secs(7))
    );
}
