//! The error codes of the service.

use chargegate_core::json::{self, JsonMember, JsonValue};

/// Reads the error code from the body of a response other than 200, without a namespace before it and a URL after it.
///
/// The body is JSON or, if another part of the service refuses the request, XML. A body of neither form has no code.
pub(crate) fn error_code(body: &[u8]) -> String {
    let code = json_code(body).or_else(|| xml_code(body)).unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default();
    code.split(':').next().unwrap_or_default().to_owned()
}

fn json_code(body: &[u8]) -> Option<String> {
    let [code] = json::read_object(body, ["__type"]).ok()??.named;
    match code {
        JsonMember::Once(JsonValue::String(code)) => Some(code.decode().into_owned()),
        _ => Some(String::new()),
    }
}

/// Reads the element `Code`, which contains only text and so needs no XML parser.
fn xml_code(body: &[u8]) -> Option<String> {
    let (_, rest) = std::str::from_utf8(body).ok()?.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    Some(code.trim().to_owned())
}

/// The class of a service error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SqsFault {
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
    pub(crate) fn from_code(code: &str) -> Self {
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
    fn check(body: &str, expected: &str) {
        assert_eq!(error_code(body.as_bytes()), expected, "{body}");
    }

    #[test]
    fn the_code_is_read_from_json_and_from_xml() {
        let json = r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}"#;
        check(json, "QueueDoesNotExist");
        check(r#"{"__type":"AccessDeniedException:http://x/","Message":"no"}"#, "AccessDeniedException");
        let xml = "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>no</Message></Error></ErrorResponse>";
        check(xml, "InvalidClientTokenId");
        check("<Error><Code> Throttling </Code>", "Throttling");
    }

    #[test]
    fn other_bodies_have_no_code() {
        for body in ["", "[]", "{}", r#"{"__type":1}"#, "<Code>", "<html>502</html>", r#"{"__type":"A","#] {
            check(body, "");
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
