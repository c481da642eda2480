//! The errors of the service: code and message of a response, and the class of a code.

use alloc::borrow::ToOwned as _;
use alloc::string::String;

use chargegate_core::json::{self, JsonMember, JsonMembers, JsonValue};

/// Returns the error code in the body of a response other than 200, without a namespace before it and a URL after it.
///
/// The body is JSON or, if another part of the service refuses the request, XML. The code of a body of neither form is
/// empty.
#[must_use]
pub fn error_code(body: &[u8]) -> String {
    let code = match json::read_object(body, ["__type"]) {
        Ok(Some(JsonMembers { named: [code], .. })) => text_of(code),
        _ => xml_element(body, "<Code>", "</Code>"),
    };
    bare_code(&code.unwrap_or_default()).to_owned()
}

/// Returns the error message in such a body, or an empty text. It may repeat the text that was signed, session token
/// included.
#[must_use]
pub fn error_message(body: &[u8]) -> String {
    let message = match json::read_object(body, ["message", "Message"]) {
        Ok(Some(JsonMembers { named: [message, capital], .. })) => {
            text_of(message).or_else(|| text_of(capital))
        }
        _ => xml_element(body, "<Message>", "</Message>"),
    };
    message.unwrap_or_default()
}

/// Returns a code without a namespace before it and a URL after it.
#[must_use]
pub fn bare_code(text: &str) -> &str {
    let text = text.rsplit('#').next().unwrap_or_default();
    text.split(':').next().unwrap_or_default()
}

fn text_of(member: JsonMember<'_>) -> Option<String> {
    match member {
        JsonMember::Once(JsonValue::String(text)) => Some(text.decode().into_owned()),
        _ => None,
    }
}

/// Reads an element that contains only text, which needs no XML parser.
fn xml_element(body: &[u8], start: &str, end: &str) -> Option<String> {
    let (_, rest) = core::str::from_utf8(body).ok()?.split_once(start)?;
    let (text, _) = rest.split_once(end)?;
    Some(text.trim().to_owned())
}

/// The class of a service error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqsFault {
    /// Too many requests were made.
    Throttled,
    /// The access key does not exist.
    UnknownKey,
    /// The session of temporary credentials has ended.
    Expired,
    /// The clocks are too far apart for a signature to be valid.
    ClockSkew,
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
    #[must_use]
    pub fn from_code(code: &str) -> Self {
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
            "RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture" => Self::ClockSkew,
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
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, code: &str, message: &str) {
        let found = (error_code(body.as_bytes()), error_message(body.as_bytes()));
        assert_eq!(found, (code.to_owned(), message.to_owned()), "{body}");
    }

    #[test]
    fn code_and_message_are_read_from_json_and_from_xml() {
        let json = r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}"#;
        check(json, "QueueDoesNotExist", "The specified queue does not exist.");
        check(
            r#"{"__type":"AccessDeniedException:http://x/","Message":"no"}"#,
            "AccessDeniedException",
            "no",
        );
        let xml = "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>no</Message></Error></ErrorResponse>";
        check(xml, "InvalidClientTokenId", "no");
        check("<Error><Code> Throttling </Code>", "Throttling", "");
    }

    #[test]
    fn other_bodies_have_neither_code_nor_message() {
        for body in ["", "[]", "{}", r#"{"__type":1}"#, "<Code>", "<html>502</html>", r#"{"__type":"A","#] {
            check(body, "", "");
        }
        assert_eq!(error_code(b"<Code>\xff</Code>"), "");
    }

    #[test]
    fn faults_are_classified_by_code() {
        assert_eq!(SqsFault::from_code("RequestThrottled"), SqsFault::Throttled);
        assert_eq!(SqsFault::from_code("AWS.SimpleQueueService.NonExistentQueue"), SqsFault::NoQueue);
        assert_eq!(SqsFault::from_code("InvalidMessageContents"), SqsFault::Other);
        assert_eq!(SqsFault::from_code(""), SqsFault::Other);
    }
}
