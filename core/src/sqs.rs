//! What both sides know of Amazon SQS: names of its hosts and of its errors.

use alloc::format;
use alloc::string::{String, ToString as _};

use crate::json::{self, JsonMember, JsonValue};

/// The region in a host name of Amazon's: the label after `sqs` or `sqs-fips`, be it an endpoint of the public, of IPv6
/// or within a private network.
#[must_use]
pub fn region(host: &str) -> Option<&str> {
    let suffixes = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn"];
    let of_amazon = suffixes.into_iter().find_map(|suffix| host.strip_suffix(suffix))?;
    let labels = of_amazon.strip_suffix(".vpce").unwrap_or(of_amazon);
    let (before, region) = labels.rsplit_once('.')?;
    let service = before.rsplit('.').next()?;
    (matches!(service, "sqs" | "sqs-fips") && is_name(region)).then_some(region)
}

/// Whether `text` can be the name of a standard queue, an account or a region.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let fits = (1..=80).contains(&text.len());
    fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// What the body of an answer other than 200 says, be it JSON or, where another part of the service refuses, XML.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// What the service calls it, without a namespace before it and a URL after it; empty where it does not say.
    pub code: String,
    /// What it says about it. It may repeat what was signed.
    pub message: String,
}

impl Said {
    /// Reads a body; one that is neither says nothing.
    #[must_use]
    pub fn read(body: &[u8]) -> Self {
        let said = Self::of_json(body).or_else(|| Self::of_xml(body)).unwrap_or_default();
        Self { code: code(&said.code).to_string(), ..said }
    }

    fn of_json(body: &[u8]) -> Option<Self> {
        let [code, message, capital] = json::read_object(body, ["__type", "message", "Message"])
            .ok()??
            .named
            .map(|member| match member {
                JsonMember::Once(JsonValue::String(text)) => Some(text.decode().into_owned()),
                _ => None,
            });
        Some(Self { code: code.unwrap_or_default(), message: message.or(capital).unwrap_or_default() })
    }

    /// Two elements that hold text only: they need no parser.
    fn of_xml(body: &[u8]) -> Option<Self> {
        let body = core::str::from_utf8(body).ok()?;
        let text = |name: &str| {
            let (_, rest) = body.split_once(&*format!("<{name}>"))?;
            let (text, _) = rest.split_once(&*format!("</{name}>"))?;
            Some(text.trim().to_string())
        };
        Some(Self { code: text("Code")?, message: text("Message").unwrap_or_default() })
    }
}

/// A code without a namespace before it and a URL after it.
#[must_use]
pub fn code(text: &str) -> &str {
    let text = text.rsplit('#').next().unwrap_or_default();
    text.split(':').next().unwrap_or_default()
}

/// What is wrong, by what the service calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There were too many requests.
    Throttled,
    /// There is no such access key.
    UnknownKey,
    /// The session of temporary credentials is over.
    Expired,
    /// The clocks are too far apart for a signature to hold.
    Clock,
    /// The signature is wrong, or the clocks are too far apart for it to hold.
    Signature,
    /// The credentials do not permit it.
    NotPermitted,
    /// There is no such queue.
    NoQueue,
    /// Something else.
    Other,
}

impl Fault {
    /// By "Common errors" of the API reference, in the spellings of both protocols.
    #[must_use]
    pub fn of(code: &str) -> Self {
        match code {
            "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "SlowDown"
            | "OverLimit"
            | "KmsThrottled" => Self::Throttled,
            "InvalidClientTokenId" | "UnrecognizedClientException" | "InvalidAccessKeyId" => Self::UnknownKey,
            "ExpiredToken" | "ExpiredTokenException" => Self::Expired,
            "RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture" => Self::Clock,
            "SignatureDoesNotMatch"
            | "InvalidSignatureException"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "AuthFailure" => Self::Signature,
            "AccessDenied"
            | "AccessDeniedException"
            | "NotAuthorized"
            | "OptInRequired"
            | "KmsAccessDenied" => Self::NotPermitted,
            "QueueDoesNotExist"
            | "AWS.SimpleQueueService.NonExistentQueue"
            | "NonExistentQueue"
            | "InvalidAddress" => Self::NoQueue,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests;
