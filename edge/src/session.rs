//! `POST /v1/charging-sessions`.

use chargegate_core::{
    IdempotencyKey, MAX_BODY_BYTES, ProblemDetails, ProblemKind, RequestId, SessionMessage, SessionRequest,
    Traceparent,
};

use crate::body::{self, Body};
use crate::host::{Host, enqueue_within};
use crate::http::{Field, Request, Response};
use crate::problem;

const ACCEPTED: &str = r#"{"status":"accepted","message":"Request is being processed asynchronously. The result will be sent to the provided callback URL."}"#;

/// Puts a request to start a session on the queue.
pub(crate) async fn start(request: &Request<'_>, body: &mut impl Body, host: &impl Host) -> Response {
    match read(request, body, host).await {
        Ok(pending) => pending.confirm(host).await,
        Err(problem) => problem::response(&problem),
    }
}

/// A request that is in order, and its message not yet on the queue.
struct Pending {
    id: RequestId,
    message: SessionMessage,
    patience: std::time::Duration,
}

async fn read(
    request: &Request<'_>,
    body: &mut impl Body,
    host: &impl Host,
) -> Result<Pending, ProblemDetails> {
    check_length(request)?;
    check_media_type(request)?;
    let key = match request.only("idempotency-key") {
        Field::Absent => None,
        Field::Once(value) => Some(IdempotencyKey::from_header(value).map_err(|_| bad_key())?),
        Field::Repeated => return Err(bad_key()),
    };
    let settings = host.settings().await?;
    let body = body::read(body).await?;
    let session = SessionRequest::parse(&body, &settings.addresses)?;

    let now = host.now();
    let id = match key {
        Some(key) => key.request_id(&session),
        None => RequestId::v7(now, host.random()),
    };
    let traceparent = match request.only("traceparent") {
        Field::Once(value) => Traceparent::from_header(value),
        Field::Absent | Field::Repeated => None,
    };
    let traceparent = traceparent.unwrap_or_else(|| Traceparent::new(host.random(), host.random()));
    let message = SessionMessage::new(session, id, now, Some(traceparent));
    Ok(Pending { id, message, patience: settings.enqueue_timeout })
}

impl Pending {
    /// Answers 202 if, and only if, the queue confirms. Either way the id is told: after a 503 a callback may still come.
    async fn confirm(self, host: &impl Host) -> Response {
        let response = match enqueue_within(host, &self.message.encode(), self.patience).await {
            Ok(()) => Response::new(202, "application/json", ACCEPTED),
            Err(error) => problem::response(&error.into()),
        };
        response.with("x-request-id", self.id.to_string())
    }
}

/// Refuses by the announced length, before anything is read. What is announced wrongly shows in the reading.
fn check_length(request: &Request<'_>) -> Result<(), ProblemDetails> {
    let announced = |value: &[u8]| std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
    let limit = u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX);
    if request.values("content-length").filter_map(announced).any(|length| length > limit) {
        return Err(ProblemDetails::new(ProblemKind::BodyTooLarge));
    }
    Ok(())
}

/// JSON and nothing else, not compressed; parameters such as a charset change nothing (RFC 8259 section 11).
fn check_media_type(request: &Request<'_>) -> Result<(), ProblemDetails> {
    let unsupported = || ProblemDetails::new(ProblemKind::UnsupportedMediaType);
    let Field::Once(value) = request.only("content-type") else { return Err(unsupported()) };
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
