use std::time::Duration;

use super::*;

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: UnixMillis = UnixMillis(784_111_777_000);

fn read(status: u16, body: &str, now: UnixMillis) -> Result<(), SqsEnqueueError> {
    let date = Some("Sun, 06 Nov 1994 08:49:37 GMT".into());
    read_confirmation(&SqsResponse { status, date, body: body.into() }, now)
}

#[track_caller]
fn check(status: u16, body: &str, expected: &Result<(), SqsEnqueueError>) {
    assert_eq!(&read(status, body, NOW), expected, "{status} {body}");
}

fn error_body(code: &str) -> String {
    format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":"a signed request"}}"#)
}

fn refused(status: u16, code: Option<&str>) -> Result<(), SqsEnqueueError> {
    Err(SqsEnqueueError::Refused { status, code: code.map(Into::into) })
}

#[test]
fn only_a_message_id_confirms() {
    check(200, r#"{"MD5OfMessageBody":"x","MessageId":"5fea7756"}"#, &Ok(()));
    for body in [
        "",
        "{}",
        r#"{"MessageId":""}"#,
        r#"{"MessageId":1}"#,
        r#"{"MessageId":"a","MessageId":"b"}"#,
        r#"{"MessageId":"a""#,
        r#"["MessageId"]"#,
        "<SendMessageResponse/>",
    ] {
        check(200, body, &Err(SqsEnqueueError::UnexpectedResponse));
    }
    for status in [0, 201, 204, 301, 500] {
        check(status, r#"{"MessageId":"5fea7756"}"#, &refused(status, None));
    }
}

#[test]
fn every_refusal_names_its_remedy() {
    for (code, error, named) in [
        ("RequestThrottled", SqsEnqueueError::Throttled, "throttles"),
        ("InvalidClientTokenId", SqsEnqueueError::UnknownKey, "aws_access_key_id"),
        ("ExpiredToken", SqsEnqueueError::Expired, "aws_session_token"),
        ("InvalidSignatureException", SqsEnqueueError::Signature, "aws_secret_access_key"),
        ("AccessDeniedException", SqsEnqueueError::NotPermitted, "sqs:SendMessage"),
        ("QueueDoesNotExist", SqsEnqueueError::NoQueue, "queue_path"),
    ] {
        assert!(error.to_string().contains(named), "{error}");
        check(400, &error_body(code), &Err(error));
    }
    check(429, "", &Err(SqsEnqueueError::Throttled));
    check(400, &error_body("InvalidMessageContents"), &refused(400, Some("InvalidMessageContents")));
    let xml = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>";
    check(403, xml, &Err(SqsEnqueueError::NotPermitted));
    check(502, "<html>Bad Gateway</html>", &refused(502, None));
}

#[test]
fn only_the_code_of_a_refusal_is_kept() {
    check(400, &error_body("not a code"), &refused(400, None));
    check(400, &error_body(&"x".repeat(65)), &refused(400, None));
    check(400, &error_body(&"x".repeat(64)), &refused(400, Some(&"x".repeat(64))));
    let error = read(400, &error_body("Unheard"), NOW).unwrap_err();
    assert!(!format!("{error:?}").contains("signed"), "{error:?}");
}

#[test]
fn a_signature_refused_for_the_clock_is_distinguished() {
    let clock = |ahead, behind| {
        let (ahead, behind) = (Duration::from_secs(ahead), Duration::from_secs(behind));
        Err(SqsEnqueueError::ClockSkew(ClockSkew { ahead, behind }))
    };
    let wrong_signature = || Err(SqsEnqueueError::Signature);
    for code in ["InvalidSignatureException", "SignatureDoesNotMatch"] {
        assert_eq!(read(403, &error_body(code), NOW.plus(Duration::from_mins(15))), clock(900, 0));
        assert_eq!(read(403, &error_body(code), NOW.minus(Duration::from_mins(5))), clock(0, 300));
        assert_eq!(read(403, &error_body(code), NOW.plus(Duration::from_mins(4))), wrong_signature());
    }
    assert_eq!(read(403, &error_body("RequestTimeTooSkewed"), NOW), clock(0, 0));
    let undated =
        SqsResponse { status: 403, date: None, body: error_body("SignatureDoesNotMatch").into_bytes() };
    assert_eq!(read_confirmation(&undated, NOW), wrong_signature());
}
