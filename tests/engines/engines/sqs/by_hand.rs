//! Somebody who works on Moto by hand.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::queues::sqs::{ACCOUNT, REGION};

/// Creates a queue with these attributes.
pub(crate) fn create_queue(endpoint: &str, name: &str, attributes: &Value) {
    call(endpoint, "CreateQueue", &json!({ "QueueName": name, "Attributes": attributes }));
}

/// The queue's name within calls.
pub(crate) fn queue_url(endpoint: &str, name: &str) -> String {
    format!("{endpoint}/{ACCOUNT}/{name}")
}

/// What SQS answers to `operation`.
pub(crate) fn call(endpoint: &str, operation: &str, question: &Value) -> Value {
    let headers = format!("content-type: application/x-amz-json-1.0\r\nx-amz-target: AmazonSQS.{operation}");
    let answer = post(endpoint, "sqs", &headers, &question.to_string());
    if answer.is_empty() { Value::Null } else { serde_json::from_str(&answer).unwrap() }
}

/// What IAM answers to the parameters of an action.
pub(crate) fn iam(endpoint: &str, parameters: &str) -> String {
    post(endpoint, "iam", "content-type: application/x-www-form-urlencoded", parameters)
}

/// The signature is not looked at; it tells which service is meant.
fn post(endpoint: &str, service: &str, headers: &str, body: &str) -> String {
    let host = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let scope = format!("AKIATEST/20260101/{REGION}/{service}/aws4_request");
    let length = body.len();
    write!(
        stream,
        "POST / HTTP/1.0\r\nhost: {host}\r\n{headers}\r\ncontent-length: {length}\r\nauthorization: \
         AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(head.split(' ').nth(1), Some("200"), "{answer}");
    body.to_owned()
}
