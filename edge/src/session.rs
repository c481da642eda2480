//! `POST /v1/charging-sessions`.

use std::time::Duration;

use chargegate_core::{
    IdempotencyKey, MAX_BODY_BYTES, ProblemDetails, ProblemKind, RequestId, SessionMessage, SessionRequest,
    Traceparent,
};

use crate::body::{RequestBody, read_body};
use crate::host::{EdgeHost, enqueue_with_timeout};
use crate::http::{EdgeRequest, EdgeResponse, HeaderField};
use crate::problem;

const ACCEPTED: &str = r#"{"status":"accepted","message":"Request is being processed asynchronously. The result will be sent to the provided callback URL."}"#;

/// Puts a request to start a session on the queue, and returns the response.
pub(crate) async fn start(
    request: &EdgeRequest<'_>,
    body: &mut impl RequestBody,
    host: &impl EdgeHost,
) -> EdgeResponse {
    match validate(request, body, host).await {
        Ok(pending) => pending.confirm(host).await,
        Err(problem) => problem::response(&problem),
    }
}

/// The message of a valid request, not yet on the queue.
struct PendingMessage {
    id: RequestId,
    message: SessionMessage,
    timeout: Duration,
}

async fn validate(
    request: &EdgeRequest<'_>,
    body: &mut impl RequestBody,
    host: &impl EdgeHost,
) -> Result<PendingMessage, ProblemDetails> {
    check_length(request)?;
    check_media_type(request)?;
    let key = match request.single("idempotency-key") {
        HeaderField::Absent => None,
        HeaderField::Once(value) => Some(IdempotencyKey::from_header(value).map_err(|_| bad_key())?),
        HeaderField::Repeated => return Err(bad_key()),
    };
    let settings = host.settings().await?;
    let body = read_body(body).await?;
    let session = SessionRequest::parse(&body, &settings.destinations)?;

    let now = host.now();
    let id = match key {
        Some(key) => key.request_id(&session),
        None => RequestId::v7(now, host.random()),
    };
    let traceparent = match request.single("traceparent") {
        HeaderField::Once(value) => Traceparent::from_header(value),
        HeaderField::Absent | HeaderField::Repeated => None,
    };
    let traceparent = traceparent.unwrap_or_else(|| Traceparent::new(host.random(), host.random()));
    let message = SessionMessage::new(session, id, now, Some(traceparent));
    Ok(PendingMessage { id, message, timeout: settings.enqueue_timeout })
}

impl PendingMessage {
    /// Enqueues the message, and returns 202 if and only if the queue confirms it.
    ///
    /// Either response carries the id: after a 503 a callback may still arrive.
    async fn confirm(self, host: &impl EdgeHost) -> EdgeResponse {
        let response = match enqueue_with_timeout(host, &self.message.encode(), self.timeout).await {
            Ok(()) => EdgeResponse::new(202, "application/json", ACCEPTED),
            Err(error) => problem::response(&problem::not_confirmed(error)),
        };
        response.with_header("x-request-id", self.id.to_string())
    }
}

/// Refuses a body by its `content-length`, before it is read. A wrong `content-length` is detected while reading.
fn check_length(request: &EdgeRequest<'_>) -> Result<(), ProblemDetails> {
    let length = |value: &[u8]| std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
    let limit = u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX);
    if request.values("content-length").filter_map(length).any(|length| length > limit) {
        return Err(ProblemDetails::new(ProblemKind::BodyTooLarge));
    }
    Ok(())
}

/// Refuses a body that is compressed or is not JSON; parameters such as a charset are ignored (RFC 8259 section 11).
fn check_media_type(request: &EdgeRequest<'_>) -> Result<(), ProblemDetails> {
    let unsupported = || ProblemDetails::new(ProblemKind::UnsupportedMediaType);
    let HeaderField::Once(value) = request.single("content-type") else { return Err(unsupported()) };
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if !essence.eq_ignore_ascii_case(b"application/json") {
        return Err(unsupported());
    }
    if request.values("content-encoding").any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        return Err(unsupported().with_detail("the body must not be encoded"));
    }
    Ok(())
}

fn bad_key() -> ProblemDetails {
    ProblemDetails::new(ProblemKind::BadIdempotencyKey)
}
