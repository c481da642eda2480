//! A minimal client of Moto, independent of the product's own.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

/// The account id that Moto uses.
pub const ACCOUNT: &str = "123456789012";
/// The region of the tests; Moto accepts any.
pub const REGION: &str = "eu-central-1";

/// The queue of one test, deleted when dropped.
#[derive(Debug)]
pub struct MotoQueue {
    endpoint: String,
    name: String,
}

/// A message received from a [`MotoQueue`] and deleted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MotoMessage {
    /// The message body.
    pub body: String,
    /// The message group id.
    pub group: Option<String>,
}

impl MotoQueue {
    /// Creates a queue on the server at `endpoint`.
    ///
    /// # Errors
    /// Returns an error if the server does not respond, or refuses the call.
    pub fn create(endpoint: &str) -> io::Result<Self> {
        let name = format!("test-{:016x}", RandomState::new().build_hasher().finish());
        let queue = Self { endpoint: endpoint.to_owned(), name };
        queue.create_again()?;
        Ok(queue)
    }

    /// Creates the queue again after a restart of the server lost it.
    ///
    /// # Errors
    /// See [`Self::create`].
    pub fn create_again(&self) -> io::Result<()> {
        call(&self.endpoint, "CreateQueue", &json!({ "QueueName": self.name })).map(drop)
    }

    /// Returns the path of the queue's URL: account and name.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/{ACCOUNT}/{}", self.name)
    }

    /// Receives and deletes all messages.
    ///
    /// # Errors
    /// See [`Self::create`].
    pub fn receive_all(&self) -> io::Result<Vec<MotoMessage>> {
        let url = format!("{}{}", self.endpoint, self.path());
        let parameters = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10, "AttributeNames": ["All"] });
        let mut received = Vec::new();
        loop {
            let response = call(&self.endpoint, "ReceiveMessage", &parameters)?;
            let messages = response.pointer("/Messages").and_then(Value::as_array);
            let Some(messages) = messages.filter(|messages| !messages.is_empty()) else {
                return Ok(received);
            };
            for message in messages {
                let text = |pointer| message.pointer(pointer)?.as_str().map(str::to_owned);
                let parameters = json!({ "QueueUrl": url, "ReceiptHandle": text("/ReceiptHandle") });
                call(&self.endpoint, "DeleteMessage", &parameters)?;
                let group = text("/Attributes/MessageGroupId");
                received.push(MotoMessage { body: text("/Body").unwrap_or_default(), group });
            }
        }
    }
}

impl Drop for MotoQueue {
    fn drop(&mut self) {
        let url = format!("{}{}", self.endpoint, self.path());
        // The server may have stopped, or may require a signature.
        let _ = call(&self.endpoint, "DeleteQueue", &json!({ "QueueUrl": url }));
    }
}

fn call(endpoint: &str, operation: &str, parameters: &Value) -> io::Result<Value> {
    let headers = format!("content-type: application/x-amz-json-1.0\r\nx-amz-target: AmazonSQS.{operation}");
    let response = post(endpoint, "sqs", &headers, &parameters.to_string())?;
    if response.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&response).map_err(Into::into) }
}

/// Calls an action of another service, like `iam`, with form-encoded `parameters`, and returns the response body.
///
/// # Errors
/// See [`MotoQueue::create`].
pub fn post_action(endpoint: &str, service: &str, parameters: &str) -> io::Result<String> {
    post(endpoint, service, "content-type: application/x-www-form-urlencoded", parameters)
}

/// Moto does not check this signature; its scope selects the service.
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
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    match response.split_once("\r\n\r\n") {
        Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(response)),
    }
}
