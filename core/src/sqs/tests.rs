use super::*;

#[test]
fn the_region_is_in_amazons_host_names() {
    for (host, expected) in [
        ("sqs.eu-central-1.amazonaws.com", Some("eu-central-1")),
        ("sqs.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
        ("sqs-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
        ("sqs.eu-west-1.api.aws", Some("eu-west-1")),
        ("vpce-0a1b-x.sqs.us-east-1.vpce.amazonaws.com", Some("us-east-1")),
        ("sqs.amazonaws.com", None),
        ("s3.eu-west-1.amazonaws.com", None),
        ("sqs.eu-west-1.amazonaws.com.evil.example", None),
        ("127.0.0.1", None),
        ("", None),
    ] {
        assert_eq!(region(host), expected, "{host}");
    }
}

#[track_caller]
fn check(body: &str, code: &str, message: &str) {
    assert_eq!(Said::read(body.as_bytes()), Said { code: code.into(), message: message.into() }, "{body}");
}

#[test]
fn an_error_is_read_in_either_form() {
    let of_json =
        r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}"#;
    check(of_json, "QueueDoesNotExist", "The specified queue does not exist.");
    check(r#"{"__type":"AccessDeniedException:http://x/","Message":"no"}"#, "AccessDeniedException", "no");
    let of_xml = "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>no</Message></Error></ErrorResponse>";
    check(of_xml, "InvalidClientTokenId", "no");
    check("<Error><Code> Throttling </Code>", "Throttling", "");
}

#[test]
fn what_is_no_error_says_nothing() {
    for body in ["", "[]", "{}", r#"{"__type":1}"#, "<Code>", "<html>502</html>", r#"{"__type":"A","#] {
        check(body, "", "");
    }
    assert_eq!(Said::read(b"<Code>\xff</Code>"), Said::default());
}

#[test]
fn errors_are_known_by_name() {
    assert_eq!(Fault::of("RequestThrottled"), Fault::Throttled);
    assert_eq!(Fault::of("AWS.SimpleQueueService.NonExistentQueue"), Fault::NoQueue);
    assert_eq!(Fault::of("InvalidMessageContents"), Fault::Other);
    assert_eq!(Fault::of(""), Fault::Other);
}
