//! Somebody who works on Moto by hand.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

/// Moto's account.
pub const ACCOUNT: &str = "123456789012";
/// A region; Moto takes any.
pub const REGION: &str = "eu-central-1";

/// A queue of one test, gone with it.
#[derive(Debug)]
pub struct Queue {
    endpoint: String,
    name: String,
}

/// A message that was taken off a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its body.
    pub body: String,
    /// Its message group.
    pub group: Option<String>,
}

impl Queue {
    /// Creates one on the server at `endpoint`.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub fn create(endpoint: &str) -> io::Result<Self> {
        let name = format!("test-{:016x}", RandomState::new().build_hasher().finish());
        let queue = Self { endpoint: endpoint.to_owned(), name };
        queue.create_again()?;
        Ok(queue)
    }

    /// Creates it after the server has lost it.
    ///
    /// # Errors
    /// See [`Self::create`].
    pub fn create_again(&self) -> io::Result<()> {
        call(&self.endpoint, "CreateQueue", &json!({ "QueueName": self.name })).map(drop)
    }

    /// Account and name, as in URLs.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/{ACCOUNT}/{}", self.name)
    }

    /// Takes all messages off.
    ///
    /// # Errors
    /// See [`Self::create`].
    pub fn take(&self) -> io::Result<Vec<Taken>> {
        let url = format!("{}{}", self.endpoint, self.path());
        let question = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10, "AttributeNames": ["All"] });
        let mut taken = Vec::new();
        loop {
            let answer = call(&self.endpoint, "ReceiveMessage", &question)?;
            let messages = answer.pointer("/Messages").and_then(Value::as_array);
            let Some(messages) = messages.filter(|messages| !messages.is_empty()) else {
                return Ok(taken);
            };
            for message in messages {
                let text = |pointer| message.pointer(pointer)?.as_str().map(str::to_owned);
                let question = json!({ "QueueUrl": url, "ReceiptHandle": text("/ReceiptHandle") });
                call(&self.endpoint, "DeleteMessage", &question)?;
                let group = text("/Attributes/MessageGroupId");
                taken.push(Taken { body: text("/Body").unwrap_or_default(), group });
            }
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let url = format!("{}{}", self.endpoint, self.path());
        // Its server may be gone, or ask for a signature.
        let _ = call(&self.endpoint, "DeleteQueue", &json!({ "QueueUrl": url }));
    }
}

fn call(endpoint: &str, operation: &str, question: &Value) -> io::Result<Value> {
    let headers = format!("content-type: application/x-amz-json-1.0\r\nx-amz-target: AmazonSQS.{operation}");
    let answer = post(endpoint, "sqs", &headers, &question.to_string())?;
    if answer.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&answer).map_err(Into::into) }
}

/// What another service, like `iam`, answers to the parameters of an action.
///
/// # Errors
/// See [`Queue::create`].
pub fn form(endpoint: &str, service: &str, parameters: &str) -> io::Result<String> {
    post(endpoint, service, "content-type: application/x-www-form-urlencoded", parameters)
}

/// The signature is not looked at; it tells which service is meant.
fn post(endpoint: &str, service: &str, headers: &str, body: &str) -> io::Result<String> {
    let host = endpoint.strip_prefix("http://").unwrap_or(endpoint);
    let mut stream = TcpStream::connect(host)?;
    let scope = format!("AKIATEST/20260101/{REGION}/{service}/aws4_request");
    let length = body.len();
    let credential = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
    write!(
        stream,
        "POST / HTTP/1.0\r\nhost: {host}\r\n{headers}\r\ncontent-length: {length}\r\nauthorization: {credential}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(answer)),
    }
}
