use chargegate_core::message_group;

use super::*;

fn settings(token: &str) -> Settings {
    let settings = Settings::read(|name| {
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
fn a_message_is_sent_to_the_byte_in_the_group_of_its_client() {
    let group = message_group(&"https://client.example/".parse().unwrap());
    let expected = [
        r#"{"QueueUrl":"https://sqs.eu-central-1.amazonaws.com/123456789012/chargegate","#,
        r#""MessageBody":"{\"v\":1,\"callback_url\":\"https://client.example/cb\"}","MessageGroupId":""#,
        &group,
        r#""}"#,
    ];
    assert_eq!(send_message(&settings(""), MESSAGE), expected.concat());
}

#[test]
fn a_message_without_a_client_has_no_group() {
    let body = send_message(&settings(""), "{}");
    assert!(body.ends_with(r#","MessageBody":"{}"}"#), "{body}");
}

#[test]
fn a_request_is_signed_with_all_that_is_sent() {
    let post = Post::signed(&settings("token"), "body", UnixMillis(1_440_938_160_000));
    let names: Vec<_> = post.headers.iter().map(|(name, _)| *name).collect();
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
    let value = |wanted: &str| &*post.headers.iter().find(|(name, _)| *name == wanted).unwrap().1;
    assert_eq!(value("x-amz-target"), "AmazonSQS.SendMessage");
    assert_eq!(value("content-length"), "4");
    let scope = "AKIDEXAMPLE/20150830/eu-central-1/sqs/aws4_request";
    let signed = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target";
    assert!(value("authorization").contains(&format!("Credential={scope}, SignedHeaders={signed}, ")));
}

#[test]
fn what_is_printed_has_no_message_and_no_token() {
    let post = Post::signed(&settings("token"), "body", UnixMillis(0));
    assert_eq!(format!("{post:?}"), "Post(sqs.eu-central-1.amazonaws.com, ..)");
}
