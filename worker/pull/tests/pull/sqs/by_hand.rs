//! Somebody who works on Moto by hand.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use chargegate_storage::{Random as _, SystemRandom};
use serde_json::{Value, json};

use crate::queues::sqs::{ACCOUNT, REGION};

/// A queue of one test, gone with it.
pub(crate) struct TemporaryQueue {
    endpoint: String,
    pub(crate) name: String,
}

impl TemporaryQueue {
    pub(crate) fn create(endpoint: &str) -> Self {
        Self::create_with(endpoint, &json!({}))
    }

    /// With these attributes.
    pub(crate) fn create_with(endpoint: &str, attributes: &Value) -> Self {
        let name = format!("test-{:016x}", SystemRandom.bits());
        let queue = Self { endpoint: endpoint.to_owned(), name };
        queue.create_again(attributes);
        queue
    }

    /// After the server has lost it.
    pub(crate) fn create_again(&self, attributes: &Value) {
        call(&self.endpoint, "CreateQueue", &json!({ "QueueName": self.name, "Attributes": attributes }));
    }

    /// Calls `operation`, which is about this queue.
    pub(crate) fn call(&self, operation: &str, question: Value) -> Value {
        call(&self.endpoint, operation, &self.about(question))
    }

    fn about(&self, mut question: Value) -> Value {
        question["QueueUrl"] = format!("{}/{ACCOUNT}/{}", self.endpoint, self.name).into();
        question
    }
}

impl Drop for TemporaryQueue {
    fn drop(&mut self) {
        // Its server may be gone, or ask for a signature.
        let _ = try_call(&self.endpoint, "DeleteQueue", &self.about(json!({})));
    }
}

/// Calls `operation` and returns the response of SQS.
fn call(endpoint: &str, operation: &str, question: &Value) -> Value {
    let answer = try_call(endpoint, operation, question).unwrap();
    if answer.is_empty() { Value::Null } else { serde_json::from_str(&answer).unwrap() }
}

fn try_call(endpoint: &str, operation: &str, question: &Value) -> io::Result<String> {
    let headers = format!("content-type: application/x-amz-json-1.0\r\nx-amz-target: AmazonSQS.{operation}");
    post(endpoint, "sqs", &headers, &question.to_string())
}

/// Calls an action of another service, such as `iam`, and returns the response.
pub(crate) fn form(endpoint: &str, service: &str, parameters: &str) -> String {
    post(endpoint, service, "content-type: application/x-www-form-urlencoded", parameters).unwrap()
}

/// The signature is not checked; it names the service.
fn post(endpoint: &str, service: &str, headers: &str, body: &str) -> io::Result<String> {
    let host = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host)?;
    let scope = format!("AKIATEST/20260101/{REGION}/{service}/aws4_request");
    let length = body.len();
    write!(
        stream,
        "POST / HTTP/1.0\r\nhost: {host}\r\n{headers}\r\ncontent-length: {length}\r\nauthorization: \
         AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(answer)),
    }
}
