//! The request that sends one message, in the JSON protocol.

use std::fmt;
use std::time::Duration;

use chargegate_core::UnixMillis;
use chargegate_core::json::write_string;
use chargegate_sigv4::{SigningScope, UnsignedRequest, sign};
use chargegate_sqs_protocol::{EndpointScheme, group_of_message};

use crate::settings::SqsQueueSettings;

/// A request to `POST` to the path `/`. `Debug` hides headers and body.
#[derive(Clone, PartialEq, Eq)]
pub struct SqsRequest {
    /// The scheme.
    pub scheme: EndpointScheme,
    /// The host and, unless it is the scheme's default, the port.
    pub host: String,
    /// All headers except `Host`.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
    /// The time limit of each part of the exchange.
    pub timeout: Duration,
}

impl SqsRequest {
    /// Signs a request with `body`, to be sent immediately: services accept a signature for some minutes.
    pub(crate) fn signed(settings: &SqsQueueSettings, body: &str, now: UnixMillis) -> Self {
        let content =
            [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "AmazonSQS.SendMessage")];
        let request = UnsignedRequest {
            method: "POST",
            host: &settings.host,
            path: "/",
            query: "",
            headers: &content,
            body: body.as_bytes(),
        };
        let scope = SigningScope { region: &settings.region, service: "sqs" };
        let signature = sign(&request, scope, &settings.credentials, now);
        let length = ("content-length", body.len().to_string());
        let signed = content.into_iter().chain(signature.headers());
        Self {
            scheme: settings.scheme,
            host: settings.host.clone(),
            headers: signed.map(|(name, value)| (name, value.to_owned())).chain([length]).collect(),
            body: body.to_owned(),
            timeout: settings.timeout,
        }
    }
}

impl fmt::Debug for SqsRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqsRequest({}, ..)", self.host)
    }
}

/// Returns the body of a `SendMessage` request, with the message group of the client to call back.
pub(crate) fn send_message_body(settings: &SqsQueueSettings, message: &str) -> String {
    let mut body = String::with_capacity(message.len() + message.len() / 4 + 200);
    body.push_str(r#"{"QueueUrl":"#);
    write_string(&mut body, &settings.queue_url);
    body.push_str(r#","MessageBody":"#);
    write_string(&mut body, message);
    if let Some(group) = group_of_message(message) {
        body.push_str(r#","MessageGroupId":"#);
        write_string(&mut body, &group);
    }
    body.push('}');
    body
}

#[cfg(test)]
mod tests;
