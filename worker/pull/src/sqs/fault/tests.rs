use super::*;

#[track_caller]
fn check(body: &str, code: &str, message: &str) {
    assert_eq!(
        SqsErrorBody::parse(body.as_bytes()),
        SqsErrorBody { code: code.into(), message: message.into() },
        "{body}"
    );
}

#[test]
fn an_error_is_parsed_in_either_form() {
    let as_json =
        r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}"#;
    check(as_json, "QueueDoesNotExist", "The specified queue does not exist.");
    check(r#"{"__type":"AccessDeniedException:http://x/","Message":"no"}"#, "AccessDeniedException", "no");
    let as_xml = "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>no</Message></Error></ErrorResponse>";
    check(as_xml, "InvalidClientTokenId", "no");
    check("<Error><Code> Throttling </Code>", "Throttling", "");
}

#[test]
fn a_body_without_an_error_has_neither_code_nor_message() {
    for body in ["", "[]", "{}", r#"{"__type":1}"#, "<Code>", "<html>502</html>", r#"{"__type":"A","#] {
        check(body, "", "");
    }
    assert_eq!(SqsErrorBody::parse(b"<Code>\xff</Code>"), SqsErrorBody::default());
}

#[test]
fn errors_are_classified_by_code() {
    assert_eq!(SqsFault::from_code("RequestThrottled"), SqsFault::Throttled);
    assert_eq!(SqsFault::from_code("AWS.SimpleQueueService.NonExistentQueue"), SqsFault::NoQueue);
    assert_eq!(SqsFault::from_code("InvalidMessageContents"), SqsFault::Other);
    assert_eq!(SqsFault::from_code(""), SqsFault::Other);
}
