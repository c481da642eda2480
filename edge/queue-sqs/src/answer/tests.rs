use super::*;

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: UnixMillis = UnixMillis(784_111_777_000);

fn read(status: u16, body: &str, now: UnixMillis) -> Result<(), QueueError> {
    let date = Some("Sun, 06 Nov 1994 08:49:37 GMT".into());
    sent(&Answer { status, date, body: body.into() }, now)
}

#[track_caller]
fn check(status: u16, body: &str, expected: Result<(), Cause>) {
    assert_eq!(read(status, body, NOW), expected.map_err(QueueError::Unavailable), "{status} {body}");
}

fn error(code: &str) -> String {
    format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":"what was signed"}}"#)
}

fn refused(status: u16, code: Option<&str>) -> Result<(), Cause> {
    Err(Cause::Refused { status, code: code.map(Into::into) })
}

#[test]
fn answers_are_confirmations_only_to_the_letter() {
    check(200, r#"{"MD5OfMessageBody":"x","MessageId":"5fea7756"}"#, Ok(()));
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
        check(200, body, Err(Cause::Answer));
    }
    for status in [0, 201, 204, 301, 500] {
        check(status, r#"{"MessageId":"5fea7756"}"#, refused(status, None));
    }
}

#[test]
fn every_refusal_names_what_to_mend() {
    for (code, cause, named) in [
        ("RequestThrottled", Cause::Throttled, "throttles"),
        ("InvalidClientTokenId", Cause::UnknownKey, "aws_access_key_id"),
        ("ExpiredToken", Cause::Expired, "aws_session_token"),
        ("InvalidSignatureException", Cause::Signature, "aws_secret_access_key"),
        ("AccessDeniedException", Cause::NotPermitted, "sqs:SendMessage"),
        ("QueueDoesNotExist", Cause::NoQueue, "queue_path"),
    ] {
        assert!(cause.to_string().contains(named), "{cause}");
        check(400, &error(code), Err(cause));
    }
    check(429, "", Err(Cause::Throttled));
    check(400, &error("InvalidMessageContents"), refused(400, Some("InvalidMessageContents")));
    let xml = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>";
    check(403, xml, Err(Cause::NotPermitted));
    check(502, "<html>Bad Gateway</html>", refused(502, None));
}

#[test]
fn of_a_refusal_only_a_code_is_told() {
    check(400, &error("what is no code"), refused(400, None));
    check(400, &error(&"x".repeat(65)), refused(400, None));
    check(400, &error(&"x".repeat(64)), refused(400, Some(&"x".repeat(64))));
    let cause = read(400, &error("Unheard"), NOW).unwrap_err();
    assert!(!format!("{cause:?}").contains("signed"), "{cause:?}");
}

#[test]
fn a_signature_that_is_refused_for_the_clock_is_told_apart() {
    let clock = |ahead, behind| {
        let (ahead, behind) = (Duration::from_secs(ahead), Duration::from_secs(behind));
        Err(QueueError::Unavailable(Cause::Clock { ahead, behind }))
    };
    let wrong = || Err(QueueError::Unavailable(Cause::Signature));
    for code in ["InvalidSignatureException", "SignatureDoesNotMatch"] {
        assert_eq!(read(403, &error(code), NOW.plus(Duration::from_mins(15))), clock(900, 0));
        assert_eq!(read(403, &error(code), NOW.minus(Duration::from_mins(5))), clock(0, 300));
        assert_eq!(read(403, &error(code), NOW.plus(Duration::from_mins(4))), wrong());
    }
    assert_eq!(read(403, &error("RequestTimeTooSkewed"), NOW), clock(0, 0));
    let undated = Answer { status: 403, date: None, body: error("SignatureDoesNotMatch").into_bytes() };
    assert_eq!(sent(&undated, NOW), wrong());
}
