//! The request that sends one message, in the JSON protocol.

use std::fmt;
use std::time::Duration;

use chargegate_core::json::write_string;
use chargegate_core::{CallbackScheme, UnixMillis, message_group_of};
use chargegate_sigv4::{SigningScope, UnsignedRequest, sign};

use crate::settings::Settings;

/// A request to `POST` to the path `/`. `Debug` hides headers and body.
#[derive(Clone, PartialEq, Eq)]
pub struct Post {
    /// The scheme.
    pub scheme: CallbackScheme,
    /// Host and, unless it is the scheme's own, port.
    pub host: String,
    /// All headers but `Host`.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
    /// No part of the exchange may take longer.
    pub timeout: Duration,
}

impl Post {
    /// Signs a request with `body`, to be sent at once: services take a signature for some minutes.
    pub(crate) fn signed(settings: &Settings, body: &str, now: UnixMillis) -> Self {
        let own = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "AmazonSQS.SendMessage")];
        let request = UnsignedRequest {
            method: "POST",
            host: &settings.host,
            path: "/",
            query: "",
            headers: &own,
            body: body.as_bytes(),
        };
        let scope = SigningScope { region: &settings.region, service: "sqs" };
        let signature = sign(&request, scope, &settings.credentials, now);
        let length = ("content-length", body.len().to_string());
        let others = own.into_iter().chain(signature.headers());
        Self {
            scheme: settings.scheme,
            host: settings.host.clone(),
            headers: others.map(|(name, value)| (name, value.to_owned())).chain([length]).collect(),
            body: body.to_owned(),
            timeout: settings.timeout,
        }
    }
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Post({}, ..)", self.host)
    }
}

/// What asks for `message` to be sent, in the group of the client that is called back.
pub(crate) fn send_message(settings: &Settings, message: &str) -> String {
    let mut body = String::with_capacity(message.len() + message.len() / 4 + 200);
    body.push_str(r#"{"QueueUrl":"#);
    write_string(&mut body, &settings.queue);
    body.push_str(r#","MessageBody":"#);
    write_string(&mut body, message);
    if let Some(group) = message_group_of(message) {
        body.push_str(r#","MessageGroupId":"#);
        write_string(&mut body, &group);
    }
    body.push('}');
    body
}

#[cfg(test)]
mod tests;
