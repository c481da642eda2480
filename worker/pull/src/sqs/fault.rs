//! The errors of the service: the body of a refusal and the class of its code.

use chargegate_core::json::{self, JsonMember, JsonValue};

/// The error in the body of a response other than 200, as JSON or, from some other parts of the service, as XML.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SqsErrorBody {
    /// The error code, without a namespace before it and a URL after it; empty if the body has none.
    pub(super) code: String,
    /// The error message. It may repeat the text that was signed.
    pub(super) message: String,
}

impl SqsErrorBody {
    /// Parses a body. One that is neither JSON nor XML has neither code nor message.
    pub(super) fn parse(body: &[u8]) -> Self {
        let body = Self::from_json(body).or_else(|| Self::from_xml(body)).unwrap_or_default();
        Self { code: bare_code(&body.code).to_string(), ..body }
    }

    fn from_json(body: &[u8]) -> Option<Self> {
        let [code, message, capital] = json::read_object(body, ["__type", "message", "Message"])
            .ok()??
            .named
            .map(|member| match member {
                JsonMember::Once(JsonValue::String(text)) => Some(text.decode().into_owned()),
                _ => None,
            });
        Some(Self { code: code.unwrap_or_default(), message: message.or(capital).unwrap_or_default() })
    }

    /// Reads two elements that contain only text, which needs no XML parser.
    fn from_xml(body: &[u8]) -> Option<Self> {
        let body = std::str::from_utf8(body).ok()?;
        let text = |name: &str| {
            let (_, rest) = body.split_once(&*format!("<{name}>"))?;
            let (text, _) = rest.split_once(&*format!("</{name}>"))?;
            Some(text.trim().to_string())
        };
        Some(Self { code: text("Code")?, message: text("Message").unwrap_or_default() })
    }
}

/// Returns a code without a namespace before it and a URL after it.
pub(super) fn bare_code(text: &str) -> &str {
    let text = text.rsplit('#').next().unwrap_or_default();
    text.split(':').next().unwrap_or_default()
}

/// The class of a service error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SqsFault {
    /// Too many requests were made.
    Throttled,
    /// The access key does not exist.
    UnknownKey,
    /// The session of temporary credentials has ended.
    Expired,
    /// The clocks are too far apart for a signature to be valid.
    Clock,
    /// The signature is wrong, or the clocks are too far apart for it to be valid.
    Signature,
    /// The credentials do not permit the request.
    NotPermitted,
    /// The queue does not exist.
    NoQueue,
    /// Any other error.
    Other,
}

impl SqsFault {
    /// Returns the class of an error code, by "Common errors" of the API reference, in the spellings of both protocols.
    pub(super) fn from_code(code: &str) -> Self {
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
