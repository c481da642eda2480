use chargegate_queue::ComponentSettings as _;

use super::*;
use crate::message_group;

fn settings(token: &str) -> SqsQueueSettings {
    let settings = SqsQueueSettings::read(|name| {
        let value = match name {
            "queue_url" => "https://sqs.eu-central-1.amazonaws.com",
            "queue_path" => "/123456789012/chargegate",
            "aws_access_key_id" => "AKIDEXAMPLE",
            "aws_secret_access_key" => "secret",
            "aws_session_token" => token,
            _ => return None,
        };
        Some(value.to_owned())
    });
    settings.unwrap()
}

const MESSAGE: &str = r#"{"v":1,"callback_url":"https://client.example/cb"}"#;

#[test]
fn a_message_is_sent_unchanged_in_the_group_of_its_client() {
    let group = message_group(&"https://client.example/".parse().unwrap());
    let expected = [
        r#"{"QueueUrl":"https://sqs.eu-central-1.amazonaws.com/123456789012/chargegate","#,
        r#""MessageBody":"{\"v\":1,\"callback_url\":\"https://client.example/cb\"}","MessageGroupId":""#,
        &group,
        r#""}"#,
    ];
    assert_eq!(send_message_body(&settings(""), MESSAGE), expected.concat());
}

#[test]
fn a_message_without_a_callback_url_has_no_group() {
    let body = send_message_body(&settings(""), "{}");
    assert!(body.ends_with(r#","MessageBody":"{}"}"#), "{body}");
}

#[test]
fn every_header_that_is_sent_is_signed() {
    let request = SqsRequest::signed(&settings("token"), "body", UnixMillis(1_440_938_160_000));
    let names: Vec<_> = request.headers.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "content-type",
            "x-amz-target",
            "x-amz-date",
            "authorization",
            "x-amz-security-token",
            "content-length"
        ]
    );
    let value = |wanted: &str| &*request.headers.iter().find(|(name, _)| *name == wanted).unwrap().1;
    assert_eq!(value("x-amz-target"), "AmazonSQS.SendMessage");
    assert_eq!(value("content-length"), "4");
    let scope = "AKIDEXAMPLE/20150830/eu-central-1/sqs/aws4_request";
    let signed = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target";
    assert!(value("authorization").contains(&format!("Credential={scope}, SignedHeaders={signed}, ")));
}

#[test]
fn debug_output_contains_no_message_and_no_token() {
    let request = SqsRequest::signed(&settings("token"), "body", UnixMillis(0));
    assert_eq!(format!("{request:?}"), "SqsRequest(sqs.eu-central-1.amazonaws.com, ..)");
}
